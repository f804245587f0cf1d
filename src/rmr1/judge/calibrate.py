"""Calibration: a map from a judge's probabilities to ones that can be taken at their word, fitted on labelled pairs.

It belongs to the judge that it was fitted for: model, prompts and settings are stored with it, and a judge that
differs in any of them is refused. Both methods treat A and B alike: exchanging the answers turns p into 1 - p before
and after.

    temperature   sigmoid(logit(p) / T), with the T of the least log loss (Guo et al., arXiv 1706.04599)
    isotonic      the monotone step function of the least squared error (Zadrozny and Elkan 2002)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from math import exp
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.reliability import LABELS, Floats, summarize_reliability
from rmr1.records import Judgment
from rmr1.store.codec import dumps
from rmr1.store.identity import describe_differences
from rmr1.store.replace import read_json, write_json
from rmr1.verdicts.probability import read_probability, sigmoid

Method = Literal["temperature", "isotonic"]

LEAST_PAIRS = 20
"""Labelled pairs with a probability, and not a tie, that a fit needs."""
_MOST_LOGIT = 30.0
"""Log-odds beyond which a probability is rounded to 0 or 1."""
_TEMPERATURES = (0.02, 50.0)
_FOLDS = 5
_APART = ("seed", "calibration", "thresholds")
"""Settings that do not change what a probability means."""


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Temperature(_Stored):
    method: Literal["temperature"] = "temperature"
    temperature: float = Field(gt=0)

    def apply(self, probability: float) -> float:
        return sigmoid(_logit(probability) / self.temperature)


class Isotonic(_Stored):
    method: Literal["isotonic"] = "isotonic"
    knots: tuple[tuple[float, float], ...] = Field(min_length=1)
    """(probability before, probability after), both ascending; between them the map is linear."""

    def apply(self, probability: float) -> float:
        before, after = zip(*self.knots, strict=True)
        return float(np.interp(probability, before, after))


Map = Annotated[Temperature | Isotonic, Field(discriminator="method")]


class PeopleEvidence(_Stored):
    """What people who saw no verdict said of the judgments that a calibration was fitted on."""

    labels: int
    """Items with a label, ties among them."""
    settled_by: Literal["agreement", "skill"] = "agreement"
    """What gives an item its label if several people named one: that all agree, or how well each does."""
    annotators: int
    agreement: float
    """Share of these items whose verdict is the label; no verdict is no agreement."""
    agreement_interval: tuple[float, float] | None
    """95%, by prompt."""
    kappa: float | None
    """Cohen's, of verdicts and labels, no verdict being a value of its own; None if chance explains all."""
    kappa_interval: tuple[float, float] | None


class Calibration(_Stored):
    """A fitted map, the judge that it is for, and how well it did."""

    map: Map
    judge: dict[str, Any]
    """The sections of `PairJudge.describe` that decide what a probability means."""
    pairs: int
    """Labelled pairs that it was fitted on."""
    before: dict[str, Any]
    """`summarize_reliability` of the probabilities as they came."""
    held_out: dict[str, Any]
    """The same after the map, each pair by one that was fitted on the others; what depends on the ranks of all pairs
    alone (`auc`, `aurc`, `risk_coverage`) after the map itself."""
    people: PeopleEvidence | None = None
    """None if it was not fitted on blind labels alone."""

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.blake2b(dumps(self.describe()), digest_size=16).hexdigest()

    def describe(self) -> dict[str, Any]:
        """The calibration as its file has it."""
        return self.model_dump(mode="json", exclude={"people"} if self.people is None else None)

    def apply(self, judgment: Judgment) -> float | None:
        """P(A is better), calibrated; None if the judgment tells none."""
        probability = read_probability(judgment)
        return None if probability is None else self.map.apply(probability)


class CascadeThresholds(_Stored):
    """What a cascade's stages accept, with the promise that they keep, and the judge that they are for."""

    thresholds: tuple[float | None, ...]
    """The lowest confidence that each stage accepts; None if it accepts nothing."""
    stages: tuple[str, ...]
    risk: float
    """Most of what a stage accepts that may be wrong, as a share."""
    delta: float
    """The chance, over the drawing of the labelled pairs, that a stage breaks the promise."""
    judge: dict[str, Any]
    """The sections that `Calibration.judge` holds."""
    pairs: int
    """Labelled pairs that they were fitted on."""
    accepted: tuple[int, ...]
    """Those of them that each stage accepts."""
    wrong: tuple[int, ...]
    """Those of these that are wrong."""


def refuse_other_judge(stored: Mapping[str, Any], described: Mapping[str, Any], path: str | Path) -> None:
    """
    Raises:
        ConfigError: the judge so described is not the one that the file was fitted for.
    """
    if (difference := describe_differences(stored, identify_judge(described))) is not None:
        raise ConfigError(
            f"{path}: fitted for another judge: {difference}; fit one for this judge with rmr1 calibrate"
        )


def identify_judge(described: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a judge's description that decides the meaning of its probabilities: all but its name, its seed and a
    calibration that it has already."""
    settings = {name: value for name, value in described["settings"].items() if name not in _APART}
    return {"model": described["model"], "prompt": described["prompt"], "settings": settings}


def read_labelled(judgments: Iterable[Judgment]) -> tuple[Floats, Floats, int]:
    """(probability_I, label_I, how many labelled judgments have no probability)."""
    found, missing = [], 0
    for judgment in judgments:
        label = LABELS.get(judgment.pair.label or "")
        if label is None:
            continue
        probability = read_probability(judgment)
        if probability is None:
            missing += 1
        else:
            found.append((probability, label))
    both = np.array(found, dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1], missing


def fit_calibration(
    judgments: Iterable[Judgment],
    described: Mapping[str, Any],
    *,
    method: Method = "temperature",
    seed: int = 0,
) -> Calibration:
    """Fit the map on all labelled judgments, and judge it by folds that are drawn from the seed.

    Raises:
        DataError: too few of them have a label and a probability, or all labels are the same.
    """
    probability_I, label_I, missing = read_labelled(judgments)
    _check_labels(label_I, missing)
    fold_I = np.random.default_rng(seed).permutation(len(label_I)) % _FOLDS
    held_out_I = probability_I.copy()
    for fold in range(_FOLDS):
        fitted = _fit(probability_I[fold_I != fold], label_I[fold_I != fold], method)
        held_out_I[fold_I == fold] = [fitted.apply(one) for one in probability_I[fold_I == fold]]
    fitted = _fit(probability_I, label_I, method)
    after = summarize_reliability(np.array([fitted.apply(one) for one in probability_I]), label_I)
    ranks = {name: after[name] for name in ("auc", "aurc", "risk_coverage")}
    return Calibration(
        map=fitted,
        judge=identify_judge(described),
        pairs=len(label_I),
        before=summarize_reliability(probability_I, label_I),
        held_out={**summarize_reliability(held_out_I, label_I), **ranks},
    )


def _check_labels(label_I: Floats, missing: int) -> None:
    clear = int(np.count_nonzero(label_I != 0.5))
    if clear < LEAST_PAIRS:
        without = (
            f"; {missing} more have no probability: judge with {name_option('verdict_logprobs', True)} or several votes"
            if missing
            else ""
        )
        raise DataError(
            f"{clear} labelled pairs have a probability; a calibration needs {LEAST_PAIRS} or more{without}"
        )
    if len(set(label_I[label_I != 0.5])) < 2:
        side = "A" if label_I.max() == 1 else "B"
        raise DataError(
            f"all {clear} labels are {side!r}: nothing tells how the other side is judged; shuffle the answers"
        )


def _fit(probability_I: Floats, label_I: Floats, method: Method) -> Temperature | Isotonic:
    return (
        _fit_temperature(probability_I, label_I)
        if method == "temperature"
        else _fit_isotonic(probability_I, label_I)
    )


def _fit_temperature(probability_I: Floats, label_I: Floats) -> Temperature:
    """The T of the least log loss, by golden-section search: the loss is convex in 1/T."""
    logit_I = np.array([_logit(one) for one in probability_I])

    def loss(log_temperature: float) -> float:
        scaled_I = logit_I / exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled_I) - label_I * scaled_I))

    low, high = np.log(_TEMPERATURES)
    ratio = (5**0.5 - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return Temperature(temperature=round(exp((low + high) / 2), 6))


def _fit_isotonic(probability_I: Floats, label_I: Floats) -> Isotonic:
    """The monotone map of the least squared error over the items and their mirror images, by pooling adjacent violators."""
    before = np.concatenate([probability_I, 1 - probability_I])
    wanted = np.concatenate([label_I, 1 - label_I])
    values, index, counts = np.unique(before.round(12), return_inverse=True, return_counts=True)
    pools: list[list[float]] = []  # [mean, weight, lowest, highest]
    for value, mean, weight in zip(values, np.bincount(index, wanted) / counts, counts, strict=True):
        pools.append([mean, weight, value, value])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean_2, weight_2, _, highest = pools.pop()
            first = pools[-1]
            first[0] = (first[0] * first[1] + mean_2 * weight_2) / (first[1] + weight_2)
            first[1], first[3] = first[1] + weight_2, highest
    knots = [(place, mean) for mean, _, low, high in pools for place in dict.fromkeys((low, high))]
    return Isotonic(knots=tuple((float(place), float(mean)) for place, mean in knots))


def _logit(probability: float) -> float:
    if probability <= 0 or probability >= 1:
        return _MOST_LOGIT if probability >= 1 else -_MOST_LOGIT
    return float(np.clip(np.log(probability / (1 - probability)), -_MOST_LOGIT, _MOST_LOGIT))


def write_calibration(path: str | Path, calibration: Calibration | CascadeThresholds) -> None:
    """
    Raises:
        RunError: it cannot be written.
    """
    values = (
        calibration.describe()
        if isinstance(calibration, Calibration)
        else calibration.model_dump(mode="json")
    )
    write_json(Path(path), values)


def read_calibration(path: str | Path) -> Calibration | CascadeThresholds:
    """
    Raises:
        ConfigError: there is no such file, or it is none that `rmr1 calibrate` wrote.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such calibration; make one with rmr1 calibrate")
    try:
        values = read_json(Path(path))
        return (CascadeThresholds if "thresholds" in values else Calibration).model_validate(values)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: not a calibration of rmr1: {place}: {first['msg']}") from None
