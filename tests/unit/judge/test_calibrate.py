"""Calibration: fits against scikit-learn, symmetry, identity, and data that fit nothing."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmr1.errors import ConfigError, DataError
from rmr1.judge.calibrate import (
    Method,
    fit_calibration,
    identify_judge,
    read_calibration,
    refuse_other_judge,
    write_calibration,
)
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair, Verdict, Vote
from rmr1.verdicts.probability import read_probability

DESCRIBED: dict[str, Any] = {
    "model_name": "m",
    "model": {"engine": "scripted"},
    "prompt": {"family": "direct"},
    "settings": {"rule": "tagged", "seed": 0},
}


def judge_pair(probability: float | None, label: str | None, number: int = 0) -> Judgment:
    logprobs = None
    if probability is not None:
        logprobs = (("A", log(probability)), ("B", log(1 - probability)))
    text = Generation(text="[[A]]", finish_reason="stop", verdict_logprobs=logprobs)
    pair = PreferencePair(
        id=str(number),
        prompt=(user("q"),),
        response_a=(assistant("a"),),
        response_b=(assistant("b"),),
        label=label,
    )
    vote = Vote(order="given", sample=0, generation=text, verdict=Verdict(winner="A"))
    return Judgment(pair=pair, family="direct", rule="tagged", winner="A", votes=(vote,))


def draw_overconfident(number: int, seed: int = 0) -> list[Judgment]:
    """Pairs whose log-odds are three times too large."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(2, 2, number)
    said = 1 / (1 + (1 / truth - 1) ** 3)
    return [
        judge_pair(float(one), "A" if rng.random() < right else "B", index)
        for index, (one, right) in enumerate(zip(said, truth, strict=True))
    ]


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibrated_probabilities_hold_on_new_pairs(method: Method, tmp_path: Path) -> None:
    fitted = fit_calibration(draw_overconfident(2000), DESCRIBED, method=method)
    assert fitted.before["ece"] > 0.1 > 0.05 > fitted.held_out["ece"]
    assert fitted.before["auc"] == pytest.approx(fitted.held_out["auc"], abs=0.01)
    for probability in (0.03, 0.4, 0.9):  # A and B are treated alike
        assert fitted.map.apply(probability) == pytest.approx(1 - fitted.map.apply(1 - probability), abs=1e-6)
    if method == "temperature":
        assert fitted.map.temperature == pytest.approx(3, rel=0.1)
    write_calibration(tmp_path / "c.json", fitted)
    assert read_calibration(tmp_path / "c.json") == fitted
    new = draw_overconfident(2000, seed=1)
    values = np.array([fitted.apply(one) for one in new])
    labels = np.array([one.pair.label == "A" for one in new])
    assert abs(values.mean() - labels.mean()) < 0.03
    assert abs(labels[values > 0.7].mean() - values[values > 0.7].mean()) < 0.04


def test_isotonic_fit_is_that_of_scikit_learn() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    judgments = draw_overconfident(500, seed=4)
    fitted = fit_calibration(judgments, DESCRIBED, method="isotonic").map
    values = np.array([read_probability(one) for one in judgments])
    labels = np.array([one.pair.label == "A" for one in judgments], dtype=float)
    reference = isotonic.IsotonicRegression(out_of_bounds="clip")
    reference.fit(np.concatenate([values, 1 - values]), np.concatenate([labels, 1 - labels]))
    assert [fitted.apply(one) for one in values] == pytest.approx(reference.predict(values), abs=1e-5)


def test_what_fits_nothing_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^0 labelled pairs have a probability; a calibration needs 20 or more$"
    ):
        fit_calibration([judge_pair(0.6, None)] * 50, DESCRIBED)
    with pytest.raises(DataError, match=r"30 more have no probability: judge with .*logprobs"):
        fit_calibration([judge_pair(None, "A")] * 30, DESCRIBED)
    with pytest.raises(DataError, match=r"all 40 labels are 'B'"):
        fit_calibration([judge_pair(0.6, "B")] * 40, DESCRIBED)
    with pytest.raises(DataError, match=r"^0 labelled pairs"):
        fit_calibration([judge_pair(0.6, "tie")] * 40, DESCRIBED)


def test_another_judge_is_refused_but_not_another_name_or_seed(tmp_path: Path) -> None:
    fitted = fit_calibration(draw_overconfident(60), DESCRIBED)
    refuse_other_judge(
        fitted.judge, {**DESCRIBED, "model_name": "n", "settings": {"rule": "tagged", "seed": 7}}, "c.json"
    )
    with pytest.raises(
        ConfigError, match=r"c.json: fitted for another judge: settings.rule was 'tagged', now 'tail'"
    ):
        refuse_other_judge(fitted.judge, {**DESCRIBED, "settings": {"rule": "tail", "seed": 0}}, "c.json")
    assert "seed" not in identify_judge(DESCRIBED)["settings"]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such calibration"):
        read_calibration(tmp_path / "none.json")
    (tmp_path / "c.json").write_text('{"map": {"method": "guess"}}')
    with pytest.raises(ConfigError, match="not a calibration of rmr1"):
        read_calibration(tmp_path / "c.json")
