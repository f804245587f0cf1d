"""Lines about two answers that are ratings, and lines of the same look that restate results."""

from __future__ import annotations

import re

import pytest

from rmr1.verdicts import parse_verdict
from rmr1.verdicts.ratings import read_ratings
from rmr1.verdicts.trace import read_outline

TEXTS: tuple[tuple[str, tuple[float, float] | None], ...] = (
    ("Response A: 42\nResponse B: 41\nThe right value is 42, so A wins.", None),
    ("A: 3.5 km\nB: 4 km", None),
    ("Answer 1: 12\nAnswer 2: 15\n\nThe train needs 12 minutes, so Answer 1 is right.", None),
    (
        "The two end differently.\n\nResponse A: 42\nResponse B: 41\n\n12 * 3.5 is 42, so only A is right.",
        None,
    ),
    ("Response A: 42\n\nIt multiplies first.\n\nResponse B: 41\n\nIt adds first.", None),
    ("A: 8/10\nB: 6/10", (8.0, 6.0)),
    ("Both are fine.\n\nA: 8/10\nB: 6/10", (8.0, 6.0)),
    ("Both are fine.\n\nScores:\nA: 8\nB: 6", (8.0, 6.0)),
    ("Both are fine.\n\nAssistant A: 8\nAssistant B: 6", (8.0, 6.0)),
    ("Score A: 8\nScore B: 6", (8.0, 6.0)),
    ("Score for A: 8\nB is worse.\nScore for B: 6", (8.0, 6.0)),
    ("Rating A: 8\nRating B: 60/100", None),
    ("**Assistant A:** 8/10\nClear.\n\n**Assistant B:** 6/10\nVague.", (8.0, 6.0)),
    ("Assistant A's score: 8\nAssistant B's score: 6", (8.0, 6.0)),
    ("8/10 6/10", (8.0, 6.0)),
    ("Ratings: 8, 6", (8.0, 6.0)),
    ("42 41", (42.0, 41.0)),
    ("Assistant 1: 7\nAssistant 2: 9", (7.0, 9.0)),
    ("Step results:\nAnswer 1: 12\nAnswer 2: 15\n\nScores:\nAnswer 1: 9\nAnswer 2: 4", (9.0, 4.0)),
    ("Answer 1: 12\nAnswer 2: 15\n\nAssistant 1: 9/10\nAssistant 2: 4/10", (9.0, 4.0)),
    ("Model A: 3\nModel B: 5\nare the counts of r they give; the right count is 3.", None),
    ("Response A: $42\nResponse B: $41", None),
    ("Response A: 42.\nResponse B: 41.\nTrue: 42.", None),
    ("f(1): 3\nf(2): 4", None),
    ("A: 1\nB: 2\nC: 3\nD: 4\nThese are the options.", None),
    ("Response A (score: 8): clear.\nResponse B (score: 6): vague.", (8.0, 6.0)),
    ("Response A: 8/10 - clear\nResponse B: 6/10 - vague", (8.0, 6.0)),
    ("A: 1/2\nB: 1/3", None),
    ("A: 1/10\nB: 3/10\nare the probabilities; B's is right.", None),
    ("<answer>8/10</answer><answer>6/10</answer>", (8.0, 6.0)),
    ("<answer>[[8]]</answer><answer>[[6]]</answer>", (8.0, 6.0)),
    ("Chatbot A: 9\nChatbot B: 9", (9.0, 9.0)),
    ("In round 1, Assistant A: 5\nIn round 2, Assistant B: 6", None),
    ("Answer A: 120\nAnswer B: 95", None),
    ("Output (a): 7\nOutput (b): 5", (7.0, 5.0)),
    ("Scores: A = 8, B = 6", (8.0, 6.0)),
    ("A: 8, B: 6", (8.0, 6.0)),
    ("Response A: 42\nResponse B: 44", None),
    ("Results:\nResponse A: 4\nResponse B: 5", None),
    ("A: 3/8\nB: 5/8", None),
    ("Response A: 4\nResponse B: 5\n\nThe right value is 5.", None),
    ("   A = 0.2075\n   B = 0.3133\n\nSo [[B>A]]", None),
    (
        "I would give the following scores:\n\nAssistant 1: 1 (no steps)\nAssistant 2: 8 (one slip)\n\nAssistant 2 did better.",
        (1.0, 8.0),
    ),
    ("### Scores\n**Assistant A**: 70\n**Assistant B**: 85\n\nB is more exact.", (70.0, 85.0)),
    ("Assistant A: 8\nResponse B: 6", None),
    ("Scores:\nA: 8\nA: 7\nB: 6", None),
)


@pytest.mark.parametrize(("text", "ratings"), TEXTS)
def test_named_numbers_are_ratings_if_the_text_says_so(
    text: str, ratings: tuple[float, float] | None
) -> None:
    verdict = parse_verdict(text, "ratings")
    assert verdict.ratings == ratings
    assert (verdict.problem == "no_ratings") == (ratings is None)


@pytest.mark.parametrize("text", [text for text, _ in TEXTS if re.search(r"\bA\b", text)])
def test_exchanging_the_sides_exchanges_the_ratings(text: str) -> None:
    exchanged = re.sub(r"\b[AB]\b", lambda found: "B" if found[0] == "A" else "A", text)
    given, swapped = (parse_verdict(each, "ratings").ratings for each in (text, exchanged))
    assert exchanged != text and swapped == (given and given[::-1])


@pytest.mark.parametrize(
    ("text", "ratings"),
    [
        ("8 9\nBoth are", (8.0, 9.0)),
        ("8 1", None),
        ("Scores:\nA: 8\nB: 1", None),
        ("<answer>8</answer><answer>10</answer>", (8.0, 10.0)),
        ("<answer>8</answer><answer>10</answer> as", None),
    ],
)
def test_in_a_text_that_was_cut_off_only_what_cannot_go_on_counts(
    text: str, ratings: tuple[float, float] | None
) -> None:
    assert read_ratings(read_outline(text), ("A", "B"), is_cut=True) == ratings
