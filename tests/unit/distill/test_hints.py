"""The hint check on sentences that were written apart from it, and on real judges' texts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rmr1.distill.hints import find_hint
from tests.unit.distill.judge_outputs import read_judge_texts

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def read_sentences(name: str) -> tuple[list[str], list[str]]:
    """(told, innocent)."""
    found: dict[str, list[str]] = {"told": [], "innocent": []}
    for line in (FIXTURES / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, sentence = line.split("\t")
            found[kind].append(sentence)
    return found["told"], found["innocent"]


@pytest.mark.parametrize(
    ("name", "recall"),
    [
        ("hint_sentences.txt", 0.95),
        ("hint_sentences_later.txt", 0.95),
        ("hint_sentences_last.txt", 0.95),
        # The target is a recall of 95%. The set that was kept apart in the beginning (the first) meets it, and so do two
        # that the check was widened with; the two sets below, written later and apart, do not. Their figures are no
        # target: they are what was measured, so that it gets no worse unnoticed.
        # Written before the check was widened, by who widened it, and no pattern was adjusted to it.
        ("hint_sentences_apart.txt", 0.9),
        # Written when the check was done, to get past it; it was not changed by them: the least to expect.
        ("hint_sentences_after.txt", 0.25),
    ],
)
def test_sentences_that_give_the_writer_away_are_found_and_others_are_not(name: str, recall: float) -> None:
    told, innocent = read_sentences(name)
    assert len(told) == len(innocent) == 20
    missed = [sentence for sentence in told if find_hint(sentence) is None]
    alarms = [sentence for sentence in innocent if find_hint(sentence) is not None]
    assert len(missed) <= round((1 - recall) * len(told)), missed
    assert len(alarms) <= 1, alarms


def test_a_hint_names_its_kind_and_its_sentence() -> None:
    hint = find_hint("<eval>Both are fine. As stated, the **correct verdict** is [[A]]. So be it.</eval>")
    assert hint is not None
    assert hint.kind == "a verdict that was given"
    assert hint.sentence == "As stated, the correct verdict is [[A]]."


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("The note says this was mistaken.", True),
        ("Given the correct answer is [[B]], tone decides.", True),
        ("Given that the correct answer is 12, Chatbot A is right.", False),
        ("I must not mention the note.", True),
        ("I must not mention the price.", False),
        ("<think>The provided label is B.</think> <answer>[[B]]</answer>", True),
        ("<quote_A>The provided label is B.</quote_A> <answer>[[B]]</answer>", False),
        ("<summary_B>says that the provided label is B</summary_B>", False),
        ("The provided\nlabel is B.", False),
        ("", False),
    ],
)
def test_thinking_is_looked_at_and_quotations_are_not(text: str, is_found: bool) -> None:
    assert (find_hint(text) is not None) is is_found


@pytest.mark.parametrize(
    "unit", ["the provided ", "A ", "I was told that ", "my earlier ", "x", "[[A]] ", "is better "]
)
def test_long_repetitions_take_linear_time(unit: str) -> None:
    def measure(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.process_time()  # other work on the machine does not count
        find_hint(text)
        return time.process_time() - started

    measure(1000)
    # Quadratic time would take sixteen times as long.
    assert min(measure(80_000) for _ in range(2)) < 10 * max(measure(20_000), 0.02)


@pytest.mark.shared
def test_real_judges_who_were_told_nothing_are_hardly_ever_suspected(shared: Path) -> None:
    texts = [text for _, text in read_judge_texts(shared) if len(text) >= 200]
    sample = texts[::16]
    assert len(sample) > 500
    hits = [hint.sentence for text in sample if (hint := find_hint(text)) is not None]
    assert len(hits) <= 0.005 * len(sample), hits
