"""`rmr1 show` as a person uses it: in the sequence of the data, in a terminal's width, beside a run that goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from rmr1.cli.main import main
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair
from rmr1.store.runs import open_run, read_judgments
from tests.integration.runs import write_pairs
from tests.unit.cli.test_pager import run_in_terminal
from tests.unit.report.hostile import write_run

DESCRIPTION = {"data": {}, "model": {}, "prompt": {}, "settings": {}, "model_name": "by hand"}


def make_judgment(number: int, *, winner: str = "A", id: str | None = None) -> Judgment:
    pair = PreferencePair(
        id=id or f"item-{number}",
        prompt=(user(f"Question {number}?" + " and more" * 20),),
        response_a=(assistant("The river is 9 miles long. It is cold."),),
        response_b=(assistant("The river is 7 miles long. It is cold."),),
        label="A",
    )
    text = (
        "<eval>First <quote_A>9 miles long</quote_A>, then <quote_B>It is warm</quote_B>.</eval>"
        f"<answer>[[{winner}]]</answer>"
    )
    said = Generation(text=text, finish_reason="stop", completion_tokens=9)
    votes = [cast_vote(said, order="given", sample=0, rule="tagged")]
    return conclude(pair, votes, family="rubric", rule="tagged")


def make_run(folder: Path, number: int = 3) -> Path:
    with open_run(folder, DESCRIPTION) as run:
        for one in range(number):
            run.append(f"{one:032x}", make_judgment(one, winner="AB"[one % 2]))
    return folder


def show(*words: object) -> int:
    return main(["show", *map(str, words)])


def test_a_judged_file_is_shown_in_its_sequence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 30)
    ids = [json.loads(line)["id"] for line in pairs.read_text().splitlines()]
    run = tmp_path / "run"
    command = ["judge", str(pairs), "-m", "scripted:hash", "-o", str(run), "--quiet"]
    assert main([*command, "--limit", "12"]) == 0
    lines = (run / "judgments.jsonl").read_text().splitlines()
    assert [json.loads(line)["place"] for line in lines] == list(range(12))
    # An engine that answers in another sequence leaves the lines in that one.
    (run / "judgments.jsonl").write_text("".join(f"{line}\n" for line in lines[::-1]))
    assert main(command) == 0
    capsys.readouterr()
    assert [one.pair.id for _, one in read_judgments(run)] == ids[:12][::-1] + ids[12:]
    assert show(run, "--json", "--limit", "0") == 0
    assert [json.loads(line)["pair"]["id"] for line in capsys.readouterr().out.splitlines()] == ids
    assert show(run, "--list", "--limit", "0") == 0
    assert [line[39:].split()[0] for line in capsys.readouterr().out.splitlines()] == ids


def test_quotations_are_numbered_in_both_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", 1)
    assert show(run) == 0
    out = capsys.readouterr().out
    assert "The river is [1]«9 miles long». It is cold." in out
    assert "First [1 A]«9 miles long», then [2 not in B]«It is warm»." in out
    assert out.count("[2") == 1 and "quote_A" not in out


def test_the_difference_of_the_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", 1)
    assert show(run, "--diff") == 0
    out = capsys.readouterr().out
    assert re.search(r"The river is ?\[- ?9-\]\{\+ ?7\+\} miles long\. It is cold\.", out)
    assert "Answer A (preferred, chosen by the judge) and Answer B" in out and "[1 A]«9 miles" in out
    for other in ("--list", "--json"):
        assert show(run, "--diff", other) == 2
        assert f"--diff and {other}: choose one" in capsys.readouterr().err


def test_a_list_in_a_pipe_is_not_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "long " * 60
    with open_run(tmp_path, DESCRIPTION) as run:
        run.append("k" * 32, make_judgment(0, winner="B", id=f"{long}end"))
    assert show(tmp_path, "--list") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"kkkkkkkkkkkk  wrong  B vs A      1.00  {long}end  Question 0?{' and more' * 20}"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_list_fits_the_terminal(columns: int, tmp_path: Path) -> None:
    with open_run(tmp_path / "run", DESCRIPTION) as run:
        run.append("a" * 32, make_judgment(0, id="河" * 40))
        run.append("b" * 32, make_judgment(1, id="x" * 100))
    write_run(tmp_path / "hostile")
    for folder in ("run", "hostile"):
        words = [sys.executable, "-m", "rmr1", "show", str(tmp_path / folder), "--list"]
        out, code = run_in_terminal(words, pager="cat", columns=columns)
        assert code == 0
        lines = [line for line in out.replace("\r\n", "\n").split("\n") if not line.startswith("rmr1: ")]
        plain = [line.replace("\x1b[0m", "") for line in lines]
        for style in ("1", "2", "31", "32", "33", "35"):
            plain = [line.replace(f"\x1b[{style}m", "") for line in plain]
        assert plain[0].startswith("KEY") and not any("\x1b" in line or "\u202e" in line for line in plain)
        assert all(cell_len(line) < columns for line in plain)
        assert len(plain) > 2 and max(map(cell_len, plain)) > columns - 24


def read_lines(process: subprocess.Popen[str], number: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(number)]


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rmr1", "show", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    found: list[subprocess.Popen[str]] = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def test_a_run_is_followed_until_it_ends(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    with open_run(tmp_path, DESCRIPTION) as run:
        for number in range(4):
            run.append(f"{number:032x}", make_judgment(number))
        started += [
            start(tmp_path, "--follow", "--list", "--limit", "2"),
            start(tmp_path, "--follow", "--json", "--wrong"),
        ]
        first, second = started
        assert [line.split()[6] for line in read_lines(first, 2)] == ["item-2", "item-3"]
        run.append(f"{4:032x}", make_judgment(4, winner="B"))
        assert [line.split()[6] for line in read_lines(first, 1)] == ["item-4"]
        assert [json.loads(line)["pair"]["id"] for line in read_lines(second, 1)] == ["item-4"]
        assert first.poll() is None and second.poll() is None
        run.append(f"{5:032x}", make_judgment(5))
    out, err = first.communicate(timeout=30)
    assert first.returncode == 0 and "item-5" in out and err == ""
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0 and out == "" and err == ""


def test_control_c_ends_following_without_a_word(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    with open_run(tmp_path, DESCRIPTION) as run:
        run.append(f"{0:032x}", make_judgment(0))
        started.append(start(tmp_path, "--follow"))
        while "Verdict" not in read_lines(started[0], 1)[0]:
            pass
        time.sleep(0.3)
        os.kill(started[0].pid, signal.SIGINT)
        _, err = started[0].communicate(timeout=30)
        assert started[0].returncode == 130 and err == ""
        run.append(f"{1:032x}", make_judgment(1))  # the run is not disturbed


def test_a_run_that_nobody_writes_is_shown_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    assert show(run, "--follow", "--list", "--right") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert show(run, "--follow", "--unparsed") == 1
    assert "no judgment matches" in capsys.readouterr().err
