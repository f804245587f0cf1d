"""What the objective of GRPO may be set to; the maths is `rmr1.train.grpo.objective`. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal, get_args

from rmr1.errors import ConfigError
from rmr1.train.grpo.advantages import EPSILON, Scale

Average = Literal["sequence", "token"]
Importance = Literal["none", "truncate", "mask"]
Overlong = Literal["keep", "mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised. The defaults are the paper's."""

    clip_low: float = 0.2
    """The ratio counts down to 1 - clip_low; in [0, 1)."""
    clip_high: float = 0.2
    """The ratio counts up to 1 + clip_high."""
    beta: float = 1e-3
    """Coefficient of the KL term; 0 needs no reference."""
    correct_kl: bool = False
    average: Average = "sequence"
    scale: Scale = "std"
    """For `normalize_group`."""
    epsilon: float = EPSILON
    """For `normalize_group`."""
    overlong: Overlong = "keep"
    importance: Importance = "none"
    importance_cap: float = 2.0
    """At least 1."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("average", Average),
            ("scale", Scale),
            ("overlong", Overlong),
            ("importance", Importance),
        ):
            known = get_args(choices)
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"objective.{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}"
                )
        for name, least, most in (
            ("clip_low", 0.0, 1.0),
            ("clip_high", 0.0, None),
            ("beta", 0.0, None),
            ("epsilon", 0.0, None),
            ("importance_cap", 1.0, None),
        ):
            value = getattr(self, name)
            if not isfinite(value) or value < least or (most is not None and value >= most):
                span = f"in [{least:g}, {most:g})" if most is not None else f"a number from {least:g}"
                raise ConfigError(f"objective.{name} is {value!r}; expected {span}")


OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "clip-higher": {"clip_high": 0.28},
        "token-level": {"average": "token"},
        "no-std": {"scale": "none"},
        "overlong-masked": {"overlong": "mask"},
        "importance-truncated": {"importance": "truncate"},
        "importance-masked": {"importance": "mask"},
    }
)
"""Settings by the name that the literature knows them by."""


def build_objective(options: Sequence[str] = (), **settings: Any) -> Objective:
    """The paper's objective with named options, and single settings over these.

    Raises:
        ConfigError: an option is unknown, or a value does not fit.
    """
    found: dict[str, Any] = {}
    for option in options:
        if option not in OPTIONS:
            raise ConfigError(
                f"objective option {option!r} is not known; expected one of {', '.join(OPTIONS)}"
            )
        found |= OPTIONS[option]
    return Objective(**(found | settings))
