"""A run's verdicts beside what people said of its pairs without having seen them: agreement, kappa, confusion, calibration.

Only blind labels count, of each person the last word. An item on which people disagree has no label, as everywhere, unless it
is to be settled by how well each of them does; it is counted, and counts for how far people agree among themselves. No verdict is no agreement, and in kappa a value of its own,
so that a judge that says nothing where it would be wrong gains nothing by it. Intervals are 95%, by prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.active.annotators import LEAST_PEOPLE, settle_by_skill
from rmr1.active.said import find_standing
from rmr1.audit.agreement import VALUES, count_coincidences, find_alpha, find_kappa, measure_agreement
from rmr1.audit.measures import Interval, measure_mean
from rmr1.errors import DataError
from rmr1.judge.calibrate import Calibration, Method, PeopleEvidence, fit_calibration
from rmr1.judge.reliability import LABELS, Floats, calibration_error
from rmr1.records import Judgment, Label
from rmr1.stats import Numbers, share_interval
from rmr1.store.codec import dump_record
from rmr1.store.labels import HumanLabel, settle_labels
from rmr1.store.rulings import number_prompt
from rmr1.store.runs import JUDGMENTS_FILE, iterate_keys, load_line, read_description
from rmr1.verdicts.probability import tell_probability

LEAST_LABELS = 50
"""Items with a blind label, not a tie, and a probability of the judge, that a calibration on people's labels needs."""
NO_VERDICT = "no verdict"
SAID = (*VALUES, NO_VERDICT)
"""What a judge says, in the sequence of a confusion's columns."""
_DRAWS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A size with its interval; None if it cannot be told."""

    size: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What people said blind of a run, and the judgments that they agree on."""

    judgments: Mapping[str, Judgment]
    """Item's key -> its judgment, whose pair has the label of people."""
    opinions: tuple[tuple[Label, ...], ...]
    """The sides that several people named, of each item of which several did."""
    prompts: tuple[int, ...]
    """The prompt of each of these."""
    annotators: int
    labels: int
    disputed: int
    skipped: int
    not_blind: int
    """Labels that name a side and are not blind."""
    unknown: int
    """Blind labels of items that the run does not hold."""
    skills: Mapping[str, float]
    """Person -> how often they are likely to be right, in [0, 1]; empty unless labels were settled by it."""


def read_blind(folder: str | Path, labels: Sequence[HumanLabel], *, by_skill: bool = False) -> Labelled:
    """The judgments of a run that people labelled blind. With `by_skill` and at least `LEAST_PEOPLE` of them an item has the
    side that is likely by how well each person does (`rmr1.active.annotators`), if one is likely enough.

    Raises:
        RunError: It is no run.
    """
    read_description(folder)
    people = sorted({one.who for one in labels})
    standing = [one for who in people for one in find_standing(labels, who).values()]
    blind = [one for one in standing if one.is_blind and one.label is not None]
    settled = settle_labels(blind)
    sides, disputed, skills = settled.labels, settled.disputed, {}
    if by_skill and len({one.who for one in blind}) >= LEAST_PEOPLE:
        skilled = settle_by_skill(blind)
        sides, disputed = skilled.labels, skilled.disputed
        skills = {
            who: sum(skilled.priors[side] * said[side] for side, said in table.items())
            for who, table in skilled.skills.items()
        }
    wanted = set(sides) | set(settled.opinions)
    judgments: dict[str, Judgment] = {}
    opinions, prompts, known = [], [], set()
    path = Path(folder) / JUDGMENTS_FILE
    for number, key, line in iterate_keys(path):
        if key not in wanted:
            continue
        known.add(key)
        judgment = load_line(line, path, number)
        if key in settled.opinions:
            opinions.append(settled.opinions[key])
            prompts.append(_number(judgment))
        if key in sides:
            judgments[key] = replace(judgment, pair=replace(judgment.pair, label=sides[key]))
    return Labelled(
        judgments=judgments,
        opinions=tuple(opinions),
        prompts=tuple(prompts),
        annotators=len({one.who for one in blind if one.key in known}),
        labels=sum(one.key in known for one in blind),
        disputed=len(disputed & known),
        skipped=sum(one.is_skipped for one in standing),
        not_blind=sum(one.label is not None and not one.is_blind for one in standing),
        unknown=sum(one.key not in known for one in blind),
        skills=skills,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleReport:
    """How a judge does beside people who saw no verdict."""

    items: int
    """Items with a label on which people agree."""
    labels: int
    annotators: int
    disputed: int
    skipped: int
    not_blind: int
    unknown: int
    agreement: Figure
    """Share of the items whose verdict is the label."""
    kappa: Figure | None
    confusion: Mapping[str, Mapping[str, int]]
    """What people say -> what the judge says (`SAID`) -> items."""
    with_probability: int
    """Items of which the judge tells a probability."""
    ece: float | None
    ece_by_chance: tuple[float, float] | None
    """The ECE that a judge would have whose probabilities are right, at so few items: its mean, and what 95% of such
    judges stay below."""
    brier: Figure | None
    among_people: Figure | None
    """Krippendorff's alpha of people among themselves, over the items that several labelled."""
    shared: int
    """Items that several people labelled."""
    skills: Mapping[str, float]
    """As in `Labelled`."""

    def describe(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


def measure_people(labelled: Labelled) -> PeopleReport:
    """The figures of a run beside people.

    Raises:
        DataError: There is no item on which people agree.
    """
    judgments = list(labelled.judgments.values())
    if not judgments:
        raise DataError(
            "no blind label of people that is settled"
            + (f" ({labelled.disputed:,} items are disputed)" if labelled.disputed else "")
            + (f"; {labelled.not_blind:,} labels are not blind" if labelled.not_blind else "")
            + "; label some first"
        )
    prompts_I = np.array([_number(one) for one in judgments])
    people_I = np.array([VALUES.index(one.pair.label or "") for one in judgments])
    judge_I = np.array([SAID.index(_say(one)) for one in judgments])
    width = np.arange(len(SAID))
    tables_IVV = ((people_I[:, None] == width)[:, :, None] & (judge_I[:, None] == width)[:, None, :]).astype(
        float
    )
    right_I = (people_I == judge_I).astype(np.float64)
    kappa = measure_agreement(tables_IVV, prompts_I, find_kappa)
    ece, by_chance, brier, told = _measure_probabilities(judgments, prompts_I)
    counts = tables_IVV.sum(axis=0).astype(int).tolist()
    return PeopleReport(
        items=len(judgments),
        labels=labelled.labels,
        annotators=labelled.annotators,
        disputed=labelled.disputed,
        skipped=labelled.skipped,
        not_blind=labelled.not_blind,
        unknown=labelled.unknown,
        agreement=Figure(size=float(right_I.mean()), interval=share_interval(right_I, prompts_I)),
        kappa=None if np.isnan(kappa.size) else Figure(size=kappa.size, interval=kappa.interval),
        confusion={said: dict(zip(SAID, counts[place], strict=True)) for place, said in enumerate(VALUES)},
        with_probability=told,
        ece=ece,
        ece_by_chance=by_chance,
        brier=brier,
        among_people=_measure_among(labelled),
        shared=len(labelled.opinions),
        skills=labelled.skills,
    )


def fit_on_people(
    labelled: Labelled, described: Mapping[str, Any], *, method: Method = "temperature", seed: int = 0
) -> Calibration:
    """A calibration on the blind labels alone, bound to the judge that is so described, with what people said in it.

    Raises:
        DataError: There are fewer than `LEAST_LABELS` that it can be fitted on, or all are of one side.
    """
    judgments = list(labelled.judgments.values())
    clear = sum(one.pair.label != "tie" and tell_probability(one) is not None for one in judgments)
    if clear < LEAST_LABELS:
        silent = sum(tell_probability(one) is None for one in judgments)
        more = f"; of {silent:,} more the judge tells no probability" if silent else ""
        ties = sum(one.pair.label == "tie" for one in judgments)
        more += f"; {ties:,} are ties" if ties else ""
        raise DataError(
            f"{clear:,} items have a blind label of one side and a probability; a calibration on people's labels needs "
            f"{LEAST_LABELS} or more{more}"
        )
    report = measure_people(labelled)
    evidence = PeopleEvidence(
        labels=report.items,
        settled_by="skill" if report.skills else "agreement",
        annotators=report.annotators,
        agreement=report.agreement.size,
        agreement_interval=report.agreement.interval,
        kappa=None if report.kappa is None else report.kappa.size,
        kappa_interval=None if report.kappa is None else report.kappa.interval,
    )
    fitted = fit_calibration(judgments, described, method=method, seed=seed)
    return fitted.model_copy(update={"people": evidence})


def _measure_probabilities(
    judgments: Sequence[Judgment], prompts_I: Numbers
) -> tuple[float | None, tuple[float, float] | None, Figure | None, int]:
    """ECE, what chance gives, Brier score, and the number of items that tell a probability."""
    found = [
        (probability, LABELS[one.pair.label or ""], prompt)
        for one, prompt in zip(judgments, prompts_I, strict=True)
        if (probability := tell_probability(one)) is not None
    ]
    if not found:
        return None, None, None, 0
    probability_I, label_I, told_I = (np.array(one) for one in zip(*found, strict=True))
    brier = measure_mean((probability_I - label_I) ** 2, told_I, 1.0)
    bounds = None if brier.interval is None else (max(0.0, brier.interval[0]), min(1.0, brier.interval[1]))
    return (
        calibration_error(probability_I, label_I),
        _expect_error(probability_I),
        Figure(size=brier.size, interval=bounds),
        len(found),
    )


def _expect_error(probability_I: Floats) -> tuple[float, float]:
    """The ECE of labels that are drawn by the probabilities themselves."""
    drawn = np.random.default_rng(0).random((_DRAWS, len(probability_I))) < probability_I
    errors = [calibration_error(probability_I, one.astype(np.float64)) for one in drawn]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def _measure_among(labelled: Labelled) -> Figure | None:
    if not labelled.opinions:
        return None
    most = max(map(len, labelled.opinions))
    values_IR = np.array(
        [[VALUES.index(one) for one in sides] + [-1] * (most - len(sides)) for sides in labelled.opinions]
    )
    alpha = measure_agreement(count_coincidences(values_IR), np.array(labelled.prompts), find_alpha)
    return None if np.isnan(alpha.size) else Figure(size=alpha.size, interval=alpha.interval)


def _say(judgment: Judgment) -> str:
    return judgment.winner if judgment.winner in VALUES else NO_VERDICT


def _number(judgment: Judgment) -> int:
    return number_prompt([dump_record(one) for one in judgment.pair.prompt])
