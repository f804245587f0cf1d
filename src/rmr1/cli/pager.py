"""A pager for what is longer than the screen: $PAGER, else less, as git does it.

It begins as soon as one screen is full, and the rest is written as it is made; leaving the pager ends the work.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.cells import cell_len

from rmr1.screen import writing_to

_STYLES = re.compile(r"\x1b\[[\d;]*m")


@contextmanager
def paged(*, is_wanted: bool = True) -> Iterator[None]:
    """Standard output goes through the pager if it is a terminal; nothing changes otherwise."""
    screen = getattr(sys.stdout, "unguarded", sys.stdout)
    command = _find_pager() if is_wanted and screen.isatty() else None
    if command is None:
        yield
        return
    pages = _Pages(screen, command)
    with writing_to(pages):  # type: ignore[arg-type]
        try:
            yield
        except KeyboardInterrupt:
            if pages.pager is None:
                raise
        except BrokenPipeError:
            pass  # the reader has left the pager
        finally:
            pages.close()


def _find_pager() -> list[str] | None:
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        return None
    return None if not words or words == ["cat"] or shutil.which(words[0]) is None else words


class _Pages:
    """A stream that holds one screen back."""

    def __init__(self, screen: TextIO, command: list[str]):
        self.pager: subprocess.Popen[str] | None = None
        self._screen = screen
        self._command = command
        self._size = shutil.get_terminal_size()
        self._held = ""
        self._rows = 0

    def write(self, text: str) -> int:
        if self.pager is not None:
            self.pager.stdin.write(text)  # type: ignore[union-attr]
            return len(text)
        self._held += text
        # Rows that the text's line breaks end; a line is as many as it takes on this screen.
        lines = _STYLES.sub("", text).split("\n")[:-1]
        self._rows += sum(max(1, -(-cell_len(line) // self._size.columns)) for line in lines)
        if self._rows >= self._size.lines:  # the prompt needs a line too
            self._begin()
        return len(text)

    def _begin(self) -> None:
        self._screen.flush()
        self._rows = -sys.maxsize  # if it cannot be run, everything is held and printed at the end
        with suppress(OSError):
            self.pager = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                env={"LESS": "FRX", "LV": "-c", **os.environ},
                text=True,
                encoding=self._screen.encoding or "utf-8",
                errors="backslashreplace",
            )
        if self.pager is not None:
            self.write(self._held)

    def close(self) -> None:
        if self.pager is None:
            self._screen.write(self._held)
            self._screen.flush()
            return
        with suppress(BrokenPipeError):
            self.pager.stdin.close()  # type: ignore[union-attr]
        while True:
            try:
                self.pager.wait()
                return
            except KeyboardInterrupt:
                continue  # a key of the pager's

    def flush(self) -> None:
        if self.pager is not None:
            self.pager.stdin.flush()  # type: ignore[union-attr]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._screen, name)
