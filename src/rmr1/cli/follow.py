"""`python -m rmr1.cli.follow VERB ...`: a command that ends when the process that began it does.

Its standard input is a pipe that nobody writes to, and that is closed when the other process ends. A command that
crashes ends with `CRASHED`, because Python's own code for it, 1, says that the answer is no.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback

CRASHED = 70
"""EX_SOFTWARE of sysexits.h."""


def main() -> int:
    """Run the command; what nothing in it has caught is a crash."""
    try:
        from rmr1.cli.main import main as run

        return run()
    except Exception:
        traceback.print_exc()
        return CRASHED


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    raise SystemExit(main())
