"""One's own pairs on the command line: labels that are mapped, rows that are refused, stored halves of characters."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main

LONG, SHORT = "a longer answer", "short"


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """Pairs whose labels are 1, 2 and 0; the longer answer is the better one but for one of them."""
    rows = [
        {"prompt": "q1", "response_a": LONG, "response_b": SHORT, "label": 1, "annotator": "x"},
        {"prompt": "q2", "response_a": SHORT, "response_b": LONG, "label": 2, "annotator": "x"},
        {"prompt": "q3", "response_a": SHORT, "response_b": LONG, "label": "1", "annotator": "y"},
        {"prompt": "q4", "response_a": SHORT, "response_b": LONG, "label": 0.0, "annotator": "y"},
    ]
    return write_rows(tmp_path / "coded.jsonl", rows)


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def read_data(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())["data"]


def test_labels_by_option(capsys, coded: Path, tmp_path: Path) -> None:
    judge = ("judge", coded, "-m", "scripted:longer", "--quiet")
    code, _, err = run_main(capsys, *judge, "-o", tmp_path / "a")
    assert code == 2
    assert (
        f"{coded}:1: label 1 is not 'A', 'B' or 'tie'; say what its values mean, as in --label 1=A --label 2=B"
        in err
    )
    code, out, _ = run_main(capsys, *judge, "-o", tmp_path / "b", "--label", "1=A,2=B,0=tie")
    assert code == 0 and "right: 2 of 4 labelled" in out
    assert read_data(tmp_path / "b")["label"] == {"1": "A", "2": "B", "0": "tie"}
    code, out, _ = run_main(
        capsys, *judge, "-o", tmp_path / "c", "--label", "1=B", "--label", "2=A", "--label", "0=A"
    )
    assert code == 0 and "right: 1 of 4 labelled" in out
    code, _, err = run_main(capsys, *judge, "-o", tmp_path / "b", "--label", "1=B,2=A,0=tie")
    assert code == 2 and "data.label.1 was 'A', now 'B'" in err
    code, _, err = run_main(capsys, *judge, "-o", tmp_path / "d", "--label", "1=A,2=B")
    assert code == 2 and f"{coded}:4: label 0.0 is not among the values of --label: '1' or '2'" in err
    code, out, _ = run_main(capsys, *judge, "-o", tmp_path / "d", "--label", "1=A,2=B", "--skip-invalid")
    assert code == 0 and "right: 2 of 3 labelled" in out and "rows passed over: 1" in out


def test_labels_in_a_config_file(capsys, coded: Path, tmp_path: Path) -> None:
    config = tmp_path / "judge.toml"
    config.write_text('[data]\nlabel = { "1" = "A", "2" = "B", "0" = "tie" }\n')
    judge = ("judge", coded, "-m", "scripted:longer", "--quiet", "--config", config)
    code, out, _ = run_main(capsys, *judge, "-o", tmp_path / "a")
    assert code == 0 and "right: 2 of 4 labelled" in out
    code, out, _ = run_main(capsys, *judge, "-o", tmp_path / "b", "--set", "data.label.0=B")
    assert code == 0 and "right: 3 of 4 labelled" in out


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("1", "--label '1': expected VALUE=LABEL, as in --label 1=A,2=B,0=tie"),
        ("1=A,", "--label '': expected VALUE=LABEL"),
        ("1=C", "label '1' cannot mean 'C'; expected 'A', 'B' or 'tie'"),
        ("1=A,1=B", "--label: '1' is to mean 'A' and 'B'"),
    ],
)
def test_what_is_wrong_with_a_mapping(capsys, coded: Path, tmp_path: Path, said: str, complaint: str) -> None:
    code, _, err = run_main(
        capsys, "judge", coded, "-m", "scripted:longer", "--label", said, "-o", tmp_path / "a"
    )
    assert code == 2 and complaint in err and len(err.splitlines()) == 1


def test_a_run_without_a_mapping_is_described_as_ever(capsys, tmp_path: Path) -> None:
    pairs = write_rows(tmp_path / "pairs.jsonl", [{"prompt": "q", "response_a": LONG, "response_b": SHORT}])
    assert run_main(capsys, "judge", pairs, "-m", "scripted:longer", "-o", tmp_path / "a")[0] == 0
    assert read_data(tmp_path / "a").keys() == {"sources", "format", "map"}


def test_bench_and_probe_map_labels_too(capsys, coded: Path, tmp_path: Path) -> None:
    bench = ("bench", "pairs", coded, "-m", "scripted:longer", "--quiet")
    code, out, _ = run_main(capsys, *bench, "-o", tmp_path / "a", "--label", "1=A,2=B,0=tie", "--json")
    assert code == 0
    figures = json.loads(out)
    assert [(one["correct"], one["total"]) for one in figures["overall"]] == [(2, 4)]
    assert read_data(tmp_path / "a")["label"] == {"1": "A", "2": "B", "0": "tie"}
    code, _, err = run_main(capsys, "bench", "judgebench", "--from", tmp_path / "a", "--label", "1=A")
    assert code == 2 and "data.label (--label) says how own pairs are read" in err
    code, out, _ = run_main(capsys, "probe", "bias", coded, "--label", "1=A,2=B,0=tie", "--json", "--quiet")
    assert code == 0
    report = json.loads(out)
    assert (report["pairs"], report["ties"], report["unreadable"]) == (3, 1, 0)


def test_probabilities_are_held_against_the_labels(capsys, coded: Path, tmp_path: Path) -> None:
    """Three votes that agree are P = 3.5 / 4 for their side; right, right, wrong, and of a tie half."""
    bench = ("bench", "pairs", coded, "-m", "scripted:longer", "--quiet", "--label", "1=A,2=B,0=tie")
    run, asked = tmp_path / "run", ("--votes", 3)
    code, out, _ = run_main(capsys, *bench, *asked, "-o", run, "--json")
    assert code == 0
    found = json.loads(out)["reliability"]
    assert found == json.loads((run / "summary.json").read_text())["reliability"]
    assert (found["items"], found["without"], found["calibrated"]) == (4, 0, False)
    assert found["brier"] == pytest.approx((2 * 0.125**2 + 0.875**2 + 0.375**2) / 4)
    assert found["ece"] == pytest.approx(0.875 - 2.5 / 4)
    assert found["auc"] == pytest.approx(3 / 4)  # A: .875 and .125, B: .125
    line = "probabilities: ECE 0.250, Brier 0.234, AUC 0.750"
    # As the run stands, and read again, which goes through other judgments and stores them.
    for more in ((), ("--rule", "published", "-o", tmp_path / "again")):
        code, out, _ = run_main(capsys, "bench", "pairs", "--from", run, *more)
        assert code == 0 and line in out.splitlines()
    code, out, _ = run_main(capsys, "bench", "pairs", "--from", run, "--markdown", "-")
    assert code == 0 and f"- {line}" in out.splitlines()
    # One text without log-probabilities tells none.
    code, out, _ = run_main(capsys, *bench, "-o", tmp_path / "one", "--json")
    assert code == 0 and "reliability" not in json.loads(out)


SPOILT = ("id", "content", "text", "justification", "solution", "evaluation", "source", "subset")


def test_several_files_are_one_measurement(capsys, tmp_path: Path, monkeypatch) -> None:
    def rows(first: int, last: int, label: str) -> list[dict[str, Any]]:
        return [
            {"prompt": f"q{number}", "response_a": LONG, "response_b": SHORT, "label": label}
            for number in range(first, last)
        ]

    monkeypatch.chdir(tmp_path)
    Path("more").mkdir()
    write_rows(Path("right.jsonl"), rows(0, 4, "A"))
    write_rows(Path("more/wrong.jsonl"), rows(10, 16, "B"))
    # The first of them stands in another file too, and is counted once.
    write_rows(Path("more/both.jsonl"), [*rows(0, 1, "A"), *rows(20, 22, "A")])
    bench = ("bench", "pairs", "right.jsonl", "more/*.jsonl", "more/wrong.jsonl", "-m", "scripted:longer")
    code, out, err = run_main(capsys, *bench, "-o", "run", "--quiet", "--json")
    assert code == 0 and "more/wrong.jsonl: named twice, read once" in err
    figures = {
        (one["group"], one["name"]): (one["correct"], one["total"]) for one in json.loads(out)["figures"]
    }
    assert figures["source", "right"] == (4, 4)
    assert figures["source", "wrong"] == (0, 6)
    assert figures["source", "both"] == (2, 2)
    write_rows(Path("more/new.jsonl"), rows(30, 33, "A"))
    code, out, err = run_main(capsys, *bench, "-o", "run")
    assert code == 0 and "going on after 12 finished items" in err and "15 judgments" in out
    write_rows(Path("more/bare.jsonl"), [{"prompt": "q", "response_a": "a", "response_b": "b"}])
    code, _, err = run_main(capsys, *bench, "-o", "run2")
    assert code == 2 and "more/bare.jsonl:1: pair 'bare:1' has no label" in err
    code, _, err = run_main(capsys, *bench, "none/*.csv", "-o", "run2")
    assert code == 2 and err.endswith("rmr1: none/*.csv: no file fits this pattern\n")


def test_probes_and_recipes_take_several_files(capsys, coded: Path, tmp_path: Path) -> None:
    other = tmp_path / "coded2.jsonl"
    other.write_text(coded.read_text().replace("q", "w"))
    probe = ("probe", "bias", "--label", "1=A,2=B,0=tie", "--json", "--quiet")
    one = json.loads(run_main(capsys, *probe, coded)[1])
    code, out, _ = run_main(capsys, *probe, tmp_path / "coded*.jsonl", coded)
    assert code == 0 and json.loads(out)["pairs"] == 2 * one["pairs"]
    code, out, _ = run_main(capsys, *probe, tmp_path / "coded*.jsonl", "--limit", 5)
    assert code == 0 and json.loads(out)["pairs"] == one["pairs"] + 1
    recipe = tmp_path / "c.toml"
    recipe.write_text(
        f'[sources.a]\ndata = "{tmp_path}/coded*.jsonl"\nlabel = {{ "1" = "A", "2" = "B", "0" = "tie" }}'
    )
    code, out, _ = run_main(capsys, "curate", recipe, "--dry-run", "--json", "--quiet")
    assert code == 0 and json.loads(out)["sources"][0]["read"] == 8
    recipe.write_text(f'[sources.a]\ndata = "{tmp_path}/none*.jsonl"')
    code, _, err = run_main(capsys, "curate", recipe, "--dry-run")
    assert code == 2 and f"no file fits this pattern: {tmp_path}/none*.jsonl" in err


def spoil(value: Any, name: str = "") -> Any:
    """Every text with half a character at its end."""
    if isinstance(value, dict):
        return {key: spoil(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [spoil(one, name) for one in value]
    return f"{value}\ud83d" if isinstance(value, str) and name in SPOILT else value


def test_stored_halves_of_characters_are_shown(capsys, tmp_path: Path) -> None:
    """As runs of other versions hold them, in a real process: only there is standard output UTF-8."""
    row = {"id": "x", "prompt": "q", "response_a": LONG, "response_b": SHORT, "label": "A", "source": "s", "subset": "t"}  # fmt: skip
    pairs, run = write_rows(tmp_path / "pairs.jsonl", [row]), tmp_path / "run"
    run_main(capsys, "judge", pairs, "-m", "scripted:longer", "-o", run)
    stored = spoil(json.loads((run / "judgments.jsonl").read_text()))
    (run / "judgments.jsonl").write_text(json.dumps(stored) + "\n")
    shutil.copytree(run, tmp_path / "other")
    page = tmp_path / "page.md"

    def rmr1(*arguments: object, code: int = 0) -> str:
        command = [sys.executable, "-m", "rmr1", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == code, done.stderr.decode()
        return done.stdout.decode("utf-8")

    assert "q\\ud83d" in rmr1("show", run)
    assert "x\\ud83d" in rmr1("show", run, "--list")
    assert json.loads(rmr1("show", run, "--json"))["pair"]["id"] == "x\ud83d"
    assert "t\\ud83d" in rmr1("bench", "pairs", "--from", run, "--markdown", page)
    assert "t\\ud83d" in page.read_text(encoding="utf-8")
    figures = json.loads(rmr1("bench", "pairs", "--from", run, "--baseline", tmp_path / "other", "--json"))
    assert "t\ud83d" in json.dumps(figures, ensure_ascii=False)
    # The recording's one item has another id now, so nothing is answered; but that is said, not crashed on.
    rmr1("judge", pairs, "-m", f"replay:{run}", "-o", tmp_path / "again", code=1)
