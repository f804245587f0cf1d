"""Labels that people give: appended, read, settled, and exported as pairs."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rmr1.errors import ConfigError, DataError, RunError
from rmr1.store.folder import hold
from rmr1.store.labels import (
    LABELS_FILE,
    HumanLabel,
    append_label,
    now,
    read_labelled_pairs,
    read_labels,
    settle_labels,
)
from rmr1.store.runs import open_run, read_description, read_judgments

STORED = Path(__file__).resolve().parents[2] / "fixtures" / "runs" / "judge"
ONE = HumanLabel(key="k", who="ada", when="2026-11-30T16:20:02Z", label="A")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(STORED, tmp_path / "run")


def test_what_is_appended_is_read_in_its_sequence(run: Path) -> None:
    assert list(read_labels(run)) == []
    told = [
        ONE,
        replace(
            ONE, who="bob", label=None, is_judge_wrong=True, is_blind=True, note="invented\nquote \ud800"
        ),
        replace(ONE, when=now()),
    ]
    for one in told:
        append_label(run, one)
    assert list(read_labels(run)) == told
    assert not list(run.glob(".labels*"))


def test_a_torn_last_line_is_left_out_and_cut_off(run: Path) -> None:
    append_label(run, ONE)
    with (run / LABELS_FILE).open("ab") as file:
        file.write(b'{"key": "k", "who": "b')
    assert list(read_labels(run)) == [ONE]
    append_label(run, replace(ONE, who="eve"))
    assert [one.who for one in read_labels(run)] == ["ada", "eve"]


def test_a_damaged_line_is_refused_with_its_place(run: Path) -> None:
    append_label(run, ONE)
    with (run / LABELS_FILE).open("ab") as file:
        file.write(b'{"key": "k", "who": "bob", "when": "2026-11-30T16:20:02Z", "label": "left"}\n')
    with pytest.raises(DataError, match=r"labels\.jsonl:2: HumanLabel\.label"):
        list(read_labels(run))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"who": " "}, "without 'who'"),
        ({"key": ""}, "without 'key'"),
        ({"label": "C"}, "'C' is not A, B or tie"),
        ({"label": None}, "says nothing"),
        ({"label": None, "note": " "}, "says nothing"),
        ({"when": "yesterday"}, "not of the form"),
    ],
)
def test_a_label_that_says_nothing_is_refused(run: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        append_label(run, replace(ONE, **changes))  # type: ignore[arg-type]
    assert not (run / LABELS_FILE).exists()


def test_no_folder_of_a_run_no_label(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        append_label(tmp_path, ONE)


def test_many_writers_lose_nothing(run: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append_label(run, replace(ONE, key=f"k{n}")), range(40)))
    assert sorted(one.key for one in read_labels(run)) == sorted(f"k{n}" for n in range(40))


def test_a_locked_file_is_waited_for_and_then_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmr1.store.labels._WAIT_SECONDS", 0.1)
    with hold(run, run / ".labels.lock"), pytest.raises(RunError, match="another process"):
        append_label(run, ONE)


def test_a_run_that_is_judged_can_be_labelled_and_goes_on(run: Path) -> None:
    with open_run(run, read_description(run)):
        append_label(run, ONE)
    with open_run(run, read_description(run)) as again:
        assert again.num_resumed == 6


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_of_somebody_else_is_one_line(run: Path) -> None:
    run.chmod(0o500)
    try:
        with pytest.raises(RunError, match="cannot be written"):
            append_label(run, ONE)
    finally:
        run.chmod(0o700)


def test_the_last_label_of_each_person_counts_and_a_dispute_settles_nothing() -> None:
    ada, bob = ONE, replace(ONE, who="bob")
    assert settle_labels([ada, replace(ada, label="B")]).labels == {"k": "B"}
    assert settle_labels([ada, replace(ada, label=None, note="?")]).labels == {}
    disputed = settle_labels([ada, replace(bob, label="tie")])
    assert (disputed.labels, disputed.disputed) == ({}, {"k"})
    assert settle_labels([ada, replace(bob, label="B"), bob]).labels == {"k": "A"}


def test_labelled_pairs_have_the_label_of_people(run: Path) -> None:
    stored = dict(read_judgments(run))
    first, second, *_ = stored
    append_label(run, replace(ONE, key=first, label="tie"))
    append_label(run, replace(ONE, key=second, label=None, is_judge_wrong=True))
    append_label(run, replace(ONE, key="of no item"))
    assert list(read_labelled_pairs(run)) == [(first, replace(stored[first].pair, label="tie"))]
