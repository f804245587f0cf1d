"""Fixtures of the tests that drive whole parts of the package."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SEED = 0


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The small judge checkpoint's folder; trained on first use (some minutes), then cached.

    The cache is keyed by everything that the weights follow from, and the folder appears whole or not
    at all. A process that comes while another one trains waits for it.
    """
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    cache = REPOSITORY / ".cache"
    cache.mkdir(exist_ok=True)
    folder = cache / f"test-judge-{_hash_sources()}"
    if folder.is_dir():
        return folder
    with (cache / "test-judge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        work = Path(tempfile.mkdtemp(prefix="test-judge-", suffix=".part", dir=cache))
        try:
            # A process of its own: the tests' thread and random states stay as they are.
            command = [sys.executable, "-m", "tests.checkpoint.train", str(work / "out"), "--seed", str(SEED)]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, _python_path()))}
            done = subprocess.run(
                command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.fail(f"training the test checkpoint failed:\n{done.stderr[-3000:]}")
            (work / "out").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _python_path() -> list[str]:
    return [str(REPOSITORY), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]


def _hash_sources() -> str:
    """Of the training sources, the prompt's template, the seed, and the libraries' major.minor."""
    import torch
    import transformers

    digest = hashlib.sha256()
    sources = [
        *sorted((REPOSITORY / "tests/checkpoint").glob("*.py")),
        *sorted((REPOSITORY / "src/rmr1/prompts/families/rubric").glob("*.txt")),
    ]
    for path in sources:
        if path.name != "system.txt":  # the chat template folds it
            digest.update(path.read_bytes())
    versions = (".".join(library.__version__.split(".")[:2]) for library in (torch, transformers))
    digest.update(repr((SEED, *versions)).encode())
    return digest.hexdigest()[:16]
