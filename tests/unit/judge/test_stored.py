"""A run's data are the set of its items: what a folder goes on with, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmr1 import Judge, read_pairs
from rmr1.cli.main import main
from rmr1.data import runs
from rmr1.data.keys import KeyCounter, content_digest, format_key, number_items, stored_digest
from rmr1.data.runs import RunWriter, open_run
from rmr1.errors import RunError
from rmr1.judge.base import list_keys
from rmr1.judge.describe import describe_run
from rmr1.records import PreferencePair

ROWS = [
    {"prompt": f"q{number}", "response_a": "long answer" * (number + 1), "response_b": "short", "label": "A"}
    for number in range(5)
]
WITH_IDS = [{"id": f"p{number}", **row} for number, row in enumerate(ROWS)]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run_main(*arguments: object) -> int:
    return main([*map(str, arguments), "-m", "scripted:longer", "--quiet"])


def read_lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "judgments.jsonl").read_text().splitlines()]


VERBS = pytest.mark.parametrize("verb", [("judge",), ("bench", "pairs")], ids=["judge", "bench"])
LIKE_PLACES = [{"id": f"gsm8k:{number}", **row} for number, row in enumerate(ROWS)]
IDS = pytest.mark.parametrize("rows", [ROWS, WITH_IDS, LIKE_PLACES], ids=["places", "ids", "like-places"])


@VERBS
@IDS
@pytest.mark.parametrize(
    ("name", "change", "total"),
    [
        ("pairs.jsonl", lambda rows: [*rows, {**rows[0], "prompt": "new"}], 6),
        ("pairs.jsonl", lambda rows: [{**rows[0], "prompt": "new"}, *rows], 6),
        ("pairs.jsonl", lambda rows: rows[::-1], 5),
        ("renamed.jsonl", lambda rows: rows, 5),
        ("pairs.csv", lambda rows: rows, 5),
        ("pairs.jsonl", lambda rows: [*rows, rows[0]], 6),
    ],
    ids=["appended", "before", "reversed", "renamed", "form", "twice"],
)
def test_a_run_goes_on_with_the_same_items(
    tmp_path: Path,
    verb: tuple[str, ...],
    rows: list[dict[str, Any]],
    name: str,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    total: int,
) -> None:
    run = tmp_path / "run"
    assert run_main(*verb, write_rows(tmp_path / "pairs.jsonl", rows), "-o", run) == 0
    before = read_lines(run)
    assert run_main(*verb, write_rows(tmp_path / name, change(rows)), "-o", run) == 0
    after = read_lines(run)
    assert after[:5] == before and len(after) == total == len({line["key"] for line in after})
    if verb[0] == "bench":
        assert json.loads((run / "run.json").read_text())["data"]["pairs"] == total


@VERBS
@IDS
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [*rows[:3], {**rows[3], "response_b": "other"}, *rows[4:]], "1 of 5 finished items"),
        (lambda rows: [*rows[:3], {**rows[3], "label": "B"}, *rows[4:]], "1 of 5 finished items"),
        (lambda rows: rows[2:], "2 of 5 finished items"),
    ],
    ids=["text", "label", "gone"],
)
def test_finished_items_that_changed_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verb: tuple[str, ...],
    rows: list[dict[str, Any]],
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    told: str,
) -> None:
    pairs, run = write_rows(tmp_path / "pairs.jsonl", rows), tmp_path / "run"
    assert run_main(*verb, pairs, "-o", run) == 0
    stored = (run / "judgments.jsonl").read_bytes(), (run / "run.json").read_bytes()
    write_rows(pairs, change(rows))
    capsys.readouterr()
    for more in ([], ["--dry-run"]):
        assert run_main(*verb, pairs, "-o", run, *more) == 2
        (line,) = capsys.readouterr().err.splitlines()
        first = {"1 of 5": 3, "2 of 5": 0}[told[:6]]
        shown = rows[first].get("id", f"pairs:{first + 1}")
        assert told in line and f"the first is {shown!r}" in line and "choose another folder" in line
    assert stored == ((run / "judgments.jsonl").read_bytes(), (run / "run.json").read_bytes())


def test_unfinished_items_may_change(tmp_path: Path) -> None:
    pairs, run = write_rows(tmp_path / "pairs.jsonl", ROWS), tmp_path / "run"
    assert run_main("judge", pairs, "-o", run, "--limit", 2) == 0
    write_rows(pairs, [*ROWS[:2], {**ROWS[2], "prompt": "changed"}])
    assert run_main("judge", pairs, "-o", run) == 0
    assert [line["pair"]["prompt"][0]["content"] for line in read_lines(run)] == ["q0", "q1", "changed"]
    assert run_main("judge", pairs, "-o", run, "--limit", 1) == 0


@IDS
def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """Its keys hold the places of rows, and its data section the bytes of the file."""
    pairs, run = write_rows(tmp_path / "pairs.jsonl", rows), tmp_path / "run"
    assert run_main("judge", pairs, "-o", run, "--limit", 3) == 0
    lines = read_lines(run)
    for line, pair in zip(lines, read_pairs(pairs), strict=False):
        line["key"] = content_digest(pair).hex()
    (run / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run_main("judge", pairs, "-o", run) == 0
    after = read_lines(run)
    assert after[:3] == lines and len(after) == 5
    write_rows(pairs, [{**rows[0], "prompt": "changed"}, *rows[1:]])
    assert run_main("judge", pairs, "-o", run) == 2


@VERBS
def test_a_limit_below_what_is_stored_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    pairs, run = write_rows(tmp_path / "pairs.jsonl", ROWS), tmp_path / "run"
    assert run_main(*verb, pairs, "-o", run) == 0
    capsys.readouterr()
    assert run_main(*verb, pairs, "-o", run, "--limit", 2) == 0
    said = "2 items are asked for (--limit), 5 are stored already; the summary is of all"
    assert said in capsys.readouterr().err
    assert len(read_lines(run)) == 5 == json.loads((run / "summary.json").read_text())["items"]
    assert run_main(*verb, pairs, "-o", run, "--limit", 5) == 0
    assert "asked for" not in capsys.readouterr().err


@pytest.mark.parametrize("give", [list, iter], ids=["list", "iterator"])
def test_from_python(tmp_path: Path, give: Callable[[list[PreferencePair]], Any]) -> None:
    pairs = list(read_pairs(write_rows(tmp_path / "pairs.jsonl", WITH_IDS)))
    judge, run = Judge("scripted:longer"), tmp_path / "run"
    first = list(judge.judge(give(pairs[:3]), run=run))
    assert list(judge.judge(give(pairs[:3]), run=run)) == first  # what is stored, and nothing anew
    grown = list(judge.judge(give(pairs), run=run))
    assert grown[:3] == first and [one.pair for one in grown] == pairs
    assert json.loads((run / "summary.json").read_text())["items"] == 5
    other = [replace(pairs[0], label="B"), *pairs[1:]]
    with pytest.raises(RunError, match=r"1 of 5 finished items .* the first is 'p0'"):
        list(judge.judge(give(other), run=run))
    assert len(read_lines(run)) == 5
    # The command goes on with it, and the other way round.
    assert run_main("judge", tmp_path / "pairs.jsonl", "-o", run) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["pairs", "FILE", "-m", "scripted:longer"],
        ["-m", "scripted:longer", "pairs", "FILE"],
        ["FILE", "pairs", "-m", "scripted:longer"],
        ["pairs", "-m", "scripted:longer", "FILE"],
        ["pairs", "-m", "scripted:longer", "--data", "FILE"],
    ],
    ids=" ".join,
)
def test_the_file_of_own_pairs_may_be_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    file = str(write_rows(tmp_path / "pairs.jsonl", WITH_IDS))
    given = [file if word == "FILE" else word for word in words]
    assert main(["bench", *given, "-o", str(tmp_path / "run"), "--quiet"]) == 0
    assert "100.0" in capsys.readouterr().out


@pytest.mark.parametrize("as_completed", [False, True])
def test_a_call_that_is_left_early_lets_go_of_its_run(tmp_path: Path, as_completed: bool) -> None:
    pairs = list(read_pairs(write_rows(tmp_path / "pairs.jsonl", WITH_IDS)))
    judge, run = Judge("scripted:longer"), tmp_path / "run"
    handles = len(os.listdir("/proc/self/fd"))
    call = judge.judge(iter(pairs), run=run, as_completed=as_completed)
    first = next(call)
    with pytest.raises(RunError, match="or a call of this one that has not ended"):
        list(judge.judge(pairs, run=run))
    call.close()
    assert len(os.listdir("/proc/self/fd")) == handles and len(read_lines(run)) == 1
    again = list(judge.judge(pairs, run=run))
    assert again[0] == first and len(again) == len(read_lines(run)) == len(pairs)


def test_a_source_that_breaks_off_leaves_what_is_finished(tmp_path: Path) -> None:
    pairs = list(read_pairs(write_rows(tmp_path / "pairs.jsonl", WITH_IDS)))
    judge, run = Judge("scripted:longer"), tmp_path / "run"

    def breaks() -> Iterator[PreferencePair]:
        yield from pairs[:2]
        raise ValueError("gone")

    found = []
    with pytest.raises(ValueError, match="gone"):
        found.extend(judge.judge(breaks(), run=run))
    assert [one.pair for one in found] == pairs[:2] and len(read_lines(run)) == 2
    assert [one.pair for one in judge.judge(pairs, run=run)] == pairs


def test_the_stored_file_is_read_once_and_the_data_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = list(read_pairs(write_rows(tmp_path / "pairs.jsonl", WITH_IDS)))
    judge = Judge("scripted:longer").pair_judge
    reads: list[str] = []

    def keys() -> Iterator[str]:
        reads.append("data")
        return list_keys(pairs)

    def open_again() -> RunWriter:
        return open_run(tmp_path / "run", describe_run("judge", judge, data=None), keys=keys)

    with open_again() as writer:
        list(judge.run(pairs, run=writer))
    stored = runs.iterate_lines
    monkeypatch.setattr(runs, "iterate_lines", lambda path: (reads.append("stored"), stored(path))[1])
    with open_again() as writer:
        assert writer.num_resumed == len(pairs) and not list(judge.run(pairs, run=writer))
    assert reads == ["stored", "data"]


SAME_TEXTS = [{"id": f"gsm8k:{number}", **ROWS[0]} for number in (12, 13)] + [{"id": "13", **ROWS[0]}]


def test_an_own_id_is_part_of_an_item_whatever_it_looks_like(tmp_path: Path) -> None:
    path, run = write_rows(tmp_path / "pairs.jsonl", SAME_TEXTS), tmp_path / "run"
    keys = list(number_items(read_pairs(path)))
    assert len({own.partition("-")[0] for (own, *_), _ in keys}) == 3
    # Rows of another sequence, whose judgments find their own ids again.
    assert run_main("judge", path, "-o", run) == 0
    turned = write_rows(tmp_path / "turned.jsonl", SAME_TEXTS[::-1])
    found = list(Judge("scripted:longer").judge(turned, run=run))
    assert [one.pair.id for one in found] == ["13", "gsm8k:13", "gsm8k:12"] and len(read_lines(run)) == 3
    assert run_main("judge", turned, "-o", run) == 0 and len(read_lines(run)) == 3
    with pytest.raises(RunError, match=r"1 of 3 finished items are not in the data .*'gsm8k:12'"):
        list(Judge("scripted:longer").judge(SAME_TEXTS[1:], run=run))


def test_a_run_of_an_earlier_version_goes_on_if_its_ids_look_like_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier versions took them for places, so their keys leave the id out."""
    rows = [*SAME_TEXTS, *LIKE_PLACES]
    path, run = write_rows(tmp_path / "pairs.jsonl", rows), tmp_path / "run"
    assert run_main("judge", path, "-o", run, "--limit", 6) == 0
    counter = KeyCounter()
    old = read_lines(run)
    for line in old:
        digest = stored_digest(line["pair"])
        line["key"] = format_key(digest, counter.increment(digest))
    (run / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    capsys.readouterr()
    assert run_main("judge", path, "-o", run, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["finished"] == 6
    assert run_main("judge", path, "-o", run) == 0
    lines = read_lines(run)
    assert lines[:6] == old and [line["pair"]["id"] for line in lines] == [row["id"] for row in rows]
    found = list(Judge("scripted:longer").judge(path, run=run))
    assert [one.pair.id for one in found] == [row["id"] for row in rows] and read_lines(run) == lines
    assert main(["judge", "-o", str(run)]) == 0 and "nothing is left" in capsys.readouterr().err
