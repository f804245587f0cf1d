"""Labels that the judges contradict: planted ones come first, and none calibrates itself."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rmr1.audit.agreement import Run
from rmr1.audit.audits import AuditGathering
from rmr1.audit.wrong_labels import WRONG_LABEL_COLUMNS, doubt_labels
from rmr1.errors import DataError
from tests.unit.audit.test_figures import tell


def make_run(number: int, *, wrong: int = 0, seed: int = 0, is_told: bool = True, offset: int = 0) -> Run:
    """A judge that is right with the probability that it tells; the first `wrong` labels are turned."""
    draw = random.Random(seed)
    gathering = AuditGathering(*WRONG_LABEL_COLUMNS)
    for place in range(number):
        p, label = draw.uniform(0.6, 0.99), draw.choice("AB")
        is_right = draw.random() < p
        said = label if is_right else "AB"["AB".index(label) - 1]
        if place < wrong:
            label = "AB"["AB".index(label) - 1]
        facts = tell(place, said, label, probability=(p if said == "A" else 1 - p) if is_told else None)
        gathering.add(replace(facts, key=f"{place + offset:032x}"))
    return Run(name="x", evidence=gathering.evidence())


def test_planted_labels_come_first() -> None:
    found = doubt_labels([make_run(500, wrong=20)])
    assert (found.used, found.labelled, found.judges) == (500, 500, 1)
    first = [int(one.key, 16) < 20 for one in found.doubts[:20]]
    assert sum(first) >= 6  # of 20 among 500, by chance 0.8
    likely = [one.probability for one in found.doubts]
    assert likely == sorted(likely) and likely[-1] < 0.5
    assert found.log_loss < 0.6


def test_the_same_seed_gives_the_same_ranking_and_the_folds_hardly_matter() -> None:
    run = make_run(300, wrong=10)
    first = [one.key for one in doubt_labels([run]).doubts[:20]]
    assert first == [one.key for one in doubt_labels([run]).doubts[:20]]
    other = [one.key for one in doubt_labels([run], seed=1).doubts[:20]]
    assert len(set(first) & set(other)) >= 15


def test_a_label_does_not_calibrate_itself() -> None:
    """Turning one label leaves what is said of it as it was, but for the side."""
    run, turned = make_run(200), make_run(200, wrong=1)
    key = f"{0:032x}"

    def likely(one: Run) -> float:
        evidence = one.evidence
        found = {doubt.key: doubt.probability for doubt in doubt_labels([one]).doubts}
        assert len(evidence) == 200
        return found.get(key, float("nan"))

    doubts = [value for value in (likely(run), likely(turned)) if value == value]
    assert len(doubts) == 1  # one side is the less likely


def test_judges_together_rank_better_than_one() -> None:
    runs = [make_run(400, wrong=20, seed=0)]
    second = AuditGathering(*WRONG_LABEL_COLUMNS)
    draw = random.Random(5)
    columns = runs[0].evidence.columns
    for place, key in enumerate(runs[0].evidence.keys):
        label = "A" if columns.is_named("label", "A")[place] else "B"
        truth = "AB"["AB".index(label) - 1] if place < 20 else label
        said = truth if draw.random() < 0.85 else "AB"["AB".index(truth) - 1]
        second.add(replace(tell(place, said, label), key=str(key)))
    hits = [
        sum(int(one.key, 16) < 20 for one in doubt_labels(chosen).doubts[:20])
        for chosen in (runs, [*runs, Run(name="y", evidence=second.evidence())])
    ]
    assert hits[1] > hits[0]


def test_verdicts_without_probabilities_rank_too() -> None:
    found = doubt_labels([make_run(200, is_told=False)])
    assert 0 < len(found.doubts) < 100 and found.describe(3)["contradicted"] == len(found.doubts)
    assert len(found.describe(3)["labels"]) == 3


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(DataError, match=r"19 labels .* needs 20"):
        doubt_labels([make_run(19)])
    with pytest.raises(DataError, match="0 labels"):
        doubt_labels([make_run(30), make_run(30, offset=1000)])
