"""A judgment as one line of a list."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Label, Order, PreferencePair
from rmr1.report.listing import format_header, format_line, tell_outcome

KEY = "0123456789abcdef0123456789abcdef"


def judge(*winners: str, label: Label | None = "A", id: str = "item") -> Judgment:
    """A judgment of one vote for each winner (in the prompt's frame), with B first in every second one."""
    pair = PreferencePair(
        id=id,
        prompt=(user("Why\\nso?\n"),),
        response_a=(assistant("a"),),
        response_b=(assistant("b"),),
        label=label,
    )
    votes = []
    for number, winner in enumerate(winners):
        text = f"<answer>[[{winner}]]</answer>" if winner else "well"
        said = Generation(text=text, finish_reason="stop")
        order: Order = "swapped" if number % 2 else "given"
        votes.append(cast_vote(said, order=order, sample=0, rule="tagged"))
    return conclude(pair, votes, family="rubric", rule="tagged")


@pytest.mark.parametrize(
    ("judgment", "outcome", "line"),
    [
        (judge("A"), "right", "0123456789ab  right  A vs A      1.00  item                      Why\\nso?"),
        (judge("B"), "wrong", "0123456789ab  wrong  B vs A      1.00  item                      Why\\nso?"),
        (
            judge("B", label=None),
            "-",
            "0123456789ab  -      B           1.00  item                      Why\\nso?",
        ),
        (
            judge("A", "B"),
            "right",
            "0123456789ab  right  A vs A      0.75  item                      Why\\nso?",
        ),
        (
            judge("A", "A"),
            "flip",
            "0123456789ab  flip   - vs A      -     item                      Why\\nso?",
        ),
        (
            judge(""),
            "none",
            "0123456789ab  none   - vs A      -     item                      (the judge gave no verdict) Why\\nso?",
        ),
    ],
)
def test_a_line(judgment: Judgment, outcome: str, line: str) -> None:
    assert tell_outcome(judgment) == outcome and format_line(KEY, judgment).plain == line


def test_a_narrow_line_is_cut_to_its_width() -> None:
    judgment = judge("A", id="河" * 30)
    assert (
        format_line(KEY, judgment, 79).plain == "01234567  right  A vs A      1.00  河河河河河河…  Why\\nso?"
    )
    assert format_header(79).plain == "KEY              VERDICT     CONF  ID             QUESTION"
    for width in range(1, 200):
        assert cell_len(format_line(KEY, judgment, width).plain) <= width
