"""A run whose every text is an attack on whoever shows it."""

from __future__ import annotations

from pathlib import Path

from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import Message, assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair
from rmr1.store.runs import open_run

ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1)></svg>",
    '"><a href="javascript:alert(1)">x</a>',
    "</title></style></textarea><iframe src=//evil.example></iframe>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "<!-- --><link rel=stylesheet href=//evil.example><meta http-equiv=refresh content=0>",
    "\x1b[31mred\x1b]0;title\x07\x9b1m",
    "\u202eevil\u2066\u200b\ufeff\U000e0041",
    "\ud800 half",
    "a\x00b\r\nc",
    "@import url(//evil.example); background: url(http://evil.example)",
    "[link](http://evil.example) | cell `code` <http://evil.example>",
)
WORDS = "<b>bold & brash</b> it is"


def read_text(attack: str) -> str:
    return (
        f"<type>Chat</type><rubric>\n1. {attack} (60%)\n2. Tone {attack} (40%)\n<justify>{attack}</justify></rubric>"
        f"<eval><quote_A>{WORDS}</quote_A> {attack} <quote_B>{attack} invented</quote_B></eval><answer>[[A]]</answer>"
    )


def make_judgments() -> list[Judgment]:
    """One judgment for each attack, in both orders."""
    found = []
    for number, attack in enumerate(ATTACKS):
        pair = PreferencePair(
            id=f"{number}{attack}",
            prompt=(Message(role="system", content=attack), user(attack)),
            response_a=(assistant(f"{attack} {WORDS} {attack}"),),
            response_b=(assistant(attack), user(WORDS), assistant(attack)),
            label="A" if number % 2 else "B",
            source=attack,
            subset=attack if number % 3 else None,
        )
        said = Generation(text=read_text(attack), finish_reason="stop", model=attack)
        orders: tuple[Order, ...] = ("given", "swapped") if number % 2 else ("given",)
        votes = [cast_vote(said, order=order, sample=0, rule="tagged") for order in orders]
        found.append(conclude(pair, votes, family="rubric", rule="tagged"))
    return found


def write_run(folder: Path) -> list[Judgment]:
    """The run in a folder; the judge's name is an attack too."""
    judgments = make_judgments()
    description = {
        "format": 1,
        "command": "judge",
        "created": "2026-11-30T16:24:27+00:00",
        "model_name": ATTACKS[0],
        "model": {"engine": ATTACKS[1]},
        "data": {"sources": [ATTACKS[2]]},
    }
    with open_run(folder, description) as run:
        for number, judgment in enumerate(judgments):
            run.append(f"{number:032x}", judgment)
    return judgments
