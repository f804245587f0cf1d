"""`rmr1 view` as a process, and runs for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import log
from pathlib import Path

from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import Message, ToolCall, assistant, user
from rmr1.records import Generation, Judgment, PreferencePair
from rmr1.store.codec import dump_record, dumps
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE

HOSTILE = (
    "<script>window.hacked = 1</script>",
    '<img src="http://evil.example/x.png" onerror="window.hacked = 1">',
    '<svg onload="window.hacked = 1"><animate onbegin="window.hacked = 1"/></svg>',
    "[click](javascript:window.hacked=1) [out](https://evil.example/) ![x](http://evil.example/y.png)",
    '<a href="https://evil.example/">away</a><iframe src="https://evil.example/"></iframe><base href="//evil.example/">',
    '<style>body{display:none}</style><link rel="stylesheet" href="http://evil.example/s.css">',
    '<form action="https://evil.example/"><button>Keep</button></form><meta http-equiv="refresh" content="0;url=//evil.example">',
    "\x1b[2J\x1b]8;;http://evil.example/\x07link\x1b]8;;\x07 \u202egnorw\u202c a\u200bb",
    "$\\href{javascript:window.hacked=1}{x}$ $$\\unicode{x3c}script\\unicode{x3e}$$ `</code><script>window.hacked=1</script>`",
    '</div></section></main><p class="mark good">right</p> {{ 7*7 }} {% raw %} ${7*7} <!-- ',
    "| a | b |\n|---|---|\n| <script>window.hacked=1</script> | [x](data:text/html,<script>window.hacked=1</script>) |",
)


def say(text: str, *, order: str = "given", sample: int = 0, p: float | None = None) -> object:
    """A vote with this text."""
    logprobs = None if p is None else (("A", log(p)), ("B", log(1 - p)))
    said = Generation(
        text=text,
        finish_reason="stop",
        prompt_tokens=50,
        completion_tokens=len(text.split()),
        verdict_logprobs=logprobs,
    )
    return cast_vote(said, order=order, sample=sample, rule="tagged")  # type: ignore[arg-type]


def make_judgment(
    number: int,
    *,
    question: str,
    a: str,
    b: str,
    label: str | None,
    texts: Sequence[tuple[str, str, float]],
    subset: str | None = None,
) -> Judgment:
    """A judgment of (order, text, P of the prompt's A) of each vote."""
    pair = PreferencePair(
        id=f"item-{number}",
        prompt=(user(question),),
        response_a=(assistant(a),),
        response_b=(assistant(b),),
        label=label,
        subset=subset,
    )  # type: ignore[arg-type]
    votes = [say(text, order=order, p=p) for order, text, p in texts]
    made = conclude(pair, votes, family="rubric", rule="tagged")  # type: ignore[arg-type]
    return replace(
        made, prompt_tokens=100, completion_tokens=sum(len(text.split()) for _, text, _ in texts), seconds=1.5
    )


def judge(a: str, b: str, winner: str, *, swapped: bool = False, quote: str | None = None) -> str:
    """A judge's text in its own names, which quotes both answers as they are, or `quote` in the place of A's."""
    first, second = (b, a) if swapped else (a, b)
    named = {"A": "B", "B": "A"}[winner] if swapped else winner
    quoted = first if quote is None else quote
    return (
        "<type>Chat</type>\n<rubric>\n1. Accuracy (60%)\n2. Warmth (40%)\n<justify>accuracy matters most here</justify>\n</rubric>\n"
        f"<eval>The first says <quote_A>{quoted}</quote_A>, the second <quote_B>{second}</quote_B>.</eval>\n<answer>[[{named}]]</answer>"
    )


def make_judgments() -> list[Judgment]:
    """Twelve: right ones, a wrong one, a flip, an invented quotation, no verdict, a trajectory, and one for each hostile text."""
    made = []
    for number in range(6):
        a, b = f"It is {number} o'clock.", f"I do **not** know the time, {number}."
        made.append(make_judgment(number, question=f"What time is it, case {number}?", a=a, b=b, label="A", subset="Time/plain", texts=[("given", judge(a, b, "A"), 0.9), ("swapped", judge(a, b, "A", swapped=True), 0.2)]))  # fmt: skip
    a, b = "Paris is the capital.", "Lyon is the capital."
    made.append(make_judgment(6, question="What is the capital of France?", a=a, b=b, label="A", subset="Facts", texts=[("given", judge(a, b, "B"), 0.1), ("swapped", judge(a, b, "B", swapped=True), 0.97)]))  # fmt: skip
    made.append(make_judgment(7, question="And of Spain?", a="Madrid, of course.", b="Perhaps Toledo.", label="A", subset="Facts", texts=[("given", judge("Madrid, of course.", "Perhaps Toledo.", "A"), 0.8), ("swapped", judge("Madrid, of course.", "Perhaps Toledo.", "B", swapped=True), 0.7)]))  # fmt: skip
    made.append(make_judgment(8, question="Name a river.", a="The Loire flows to the sea.", b="The Rhine.", label="A", subset="Facts", texts=[("given", judge("The Loire flows to the sea.", "The Rhine.", "A", quote="The Seine runs through Rome"), 0.75)]))  # fmt: skip
    made.append(
        make_judgment(
            9,
            question="Say nothing.",
            a="Nothing.",
            b="No.",
            label="B",
            subset="Facts",
            texts=[("given", "I would rather not say.", 0.5)],
        )
    )
    call = ToolCall(name="get_weather", arguments='{"city": "Oslo"}', id="c1")
    steps = (
        Message(role="assistant", content="Let me look.", tool_calls=(call,)),
        Message(role="tool", content="rain, 4 degrees", tool_call_id="c1"),
        assistant("It rains in Oslo."),
    )
    agent = make_judgment(
        10,
        question="Is it raining in Oslo?",
        a="It rains.",
        b="No idea.",
        label="A",
        subset="Agents",
        texts=[("given", judge("rain, 4 degrees", "No idea.", "A"), 0.9)],
    )
    made.append(replace(agent, pair=replace(agent.pair, response_a=steps)))
    maths = "# Steps\n\n1. We have $x^2 = 4$.\n2. So:\n\n```python\nprint(2)\n```\n\n| x | y |\n|---|---|\n| 2 | -2 |"
    made.append(make_judgment(11, question="Solve $x^2=4$.", a=maths, b="x = 2", label="A", subset="Maths", texts=[("given", judge("We have $x^2 = 4$", "x = 2", "A"), 0.9)]))  # fmt: skip
    for place, text in enumerate(HOSTILE):
        said = judge(text, text, "A").replace("<eval>", f"<eval>{text} ")
        one = make_judgment(
            12 + place,
            question=text,
            a=text,
            b=f"{text} and more",
            label="B",
            subset=text[:40],
            texts=[("given", said, 0.6)],
        )
        made.append(replace(one, pair=replace(one.pair, id=text)))
    return made


def write_run(folder: Path, judgments: Sequence[Judgment], *, first: int = 0) -> Path:
    """A run of these judgments, or more lines of one."""
    folder.mkdir(parents=True, exist_ok=True)
    if not first:
        (folder / RUN_FILE).write_text(
            '{"format": 1, "model_name": "made up <b>judge</b>", "created": "2026-11-30T12:00:00+00:00"}'
        )
    with (folder / JUDGMENTS_FILE).open("ab") as file:
        for number, one in enumerate(judgments, start=first):
            file.write(dumps({"key": f"{number:032x}", **dump_record(one)}) + b"\n")
    return folder


@contextmanager
def view(*folders: Path) -> Iterator[str]:
    """The link that `rmr1 view` prints; it is ended as Ctrl-C does."""
    command = [sys.executable, "-m", "rmr1", "view", *map(str, folders), "--port", "0", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "open http" in line:
                yield line.split("open ")[1].strip()
                break
        else:
            raise AssertionError("".join(seen))
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()
