"""What a calibration has to show before a judge may start."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.errors import ConfigError, SettingsError
from rmr1.judge.calibrate import Calibration, PeopleEvidence, Temperature, write_calibration
from rmr1.judge.config import JudgeConfig
from rmr1.judge.floor import Floor, require_floor


def write(path: Path, people: PeopleEvidence | None) -> str:
    made = Calibration(
        map=Temperature(temperature=2), judge={}, pairs=60, before={}, held_out={}, people=people
    )
    write_calibration(path, made)
    return str(path)


@pytest.fixture
def good(tmp_path: Path) -> str:
    people = PeopleEvidence(
        labels=60,
        annotators=2,
        agreement=0.8,
        agreement_interval=(0.7, 0.9),
        kappa=0.55,
        kappa_interval=(0.3, 0.8),
    )
    return write(tmp_path / "good.json", people)


@pytest.mark.parametrize(
    "floor", [Floor(), Floor(labels=60), Floor(agreement=0.8, kappa=0.55), Floor(labels=1)]
)
def test_at_the_floor_is_enough(good: str, floor: Floor) -> None:
    require_floor(good, floor)


@pytest.mark.parametrize(
    ("floor", "told"),
    [
        (Floor(labels=61), "60 blind labels, at least 61 is asked for"),
        (Floor(agreement=0.81), "0.800 agreement of judge and people, at least 0.81"),
        (Floor(labels=10, kappa=0.6), "0.550 kappa of judge and people, at least 0.6"),
        (Floor(labels=0), "least_labels= 0: expected a number of labels from 1"),
        (Floor(agreement=80), "least_agreement= 80: expected 0 to 1"),
    ],
)
def test_below_the_floor_is_refused(good: str, floor: Floor, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        require_floor(good, floor)


def test_no_calibration_or_one_that_is_not_of_people(tmp_path: Path) -> None:
    require_floor(None, Floor())
    with pytest.raises(ConfigError, match=r"least_kappa= asks for a calibration .* there is none"):
        require_floor(None, Floor(kappa=0.4))
    with pytest.raises(ConfigError, match="was not fitted on blind labels of people"):
        require_floor(write(tmp_path / "data.json", None), Floor(labels=50))
    with pytest.raises(ConfigError, match="no such calibration"):
        require_floor(str(tmp_path / "missing.json"), Floor(labels=50))


def test_no_kappa_is_below_every_floor(tmp_path: Path) -> None:
    people = PeopleEvidence(
        labels=60, annotators=1, agreement=1.0, agreement_interval=None, kappa=None, kappa_interval=None
    )
    with pytest.raises(ConfigError, match="no kappa"):
        require_floor(write(tmp_path / "one.json", people), Floor(kappa=-1.0))


def test_settings_that_are_below_their_floor_are_not_made(good: str) -> None:
    assert (
        JudgeConfig.from_values({"calibration": good, "least_labels": 50}, "command line").least_labels == 50
    )
    with pytest.raises(SettingsError, match="60 blind labels, at least 99"):
        JudgeConfig.from_values({"calibration": good, "least_labels": 99}, "command line")
