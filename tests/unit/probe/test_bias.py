"""Measures by hand, and the regression that takes them all together."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest

from rmr1.errors import DataError
from rmr1.probe import BiasReport, probe_bias
from rmr1.probe.bias import MEASURES, BiasFeature
from rmr1.stats import fit_logistic, wilson_interval
from tests.unit.probe.sets import Rows, world_rows, write_rows

NAMES = [measure.name for measure in MEASURES]


def measure(answer: str, question: str = "what is red and blue") -> dict[str, float]:
    return {one.name: one.compute(question, answer) for one in MEASURES}


def test_markdown() -> None:
    found = measure("# Title\n\n- one\n- **two**\n1. `three`\n\n```py\nx\n```\n#hash\n2024 was -1 ** 2 ** 3")
    assert (found["headings"], found["list items"], found["bold"], found["code"]) == (1, 3, 1, 3)
    assert set(measure("plain text, no marks").values()) >= {0.0}


def test_words_and_characters() -> None:
    assert measure("Red, red: it's 12!")["words"] == 5 and measure("Red, red: it's 12!")["characters"] == 18
    assert measure("你好 abc")["words"] == 3
    assert measure("")["words"] == 0


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't help with that.", 1.0),
        ("I’m sorry, no.", 1.0),
        ("I cannot provide this.", 1.0),
        ("As an AI, I have no view.", 1.0),
        ("抱歉，我无法提供", 1.0),
        ("Sure! Here you go.", 0.0),
        ("The sorry state of things", 0.0),
        ("x" * 300 + " I cannot help", 0.0),
    ],
)
def test_refusals(text: str, is_refusal: float) -> None:
    assert measure(text)["refusal"] == is_refusal


def test_overlap() -> None:
    found = measure("Red is a warm red", "what is red and blue")
    assert found["words from the question"] == pytest.approx(2 / 4)  # red, is, a, warm
    assert found["question's words used"] == pytest.approx(2 / 5)
    assert measure("", "")["words from the question"] == 0.0


def probe(tmp_path: Path, rows: Rows, **options) -> BiasReport:
    return probe_bias(write_rows(tmp_path / "rows.jsonl", rows), **options)


def feature(report: BiasReport, name: str) -> BiasFeature:
    return next(one for one in report.features if one.name == name)


def row(number: int, a: str, b: str, label: str) -> dict:
    return {"prompt": f"q{number}", "response_a": a, "response_b": b, "label": label}


def test_counts_by_hand(tmp_path: Path) -> None:
    rows = [
        row(1, "four", "a", "A"),
        row(2, "a", "three", "B"),
        row(3, "same", "size", "A"),
        row(4, "longer", "sm", "B"),
        row(5, "x", "y", "tie"),
    ]
    report = probe(tmp_path, rows)
    assert (report.pairs, report.ties, report.named, report.prompts) == (4, 1, 4, 4)
    length = feature(report, "characters")
    assert (length.differing, length.larger_wins, length.share) == (3, 2, pytest.approx(2 / 3))
    assert length.interval == wilson_interval(2, 3)
    assert (length.mean_better, length.mean_worse) == ((4 + 5 + 4 + 2) / 4, (1 + 1 + 4 + 6) / 4)
    # Differences 3, 4, 0, -4 against -3, -4, 0, 4: wins of 3: 3; of 4: 3 and a draw; of 0: 2 and a draw; of -4: a draw.
    assert length.auc == pytest.approx((3 + 3.5 + 2.5 + 0.5) / 16)
    position = feature(report, "position")
    assert (position.larger_wins, position.differing) == (2, 4)


def test_pairs_of_one_prompt_are_no_independent_pairs(tmp_path: Path) -> None:
    """Ten pairs of each of 20 prompts that all say the same: as uncertain as 20 pairs, not as 200."""
    rows = [row(number // 10, "long one", "short", "A" if number // 10 % 4 else "B") for number in range(200)]
    report = probe(tmp_path, rows)
    length = feature(report, "characters")
    assert (length.differing, length.larger_wins, report.prompts) == (200, 150, 20)
    low, high = length.interval
    alone = wilson_interval(15, 20)
    assert (low, high) == pytest.approx(alone, abs=0.03) and low < alone[0] and high > alone[1]


def test_without_named_sides_there_is_no_position(tmp_path: Path) -> None:
    report = probe(tmp_path, [{"prompt": str(n), "chosen": "a", "rejected": "bb"} for n in range(5)])
    assert [one.name for one in report.features] == NAMES and report.named == 0


def test_regression_is_where_the_slope_is_zero() -> None:
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(500, 3)) + np.array([0.5, 0.0, -0.2])
    weights = fit_logistic(inputs)
    slope = weights - inputs.T @ (1 / (1 + np.exp(inputs @ weights)))
    assert np.abs(slope).max() < 1e-6
    assert weights[0] > 0.3 and weights[2] < 0


def test_regression_of_separable_data_stays_finite() -> None:
    assert np.isfinite(fit_logistic(np.ones((10_000, 2)))).all()
    assert (fit_logistic(np.zeros((10, 2))) == 0).all()


def test_together_finds_what_decides_and_nothing_else(tmp_path: Path) -> None:
    draw = Random(0)
    rows = []
    for number in range(600):
        long, short = "word " * draw.randint(30, 60), "word " * draw.randint(5, 25)
        label = draw.choice("AB")
        is_long_better = draw.random() < 0.8
        a, b = (long, short) if (label == "A") == is_long_better else (short, long)
        rows.append(row(number, a, b, label))
    report = probe(tmp_path, rows)
    assert report.together_share == pytest.approx(0.8, abs=0.04)
    assert (
        report.together_interval is not None
        and report.together_interval[0] < 0.8 < report.together_interval[1]
    )
    for one in rows:
        one["label"] = draw.choice("AB")
    report = probe(tmp_path, rows)
    assert report.together_auc == pytest.approx(0.5, abs=0.06)
    assert report == probe(tmp_path, rows)


def test_prompts_are_taken_apart(tmp_path: Path) -> None:
    pairs, prompts = (probe(tmp_path, world_rows(3, 200, form)) for form in ("pairs", "messages"))
    for one, other in zip(pairs.features, prompts.features, strict=True):
        assert (one.name, one.differing, one.larger_wins) == (other.name, other.differing, other.larger_wins)
        assert math.isclose(one.mean_better, other.mean_better)


def test_bad_input(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "A or B?"},
                {"role": "assistant", "content": "<answer>[[A]]</answer>"},
            ]
        }
    ]
    with pytest.raises(DataError, match="1 prompts could not be taken apart"):
        probe(tmp_path, rows)
    with pytest.raises(DataError, match="no such file"):
        probe_bias(tmp_path / "absent.jsonl")
