"""Peak memory stays flat: a million pairs need little more than ten thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import resource, sys
from rmr1.cli.main import main
code = main(["judge", sys.argv[1], "-m", "scripted:always-a", "-o", sys.argv[2], "--quiet", "--json"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def peak_megabytes(folder: Path, number: int) -> float:
    """Peak resident memory of judging `number` pairs in a process of its own."""
    pairs = folder / f"{number}.jsonl"
    with pairs.open("w") as file:
        for index in range(number):
            row = {
                "id": str(index),
                "prompt": f"question {index}",
                "response_a": f"a{index}",
                "response_b": "b",
                "label": "A",
            }
            file.write(json.dumps(row) + "\n")
    command = [sys.executable, "-c", CHILD, str(pairs), str(folder / f"run-{number}")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    summary, peak = found.stdout.strip().splitlines()[-2:]
    assert json.loads(summary)["items"] == number
    pairs.unlink()
    return int(peak) / 1024


@pytest.mark.soak
def test_peak_memory_is_flat(tmp_path: Path, soak: bool) -> None:
    many = 1_000_000 if soak else 60_000
    few_peak, many_peak = peak_megabytes(tmp_path, 10_000), peak_megabytes(tmp_path, many)
    print(f"peak at 10,000 pairs {few_peak:.0f} MB, at {many:,} pairs {many_peak:.0f} MB")
    assert many_peak - few_peak < (100 if soak else 12)
