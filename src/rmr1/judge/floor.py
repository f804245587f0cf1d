"""What a judge's calibration has to show before the judge may be used: enough labels of people, and that it agrees with them."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.calibrate import Calibration, read_calibration

_MAKE = "make one with rmr1 label RUN --blind -o FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least that is asked of a calibration; None asks nothing. With all None there is no floor, and no calibration is
    wanted."""

    labels: int | None = None
    """Items with a blind label of people that the calibration was fitted on."""
    agreement: float | None = None
    """Share of them on which the judge's verdict is the label, in [0, 1]; no verdict is no agreement."""
    kappa: float | None = None
    """Cohen's kappa of verdicts and labels, in [-1, 1]."""

    @property
    def is_set(self) -> bool:
        """Whether anything is asked."""
        return (self.labels, self.agreement, self.kappa) != (None, None, None)


def require_floor(path: str | None, floor: Floor) -> None:
    """Refuse a calibration that is below the floor, by the figures that its file states, not by the ends of their intervals.

    Raises:
        ConfigError: There is no calibration, it cannot be read, it was not fitted on blind labels, or it is below.
    """
    if not floor.is_set:
        return
    if floor.labels is not None and floor.labels < 1:
        raise ConfigError(f"{name_option('least_labels')} {floor.labels}: expected a number of labels from 1")
    for name, value, least in (("agreement", floor.agreement, 0.0), ("kappa", floor.kappa, -1.0)):
        if value is not None and not least <= value <= 1:
            raise ConfigError(f"{name_option(f'least_{name}')} {value}: expected {least:g} to 1")
    if path is None:
        names = ("labels", "agreement", "kappa")
        asked = next(name for name in names if getattr(floor, name) is not None)
        raise ConfigError(
            f"{name_option(f'least_{asked}')} asks for a calibration that was fitted on people's blind labels, and there is "
            f"none: name it by {name_option('calibration')}, or {_MAKE}"
        )
    stored = read_calibration(path)
    people = stored.people if isinstance(stored, Calibration) else None
    if people is None:
        raise ConfigError(f"{path}: was not fitted on blind labels of people; {_MAKE}")
    found = (("labels", people.labels), ("agreement", people.agreement), ("kappa", people.kappa))
    for name, value in found:
        least = getattr(floor, name)
        if least is not None and (value is None or value < least):
            shown = "no" if value is None else f"{value}" if name == "labels" else f"{value:.3f}"
            said = f"{shown} blind labels" if name == "labels" else f"{shown} {name} of judge and people"
            raise ConfigError(
                f"{path}: {said}, at least {least:g} is asked for ({name_option(f'least_{name}')}); label more, or judge "
                "with another judge"
            )
