"""`--processes N`: one command in several processes, which end together, whatever ends one of them, and with one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

pytest.importorskip("accelerate")

from rmr1.cli.launch import describe_failure
from rmr1.train.checkpoints import find_checkpoint
from rmr1.train.recipe import Recipe
from rmr1.train.sft import run_sft

from ..training import make_rows, small_recipe, write_recipe, write_rows


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    values = small_recipe(
        write_rows(folder / "rows.jsonl", make_rows(48)),
        optim={"name": "adamw", "lr": 1e-3, "eps": 1e-3, "epochs": 120, "steps": 120},
        checkpoint={"every": 2, "keep": 2},
    )
    del values["optim"]["muon_lr"]
    return write_recipe(folder / "recipe.toml", values)


def start(recipe: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rmr1", "sft", str(recipe), "-o", str(output), "--quiet"]
    return subprocess.Popen([*command, *more], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def wait_for_steps(process: subprocess.Popen[str], output: Path) -> dict[int, int]:
    """The processes by their ranks, once there is a new checkpoint."""
    before, until = find_checkpoint(output), time.monotonic() + 120
    while find_checkpoint(output) == before:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    return {_read_rank(int(one)): int(one) for one in found.stdout.split()}


def _read_rank(process: int) -> int:
    environment = Path(f"/proc/{process}/environ").read_text().split("\0")
    return int(next(one for one in environment if one.startswith("RANK=")).partition("=")[2])


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def end(process: subprocess.Popen[str]) -> list[str]:
    _, said = process.communicate(timeout=120)
    return said.splitlines()


def test_a_process_that_dies_ends_all_and_loses_nothing(recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    process = start(recipe, output, "--processes", "2")
    group = wait_for_steps(process, output)
    os.kill(group[1], signal.SIGKILL)
    (line,) = end(process)
    assert process.returncode == 1 and not any(map(is_running, group.values()))
    assert line.startswith("rmr1: process 1 of 2 (counted from 0) has ended, and the others with it: ")
    assert "ended by SIGKILL" in line and line.endswith("the same command goes on from there")
    assert not list(output.glob("*.safetensors"))

    process = start(recipe, output, "--processes", "2")
    group = wait_for_steps(process, output)
    process.send_signal(signal.SIGINT)
    (line,) = end(process)
    assert process.returncode == 130 and line.startswith("rmr1: interrupted")
    assert not any(map(is_running, group.values()))

    process = start(recipe, output, "--processes", "2", "--set", "sharding.timeout_seconds=3")
    group = wait_for_steps(process, output)
    os.kill(group[1], signal.SIGSTOP)
    (line,) = end(process)
    assert process.returncode == 1 and not any(map(is_running, group.values()))
    assert "waited for the others longer than sharding.timeout_seconds; process 1 did not answer" in line

    for place in (output, tmp_path / "whole"):
        run_sft(Recipe.from_file(str(recipe)), place, quiet=True)
    found, wanted = (load_file(place / "model.safetensors") for place in (output, tmp_path / "whole"))
    assert all(
        (found[name] - one).abs().max() < 1e-5 * max(1, one.abs().max()) for name, one in wanted.items()
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--processes", "0"], "--processes is 0; expected at least 1"),
        (["--processes", "2", "--set", "data.train=none.jsonl"], "none.jsonl"),
        (["--processes", "2", "--set", "data.max_tokens=3"], "nothing to train on"),
    ],
)
def test_a_mistake_is_told_once(recipe: Path, tmp_path: Path, more: list[str], told: str) -> None:
    process = start(recipe, tmp_path / "model", *more)
    lines = end(process)
    assert process.returncode == 2 and len(lines) == 1 and told in lines[0]


def test_processes_are_not_started_twice(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    process = start(recipe, tmp_path / "model", "--processes", "2")
    assert end(process) == ["rmr1: --processes starts the processes itself; leave it out under torchrun"]


def test_the_first_cause_is_told() -> None:
    lost: dict[str, Any] = {"lines": ["RuntimeError: Connection closed by peer"], "code": 1, "is_lost": True}
    own: dict[str, Any] = {"lines": ["disk full"], "code": 2, "is_lost": False}
    assert describe_failure([0, 2, 1], [lost, own, lost]) == (
        [
            "process 1 of 3 (counted from 0) has ended, and the others with it: disk full; checkpoints stay, the same "
            "command goes on from there"
        ],
        1,
    )
    assert describe_failure([1, 0], [own, own]) == (["disk full"], 2)
    lines, code = describe_failure([0], [lost, lost])
    assert code == 1 and lines[0].startswith("process 0 of 2 (counted from 0) lost the others: RuntimeError")
