"""How a model may be computed when it writes: the fastest way that is right for it.

    right   prompts of a batch padded on the right, without a mask: causal attention alone looks back only
    left    padded on the left, under a mask
    none    one prompt at a time; the rows that go on from it are equally long

Each keeps keys, values and states of what was read (`caches`), or reads everything again for each token. Which
way is right is decided by `rmr1.engines.proof.judging`, on the loaded model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from rmr1.engines.proof.ask import Turning

Padding = Literal["right", "left", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The default is right for every model."""

    padding: Padding = "none"
    shares: bool = False
    """Rows of a prompt may attend to its keys and values together."""
    caches: bool = False
    turning: Turning | None = None
    """Rotations that depend on a text's length: nothing but `none` is right beyond its border."""
    notes: tuple[str, ...] = ()
    """What differs, and what is done instead; a line each."""

    def within(self, length: int) -> Paths:
        """The paths for texts of at most so many tokens: `turning` is set only if it matters."""
        if self.turning is None:
            return self
        if length <= self.turning.border:
            return replace(self, turning=None)
        return replace(self, padding="none", shares=False)

    def describe(self) -> dict[str, object]:
        """The paths as plain values, for people and for a run's record."""
        return {
            "padding": self.padding,
            "shares_prompts": self.shares,
            "caches": self.caches,
            **({} if self.turning is None else {"exact_to": self.turning.border}),
        }
