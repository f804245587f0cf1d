"""What the judging commands say of `--ray` where Ray is not installed, or is asked for in a wrong way."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from rmr1.cli.main import main
from tests.integration.runs import write_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    return str(write_pairs(tmp_path / "pairs.jsonl", 3))


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed here")
@pytest.mark.parametrize("verb", [("judge",), ("bench", "pairs")])
def test_ray_is_missing(
    verb: tuple[str, ...], pairs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([*verb, pairs, "-m", "scripted:hash", "-o", str(run), "--ray"]) == 2
    told = capsys.readouterr().err
    assert told == "rmr1: judging over Ray needs ray, which is not installed; pip install 'rmr1[ray]'\n"
    assert not run.exists()


@pytest.mark.parametrize("verb", [("judge",), ("bench", "pairs")])
def test_data_in_the_place_of_an_address_are_told(
    verb: tuple[str, ...], pairs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    assert main([*verb, "--ray", pairs, "-m", "scripted:hash", "-o", run]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"--ray {pairs}: that is a file or folder" in told


def test_actors_without_ray_are_told(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", pairs, "-m", "scripted:hash", "--ray-actors", "2"]) == 2
    assert "--ray-actors is for judging over Ray; add --ray" in capsys.readouterr().err


def test_a_dry_run_starts_no_cluster(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", pairs, "-m", "scripted:hash", "--ray", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("Dry run: nothing was loaded, sent or written.")
