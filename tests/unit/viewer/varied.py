"""A made-up run in which every condition holds of some judgments, with texts that try to be more than text."""

from __future__ import annotations

import random
from dataclasses import replace
from math import log
from pathlib import Path

from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, RubricItem
from rmr1.store.codec import dump_record, dumps
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE

ODD = (
    *(
        "NEAR(",
        '"',
        "AND",
        "OR NOT",
        "rubric:",
        "^start",
        "a*b",
        "x\x00y",
        "\ud800",
        "don't",
        "{x y}",
        "naïve",
    ),
    *(
        "苹果好吃",
        "straße",
        "ﬁne",
        "Ünïcode_name",
        "🙂",
        "'; drop table facts",
        "-minus",
        "+",
        "a:b",
        "col : (x)",
    ),
)
WORDS = ("river", "stone", "paper", "lamp", "coin", "green", "seven", "market", "quiet", "bridge", *ODD)
SUBSETS = (None, "", "Chat", "Math/hard", "it's", "\ud800x")


def say(draw: random.Random, most: int = 12) -> str:
    """Some words, odd ones among them."""
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, most)))


def make_judgment(number: int) -> Judgment:
    """The `number`th judgment, always the same."""
    draw = random.Random(f"varied {number}")
    a, b = say(draw), say(draw)
    pair = PreferencePair(
        id=draw.choice((f"item-{number}", f"set:{number}", draw.choice(ODD))),
        prompt=(user(say(draw)),) if draw.random() < 0.8 else (user("first"), assistant(say(draw)), user(say(draw))),
        response_a=(assistant(f"# Head\n- **{a}**" if draw.random() < 0.3 else a),),
        response_b=(assistant(b),),
        label=draw.choice(("A", "B", "tie", None)),  # type: ignore[arg-type]
        source=draw.choice((None, "world", "bench")),
        subset=draw.choice(SUBSETS),
    )  # fmt: skip
    orders: list[Order] = draw.choice(
        (["given"], ["swapped"], ["given", "swapped"], ["given", "given", "swapped"])
    )
    votes = []
    for sample, order in enumerate(orders):
        letter = draw.choice(("A", "B", "A", "B", "C", ""))
        quote = draw.choice((a, b, a.upper(), "made up words", "seven"))
        text = (
            f"<type>{draw.choice(('Chat', 'Reasoning'))}</type><rubric>\n1. {say(draw, 3)} (60%)\n2. Kindness (40%)\n"
            f"</rubric><eval><quote_A>{quote}</quote_A> {say(draw)}</eval>"
            + (f"<answer>[[{letter}]]</answer>" if letter else "")
        )
        p = draw.choice((None, 0.55, 0.9, 0.2))
        said = Generation(text=text, finish_reason="stop", prompt_tokens=draw.randint(1, 99), completion_tokens=draw.randint(1, 99),
            model=draw.choice((None, "tiny", "big")), verdict_logprobs=None if p is None else (("A", log(p)), ("B", log(1 - p))))  # fmt: skip
        if draw.random() < 0.1:
            said = Generation(text="", finish_reason="error", error="busy")
        votes.append(cast_vote(said, order=order, sample=sample, rule="tagged"))
    judgment = conclude(pair, votes, family=draw.choice(("rubric", "plain")), rule="tagged")
    return replace(
        judgment,
        criteria=(RubricItem(text=say(draw, 3), name="Truth"),) if draw.random() < 0.3 else (),
        calibrated=draw.choice((None, None, draw.random())),
        prompt_tokens=draw.randint(0, 500),
        completion_tokens=draw.randint(0, 500),
        is_cached=draw.random() < 0.1,
        seconds=draw.random(),
    )


def key_of(number: int) -> str:
    """The key of the `number`th judgment."""
    return f"{random.Random(f'key {number}').getrandbits(128):032x}"


def write_lines(numbers: range) -> bytes:
    """Lines of a run."""
    made = ((key_of(number), make_judgment(number)) for number in numbers)
    return b"".join(dumps({"key": key, **dump_record(one)}) + b"\n" for key, one in made)


def write_run(folder: Path, num: int) -> Path:
    """A run of so many judgments."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text('{"format": 1, "model_name": "made up"}')
    (folder / JUDGMENTS_FILE).write_bytes(write_lines(range(num)))
    return folder
