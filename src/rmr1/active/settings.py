"""How a pool is judged and asked about, and how a judge is asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from rmr1.active.choose import Strategy
from rmr1.active.information import LEAST_RUBRICS
from rmr1.engines import parse_model_name
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.load import find_kind
from rmr1.judge.settings import JudgeSettings

AskFor = Literal["doubt", "always"]

_TEMPERATURE = 1.0
"""The model's own distribution, if nothing else is said."""
_LEAST_VOTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Settings of a pool; a folder goes on with others of `number`, `strategy`, `beta`, `people` and `ask`."""

    rubrics: int = 4
    """Rubrics that the judge writes for each question."""
    votes: int = 2
    """Verdicts under each rubric, in each order."""
    seed: int = 0
    check: float = 0.25
    """The share of the pairs, and of the questions, that are drawn at random and asked for a label alone."""
    number: int = 100
    """Questions that each person is asked at most."""
    strategy: Strategy = "information"
    beta: float = 1.0
    """The weight of the distance to what was asked before, against that of the information."""
    people: int = 1
    """People who are asked about the same pair."""
    ask: AskFor = "doubt"
    """When a criterion is asked for beside the label: if the rubric is in doubt, or always; of pairs drawn at random never."""

    def __post_init__(self) -> None:
        least = {"rubrics": LEAST_RUBRICS, "votes": _LEAST_VOTES, "number": 1, "people": 1}
        for name, bound in least.items():
            if (value := getattr(self, name)) < bound:
                raise ConfigError(f"{name_option(name, value)}: expected {bound} or more{_WHY.get(name, '')}")
        if not 0 <= self.check < 1:
            raise ConfigError(f"{name_option('check', self.check)}: expected 0 or more, and less than 1")
        if not 0 <= self.beta <= 100:
            raise ConfigError(f"{name_option('beta', self.beta)}: expected a number from 0 to 100")
        for name, choices in (("strategy", get_args(Strategy)), ("ask", get_args(AskFor))):
            if (value := getattr(self, name)) not in choices:
                raise ConfigError(
                    f"{name_option(name, value)} is not known; choose one of {', '.join(choices)}"
                )

    def describe(self) -> dict[str, Any]:
        """All of them, as JSON values."""
        return asdict(self)

    def identify(self) -> dict[str, Any]:
        """Those that a folder cannot go on with if they change."""
        return {name: getattr(self, name) for name in ("rubrics", "votes", "seed", "check")}


_SILENT = {"scores": "it gives each answer a number", "decides": "it chooses between two answers"}
_WHY = {
    "rubrics": ": with one rubric nothing tells whether it is the rubric that decides",
    "votes": ": with one verdict nothing tells whether rubrics differ by more than chance",
}


def pool_judge_settings(
    settings: JudgeSettings,
    pool: PoolSettings,
    *,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> JudgeSettings:
    """How a judge that is asked so is asked for a pool: by a rubric that it writes for each question, beside the criteria
    that it is given, in both orders, several times.

    Args:
        model: the judge's name, and `options` of its engine, to say before it is loaded whether it writes rubrics.

    Raises:
        ConfigError: a setting does not go with that, or the model writes no rubrics.
    """
    if model is not None:
        kind, scheme = find_kind(model, options), parse_model_name(model).scheme
        if kind != "writes" or scheme == "replay":
            raise ConfigError(
                f"model {model!r} writes no rubrics ({_SILENT.get(kind, 'it is a recording')}), and a pool is judged by several "
                "of each question; name a model that writes"
            )
    if settings.stop_votes is not None:
        raise ConfigError(
            f"a pool compares all votes, and {name_option('stop_votes')} leaves some out; leave it out"
        )
    sampling = replace(
        settings.sampling,
        num_samples=pool.votes,
        temperature=settings.sampling.temperature or _TEMPERATURE,
    )
    return replace(settings, share_rubric=True, order="both", seed=pool.seed, sampling=sampling)
