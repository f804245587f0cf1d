"""`rmr1 world` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_sample_prints_items_with_their_judgment(capsys: Capture) -> None:
    assert main(["world", "sample", "-n", "2", "--family", "Chat", "--seed", "3", "--trace"]) == 0
    out = capsys.readouterr().out
    assert "train-3-0" in out and "train-3-1" in out and "better" in out
    assert "<rubric>" in out and "Oracle" in out
    arguments = ["world", "sample", "-n", "1", "--split", "test_words", "--trace", "--teacher", "fallible"]
    assert main(arguments) == 0
    assert "Fallible teacher" in capsys.readouterr().out


def test_export_then_judge(capsys: Capture, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    assert main(["world", "export", str(pairs), "-n", "30", "--split", "test"]) == 0
    assert "wrote 30 labelled pairs of split test" in capsys.readouterr().out
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    assert len(rows) == 30 and {row["label"] for row in rows} == {"A", "B"}
    assert main(["judge", str(pairs), "-m", "scripted:longer", "-o", str(tmp_path / "run"), "--quiet"]) == 0
    assert "of 30 labelled" in capsys.readouterr().out

    assert main(["world", "export", str(pairs), "-n", "5"]) == 2
    assert "exists; choose another name or pass --force" in capsys.readouterr().err
    assert main(["world", "export", str(pairs), "-n", "5", "--force", "--format", "messages"]) == 0
    assert "wrote 5 judgments of the oracle teacher" in capsys.readouterr().out
    assert all("messages" in json.loads(line) for line in pairs.read_text().splitlines())
    assert [path.name for path in tmp_path.glob(".part-*")] == []


def test_export_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["world", "export", "-", "-n", "3", "--format", "messages", "--teacher", "fallible"]) == 0
    lines = capfdbinary.readouterr().out.splitlines()
    assert len(lines) == 3 and all(json.loads(line)["messages"][-1]["role"] == "assistant" for line in lines)


def test_info_counts(capsys: Capture) -> None:
    assert main(["world", "info"]) == 0
    out = capsys.readouterr().out
    assert "templates" in out and "held out of training" in out


@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_number_below_one_is_refused(capsys: Capture, tmp_path: Path, number: str) -> None:
    assert main(["world", "export", str(tmp_path / "x"), "-n", number]) == 2
    assert "expected 1 or more" in capsys.readouterr().err
