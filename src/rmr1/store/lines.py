"""Files that only grow by whole lines: a line is there or it is not, also after a kill or on a full disk."""

from __future__ import annotations

import os
from contextlib import suppress


def append_line(handle: int, line: bytes) -> None:
    """Write a line at the end of a file that was opened to append; what cannot be written whole is taken back."""
    start, written = os.fstat(handle).st_size, 0
    try:
        while written < len(line):
            written += os.write(handle, line[written:])
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, start)
        raise


def cut_torn_line(handle: int) -> None:
    """Cut off what stands behind the last line break: a line that a kill cut short."""
    size = end = os.fstat(handle).st_size
    while end > 0 and os.pread(handle, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(handle, end)
