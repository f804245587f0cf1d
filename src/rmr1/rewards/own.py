"""A user's own reward: a function named by path.

    def reward_brief(sample):
        return -len(sample.text) / 1000

It is given a `Judged` and returns a finite number. How it is named: `rmr1.plugins`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from numbers import Real
from typing import Any

from rmr1.errors import ConfigError
from rmr1.plugins import OwnFunction, describe_error, load_function
from rmr1.rewards.samples import Judged

_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReward:
    """A user's function, its faults turned into one line."""

    own: OwnFunction

    @property
    def name(self) -> str:
        return self.own.name

    @property
    def digest(self) -> str:
        return self.own.digest

    def __call__(self, sample: Judged) -> float:
        """The function's number.

        Raises:
            ConfigError: the function raised something, or returned no finite number.
        """
        where = f"reward {self.name!r}: on pair {sample.pair.id!r}"
        try:
            found: Any = self.own.function(sample)
        except Exception as error:
            raise ConfigError(f"{where} it failed: {describe_error(error)}") from error
        if not isinstance(found, Real) or not -_LARGEST <= found <= _LARGEST:  # type: ignore[operator]
            raise ConfigError(f"{where} it returned {str(found)[:60]!r}; expected a finite number")
        return float(found)


def load_own(name: str) -> OwnReward:
    """The reward of that name.

    Raises:
        ConfigError: there is none, or its file cannot be run.
    """
    return OwnReward(own=load_function(name, "reward"))
