"""The judge as the driver knows it: everything but the weights. An actor tells what its model is (`Profile`); from that
the driver makes the same judge over a model that answers nothing, which describes itself, and finishes judgments, alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmr1.engines.base import Dated, Engine, Guidable, Request, SamplingParams, Score, ScoreRequest
from rmr1.errors import GenerationError
from rmr1.forecast.prices import Price
from rmr1.judge.calibrate import CascadeThresholds, read_calibration
from rmr1.judge.config import JudgeConfig
from rmr1.judge.load import LoadedJudge, choose_family, equip, load_judge
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.records import Generation
from rmr1.version import __version__

_TIME = "template_time"
"""The entry of a fingerprint that holds the time of prompts (`rmr1.engines.base.Dated`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What an actor says of the model that it has loaded."""

    name: str
    fingerprint: Mapping[str, Any]
    is_scorer: bool = False
    is_guidable: bool = False
    is_dated: bool = False
    is_priced: bool = False
    """Whether anybody bills it; `price` is None also if the price is not known."""
    price: Price | None = None
    advice: str | None = None
    version: str = __version__
    """Version of the package."""


def profile_judge(judge: LoadedJudge) -> Profile:
    """What a loaded judge's model is."""
    is_scorer = isinstance(judge, ScalarJudge)
    model: Any = judge.scorer if isinstance(judge, ScalarJudge) else judge.engine
    return Profile(
        name=model.name,
        fingerprint=model.fingerprint(),
        is_scorer=is_scorer,
        is_guidable=isinstance(model, Guidable),
        is_dated=isinstance(model, Dated),
        is_priced=hasattr(model, "price"),
        price=getattr(model, "price", None),
        advice=getattr(model, "advice", None),
    )


def outline_judge(profile: Profile, config: JudgeConfig, settings: JudgeSettings) -> LoadedJudge:
    """The judge of the settings over the model that actors hold.

    Raises:
        ConfigError: a setting means nothing to the model; the calibration is another judge's.
        RunError: the cache cannot be used.
    """
    if profile.is_scorer:
        stored = None if config.calibration is None else read_calibration(config.calibration)
        return equip(ScalarJudge(_Scorer(profile)), stored, config.calibration, config.cache)
    return load_judge(
        _make_engine(profile),
        family=choose_family(config.model, config.family, settings),
        settings=settings,
        cascade=config.cascade,
        calibration=config.calibration,
        cache=config.cache,
    )


def read_thresholds(config: JudgeConfig) -> CascadeThresholds | None:
    """The thresholds of a cascade, which actors need; None if the calibration is of another kind, or there is none."""
    stored = None if config.calibration is None else read_calibration(config.calibration)
    return stored if isinstance(stored, CascadeThresholds) else None


class _Model:
    """A model that is elsewhere."""

    def __init__(self, profile: Profile):
        self.name = profile.name
        self.advice = profile.advice
        self.notes: tuple[str, ...] = ()
        """What actors' engines found out, each once."""
        self._fingerprint = dict(profile.fingerprint)
        if profile.is_priced:
            self.price = profile.price
        if profile.is_dated:
            self.begin_run = self._begin_run

    def fingerprint(self) -> dict[str, object]:
        return dict(self._fingerprint)

    def add_notes(self, notes: Iterable[str]) -> None:
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))

    def close(self) -> None:
        """Nothing to release."""

    def _begin_run(self, stored: Mapping[str, object] | None) -> None:
        if stored is not None and _TIME in self._fingerprint:
            del self._fingerprint[_TIME]
            if stored.get(_TIME) is not None:
                self._fingerprint[_TIME] = stored[_TIME]


class _Engine(_Model):
    def special_tokens(self) -> tuple[str, ...]:
        return ()

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        raise GenerationError(f"{self.name} is held by the actors; the driver cannot ask it")


class _GuidableEngine(_Engine):
    def find_opening(self, thinking: Sequence[tuple[str, str]]) -> str:
        return ""

    def fills_sheets(self) -> bool:
        return False


class _Scorer(_Model):
    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        raise GenerationError(f"{self.name} is held by the actors; the driver cannot ask it")


def _make_engine(profile: Profile) -> Engine:
    return _GuidableEngine(profile) if profile.is_guidable else _Engine(profile)
