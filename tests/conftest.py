"""Fixtures for every tier."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Models this small lose more to waiting threads than they gain, above all on busy cores. Set before torch
# is imported, and handed on to every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """Where the real data lies: RMR1_SHARED, else ../shared beside the checkout."""
    return Path(os.environ.get("RMR1_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder. Without it the test is skipped, or fails where CI=true."""
    folder = shared_folder()
    if not (folder / "data").is_dir():
        message = f"no shared data at {folder}; set RMR1_SHARED to the folder that holds data/"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def soak() -> bool:
    """True under `make soak`: long repetitions run in full."""
    return os.environ.get("RMR1_SOAK") == "1"
