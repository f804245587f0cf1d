"""`rmr1 audit` as a person uses it: tables, gates, several judges, recorded ones, labels, and runs that lack things."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmr1 import read_judgments
from rmr1.audit.audits import AUDIT_COLUMNS, audit_columns
from rmr1.cli.main import main
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair
from rmr1.store.keys import format_key, item_digest
from rmr1.store.labels import HumanLabel, append_label
from rmr1.store.runs import open_run
from rmr1.viewer.index import Index

DESCRIPTION: dict[str, Any] = {"data": {}, "model": {}, "prompt": {}, "settings": {}, "model_name": "by hand"}


def make_judgment(number: int, *, given: str = "A", swapped: str = "B", quote: str = "long") -> Judgment:
    """Asked both ways; `given` and `swapped` are what the texts say, so that A and B are the pair's A twice."""
    pair = PreferencePair(
        id=f"item-{number}",
        prompt=(user(f"Question {number}?"),),
        response_a=(assistant(f"The river is {number} miles long and cold."),),
        response_b=(assistant("It is short."),),
        label="A" if number % 2 else "B",
        subset="x" if number % 3 else "y",
    )
    votes = []
    for order, said in (("given", given), ("swapped", swapped)):
        name = "A" if order == "given" else "B"
        text = f"<eval><quote_{name}>{quote}</quote_{name}></eval><answer>[[{said}]]</answer>"
        generation = Generation(text=text, finish_reason="stop")
        votes.append(cast_vote(generation, order=order, sample=0, rule="tagged"))  # type: ignore[arg-type]
    return conclude(pair, votes, family="rubric", rule="tagged")


def make_run(folder: Path, *judgments: Judgment) -> Path:
    with open_run(folder, DESCRIPTION) as run:
        for one in judgments:
            run.append(format_key(item_digest(one.pair), 0), one)
    return folder


def audit(*words: object) -> int:
    return main(["audit", *map(str, words)])


def first_wins(folder: Path, number: int = 40) -> Path:
    """The first answer wins in half of the pairs."""
    return make_run(folder, *(make_judgment(one, swapped="A" if one % 2 else "B") for one in range(number)))


def test_a_judge_that_prefers_the_first_place_and_invents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judgments = [
        make_judgment(one, swapped="A" if one % 2 else "B", quote="made up" if one < 20 else "long")
        for one in range(40)
    ]
    folder = make_run(tmp_path / "run", *judgments)
    assert audit(folder) == 0
    out = capsys.readouterr().out
    assert "run: 40 judgments, alarms: position, grounding" in out
    assert "the first answer wins twice in 20 and the second in 0 of 40 pairs" in " ".join(out.split())
    assert (
        "solution     lacks solutions" in out
        and "votes        lacks votes" in out
        and "people       lacks labels" in out
    )
    assert audit(folder, "--json") == 0
    described = json.loads(capsys.readouterr().out)
    findings = {one["name"]: one for one in described["runs"][0]["audits"]}
    assert findings["position"]["size"] == 0.5 and findings["position"]["alarm"] and described["judges"] == []
    assert findings["grounding"]["size"] == 0.5 and findings["grounding"]["num_judgments"] == 20
    keys = {key for key, _ in read_judgments(folder)}
    assert set(findings["grounding"]["judgments"]) <= keys and len(findings["grounding"]["judgments"]) == 20


def test_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = first_wins(tmp_path / "run")
    assert audit(folder, "--fail-on", "position:0.6", "--fail-on", "grounding") == 0
    assert "rmr1:" not in capsys.readouterr().err
    assert audit(folder, "--fail-on", "position:0.4") == 1
    assert "run: position is +0.5, more than the limit 0.4" in capsys.readouterr().err
    assert audit(folder, "--fail-on", "position") == 1
    assert "run: position is an alarm" in capsys.readouterr().err
    assert audit(folder, "--fail-on", "votes") == 1
    assert "run: votes cannot be told: it lacks votes" in capsys.readouterr().err
    for words, told in (
        (("--fail-on", "positon"), "did you mean position?"),
        (("--fail-on", "position:x"), "expected a limit from 0 to 1"),
        (("--fail-on", "judges"), "there is one run"),
        (("--labels", "--fail-on", "position"), "choose one"),
        (("--limit", "3"), "--limit is for --labels"),
    ):
        assert audit(folder, *words) == 2
        assert told in capsys.readouterr().err


def test_filters_and_what_they_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = first_wins(tmp_path / "run")
    assert audit(folder, "--subset", "y") == 0
    assert "run: 14 judgments" in capsys.readouterr().out
    assert audit(folder, "--subset", "z") == 1
    assert "rmr1: run: no judgment matches" in capsys.readouterr().err


def test_an_empty_run_and_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(make_run(tmp_path / "empty")) == 1
    assert capsys.readouterr().err == "rmr1: empty: no judgments in it\n"
    assert audit(tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    (tmp_path / "text.jsonl").write_text('{"a": 1}\n')
    assert audit(tmp_path / "text.jsonl") == 2
    assert "no recorded outputs" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    assert audit(tmp_path / "folder") == 2
    error = capsys.readouterr().err
    assert error.startswith("rmr1: ") and error.count("\n") == 1


def test_runs_without_votes_labels_or_traces_say_what_they_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = [
        Judgment(
            pair=replace(make_judgment(one).pair, label=None),
            family="x",
            rule="scores",
            kind="score",
            winner="A",
            scores=(2.0, 1.0),
        )
        for one in range(20)
    ]
    assert audit(make_run(tmp_path / "bare", *bare), "--json") == 0
    findings = {one["name"]: one for one in json.loads(capsys.readouterr().out)["runs"][0]["audits"]}
    assert findings["calibration"]["lacks"] == "labels" and findings["length"]["size"] == 1.0
    assert findings["length"]["lacks"].startswith("labels") and not any(
        one["alarm"] for one in findings.values()
    )
    assert all(one["lacks"] for one in findings.values())


def test_two_runs_of_the_same_pairs_and_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_run(
        tmp_path / "one",
        *(make_judgment(number, given="AB"[number % 2], swapped="BA"[number % 2]) for number in range(30)),
    )
    two = make_run(tmp_path / "two", *(make_judgment(number) for number in range(30)))
    other = make_run(tmp_path / "other", *(make_judgment(number) for number in range(100, 130)))
    assert audit(one, two, "--json", "--fail-on", "judges:0.9") == 1
    captured = capsys.readouterr()
    (found,) = json.loads(captured.out)["judges"]
    assert (
        found["size"] == pytest.approx(0)
        and found["used"] == 30
        and "less than the limit 0.9" in captured.err
    )
    assert audit(one, other) == 0
    assert "one and other are of different pairs" in " ".join(capsys.readouterr().out.split())


def test_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(
        tmp_path / "run",
        *(make_judgment(number, given="AB"[number % 2], swapped="BA"[number % 2]) for number in range(30)),
    )
    for number, (key, judgment) in enumerate(read_judgments(folder)):
        label = judgment.winner if number % 4 else judgment.pair.label
        append_label(folder, HumanLabel(key=key, who="ada", when="2026-11-30T16:20:02Z", label=label))  # type: ignore[arg-type]
    assert audit(folder, "--json") == 0
    found = next(
        one for one in json.loads(capsys.readouterr().out)["runs"][0]["audits"] if one["name"] == "people"
    )
    assert found["used"] == 30 and 0 < found["size"] < 1 and "the judge and people" in found["says"]


def test_labels_that_the_judge_contradicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(
        tmp_path / "run",
        *(make_judgment(number, given="BA"[number % 2], swapped="AB"[number % 2]) for number in range(40)),
    )
    with open_run(folder, DESCRIPTION) as run:
        wrong = make_judgment(99, given="B", swapped="A")
        run.append("f" * 32, replace(wrong, pair=replace(wrong.pair, subset="x")))
    assert audit(folder, "--labels") == 0
    out = capsys.readouterr().out
    assert "item-99" in out and "of 41 labels the judge contradicts 1; 1 shown" in out
    assert audit(folder, "--labels", "--json", "--limit", "0") == 0
    (doubt,) = json.loads(capsys.readouterr().out)["labels"]
    assert (doubt["id"], doubt["label"]) == ("item-99", "A") and doubt["probability"] < 0.2
    assert audit(first_wins(tmp_path / "few", 10), "--labels") == 2
    assert "needs 20 or more" in capsys.readouterr().err


def test_the_index_of_a_run_has_all_that_audits_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = first_wins(tmp_path / "run")
    assert audit(folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)["runs"][0]["audits"]
    with Index.open(folder) as index:
        index.refresh()
        found = audit_columns(index.columns(*AUDIT_COLUMNS), index.keys())
    assert [one.describe() for one in found] == [one for one in told if one["name"] != "people"]


def test_a_report_has_the_audits_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = first_wins(tmp_path / "run")
    assert main(["report", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "## Audits" in out and "Alarms: position" in out
    assert main(["report", str(folder), "--json"]) == 0
    audits = json.loads(capsys.readouterr().out)["audits"]
    assert next(one for one in audits if one["name"] == "position")["alarm"]
    assert main(["report", str(folder), "--html", str(tmp_path / "page.html")]) == 0
    assert "<h2>Audits</h2>" in (tmp_path / "page.html").read_text()


def test_recorded_judges_are_audited_as_they_are_and_as_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: Path
) -> None:
    source = next((shared / "data/judge-outputs/judgebench").glob("*claude-3-haiku*.jsonl.gz"))
    assert audit(source, "--json") == 0
    found = json.loads(capsys.readouterr().out)["runs"][0]["audits"]
    position = next(one for one in found if one["name"] == "position")
    assert position["size"] == pytest.approx(30 / 257) and position["alarm"]
    assert (
        main(["bench", "judgebench", "--from", str(source), "-o", str(tmp_path / "run"), "--resamples", "0"])
        == 0
    )
    capsys.readouterr()
    assert audit(tmp_path / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["audits"] == found
    with gzip.open(source, "rt") as file:
        (tmp_path / "part.jsonl").write_text("".join(line for _, line in zip(range(30), file, strict=False)))
    assert audit(source, tmp_path / "part.jsonl", "--json") == 0
    (shared,) = json.loads(capsys.readouterr().out)["judges"]
    assert shared["size"] == 1.0 and shared["items"] == 270
