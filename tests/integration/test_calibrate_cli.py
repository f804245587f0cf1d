"""From a shell: a judge's probabilities, their calibration, a cascade, and the cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rmr1.store.labels import HumanLabel, append_label, now
from rmr1.store.runs import read_judgments
from tests.integration.runs import rmr1

PAIRS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate")
    rmr1("world", "export", folder / "pairs.jsonl", "-n", PAIRS, "--split", "test")
    rmr1(
        "judge",
        folder / "pairs.jsonl",
        "-m",
        "tiny",
        "--logprobs",
        "--cache",
        folder / "cache",
        "-o",
        folder / "run",
    )
    return folder


def test_calibrate_and_judge_again(folder: Path) -> None:
    done = rmr1("calibrate", folder / "run", "-o", folder / "c.json", "--plot", folder / "c.png")
    assert "calibrated, held out" in done.stdout and (folder / "c.png").stat().st_size > 10_000
    judge = ("judge", folder / "pairs.jsonl", "-m", "tiny", "--logprobs", "--calibration", folder / "c.json")
    rmr1(*judge, "--cache", folder / "cache", "-o", folder / "again")
    summary = json.loads((folder / "again" / "summary.json").read_text())
    before = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["cached"] == PAIRS and summary["completion_tokens"] == 0 and before["cached"] == 0
    assert summary["reliability"]["calibrated"] and not before["reliability"]["calibrated"]
    assert summary["correct"] == before["correct"]
    lines = (folder / "again" / "judgments.jsonl").read_text().splitlines()
    assert all(0 < json.loads(line)["calibrated"] < 1 for line in lines)
    done = rmr1(*judge, "--seed", 1, "--limit", 2, "--json")  # the seed is no other judge
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [0 < one["probability"] < 1 for one in told] == [True, True]
    done = rmr1(*judge, "--order", "both", check=False)
    assert done.returncode == 2
    assert "fitted for another judge: settings.order was 'seeded', now 'both'" in done.stderr


def test_labels_of_people_count_when_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    """People who contradict the data everywhere turn what is right round."""
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    for key, judgment in read_judgments(run):
        other = "B" if judgment.pair.label == "A" else "A"
        append_label(run, HumanLabel(key=key, who="ada", when=now(), label=other))  # type: ignore[arg-type]
    told = [
        json.loads(rmr1("calibrate", run, "-o", tmp_path / f"{number}.json", "--json", *more).stdout)
        for number, more in enumerate(([], ["--labels"]))
    ]
    assert [one["pairs"] for one in told] == [PAIRS, PAIRS]
    assert told[0]["before"]["auc"] == pytest.approx(1 - told[1]["before"]["auc"])


def test_a_cascade_from_a_shell(folder: Path) -> None:
    judge = ("judge", folder / "pairs.jsonl", "-m", "tiny", "--limit", 34)
    rmr1(*judge, "--cascade", "rubric,votes:2", "-o", folder / "stages")
    done = rmr1("calibrate", folder / "stages", "-o", folder / "cascade.json", check=False)
    assert done.returncode == 2 and "need --risk" in done.stderr
    rmr1("calibrate", folder / "stages", "-o", folder / "cascade.json", "--risk", 0.35)
    done = rmr1(*judge, "--calibration", folder / "cascade.json", "-o", folder / "cascade")
    assert "decided by: rubric" in done.stdout and "left for a person" in done.stdout
    done = rmr1("calibrate", folder / "stages", "-o", folder / "strict.json", "--risk", 0.001, check=False)
    assert done.returncode == 1 and "no threshold keeps the promise" in done.stderr


def test_one_line_for_what_cannot_be_calibrated(folder: Path) -> None:
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    (folder / "unlabelled.jsonl").write_text(
        "".join(json.dumps({**one, "label": None}) + "\n" for one in pairs)
    )
    rmr1("judge", folder / "unlabelled.jsonl", "-m", "scripted:longer", "-o", folder / "unlabelled")
    done = rmr1("calibrate", folder / "unlabelled", "-o", folder / "d.json", check=False)
    assert done.returncode == 2 and "0 labelled pairs have a probability" in done.stderr
    assert not (folder / "d.json").exists() and "Traceback" not in done.stderr
    done = rmr1("calibrate", folder / "nothing", "-o", folder / "d.json", check=False)
    assert done.returncode == 2 and "not a run folder" in done.stderr
