"""Fixtures of the tests in the environment `.venv-ray`, which holds Ray."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

HAS_RAY = importlib.util.find_spec("ray") is not None and importlib.util.find_spec("ray.data") is not None


@pytest.fixture(scope="session")
def world_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 pairs of the synthetic world, and the last 20 of them twice."""
    from tests.integration.runs import rmr1

    file = tmp_path_factory.mktemp("world") / "pairs.jsonl"
    rmr1("world", "export", file, "-n", 120)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, *lines[-20:]]))
    return file


def list_left_behind() -> set[str]:
    """Folders of local clusters, and the processes that work in them."""
    told = subprocess.run(["ps", "-eo", "args="], check=True, capture_output=True, text=True).stdout
    processes = {line for line in told.splitlines() if "rmr1-ray-" in line and "/session_" in line}
    return processes | {str(one) for one in Path("/tmp").glob("rmr1-ray-*")}
