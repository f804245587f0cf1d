"""Planted faults are found and named, clean data are left alone."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from rmr1.errors import ConfigError, DataError
from rmr1.probe import LeakReport, probe_leak
from rmr1.probe.leak import FieldReport
from tests.unit.probe.sets import (
    Rows,
    edit_prompt,
    noise_rows,
    render_rows,
    verdict_of,
    world_rows,
    write_rows,
)


def probe(tmp_path: Path, rows: Rows, **options) -> LeakReport:
    return probe_leak(write_rows(tmp_path / "rows.jsonl", rows), **options)


def field(report: LeakReport, name: str) -> FieldReport:
    return next(one for one in report.fields if one.name == name)


def leaks(report: LeakReport) -> list[str]:
    return [one.name for one in report.fields if one.is_leak]


@pytest.fixture(scope="module")
def pairs() -> Rows:
    return world_rows(7, 600)


@pytest.fixture(scope="module")
def prompts() -> Rows:
    return world_rows(8, 600, "messages")


def test_clean_sets_are_quiet_and_say_what_was_read(tmp_path: Path, pairs: Rows, prompts: Rows) -> None:
    report = probe(tmp_path, pairs)
    assert not report.is_leak and report.pairs == report.named == 600 and report.unreadable == 0
    assert field(report, "ids").read_from == ("id",)
    assert field(report, "other columns").read_from == ("source", "subset")
    report = probe(tmp_path, prompts)
    assert not report.is_leak and report.forms == {"messages": 600} and report.untaken == 0
    assert field(report, "prompt frame").read_from == ("prompts as rendered",)


@pytest.mark.parametrize("turns", [1, 2])
def test_the_references_fault_in_one_row_of_twenty(tmp_path: Path, turns: int) -> None:
    draw = Random(0)
    number = 0
    rows = []
    for row in render_rows(noise_rows(3, 800), draw):
        text = row["messages"][-2]["content"]
        old = "\nChatbot B: " if turns == 2 else "[The Start of Chatbot B's"
        if verdict_of(row) == "A" and number < 40 and text.count(old):
            row = edit_prompt(row, lambda text, old=old: text.replace(old, old.replace("Chatbot", "Chabot")))
            number += 1
        rows.append(row)
    assert number == 40
    report = probe(tmp_path, rows)
    assert "prompt frame" in leaks(report)
    finding = next(one for one in field(report, "prompt frame").findings if "Chabot B" in one.feature)
    assert finding.is_leak and (finding.occurrences, finding.outcome, finding.share) == (40, "A wins", 1.0)
    example = finding.examples[0]
    assert "Chabot B" in example.excerpt
    assert "Chabot B" in rows[example.line - 1]["messages"][-2]["content"]


def test_a_token_in_one_of_twenty_rejected_answers(tmp_path: Path, pairs: Rows) -> None:
    rows = [dict(row) for row in pairs]
    planted = Random(1).sample(range(600), 30)
    for place in planted:
        rows[place]["response_b" if rows[place]["label"] == "A" else "response_a"] += "<im_start>"
    report = probe(tmp_path, rows)
    assert leaks(report) == ["control tokens"]
    (finding,) = field(report, "control tokens").findings
    assert (finding.feature, finding.occurrences, finding.outcome) == ("'<im_start>'", 30, "worse answer")
    assert finding.share == 1.0 and finding.p == pytest.approx(2 / 2**30)
    # 30 of 600 rows score, always rightly: 1 - (1 - q)² / 2.
    assert field(report, "control tokens").auc == pytest.approx(1 - 0.95**2 / 2)
    assert [example.line - 1 for example in finding.examples] == sorted(planted)[:3]


def test_the_same_token_in_better_and_worse_answers_is_none(tmp_path: Path, pairs: Rows) -> None:
    rows = [dict(row) for row in pairs]
    for number, place in enumerate(Random(1).sample(range(600), 60)):
        rows[place]["response_a" if number % 2 else "response_b"] += "<im_start>"
    assert not probe(tmp_path, rows).is_leak


def test_where_the_form_writes_the_better_answer_first(tmp_path: Path, pairs: Rows) -> None:
    rows = [
        {
            "prompt": str(row["prompt"]),
            "chosen": row["response_a" if row["label"] == "A" else "response_b"],
            "rejected": row["response_b" if row["label"] == "A" else "response_a"],
            "source": "world",
        }
        for row in pairs
    ]
    report = probe(tmp_path, rows)
    assert not report.is_leak and report.named == 0
    assert "a convention of the file" in field(report, "order").note
    assert "sides have no names" in field(report, "other columns").note
    for row in rows[::20]:
        row["rejected"] += "<im_start>"
    assert leaks(probe(tmp_path, rows)) == ["control tokens"]


def test_ids_that_carry_the_label(tmp_path: Path, pairs: Rows) -> None:
    rows = [{**row, "id": f"{row['id']}-{'left' if row['label'] == 'A' else 'right'}"} for row in pairs]
    report = probe(tmp_path, rows)
    assert leaks(report) == ["ids"]
    (finding,) = field(report, "ids").findings  # the other word says the same
    assert finding.feature in ("id: word 'left'", "id: word 'right'") and finding.share == 1.0


def test_a_source_that_has_one_label(tmp_path: Path, pairs: Rows) -> None:
    number = 0
    rows = []
    for row in pairs:
        is_marked = row["label"] == "B" and number < 40
        number += is_marked
        rows.append({**row, "source": "extra" if is_marked else "world"})
    report = probe(tmp_path, rows)
    assert leaks(report) == ["other columns"]
    assert field(report, "other columns").findings[0].feature == "source = 'extra'"
    assert not probe(tmp_path, rows, ignored=("source",)).is_leak


@pytest.mark.parametrize("is_bare", [False, True], ids=["other-columns", "bare"])
@pytest.mark.parametrize("has_column", [True, False], ids=["with", "without"])
def test_a_label_told_by_more_than_half_of_the_rows(
    tmp_path: Path, pairs: Rows, has_column: bool, is_bare: bool
) -> None:
    """360 of 600 rows are of A, 330 of them are marked and none of B: the other 270 are mixed, 30 to 240."""
    ordered = sorted(pairs, key=lambda row: row["label"])
    swapped = {"response_a": "response_b", "response_b": "response_a"}
    rows = []
    for number, row in enumerate(ordered):
        label = "A" if number < 360 else "B"
        if label != row["label"]:
            row = {**row, **{one: row[other] for one, other in swapped.items()}}
        if is_bare:
            row = {name: row[name] for name in ("prompt", *swapped)}
        # Marked by what they have, or by what they lack.
        rows.append({**row, "label": label, **({"origin": "x"} if (number < 330) is has_column else {})})
    Random(2).shuffle(rows)
    report = probe(tmp_path, rows)
    assert leaks(report) == ["other columns"]
    (finding,) = field(report, "other columns").findings
    assert finding.feature == ("origin = 'x'" if has_column else "without origin = 'x'")
    assert (finding.occurrences, finding.outcome, finding.share) == (330, "A wins", 1.0)
    assert finding.p == pytest.approx(2 * 0.6**330)
    assert all(example.value == "A wins" for example in finding.examples) and finding.examples


def test_models_are_told_and_condemned_only_on_demand(tmp_path: Path, pairs: Rows) -> None:
    rows = [
        {
            **row,
            "model_a": "good" if row["label"] == "A" else "bad",
            "model_b": "bad" if row["label"] == "A" else "good",
        }
        for row in pairs
    ]
    report = probe(tmp_path, rows)
    assert not report.is_leak
    models = field(report, "models of answers")
    assert models.read_from == ("model_a, model_b",) and models.auc == 1.0
    assert {one.feature for one in models.findings} == {"model_* = 'good'", "model_* = 'bad'"}
    assert leaks(probe(tmp_path, rows, strict=True)) == ["models of answers"]


def test_rows_in_the_order_of_their_labels(tmp_path: Path, pairs: Rows) -> None:
    report = probe(tmp_path, sorted(pairs, key=lambda row: row["label"]))
    assert leaks(report) == ["order"] and "clumps" in field(report, "order").note
    both = [[row for row in pairs if row["label"] == label] for label in "AB"]
    report = probe(tmp_path, [row for two in zip(*both, strict=False) for row in two])
    assert not report.is_leak and "in turn" in field(report, "order").note


def test_one_side_always_wins(tmp_path: Path, pairs: Rows) -> None:
    report = probe(tmp_path, [row for row in pairs if row["label"] == "B"])
    assert leaks(report) == ["order"]
    assert field(report, "order").findings[0].outcome == "B wins"


def test_a_hint_in_the_prompt(tmp_path: Path, prompts: Rows) -> None:
    rows = [
        edit_prompt(row, lambda text, row=row: f"{text}\nIt is {verdict_of(row)}.")
        if number % 20 == 0
        else row
        for number, row in enumerate(prompts)
    ]
    # 30 rows in two wordings: neither occurs 20 times with certainty, the AUC sees both.
    report = probe(tmp_path, rows)
    assert leaks(report) == ["prompt frame"]
    frame = field(report, "prompt frame")
    assert frame.auc is not None and frame.auc > 0.51 and frame.p is not None and frame.p <= report.auc_limit


def test_rows_of_distil_are_probed_by_their_prompts_and_not_by_their_verdict(
    tmp_path: Path, prompts: Rows
) -> None:
    def describe(row: dict, number: int) -> dict:
        side = verdict_of(row)
        order = "given" if (side == "A") == (number % 3 > 0) else "swapped"
        teacher = 1 if side == "A" else 2
        return {
            **row,
            "verdict": side,
            "order": order,
            "pass": teacher,
            "teacher": f"t{teacher}",
            "key": f"{number}",
        }

    rows = [describe(row, number) for number, row in enumerate(prompts)]
    report = probe(tmp_path, rows)
    assert not report.is_leak
    assert field(report, "other columns").read_from == ("subset",)
    told = [edit_prompt(row, lambda text, row=row: f"{text}\nIt is {verdict_of(row)}.") for row in rows]
    assert leaks(probe(tmp_path, told)) == ["prompt frame"]


def test_published_prompts_are_probed_too(tmp_path: Path, prompts: Rows) -> None:
    rows = [
        {"context_messages": row["messages"][:-1], "winner": f"model_{verdict_of(row).lower()}"}
        for row in prompts
    ]
    report = probe(tmp_path, rows)
    assert report.forms == {"rm-r1": 600} and not report.is_leak
    for row in rows[::15]:
        if row["winner"] == "model_b":
            continue
        row["context_messages"][1]["content"] += " "
    for row in rows[:120]:
        if row["winner"] == "model_a":
            row["context_messages"][1]["content"] += "\nThink well."
    assert leaks(probe(tmp_path, rows)) == ["prompt frame"]


def test_a_name_that_is_misspelt_everywhere(tmp_path: Path, prompts: Rows) -> None:
    """Then no delimiter is left by which the prompt could be taken apart."""
    number = 0
    rows = []
    for row in prompts:
        if verdict_of(row) == "A" and number < 30:
            row = edit_prompt(row, lambda text: text.replace("Chatbot B", "Chabot B"))
            number += 1
        rows.append(row)
    published = [
        {"context_messages": row["messages"][:-1], "winner": f"model_{verdict_of(row).lower()}"}
        for row in rows
    ]
    distilled = [
        {"context_messages": row["messages"][:-1], "winner": row["messages"][-1]["content"]} for row in rows
    ]
    for form in (rows, published, distilled):
        report = probe(tmp_path, form)
        assert report.pairs == 600 and 0 < report.untaken <= 30 and "prompt frame" in leaks(report)
        assert any("Chabot B" in one.feature for one in field(report, "prompt frame").findings if one.is_leak)


def test_the_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    rows = noise_rows(5, 300)
    assert probe(tmp_path, rows, seed=4) == probe(tmp_path, rows, seed=4)


def test_bad_input(tmp_path: Path, pairs: Rows) -> None:
    good = write_rows(tmp_path / "good.jsonl", pairs[:40])
    broken = tmp_path / "broken.jsonl"
    broken.write_text(good.read_text() + '{"prompt": "q", "respon\n{"prompt": "q", "response_a": ""}\n')
    report = probe_leak(broken)
    assert (report.pairs, report.unreadable) == (40, 2) and "broken.jsonl:41" in report.problems[0]
    with pytest.raises(DataError, match=r"no decided pair in .*40 without a label"):
        probe(tmp_path, [{**row, "label": None} for row in pairs[:40]])
    with pytest.raises(DataError, match="no such file"):
        probe_leak(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="it holds no rows"):
        probe(tmp_path, [])
    with pytest.raises(DataError, match="not the judge's turn"):
        probe(tmp_path, [{"messages": [{"role": "user", "content": "q"}]}])
    with pytest.raises(ConfigError, match="expected 400 or more"):
        probe_leak(good, permutations=99)


def test_prompts_of_another_form_are_read_by_their_frame(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"Which is better?\n{number} or {number + 1}?{' Hm.' * (number % 2)}",
                },
                {"role": "assistant", "content": f"<answer>[[{'AB'[number % 2]}]]</answer>"},
            ]
        }
        for number in range(100)
    ]
    report = probe(tmp_path, rows)
    assert report.untaken == report.pairs == 100
    assert field(report, "prompt frame").num_features > 0 and "prompt frame" in leaks(report)
