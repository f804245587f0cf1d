"""Rows for files: readable by rmr1 itself, and drawn one by one."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from rmr1.data.codec import dumps
from rmr1.data.read import read_pairs
from rmr1.prompts import load_family
from rmr1.verdicts import parse_verdict
from rmr1.world import sample_pairs
from rmr1.world.export import export_rows, messages_row


def test_pairs_are_read_back_as_they_were(tmp_path: Path) -> None:
    items = list(sample_pairs(3, 150, split="test"))
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"".join(dumps(row) + b"\n" for row in export_rows(items, "pairs")))
    assert list(read_pairs(path)) == [item.pair for item in items]


def test_every_prompt_is_a_list_of_messages() -> None:
    rows = list(export_rows(sample_pairs(3, 150, split="test"), "pairs"))
    assert {len(row["prompt"]) > 1 for row in rows} == {True, False}  # conversations are among them
    assert all(isinstance(one, dict) for row in rows for one in row["prompt"])


def test_messages_hold_the_prompt_and_the_judgment() -> None:
    for item in sample_pairs(3, 100):
        row = messages_row(item)
        system, prompt, judgment = row["messages"]
        assert [one["role"] for one in row["messages"]] == ["system", "user", "assistant"]
        assert system["content"] == load_family("rubric").system
        assert item.pair.response_a[0].text in prompt["content"]
        assert parse_verdict(judgment["content"]).winner == item.pair.label
        assert "[[" not in prompt["content"]


def test_the_fallible_teacher_goes_by_its_seed() -> None:
    items = list(sample_pairs(3, 100))
    rows = [
        [row["messages"][-1] for row in export_rows(items, "messages", teacher="fallible", seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert rows[0] == rows[1] != rows[2]


def test_rows_are_drawn_as_they_are_taken() -> None:
    endless = export_rows(sample_pairs(3), "messages")
    assert len(list(islice(endless, 5))) == 5
