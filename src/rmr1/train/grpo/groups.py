"""A group, one prompt and the completions sampled from it: the unit of work of reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tokens of one prompt and of its completions."""

    prompt: Sequence[int]
    """At least one token."""
    completions: Sequence[Sequence[int]]
    """At least one, each of at least one token."""

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model: the prompt once, and every completion."""
        return len(self.prompt) + self.num_sampled

    @property
    def num_sampled(self) -> int:
        """Tokens of all completions."""
        return sum(map(len, self.completions))
