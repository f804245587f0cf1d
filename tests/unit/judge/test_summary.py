"""Counting judgments: what failed, and why, apart from what has no verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rmr1.judge.summary import MOST_REASONS, OTHER_REASONS, Tally, has_answer, is_unanswered, list_failures
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair, Verdict, Vote

PAIR = PreferencePair(
    id="p", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),), label="A"
)


def judgment(*votes: tuple[str, str | None], winner: str | None = None) -> Judgment:
    """Votes are (finish reason, error)."""
    return Judgment(
        pair=PAIR,
        family="rubric",
        rule="tagged",
        winner=winner,
        problem=None if winner else "generation_failed",
        votes=tuple(
            Vote(
                order="given",
                sample=sample,
                generation=Generation(text="", finish_reason=reason, error=error),
                verdict=Verdict(winner=winner),
            )
            for sample, (reason, error) in enumerate(votes)
        ),
    )


def test_failures_are_the_different_errors_in_their_order() -> None:
    one = judgment(("error", "HTTP 500"), ("stop", None), ("error", "hung up"), ("error", "HTTP 500"))
    assert list_failures(one) == ("HTTP 500", "hung up")
    assert list_failures(judgment(("error", None))) == ("no reason given",)
    assert list_failures(judgment(("skipped", "prompt of 9 tokens"), ("length", None))) == ()


def test_an_answer_is_a_text_whatever_it_says_or_scores() -> None:
    assert has_answer(judgment(("error", "HTTP 500"), ("stop", None)))
    assert has_answer(judgment(("length", None)))
    assert not has_answer(judgment(("error", "HTTP 500"), ("skipped", "prompt of 9 tokens")))
    assert not has_answer(replace(judgment(), problem="no_ratings"))
    assert has_answer(replace(judgment(), scores=(0.0, 1.0)))


@pytest.mark.parametrize(
    ("items", "problems", "expected"),
    [
        (3, {"generation_failed": 3}, True),
        (3, {"generation_failed": 1, "prompt_too_long": 2}, True),
        (3, {"generation_failed": 2}, False),
        (3, {"generation_failed": 2, "no_verdict": 1}, False),
        (3, {"no_verdict": 3}, False),
        (0, {}, False),
    ],
)
def test_a_run_in_which_everything_failed(items: int, problems: dict[str, int], expected: bool) -> None:
    assert is_unanswered(items, problems) is expected


def test_a_failure_counts_also_beside_a_winner() -> None:
    tally = Tally()
    tally.add(judgment(("stop", None), ("error", "HTTP 500"), winner="A"))
    tally.add(judgment(("error", "HTTP 500"), ("error", "hung up")))
    tally.add(judgment(("stop", None), winner="B"))
    summary = tally.summary()
    assert (summary["items"], summary["correct"], summary["unparsed"], summary["failed"]) == (3, 1, 1, 2)
    assert list(summary["failures"].items()) == [("HTTP 500", 2), ("hung up", 1)]


def test_reasons_without_number_take_no_memory_without_limit() -> None:
    tally = Tally()
    for item in range(MOST_REASONS + 7):
        tally.add(judgment(("error", f"nothing for item {item}")))
    tally.add(judgment(("error", "nothing for item 0")))
    assert tally.failed == MOST_REASONS + 8
    assert len(tally.failures) == MOST_REASONS + 1
    assert tally.failures["nothing for item 0"] == 2 and tally.failures[OTHER_REASONS] == 7
