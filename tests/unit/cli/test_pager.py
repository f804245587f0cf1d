"""What is longer than the screen goes through a pager: in a real pseudo-terminal of 80 x 24."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from rmr1.cli.pager import paged
from rmr1.screen import guarded, print

SCRIPT = """
import sys
from rmr1.cli.pager import paged
from rmr1.console import Console
from rmr1.screen import guarded, print
with guarded():
    with paged():
        console = Console()
        for number in range(int(sys.argv[1])):
            print("line", number, "\\x1b[31m\\u202e")
            console.print("styled \\x1b]0;t\\x07", style="red")
    print("after")
"""


def run_in_terminal(
    words: list[str], *, pager: str, keys: Sequence[bytes] = (), columns: int = 80
) -> tuple[str, int]:
    """What the terminal got, and the exit code; a key is pressed whenever nothing comes for a second."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm", "PAGER": pager, "COLUMNS": str(columns), "LINES": "24"}
        os.environ.pop("LESS", None)
        os.execvp(words[0], words)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    waiting = list(keys)
    got, deadline, since = b"", time.monotonic() + 60, time.monotonic()
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            got, since = got + part, time.monotonic()
        elif got and time.monotonic() - since > 1 and waiting:
            os.write(terminal, waiting.pop(0))
            since = time.monotonic()
    else:
        os.kill(child, 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return got.decode(errors="replace"), code


def show(lines: int, pager: str, keys: Sequence[bytes] = ()) -> tuple[str, int]:
    return run_in_terminal([sys.executable, "-c", SCRIPT, str(lines)], pager=pager, keys=keys)


def marker(tmp_path: Path, last: str) -> str:
    """A pager that marks what comes through it."""
    place = tmp_path / "pager"
    place.write_text(f"#!/bin/sh\necho LESS=$LESS\n{last}\n")
    place.chmod(0o755)
    return str(place)


def test_a_long_text_goes_through_and_stays_inert(tmp_path: Path) -> None:
    got, code = show(40, marker(tmp_path, "cat"))
    assert code == 0 and "LESS=FRX" in got and got.index("line 39") < got.index("after")
    assert "line 7 \\x1b[31m\\u202e" in got and "\u202e" not in got and "\x07" not in got
    assert "\x1b[31mstyled \\x1b]0;t" in got  # the colour is ours
    assert set(re.findall(r"\x1b\[[\d;]*(.)", got)) == {"m"}


def test_one_screen_needs_no_pager(tmp_path: Path) -> None:
    got, code = show(11, marker(tmp_path, "cat"))
    assert code == 0 and "LESS" not in got and "line 10" in got and "after" in got


def test_leaving_the_pager_is_quiet(tmp_path: Path) -> None:
    got, code = show(50_000, marker(tmp_path, "head -n 3"))
    assert (
        code == 0
        and "line 1 " in got
        and "line 9" not in got
        and "Traceback" not in got
        and "rror" not in got
    )


@pytest.mark.parametrize("pager", ["no-such-pager -S", "", "'", "cat", "/dev/null"])
def test_without_a_pager_all_is_printed(pager: str) -> None:
    got, code = show(40, pager)
    assert code == 0 and "line 0 " in got and "line 39" in got and "after" in got


def test_less_itself() -> None:
    less = shutil.which("less")
    if less is None:
        pytest.skip("there is no less here")
    got, code = show(5000, less, [b" ", b"\x03", b"q"])
    assert (
        code == 0
        and "line 20" in got
        and "line 4000" not in got
        and "after" in got
        and "Traceback" not in got
    )


def test_a_pipe_is_never_paged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "no-such-pager")
    with guarded(), paged():
        for number in range(100):
            print(number)
    assert capsys.readouterr().out.count("\n") == 100
