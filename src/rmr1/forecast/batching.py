"""How engines that compute batch after batch form them: their limits, and which prompts go together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Rule = Literal["writes", "scores"]
"""A model that writes texts, or a scalar model, which only reads."""

BATCH_SIZE = {"writes": {"cpu": 64, "gpu": 64}, "scores": {"cpu": 16, "gpu": 64}}
PREFILL_TOKENS = {"cpu": 16_384, "gpu": 65_536}
"""Most prompt tokens of a batch, padding included: what bounds the memory of the first pass."""
_CPU_BATCH_TOKENS = 131_072
_CACHE_SHARE = 0.6
"""Share of the free GPU memory that the keys and values of a batch may take."""
_WINDOW_BATCHES = 4
"""Even, so that both conversations of a pair are in one window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The limits of a batch; one prompt may be beyond them."""

    batch_size: int
    """Most rows, a row being one sample of a prompt."""
    max_batch_tokens: int
    """Most tokens of a batch, counted as if every row were full."""
    max_prefill_tokens: int
    """Most prompt tokens that are read in one pass."""

    @property
    def window(self) -> int:
        """Requests that are read ahead and sorted."""
        return self.batch_size * _WINDOW_BATCHES


def choose_batching(
    rule: Rule,
    *,
    is_gpu: bool,
    batch_size: int | None = None,
    max_batch_tokens: int | None = None,
    free_bytes: float | None = None,
    cache_bytes_per_token: float = 1,
) -> Batching:
    """The limits that were set, or else those of such a device; `free_bytes` of its memory, None on the CPU."""
    where = "gpu" if is_gpu else "cpu"
    tokens = max_batch_tokens or _CPU_BATCH_TOKENS
    if rule == "scores":
        tokens = max_batch_tokens or PREFILL_TOKENS[where]
    elif max_batch_tokens is None and free_bytes is not None:
        tokens = max(1, int(int(free_bytes * _CACHE_SHARE) // cache_bytes_per_token))
    return Batching(
        batch_size=batch_size or BATCH_SIZE[rule][where],
        max_batch_tokens=tokens,
        max_prefill_tokens=tokens if rule == "scores" else PREFILL_TOKENS[where],
    )


def plan_batches(
    sizes: Sequence[tuple[int, int]],
    batching: Batching,
    *,
    num_samples: int | Sequence[int] = 1,
    unread: Sequence[int] | None = None,
) -> Iterator[list[int]]:
    """Split prompts of `(prompt tokens, most new tokens)`, longest first, into batches of their indices, all padded to
    the longest.

    Args:
        num_samples: rows of every prompt, or of each.
        unread: tokens of each prompt that are still to be read; by default all.
    """
    samples = [num_samples] * len(sizes) if isinstance(num_samples, int) else num_samples
    unread = [prompt for prompt, _ in sizes] if unread is None else unread
    batch: list[int] = []
    rows = most_new = most_unread = 0
    for index, (prompt, new) in enumerate(sizes):
        longest = sizes[batch[0]][0] if batch else prompt
        rows, most_new = rows + samples[index], max(most_new, new)
        most_unread = max(most_unread, unread[index])
        if batch and (
            rows > batching.batch_size
            or rows * (longest + most_new) > batching.max_batch_tokens
            or (len(batch) + 1) * most_unread > batching.max_prefill_tokens
        ):
            yield batch
            batch, rows, most_new, most_unread = [], samples[index], new, unread[index]
        batch.append(index)
    if batch:
        yield batch
