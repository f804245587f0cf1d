"""Judgments as files of other programs."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rmr1 import read_judgments, read_pairs
from rmr1.audit.filters import Filter
from rmr1.cli.main import main
from rmr1.records import Judgment
from rmr1.report.exports import FORMS, write_csv, write_label_studio, write_pairs, write_parquet, write_trl
from rmr1.report.inspect_log import write_inspect
from rmr1.report.rows import COLUMNS, judgment_row
from rmr1.report.selection import Selection
from rmr1.store.labels import HumanLabel, append_label
from rmr1.store.runs import open_run

from .hostile import ATTACKS, write_run

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reading.md"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run")
    return tmp_path / "run"


def export(write: Callable[..., object], selection: Selection) -> tuple[bytes, object]:
    page = io.BytesIO()
    left = write(selection, page)
    return page.getvalue(), left


def lines(content: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in content.splitlines()]


def label(run: Path, key: str, who: str, side: str | None) -> None:
    when = "2026-11-30T16:20:02Z"
    append_label(run, HumanLabel(key=key, who=who, when=when, label=side, note="read"))  # type: ignore[arg-type]


def keys(run: Path) -> list[str]:
    return [key for key, _ in read_judgments(run)]


def test_a_table_has_a_row_for_each_judgment_and_every_column(run: Path) -> None:
    content, left = export(write_csv, Selection(run))
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert not left and len(rows) == len(ATTACKS)
    assert list(rows[0]) == list(COLUMNS)
    first = rows[1]  # asked both ways; said [[A]] both times
    assert (first["winner_given"], first["winner_swapped"], first["flipped"]) == ("A", "B", "True")
    assert (first["winner"], first["problem"], first["right"]) == ("", "split_vote", "False")
    assert (first["quotes"], first["quotes_exact"], first["quotes_invented"]) == ("4", "2", "2")
    assert first["answer_a"].startswith(ATTACKS[1])


def test_parquet_has_the_same_rows_with_types(run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    content, _ = export(write_parquet, Selection(run))
    table = parquet.read_table(io.BytesIO(content))
    assert table.to_pylist() == [judgment_row(key, one) for key, one in read_judgments(run)]
    assert [str(table.schema.field(name).type) for name in ("key", "right", "votes", "confidence")] == [
        "large_string",
        "bool",
        "int64",
        "double",
    ]


def test_preferences_are_the_judges_and_what_has_none_is_counted(run: Path) -> None:
    content, left = export(write_trl, Selection(run))
    rows = lines(content)
    stored = [one for _, one in read_judgments(run)]
    told = [one for one in stored if one.winner is not None]
    assert left == {"no verdict": len(stored) - len(told)}
    assert [row["chosen"][0]["content"] for row in rows] == [one.pair.response_a[0].text for one in told]  # type: ignore[index]
    assert all(list(row) == ["prompt", "chosen", "rejected"] for row in rows)


def test_peoples_labels_win_and_their_disputes_are_left_out(run: Path) -> None:
    first, second, third, *_ = keys(run)
    label(run, first, "ada", "B")
    label(run, second, "ada", "A")
    label(run, third, "ada", "A")
    label(run, third, "bob", "B")
    content, left = export(write_trl, Selection(run, with_labels=True))
    (row, other, *_) = lines(content)
    stored = dict(read_judgments(run))
    assert row["rejected"][0]["content"] == stored[first].pair.response_a[0].text  # type: ignore[index]
    assert other["chosen"][0]["content"] == stored[second].pair.response_a[0].text  # type: ignore[index]
    assert left == {"people disagree": 1, "no verdict": 6}
    assert [key for key, _ in Selection(run, Filter(wrong=True), with_labels=True)][:1] == [first]
    assert dict(Selection(run, with_labels=True))[third].correct is None


def test_pairs_can_be_read_again(run: Path, tmp_path: Path) -> None:
    first, second, *_ = keys(run)
    label(run, first, "ada", "tie")
    label(run, second, "ada", "A")
    label(run, second, "bob", "B")
    content, left = export(write_pairs, Selection(run, with_labels=True))
    assert left == {"no label of people": len(ATTACKS) - 2, "people disagree": 1}
    path = tmp_path / "gold.jsonl"
    path.write_bytes(content)
    (pair,) = read_pairs(path)
    assert pair == replace(dict(read_judgments(run))[first].pair, label="tie")
    whole = [line for line in export(write_pairs, Selection(run))[0].splitlines(True) if b"ud800" not in line]
    path.write_bytes(b"".join(whole))  # no reader takes half a character
    stored = [one.pair for _, one in read_judgments(run) if "\ud800" not in one.pair.id]
    assert list(read_pairs(path)) == stored


def test_tasks_for_label_studio_have_the_verdict_as_prediction(run: Path) -> None:
    content, _ = export(write_label_studio, Selection(run))
    tasks = json.loads(content)
    assert len(tasks) == len(ATTACKS)
    (prediction,) = tasks[0]["predictions"]
    assert prediction["result"] == [
        {
            "id": keys(run)[0],
            "from_name": "pw",
            "to_name": "text1",
            "type": "pairwise",
            "value": {"selected": "left"},
        }
    ]
    assert "predictions" not in tasks[1]  # the orders contradict each other
    assert tasks[0]["data"]["text1"] == next(iter(read_judgments(run)))[1].pair.response_a[0].text
    assert json.loads(export(write_label_studio, Selection(run, Filter(subset="none")))[0]) == []


def test_a_log_of_inspect_counts_what_it_holds(run: Path) -> None:
    log = json.loads(export(write_inspect, Selection(run))[0])
    (score,) = log["results"]["scores"]
    samples = log["samples"]
    assert len(samples) == log["results"]["total_samples"] == score["scored_samples"] == len(ATTACKS)
    values = [one["scores"]["verdict"]["value"] for one in samples]
    assert score["metrics"]["accuracy"]["value"] == values.count("C") / len(values)
    assert set(values) == {"I", "N"}
    assert samples[0]["input"] == [
        {"role": "system", "content": ATTACKS[0]},
        {"role": "user", "content": ATTACKS[0]},
    ]


def test_a_log_is_one_that_inspect_reads(run: Path, tmp_path: Path) -> None:
    inspect_log = pytest.importorskip("inspect_ai.log")
    path = tmp_path / "log.json"
    path.write_bytes(export(write_inspect, Selection(run))[0])
    assert len(inspect_log.read_eval_log(str(path)).samples) == len(ATTACKS)


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    def peak(copies: int) -> int:
        folder = tmp_path / str(copies)
        judgments = write_run(tmp_path / f"small{copies}")
        with open_run(
            folder, {"format": 1, "model_name": "m", "created": "2026-11-30T16:24:27+00:00"}
        ) as run:
            for number in range(copies):
                run.append(f"{number:032x}", _lengthen(judgments[number % len(judgments)]))
        selection, page = Selection(folder), _Nowhere()
        tracemalloc.start()
        for write in (write_csv, write_trl, write_label_studio, write_inspect):
            write(selection, page)  # type: ignore[arg-type]
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    assert peak(20) * 1.5 + 100_000 > peak(200)


def _lengthen(judgment: Judgment) -> Judgment:
    return replace(judgment, pair=replace(judgment.pair, source="x" * 10_000))


class _Nowhere:
    def write(self, content: bytes) -> int:
        return len(content)


def test_the_command_writes_files_and_never_over_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in FORMS:
        file = tmp_path / f"out.{form}"
        assert main(["export", str(run), "--to", form, "-o", str(file)]) == 0
        assert file.stat().st_size > 100
    capsys.readouterr()
    assert main(["export", str(run), "--to", "trl", "-o", str(tmp_path / "out.trl")]) == 2
    assert "exists; choose another name or pass --force" in capsys.readouterr().err
    assert main(["export", str(run), "--to", "trl", "-o", str(tmp_path / "out.trl"), "--force"]) == 0
    assert capsys.readouterr().err.startswith("rmr1: left out: ")
    assert main(["export", str(run), "--to", "parquet"]) == 2
    assert main(["export", str(tmp_path), "--to", "csv"]) == 2


def test_a_terminal_gets_no_control_characters(run: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for form in ("csv", "trl", "pairs", "labelstudio", "inspect"):
        assert main(["export", str(run), "--to", form]) == 0
        shown = capfdbinary.readouterr().out.decode()
        assert shown and not set("\x1b\x07\x9b\u202e\u2066\x00") & set(shown)


def test_the_page_lists_every_column() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for name, column in COLUMNS.items():
        assert f"| `{name}` | {column.kind} | {column.about} |" in page
