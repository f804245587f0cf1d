"""What the objective of GRPO may be set to; the maths is `rmr1.train.grpo.objective`. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from rmr1.errors import ConfigError
from rmr1.settings import Section
from rmr1.train.grpo.advantages import EPSILON, Scale

Average = Literal["sequence", "token"]
Importance = Literal["none", "truncate", "mask"]
Overlong = Literal["keep", "mask"]
Low = Annotated[float, Field(ge=0, lt=1)]
FromZero = Annotated[float, Field(ge=0)]
FromOne = Annotated[float, Field(ge=1)]


class Objective(Section):
    """What is minimised. The defaults are the paper's."""

    clip_low: Low = 0.2
    """The ratio counts down to 1 - clip_low."""
    clip_high: FromZero = 0.2
    """The ratio counts up to 1 + clip_high."""
    beta: FromZero = 1e-3
    """Coefficient of the KL term; 0 needs no reference."""
    correct_kl: bool = False
    average: Average = "sequence"
    scale: Scale = "std"
    """Setting of `normalize_group`."""
    epsilon: FromZero = EPSILON
    """Setting of `normalize_group`."""
    overlong: Overlong = "keep"
    importance: Importance = "none"
    importance_cap: FromOne = 2.0


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
            raise ConfigError(f"option {option!r} is not known; expected one of {', '.join(OPTIONS)}")
        found |= OPTIONS[option]
    return Objective.from_values(found | settings, "objective")
