"""`rmr1 view` as a command: indexing, what it refuses, and pages of what other commands make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from rmr1.cli.main import main
from rmr1.cli.view import find_folders
from rmr1.store.runs import JUDGMENTS_FILE
from tests.unit.viewer.varied import write_run
from tests.unit.viewer.viewing import viewing

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"
PAIRS = [
    {"id": str(number), "prompt": f"Question {number}?", "response_a": "short", "response_b": f"a longer answer, {number}", "label": "AB"[number % 2]}
    for number in range(6)
]  # fmt: skip


def test_index_only_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_run(tmp_path / "runs" / "a", 20), write_run(tmp_path / "runs" / "b", 10)
    assert find_folders([str(tmp_path / "runs")]) == [first, second]
    assert main(["view", str(tmp_path / "runs"), "--index-only", "--quiet"]) == 0
    said = capsys.readouterr().err
    assert "a: 20 judgments indexed, 20 of them now" in said and "b: 10 judgments" in said
    assert main(["view", str(first), "--index-only", "--quiet"]) == 0
    assert "indexed" not in capsys.readouterr().err  # nothing is new


def _say(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["view", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_what_cannot_be_viewed_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "x", 3)
    assert "no such folder" in _say([str(tmp_path / "none")], capsys)
    assert "named twice" in _say([str(run), f"{run}/."], capsys)
    assert "expected 0 to 65535" in _say([str(run), "--port", "70000"], capsys).splitlines()[-1]
    distilled = tmp_path / "d"
    distilled.mkdir()
    (distilled / "run.json").write_text('{"kind": "distill"}')
    assert "no training curves" in _say([str(distilled)], capsys)
    with (run / JUDGMENTS_FILE).open("ab") as file:
        file.write(b'{"key": 1\n')
    assert f"{JUDGMENTS_FILE}:4: not valid JSON" in _say([str(run), "--index-only", "--quiet"], capsys)


def test_a_benchmark_and_a_ranking_have_pages(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(one) + "\n" for one in PAIRS))
    candidates = tmp_path / "candidates.jsonl"
    row = {"id": "q/<b>1", "prompt": "Which?", "responses": ["a", "bb", "<script>ccc</script>"]}
    candidates.write_text(json.dumps(row) + "\n")
    made = tmp_path / "bench", tmp_path / "rank"
    assert main(["bench", "pairs", str(pairs), "-m", "scripted:longer", "-o", str(made[0]), "--quiet"]) == 0
    assert main(["rank", str(candidates), "-m", "scripted:longer", "-o", str(made[1]), "--quiet"]) == 0
    with viewing(*made) as browser:
        page = browser.get("/runs/0/benchmark").text
        assert "50.00" in page and "overall" in page
        page = browser.get("/runs/1/rankings").text
        assert "&lt;script&gt;ccc" in page and "<script>ccc" not in page
        link = page.split('<a href="list?id_start=')[1].split('"')[0]
        assert "1 to 3 of 3" in browser.get(f"/runs/1/list?id_start={link}").text


def test_a_training_has_curves(tmp_path: Path) -> None:
    with viewing(FIXTURES / "base") as browser:
        assert browser.get("/runs/0/").headers["location"] == "training"
        page = browser.get("/runs/0/training").text
        assert page.count("<svg") >= 2 and "loss" in page
        assert browser.get("/runs/0/list").status_code == 404
