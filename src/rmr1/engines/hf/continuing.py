"""Texts that go on: what was read of them, by the key of their request, until the next request takes it.

The next request's tokens are split anew, so it may begin otherwise than the last one ended; what both begin with alike
is taken. What nobody has asked for in two rounds (windows of requests) makes way for others; younger ones stay, since
texts go on in the sequence in which they were begun: to let go of the oldest of them would be to lose each just before
it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmr1.attention.kept import Kept, Room

DEFAULT_BYTES = 4 << 30
"""Room on the CPU."""
GPU_SHARE = 0.2
"""Share of a GPU's free memory, beside that of the batches."""
_STALE = 2
"""Rounds after which a text is taken not to go on."""


@dataclass(frozen=True, slots=True)
class _Text:
    tokens: list[int]
    kept: Kept
    round: int


class KeptTexts:
    """Bounded by bytes; whoever finds nothing reads again."""

    def __init__(self, limit: int):
        self.room = Room(limit, self._evict)
        self.num_spared = 0
        """Tokens that did not have to be read again, all in all."""
        self._texts: dict[str, _Text] = {}
        self._round = 0

    def begin_round(self) -> None:
        """Call this before each window of requests."""
        self._round += 1

    def put(self, key: str, tokens: Sequence[int], kept: Kept | None) -> None:
        """Hold what was kept of a text until it is taken; of `tokens` those behind it are not looked at."""
        self._texts.pop(key, None)
        if kept is not None and kept.num_tokens:
            self._texts[key] = _Text(list(tokens[: kept.num_tokens]), kept, self._round)

    def take(self, key: str, tokens: Sequence[int]) -> Kept | None:
        """What is kept of these tokens, the last one excepted, and give it up; None if there is nothing."""
        text = self._texts.pop(key, None)
        if text is None:
            return None
        num_alike = min(_count_alike(text.tokens, tokens), len(tokens) - 1)
        self.num_spared += num_alike
        return text.kept.cut(num_alike) if num_alike > 0 else None

    def clear(self) -> bool:
        """Let go of everything; whether there was anything."""
        had_any = bool(self._texts)
        self._texts.clear()
        return had_any

    def _evict(self, num_bytes: int) -> None:
        wanted = self.room.used - num_bytes
        for key in [key for key, text in self._texts.items() if text.round <= self._round - _STALE]:
            if self.room.used <= wanted:
                return
            del self._texts[key]


def _count_alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with alike."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(at for at in range(most) if one[at] != other[at])
