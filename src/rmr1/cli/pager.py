"""A pager for what is longer than the screen: $PAGER, else less, as git does it.

Only for a terminal; what comes through is as inert as without one. The pager begins as soon as one screen is full, and
the rest is written as it is made; leaving the pager ends the work.
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
            if not pages.has_begun:
                raise
        except BrokenPipeError:
            pass  # the reader has left the pager
        finally:
            pages.close()


def _find_pager() -> list[str] | None:
    """The words of its command; None if there is none, or `cat`."""
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        return None
    return None if not words or words == ["cat"] or shutil.which(words[0]) is None else words


class _Pages:
    """A stream that holds one screen back, and begins the pager with it if more comes."""

    def __init__(self, screen: TextIO, command: list[str]):
        self._screen = screen
        self._command = command
        self._size = shutil.get_terminal_size()
        self._held: list[str] = []
        self._rows = 0
        self._pager: subprocess.Popen[str] | None = None

    @property
    def has_begun(self) -> bool:
        return self._pager is not None

    def write(self, text: str) -> int:
        if self._pager is None:
            self._held.append(text)
            self._rows += self._count_rows(text)
            if self._rows >= self._size.lines:  # the prompt needs a line too
                self._begin()
        elif self._pager.stdin is not None:
            self._pager.stdin.write(text)
        return len(text)

    def _count_rows(self, text: str) -> int:
        """Those that the text's line breaks end; a line is as many as it takes on this screen."""
        lines = _STYLES.sub("", text).split("\n")[:-1]
        return sum(max(1, -(-cell_len(line) // self._size.columns)) for line in lines)

    def _begin(self) -> None:
        environment = {"LESS": "FRX", "LV": "-c", **os.environ}
        held, self._held = "".join(self._held), []
        self._screen.flush()
        with suppress(OSError):
            self._pager = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                env=environment,
                text=True,
                encoding=self._screen.encoding or "utf-8",
                errors="backslashreplace",
            )
        if self._pager is not None:
            self.write(held)
        else:
            self._rows = -sys.maxsize  # it cannot be run: everything is held and printed at the end
            self._held = [held]

    def close(self) -> None:
        """Print what no pager was needed for, or wait until the reader has left it."""
        if self._pager is None:
            self._screen.write("".join(self._held))
            self._screen.flush()
            return
        with suppress(BrokenPipeError):
            assert self._pager.stdin is not None
            self._pager.stdin.close()
        while True:
            try:
                self._pager.wait()
                return
            except KeyboardInterrupt:
                continue  # a key of the pager's

    def flush(self) -> None:
        if self._pager is not None and self._pager.stdin is not None:
            self._pager.stdin.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._screen, name)
