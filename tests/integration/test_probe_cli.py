"""`rmr1 probe` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.cli.main import main
from tests.unit.probe.sets import world_rows, write_rows

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "clean.jsonl", world_rows(1, 200))


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    rows = world_rows(1, 400)
    for row in rows[:40]:
        row["response_b" if row["label"] == "A" else "response_a"] += " <im_start>"
    return write_rows(tmp_path / "leaking.jsonl", rows)


def test_clean_data(clean: Path, capsys: Capture) -> None:
    assert main(["probe", "leak", str(clean)]) == 0
    out = capsys.readouterr().out
    assert "200 decided pairs (rmr1)" in out and "source, subset" in out and "no leak found" in out


def test_a_leak_is_shown_with_rows(leaking: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["probe", "leak", str(leaking)]) == 1
    out = capsys.readouterr().out
    assert "leak: control tokens" in out and "'<im_start>': 40 times, worse answer in 100.0%" in out
    assert "leaking.jsonl:1: worse answer: " in out
    assert "leak: the label can be guessed from control tokens" in out
    assert max(map(len, out.splitlines()[1:])) < 160


def test_json(leaking: Path, clean: Path, capsys: Capture) -> None:
    assert main(["probe", "leak", str(leaking), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["is_leak"] and report["pairs"] == 400
    (field,) = [one for one in report["fields"] if one["is_leak"]]
    assert field["name"] == "control tokens" and field["findings"][0]["examples"][0]["line"] == 1
    assert main(["probe", "bias", str(clean), "--json", "--limit", "50"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pairs"] == 50 and {one["name"] for one in report["features"]} >= {"characters", "position"}


def test_bias(clean: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["probe", "bias", str(clean)]) == 0
    out = capsys.readouterr().out
    for name in (
        "characters",
        "headings",
        "refusal",
        "words from the question",
        "position: A",
        "all together",
    ):
        assert name in out


def test_own_columns(tmp_path: Path, capsys: Capture) -> None:
    rows = [
        {
            "q": row["prompt"],
            "one": row["response_a"],
            "two": row["response_b"],
            "right": row["label"],
            "model": "m",
        }
        for row in world_rows(2, 60)
    ]
    path = write_rows(tmp_path / "own.jsonl", [row for row in rows if len(row["q"]) == 1])
    assert main(["probe", "leak", str(path)]) == 2
    assert "no known form has the columns" in capsys.readouterr().err
    names = [f"--map={ours}" for ours in ("prompt=q", "response_a=one", "response_b=two", "label=right")]
    assert main(["probe", "leak", str(path), *names]) == 0
    out = capsys.readouterr().out
    assert "models" in out and "right" not in out


def test_rows_that_cannot_be_read_are_counted(clean: Path, capsys: Capture) -> None:
    with clean.open("a") as file:
        file.write('{"prompt": "q", "response_a"\n')
    assert main(["probe", "leak", str(clean)]) == 0
    out = capsys.readouterr().out
    assert "1 rows that cannot be read" in out and "clean.jsonl:201: invalid JSON" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leak", "absent.jsonl"], "no such file"),
        (["bias", "absent.jsonl"], "no such file"),
        (["leak", "{clean}", "--permutations", "50"], "expected 400 or more"),
        (["leak", "{clean}", "--limit", "0"], "--limit 0: expected 1 or more"),
        (["leak", "{clean}", "--seed", "-1"], "--seed -1: expected 0 or more"),
        (["leak", "{clean}", "--map", "prompt"], "--map"),
        (["leak", "{clean}", "--format", "rmr"], "no data format 'rmr'"),
        (["leak", "{clean}", "--format", "judgebench"], "no column"),
        (["leak", "{clean}", "--ignore", "sorce"], "no column 'sorce'"),
    ],
)
def test_mistakes_get_one_line(
    arguments: list[str],
    message: str,
    clean: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["probe", *(one.replace("{clean}", str(clean)) for one in arguments)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1 and captured.out == ""


def test_a_damaged_file(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00broken")
    assert main(["probe", "leak", str(path)]) == 2
    assert "damaged" in capsys.readouterr().err
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert main(["probe", "bias", str(empty)]) == 2
    assert "it holds no rows" in capsys.readouterr().err
