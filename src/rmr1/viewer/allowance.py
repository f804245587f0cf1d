"""How long the showing of one foreign text may work on what a library reads in more than linear time."""

from __future__ import annotations

from time import thread_time
from types import TracebackType


class Allowance:
    """Processor seconds of this thread that the `with` blocks of one text may spend together.

    What is begun is finished: a block should be short, or ask `is_spent` as it goes.
    """

    def __init__(self, seconds: float):
        self._left = seconds
        self._since: float | None = None

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left; inside a block, what the block has used so far counts."""
        used = 0.0 if self._since is None else thread_time() - self._since
        return used >= self._left

    def __enter__(self) -> Allowance:
        self._since = thread_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._since is not None
        self._left -= thread_time() - self._since
        self._since = None
