"""`rmr1 label`: figures beside people, a calibration on their blind labels, and judges that ask for one."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from rmr1.cli.main import main
from rmr1.store.labels import append_labels, begin_label, read_labels
from rmr1.store.runs import read_judgments
from tests.integration.runs import rmr1
from tests.unit.active.asked import make_judgment, say, write_run

PAIRS = 70


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, and a run of a scalar judge that 60 of them were labelled of blind; a person contradicts it now and then."""
    folder = tmp_path_factory.mktemp("label")
    rmr1("world", "export", folder / "pairs.jsonl", "-n", PAIRS, "--split", "test")
    rmr1("judge", folder / "pairs.jsonl", "-m", "tiny-scalar", "-o", folder / "run")
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["key", "who", "label", "is_blind"])
        for number, (key, judgment) in enumerate(list(read_judgments(folder / "run"))[:60]):
            label = judgment.pair.label
            rows.writerow(
                [key, "ada", {"A": "B", "B": "A"}[str(label)] if number % 6 == 0 else label, "true"]
            )
    rmr1("mark", folder / "run", "--from", folder / "labels.csv")
    rmr1("label", folder / "run", "--blind", "--report", "-o", folder / "c.json")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The line that a refused command says."""
    code = main([*map(str, words)])
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1 and "Traceback" not in err, err
    return err


def test_the_report_and_its_json(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", str(judged / "run"), "--blind", "--report"]) == 0
    out = capsys.readouterr().out
    assert "60 blind labels by 1: 60 items settled, 0 disputed, 0 skipped" in out
    assert "judge and people agree: " in out and "kappa: " in out and "ECE: " in out and "Brier: " in out
    assert main(["label", str(judged / "run"), "--blind", "--report", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    counts = [told["confusion"][label] for label in ("A", "B", "tie")]
    assert sum(sum(one.values()) for one in counts) == told["items"] == 60
    right = counts[0]["A"] + counts[1]["B"] + counts[2]["tie"]
    assert told["agreement"]["size"] == pytest.approx(right / 60)
    low, high = told["agreement"]["interval"]
    assert low < told["agreement"]["size"] < high


def test_a_judge_starts_with_what_it_asks_for(judged: Path) -> None:
    stored = json.loads((judged / "c.json").read_text())
    assert stored["people"]["labels"] == stored["pairs"] == 60
    judge = ("judge", judged / "pairs.jsonl", "-m", "tiny-scalar", "--limit", 3, "--json")
    floor = ("--least-labels", 50, "--least-agreement", 0.5, "--least-kappa", 0.1)
    done = rmr1(*judge, "--calibration", judged / "c.json", *floor)
    assert all(0 < json.loads(line)["probability"] < 1 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--least-labels", 50), "--least-labels asks for a calibration"),
        (("--calibration", "c.json", "--least-labels", 61), "60 blind labels, at least 61 is asked for"),
        (("--calibration", "c.json", "--least-kappa", 0.999), "kappa of judge and people, at least 0.999"),
        (("--calibration", "gone.json", "--least-labels", 5), "no such calibration"),
        (("--calibration", "data.json", "--least-labels", 5), "was not fitted on blind labels of people"),
        (("--calibration", "other.json"), "fitted for another judge"),
        (("--calibration", "broken.json", "--least-labels", 5), "not a calibration of rmr1"),
    ],
)
@pytest.mark.parametrize("verb", [("judge", "pairs.jsonl"), ("serve", "--port", "0")])
def test_a_judge_below_its_floor_does_not_start(
    verb: tuple[str, ...],
    words: tuple[object, ...],
    told: str,
    judged: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(judged)
    stored = json.loads(Path("c.json").read_text())
    del stored["people"]
    Path("data.json").write_text(json.dumps(stored))
    other = {**stored["judge"], "model": {**stored["judge"]["model"], "weights": "other"}}
    Path("other.json").write_text(json.dumps({**stored, "judge": other}))
    Path("broken.json").write_text("{}")
    code = main([*verb, "-m", "tiny-scalar", *map(str, words)])
    err = capsys.readouterr().err
    assert code == 2 and told in err and "Traceback" not in err


def test_serve_takes_the_calibration_that_it_requires(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("serve", "-m", "tiny-scalar", "--port", 0, "--require-calibration", judged / "c.json")
    assert "at least 99" in refused(capsys, *words, "--least-labels", 99)
    assert "name two files" in refused(capsys, *words, "--calibration", "x.json")


def test_a_calibration_of_too_few_labels_or_over_a_file(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ("label", judged / "run", "--blind", "--report", "-o")
    assert "c.json: exists; choose another name or pass --force" in refused(
        capsys, *report, judged / "c.json"
    )
    run = shutil.copytree(judged / "run", tmp_path / "run")
    lines = (run / "labels.jsonl").read_text().splitlines(True)
    (run / "labels.jsonl").write_text("".join(lines[:49]))
    code = main(["label", str(run), "--blind", "--report", "-o", str(tmp_path / "d.json")])
    assert code == 2 and "needs 50 or more" in capsys.readouterr().err and not (tmp_path / "d.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a run, and no pool; ask about its pairs with --blind"),
        (("--blind", "--report"), "no blind label of people that is settled; label some first"),
        (("--blind", "--number", "-2"), "--number -2: expected a whole number of questions"),
        (("--blind", "--people", "0"), "--people 0: expected a number of people"),
        (("--blind", "--who", "a\nb"), "a name is one line"),
    ],
)
def test_what_means_nothing_is_one_line(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", [make_judgment(0, "A")])
    assert told in refused(capsys, "label", run, *words)


def test_nothing_to_ask_and_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing to ask about" in refused(capsys, "label", write_run(tmp_path / "run", []), "--blind")
    assert "no such folder" in refused(capsys, "label", tmp_path / "gone", "--blind")
    training = Path(__file__).resolve().parents[1] / "fixtures" / "runs" / "sft"
    assert "holds no judgments" in refused(capsys, "label", training, "--blind")


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [make_judgment(0, "A")])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen at 127.0.0.1:{port}" in refused(
            capsys, "label", run, "--blind", "--port", port
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [make_judgment(0, "A")])
    run.chmod(0o555)
    try:
        assert "labels.jsonl" in refused(capsys, "label", run, "--blind")
    finally:
        run.chmod(0o755)


def test_labels_that_were_not_blind_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [make_judgment(number, "A") for number in range(3)])
    say(run, 0, "ada", "A", is_blind=False)
    assert "1 labels are not blind" in refused(capsys, "label", run, "--blind", "--report")
    one = begin_label(read_labels(run), "f" * 32, "ada")
    with pytest.raises(ValueError, match="says nothing"):
        append_labels(run, [one])
