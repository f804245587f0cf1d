"""A judge beside people: figures worked by hand, and the calibration on blind labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.active.people import LEAST_LABELS, fit_on_people, measure_people, read_blind
from rmr1.errors import DataError
from rmr1.judge.calibrate import Calibration, read_calibration, write_calibration
from rmr1.store.labels import read_labels
from tests.unit.active.asked import make_judgment, say, write_run

DESCRIBED = {"model": {"name": "by hand"}, "prompt": {}, "settings": {"seed": 0}}


def test_figures_by_hand(tmp_path: Path) -> None:
    """Ten items; people: A A A A A B B B tie tie, the judge: A A A B none B B A tie A."""
    said = "AAAAABBBtt"
    judged = [*"AAAB", None, *"BBA", "tie", "A"]
    folder = write_run(tmp_path / "run", [make_judgment(number, one) for number, one in enumerate(judged)])
    for number, one in enumerate(said):
        say(folder, number, "ada", "tie" if one == "t" else one)  # type: ignore[arg-type]
    report = measure_people(read_blind(folder, list(read_labels(folder))))
    assert report.items == report.labels == 10 and report.annotators == 1
    assert report.agreement.size == pytest.approx(0.6)  # 3 A, 2 B, 1 tie
    assert report.confusion == {
        "A": {"A": 3, "B": 1, "tie": 0, "no verdict": 1},
        "B": {"A": 1, "B": 2, "tie": 0, "no verdict": 0},
        "tie": {"A": 1, "B": 0, "tie": 1, "no verdict": 0},
    }
    chance = (5 * 5 + 3 * 3 + 2 * 1 + 0 * 1) / 100
    assert report.kappa is not None and report.kappa.size == pytest.approx((0.6 - chance) / (1 - chance))
    low, high = report.agreement.interval or (1, 0)
    assert low == pytest.approx(0.3127, abs=1e-3) and high == pytest.approx(
        0.8318, abs=1e-3
    )  # Wilson, 6 of 10
    assert report.ece is report.brier is report.among_people is None and report.with_probability == 0


def test_probabilities_by_hand(tmp_path: Path) -> None:
    """Four items of 0.9, of which three are A; two of 0.2, one of them B, and one that people call a tie at 0.5."""
    odds = [0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.5]
    folder = write_run(
        tmp_path / "run",
        [make_judgment(number, "A" if p > 0.4 else "B", p=p) for number, p in enumerate(odds)],
    )
    for number, one in enumerate(["A", "A", "A", "B", "B", "A", "tie"]):
        say(folder, number, "ada", one)  # type: ignore[arg-type]
    report = measure_people(read_blind(folder, list(read_labels(folder))))
    brier = (3 * 0.01 + 0.81 + 0.04 + 0.64 + 0) / 7
    assert report.brier is not None and report.brier.size == pytest.approx(brier)
    # Bins of confidence: four of 0.9, three right; two of 0.8, one right; one of 0.5, right as a tie.
    ece = (4 * abs(0.9 - 0.75) + 2 * abs(0.8 - 0.5) + 1 * abs(0.5 - 1)) / 7
    assert report.ece == pytest.approx(ece)
    mean, most = report.ece_by_chance or (0.0, 0.0)
    assert 0 < mean < most <= 0.6


def test_only_blind_labels_count_and_people_who_differ_settle_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [make_judgment(number, "A") for number in range(6)])
    for number in range(4):
        say(folder, number, "ada", "A")
    say(folder, 0, "eve", "B")
    say(folder, 1, "eve", "A")
    say(folder, 4, "eve", "B", is_blind=False)
    say(folder, 5, "eve", None, is_skipped=True)
    say(folder, 77, "eve", "A")
    say(folder, 2, "ada", None, is_undone=True)
    labelled = read_blind(folder, list(read_labels(folder)))
    report = measure_people(labelled)
    assert (report.items, report.disputed, report.shared) == (2, 1, 2)
    assert (report.labels, report.annotators, report.skipped, report.not_blind, report.unknown) == (
        5,
        2,
        1,
        1,
        1,
    )
    assert report.agreement.size == 1 and report.kappa is None
    # Alpha of (A, B) and (A, A): coincidences AA 2, AB 2 of 4 values, 3 A and 1 B: 1 - 3 * 2 / (16 - 10) = 0.
    assert report.among_people is not None and report.among_people.size == pytest.approx(0)


def test_nothing_settled_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [make_judgment(0, "A"), make_judgment(1, "A")])
    say(folder, 0, "ada", "A")
    say(folder, 0, "eve", "B")
    say(folder, 1, "eve", "B", is_blind=False)
    with pytest.raises(DataError, match=r"\(1 items are disputed\); 1 labels are not blind"):
        measure_people(read_blind(folder, list(read_labels(folder))))


def label_many(folder: Path, count: int) -> Path:
    """A judge that is far surer than it is right: of three at 0.99 one is wrong."""
    write_run(folder, [make_judgment(number, "A", p=0.99 if number % 2 else 0.01) for number in range(count)])
    for number in range(count):
        side = "A" if (number % 2 == 1) != (number % 3 == 0) else "B"
        say(folder, number, "ada", side)  # type: ignore[arg-type]
    return folder


def test_a_calibration_on_blind_labels_states_what_people_said(tmp_path: Path) -> None:
    folder = label_many(tmp_path / "run", 60)
    fitted = fit_on_people(read_blind(folder, list(read_labels(folder))), DESCRIBED)
    assert fitted.pairs == 60 and fitted.people is not None and fitted.people.labels == 60
    assert fitted.people.annotators == 1
    assert fitted.held_out["ece"] < fitted.before["ece"] - 0.1
    write_calibration(tmp_path / "c.json", fitted)
    stored = read_calibration(tmp_path / "c.json")
    assert stored == fitted and isinstance(stored, Calibration) and stored.digest == fitted.digest


def test_a_calibration_without_people_is_the_file_that_it_was(tmp_path: Path) -> None:
    folder = label_many(tmp_path / "run", 60)
    fitted = fit_on_people(read_blind(folder, list(read_labels(folder))), DESCRIBED)
    plain = fitted.model_copy(update={"people": None})
    assert "people" not in plain.describe() and plain.digest != fitted.digest


def test_too_few_labels_make_no_calibration(tmp_path: Path) -> None:
    folder = label_many(tmp_path / "run", LEAST_LABELS - 1)
    with pytest.raises(DataError, match=r"49 items have a blind label .* needs 50 or more"):
        fit_on_people(read_blind(folder, list(read_labels(folder))), DESCRIBED)


def test_disputes_of_three_are_settled_by_skill(tmp_path: Path) -> None:
    """Two people who are right and one who says A always: of 20 items, half of them B, none stays disputed."""
    folder = write_run(tmp_path / "run", [make_judgment(number, "AB"[number % 2]) for number in range(20)])
    for number in range(20):
        for who, side in (("ada", "AB"[number % 2]), ("eve", "AB"[number % 2]), ("max", "A")):
            say(folder, number, who, side)  # type: ignore[arg-type]
    labels = list(read_labels(folder))
    agreed, skilled = (read_blind(folder, labels, by_skill=one) for one in (False, True))
    assert (len(agreed.judgments), agreed.disputed, agreed.skills) == (10, 10, {})
    assert (len(skilled.judgments), skilled.disputed) == (20, 0)
    assert skilled.skills["ada"] == skilled.skills["eve"] > 0.8 > 0.7 > skilled.skills["max"]
    report = measure_people(skilled)
    assert report.agreement.size == 1 and report.items == 20
    two = read_blind(folder, [one for one in labels if one.who != "eve"], by_skill=True)
    assert two.skills == {} and two.disputed == 10
