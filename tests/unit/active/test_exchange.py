"""Label Studio's form there and back, and files that say what cannot be taken."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rmr1.active.exchange import read_labels_of
from rmr1.active.sides import draw_first
from rmr1.report.exports import write_blind_tasks, write_label_studio, write_trl
from rmr1.report.selection import Selection
from rmr1.store.labels import HumanLabel, append_labels, read_labels
from tests.unit.active.asked import WHEN, key_of, make_judgment, say, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [make_judgment(number, "A", p=0.9) for number in range(6)])


def export(write: Any, run: Path, **options: bool) -> Any:
    file = io.BytesIO()
    left = write(Selection(run, **options), file)
    return file.getvalue(), left


def read(path: Path, run: Path, values: Any) -> Any:
    path.write_text(json.dumps(values))
    return read_labels_of(path, run, who="me", when=WHEN)


def annotate(selected: str | None = None, *, choices: list[str] | None = None, **more: Any) -> dict[str, Any]:
    result: list[dict[str, Any]] = []
    if selected is not None:
        result.append({"type": "pairwise", "from_name": "pw", "value": {"selected": selected}})
    if choices is not None:
        result.append({"type": "choices", "from_name": "tie", "value": {"choices": choices}})
    return {"id": 7, "completed_by": 3, "updated_at": "2026-11-30T10:00:00.5Z", "result": result, **more}


@pytest.mark.parametrize("write", [write_label_studio, write_blind_tasks])
def test_there_and_back(write: Any, run: Path, tmp_path: Path) -> None:
    say(run, 0, "ada", "A")
    say(run, 1, "ada", "B")
    say(run, 2, "ada", "tie")
    say(run, 3, "ada", None, is_skipped=True)
    say(run, 0, "eve", "B")
    say(run, 4, "eve", "B")
    say(run, 4, "eve", None, is_undone=True)
    content, left = export(write, run, with_labels=True)
    assert not left
    path, other = (
        tmp_path / "tasks.json",
        write_run(tmp_path / "other", [make_judgment(n, "A") for n in range(6)]),
    )
    path.write_bytes(content)
    found = read_labels_of(path, other, who="me", when=WHEN)
    assert found.errors == ()
    append_labels(other, found.labels)
    is_blind = write is write_blind_tasks
    wanted = {
        (one.key, one.who): (one.label, one.is_skipped) for one in read_labels(run) if one.key != key_of(4)
    }
    assert {(one.key, one.who): (one.label, one.is_skipped) for one in read_labels(other)} == wanted
    assert all(one.is_blind == (is_blind and not one.is_skipped) for one in read_labels(other))
    assert {one.when for one in read_labels(other)} == {WHEN}


def test_blind_tasks_tell_nothing_and_place_by_lot(run: Path) -> None:
    tasks = json.loads(export(write_blind_tasks, run)[0])
    assert [set(task) for task in tasks] == [{"data"}] * 6
    assert set(tasks[0]["data"]) == {"key", "placed", "question", "text1", "text2"}
    for number, task in enumerate(tasks):
        side = draw_first(0, key_of(number), "")
        assert task["data"]["text1"] == f"The {side} of {number}."
    assert len({task["data"]["text1"][4] for task in tasks}) == 2


def test_a_task_of_somebody_elses_is_known_by_its_answers(run: Path, tmp_path: Path) -> None:
    data = {"question": "Question 3?", "response_a": "The B of 3.", "response_b": "The A of 3."}
    found = read(tmp_path / "t.json", run, [{"data": data, "annotations": [annotate("left")]}])
    wanted = HumanLabel(key=key_of(3), who="annotator 3", when="2026-11-30T10:00:00Z", label="B")
    assert found.errors == () and found.labels == (wanted,)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (
            {"annotations": [annotate("middle")]},
            "annotation 7: 'middle' is selected; expected left, right or tie",
        ),
        ({"annotations": [annotate()]}, "nothing is selected"),
        ({"annotations": [annotate("none")]}, "nothing is selected"),
        ({"annotations": [annotate("left", choices=["tie"])]}, "left and tie are selected together"),
        ({"annotations": [annotate(choices=["Neither"])]}, "'neither' is selected"),
        ({"annotations": [{"id": 1}]}, "not as JSON-MIN"),
        ({"annotations": ["x"]}, "not as JSON-MIN"),
        ({"annotations": [annotate("left", updated_at="yesterday")]}, "when 'yesterday' is no time"),
        ({"data": {"key": "f" * 32}, "annotations": [annotate("left")]}, "no judgment has the id"),
        (
            {"data": {"text1": "x", "text2": "y"}, "annotations": [annotate("left")]},
            "no judgment has these two",
        ),
        ({"data": {"key": key_of(0), "placed": "00"}, "annotations": []}, "'placed' is that of another"),
        (
            {"data": {"key": key_of(0), "text1": "x", "text2": "y"}, "annotations": []},
            "its answers are not those of judgment",
        ),
    ],
)
def test_what_cannot_be_taken_is_counted_and_the_rest_is_taken(
    task: dict[str, Any], told: str, run: Path, tmp_path: Path
) -> None:
    good = {"data": {"key": key_of(1)}, "annotations": [annotate("right")]}
    found = read(tmp_path / "t.json", run, [good, {"data": {"key": key_of(0)}, **task}])
    assert [one.label for one in found.labels] == ["B"]
    (error,) = found.errors
    assert told in str(error) and error.line == 2


def test_two_labels_of_one_person_on_one_item(run: Path, tmp_path: Path) -> None:
    tasks = [
        {"data": {"key": key_of(0)}, "annotations": [annotate("left"), annotate("right", id=8)]},
        {"data": {"key": key_of(0)}, "annotations": [annotate("left", completed_by={"email": "eve@x"})]},
        {"data": {"key": key_of(0)}, "annotations": [annotate("left", id=9)]},
    ]
    found = read(tmp_path / "t.json", run, tasks)
    assert [(one.who, one.label) for one in found.labels] == [("annotator 3", "A"), ("eve@x", "A")]
    first, second = map(str, found.errors)
    assert (
        ":1: annotation 8: a second label of annotator 3" in first
        and "(the first: line 1, annotation 7)" in first
    )
    assert ":3: annotation 9: a second label" in second


def test_rows_without_times_do_not_say_which_counts(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    rows = [
        ("0", "ada", "A", ""),
        ("0", "ada", "B", ""),
        ("0", "eve", "B", "2026-11-30T10:00:00Z"),
        ("0", "eve", "A", "2026-11-29T10:00:00Z"),
        ("1", "eve", "A", "2026-11-29T10:00:00Z"),
        ("1", "eve", "B", "2026-11-29T10:00:00Z"),
        ("2", "eve", "B", "2026-11-29T10:00:00Z"),
        ("2", "eve", "B", "2026-11-29T10:00:00Z"),
    ]
    lines = [f"{key_of(int(number))},{who},{label},{when}" for number, who, label, when in rows]
    path.write_text("\n".join(["key,who,label,when", *lines]))
    found = read_labels_of(path, run, who="me", when=WHEN)
    assert [(one.key[-1], one.who, one.label) for one in found.labels] == [
        ("0", "eve", "A"),
        ("1", "eve", "A"),
        ("2", "eve", "B"),
        ("0", "eve", "B"),
        ("0", "ada", "A"),
    ]
    first, second = map(str, found.errors)
    assert "labels.csv:3: a second label of ada" in first and "(the first: line 2)" in first
    assert "labels.csv:7: a second label of eve" in second and "'when'" in second


def test_skips_undos_and_criteria_of_a_copy_are_kept(run: Path, tmp_path: Path) -> None:
    say(run, 0, "ada", "A", criterion="Accuracy")
    append_labels(run, [HumanLabel(key=key_of(0), who="ada", when="2026-12-01T00:00:00Z", is_undone=True)])
    say(run, 1, "ada", None, is_skipped=True)
    found = read_labels_of(run / "labels.jsonl", run, who="me", when=WHEN)
    assert sorted(found.labels, key=str) == sorted(read_labels(run), key=str) and found.errors == ()


def test_preferences_of_people_alone(run: Path) -> None:
    say(run, 0, "ada", "B")
    say(run, 1, "ada", "tie")
    say(run, 2, "ada", "B")
    say(run, 2, "eve", "A")
    content, left = export(write_trl, run, with_labels=True, only_labelled=True)
    (row,) = map(json.loads, content.splitlines())
    assert row == {
        "prompt": [{"role": "user", "content": "Question 0?"}],
        "chosen": [{"role": "assistant", "content": "The B of 0."}],
        "rejected": [{"role": "assistant", "content": "The A of 0."}],
    }
    assert left == {"a tie": 1, "people disagree": 1}
