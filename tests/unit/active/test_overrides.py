"""Pairs whose verdict is doubtful by itself."""

from __future__ import annotations

import pytest

from rmr1.active.information import measure_information
from rmr1.active.overrides import Doubts, count_doubts, find_overrides
from rmr1.messages import assistant, user
from rmr1.records import (
    CriterionScores,
    Generation,
    Judgment,
    PreferencePair,
    RubricItem,
    Trace,
    Verdict,
    Vote,
)

SURE = measure_information([((1.0, 1.0), (1.0, 1.0))] * 4)
BY_PLACE = measure_information([((1.0, 1.0), (0.0, 0.0))] * 4)


def judge(*texts: tuple[str, tuple[int, int], tuple[int, int]]) -> Judgment:
    """Texts of a winner and the scores of A and B by two criteria, which weigh 3 to 1."""
    pair = PreferencePair(
        id="0", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )
    votes = [
        Vote(
            order="given",
            sample=place,
            generation=Generation(text="", finish_reason="stop"),
            verdict=Verdict(
                winner=winner,
                trace=Trace(
                    scores=tuple(
                        CriterionScores(criterion=number, a=a, b=b)
                        for number, (a, b) in enumerate((one, other), 1)
                    )
                ),
            ),
        )
        for place, (winner, one, other) in enumerate(texts)
    ]
    criteria = (RubricItem(text="truth", weight=0.75), RubricItem(text="tone", weight=0.25))
    return Judgment(
        pair=pair, winner="A", family="criteria", rule="tagged", votes=tuple(votes), criteria=criteria
    )


def test_texts_are_counted() -> None:
    found = count_doubts(
        judge(
            ("A", (8, 4), (4, 8)),  # 7 to 5
            ("B", (8, 4), (4, 8)),
            ("A", (5, 5), (5, 5)),
            ("B", (5, 5), (5, 5)),
            ("tie", (5, 5), (5, 5)),
            ("A", (6, 5), (2, 5)),  # 5 to 5
        )
    )
    assert found == Doubts(scored=5, checked=2, denied=1, level_a=1, level_b=1)


@pytest.mark.parametrize(
    ("doubts", "expected"),
    [
        ([Doubts(4, 4, 3, 0, 0)] * 2, ("sums",)),
        ([Doubts(4, 4, 2, 0, 0)] * 2, ()),  # not of most
        ([Doubts(4, 1, 1, 0, 0), Doubts(4, 0, 0, 0, 0)], ()),  # fewer texts than rubrics
        ([Doubts(4, 0, 0, 4, 0)] * 2, ("untouched",)),  # eight of eight for A: 2 / 256
        ([Doubts(4, 0, 0, 2, 2)] * 2, ()),  # a tie, said by a coin
        ([Doubts(4, 0, 0, 0, 2)] * 4, ()),  # level in half of the texts
    ],
)
def test_what_holds_of_most_texts(doubts: list[Doubts], expected: tuple[str, ...]) -> None:
    assert SURE is not None and find_overrides(SURE, doubts) == expected


def test_a_verdict_that_depends_on_the_place() -> None:
    assert BY_PLACE is not None and find_overrides(BY_PLACE, [Doubts()] * 4) == ("place",)
