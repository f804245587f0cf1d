"""What a step of training takes: seconds by phase, bytes kept for backward, the most memory of a process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from rmr1.train.loop import peak_memory_gb


class Clock:
    """Seconds by phase; what a phase inside another takes counts for the inner one alone.

    CPU time of the process on a processor, wall time on a GPU.
    """

    def __init__(self, phases: Sequence[str], device: str):
        self._device = device
        self._open: list[str] = []
        self._since = 0.0
        self.seconds = dict.fromkeys(phases, 0.0)

    def reset(self) -> None:
        self.seconds = dict.fromkeys(self.seconds, 0.0)

    def begin(self, phase: str) -> None:
        self._mark()
        self._open.append(phase)

    def end(self) -> None:
        self._mark()
        self._open.pop()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    @contextlib.contextmanager
    def calls(self, owner: Any, name: str, phase: str) -> Iterator[None]:
        """Count the time in `owner.name` as the phase's."""
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(phase):
                return original(*args, **kwargs)

        with mock.patch.object(owner, name, timed):
            yield

    def _mark(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter() if self._device == "cuda" else time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


class Kept:
    """Bytes that autograd keeps for backward of what is computed inside, the model's own weights left out.

    Storages are counted once, however many nodes keep them. What gradient checkpointing keeps is not seen.
    """

    def __init__(self, model: torch.nn.Module):
        self._weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
        self._uses: dict[int, int] = {}
        self._bytes = 0
        self.most = 0
        """Kept at the same time."""
        self._hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _Held(tensor, self), lambda held: held.tensor
        )

    def __enter__(self) -> Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _count(self, tensor: torch.Tensor, uses: int) -> None:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._weights:
            return
        before = self._uses.get(place, 0)
        self._uses[place] = before + uses
        if before == 0:
            self._bytes += storage.nbytes()
        elif before + uses == 0:
            self._bytes -= storage.nbytes()
        self.most = max(self.most, self._bytes)


class _Held:
    """A tensor that a node of the graph keeps, for as long as the node keeps it."""

    def __init__(self, tensor: torch.Tensor, kept: Kept):
        self.tensor, self._kept = tensor, kept
        kept._count(tensor, 1)

    def __del__(self) -> None:
        self._kept._count(self.tensor, -1)


def reset_peak(device: str) -> int:
    """Forget what was needed so far; bytes that are held now."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        # Linux forgets a process's peak on request; elsewhere that of loading stays.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return read_peak(device)


def read_peak(device: str) -> int:
    """Bytes held at the most: of the GPU, or of the whole process on the CPU."""
    if device == "cpu":
        # The usual call counts in the process that started this one.
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    return round(peak_memory_gb(torch.device(device)) * 1e9)
