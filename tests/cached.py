"""Model folders that tests need and that take long to make: made once, then kept in `.cache`."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def make_once(name: str, key: str, command: Sequence[str]) -> Path:
    """The folder `.cache/NAME-KEY`, made on first use by `python *command FOLDER` at the repository's root.

    The key stands for everything that the folder follows from, and the folder appears whole or not at
    all. A process that comes while another one makes it waits for it.
    """
    cache = REPOSITORY / ".cache"
    cache.mkdir(exist_ok=True)
    folder = cache / f"{name}-{key}"
    if folder.is_dir():
        return folder
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        work = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=".part", dir=cache))
        try:
            # A process of its own: the tests' thread and random states stay as they are.
            done = subprocess.run(
                [sys.executable, *command, str(work / "out")],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, _python_path()))},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.fail(f"making the test model {name} failed:\n{done.stdout}{done.stderr[-3000:]}")
            (work / "out").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _python_path() -> list[str]:
    return [str(REPOSITORY), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]
