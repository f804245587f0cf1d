"""Start-up time: `import rmr1` and `rmr1 --help`, against bare Python, in one run.

    .venv/bin/python benchmarks/startup.py [--repeats 15]

Prints medians in milliseconds. Goals: the import at most 100 ms beyond bare Python, `rmr1 --help` at
most 200 ms in all.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path


def measure(command: list[str], repeats: int) -> list[float]:
    """Wall milliseconds of each run; the first, which warms the file cache, is left out."""
    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(1000 * (time.perf_counter() - started))
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    script = str(Path(sys.executable).with_name("rmr1"))
    commands = {
        "bare python": [sys.executable, "-c", "pass"],
        "import rmr1": [sys.executable, "-c", "import rmr1"],
        "every public name but Judge": [
            sys.executable,
            "-c",
            "import rmr1; [getattr(rmr1, name) for name in rmr1.__all__ if name != 'Judge']",
        ],
        "rmr1 --help": [script, "--help"],
        "rmr1 judge --help": [script, "judge", "--help"],
    }
    print(f"{date.today()} · {platform.machine()} · {platform.system()} · Python {platform.python_version()}")
    medians = {}
    for name, command in commands.items():
        times = measure(command, repeats)
        medians[name] = statistics.median(times)
        beyond = medians[name] - medians["bare python"]
        print(
            f"{name:<28} median {medians[name]:6.1f} ms   min {min(times):6.1f} ms   beyond bare {beyond:6.1f} ms"
        )


if __name__ == "__main__":
    main()
