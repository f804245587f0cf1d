"""Run folders: resuming, torn lines, refusals, injected faults."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.errors import DataError, RunError
from rmr1.messages import ImagePart, Message, TextPart, assistant, user
from rmr1.records import Generation, Judgment, PreferencePair, RubricItem, SideText, Trace, Verdict, Vote
from rmr1.store.codec import dump_record, dumps, load_record, loads
from rmr1.store.keys import KeyCounter, content_digest, format_key, seed_for
from rmr1.store.runs import open_run, read_judgments

DESCRIPTION = {
    "data": {"sha256": "1"},
    "model": {"name": "m"},
    "prompt": {"digest": "d"},
    "settings": {"seed": 0},
}


def make_judgment(number: int = 0, text: str = "answer") -> Judgment:
    pair = PreferencePair(
        id=f"p{number}",
        prompt=(user("Q"),),
        response_a=(assistant("a"),),
        response_b=(assistant("b"),),
        label="A",
    )
    vote = Vote(
        order="swapped",
        sample=0,
        generation=Generation(
            text=text,
            finish_reason="stop",
            completion_tokens=3,
            verdict_logprobs=(("A", -0.5), ("B", -1.0)),
            seed=7,
        ),
        verdict=Verdict(
            winner="B",
            ratings=(1.0, 2.5),
            trace=Trace(
                task_type="chat",
                rubric=(RubricItem(text="clear", weight=0.4), RubricItem(text="kind")),
                quotes=(SideText(side="A", text="x"),),
            ),
        ),
    )
    return Judgment(pair=pair, family="rubric", rule="tagged", winner="A", confidence=1.0, votes=(vote,))


def test_a_record_survives_the_file() -> None:
    judgment = make_judgment()
    assert load_record(Judgment, loads(dumps(dump_record(judgment)))) == judgment


def test_messages_of_several_parts_survive_the_file() -> None:
    message = Message(role="user", content=(TextPart(text="look"), ImagePart(url="file:x.png")))
    pair = PreferencePair(
        id="1", prompt=(message,), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )
    assert load_record(PreferencePair, loads(dumps(dump_record(pair)))) == pair


@given(st.text(st.characters()))
def test_any_text_survives_the_file(text: str) -> None:
    judgment = make_judgment(text=text)
    assert load_record(Judgment, loads(dumps(dump_record(judgment)))) == judgment


def test_a_lone_surrogate_survives_the_file() -> None:
    judgment = make_judgment(text="\ud800 x")
    assert load_record(Judgment, loads(dumps(dump_record(judgment)))) == judgment


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(DataError, match="unknown key 'winer' in Judgment"):
        load_record(Judgment, {**dump_record(make_judgment()), "winer": "A"})


def test_a_bad_literal_is_an_error() -> None:
    with pytest.raises(DataError, match=r"PreferencePair\.label: Input should be 'A', 'B' or 'tie', not 'C'"):
        load_record(PreferencePair, {**dump_record(make_judgment().pair), "label": "C"})


def test_keys_count_identical_rows_apart() -> None:
    pair = make_judgment().pair
    counter = KeyCounter(capacity=2)
    keys = [format_key(content_digest(pair), counter.increment(content_digest(pair))) for _ in range(3)]
    assert len(set(keys)) == 3 and keys[1] == keys[0] + "-1" and keys[2] == keys[0] + "-2"
    assert content_digest(pair) != content_digest(pair.swap())


@given(st.lists(st.integers(0, 40), max_size=300))
def test_the_packed_counter_counts_like_a_dict(numbers: list[int]) -> None:
    counter, expected = KeyCounter(capacity=1), {}
    for number in numbers:
        digest = (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") * 2
        assert counter.increment(digest) == expected.get(number, 0)
        expected[number] = expected.get(number, 0) + 1
        assert digest in counter
    assert len(counter) == len(expected)
    assert bytes(16) not in counter or 0 in expected


def test_seeds_depend_on_every_part() -> None:
    seeds = {seed_for(0, "a", "b"), seed_for(1, "a", "b"), seed_for(0, "ab"), seed_for(0, "b", "a")}
    assert len(seeds) == 4 and all(0 <= seed < 2**63 for seed in seeds)


def test_a_run_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    with open_run(tmp_path / "r", DESCRIPTION) as run:
        run.append("k0", make_judgment(0))
        run.append("k1", make_judgment(1))
    file = tmp_path / "r" / "judgments.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert [key for key, _ in read_judgments(tmp_path / "r")] == ["k0"]
    with open_run(tmp_path / "r", DESCRIPTION) as run:
        assert run.num_resumed == 1 and run.is_finished("k0") and not run.is_finished("k1")
        run.append("k1", make_judgment(1))
    assert file.read_bytes() == whole


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_a_torn_first_line_leaves_an_empty_run(tmp_path: Path, keep: int) -> None:
    with open_run(tmp_path / "r", DESCRIPTION) as run:
        run.append("k0", make_judgment(0))
    file = tmp_path / "r" / "judgments.jsonl"
    file.write_bytes(file.read_bytes()[:keep])
    with open_run(tmp_path / "r", DESCRIPTION) as run:
        assert run.num_resumed == 0
    assert file.read_bytes() == b""


@pytest.mark.parametrize(
    ("section", "value", "shown"),
    [
        ("model", {"name": "other"}, r"model.name was 'm', now 'other'"),
        ("prompt", {"digest": "e"}, r"prompt.digest was 'd', now 'e'"),
        ("data", {"sha256": "2"}, r"data.sha256 was '1', now '2'"),
        ("settings", {"seed": 1}, r"settings.seed was 0, now 1"),
    ],
)
def test_a_run_made_in_another_way_is_refused(tmp_path: Path, section: str, value: dict, shown: str) -> None:
    open_run(tmp_path / "r", DESCRIPTION).__exit__()
    with pytest.raises(RunError, match=shown):
        open_run(tmp_path / "r", {**DESCRIPTION, section: value})


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with open_run(tmp_path / "r", DESCRIPTION), pytest.raises(RunError, match="another process is writing"):
        open_run(tmp_path / "r", DESCRIPTION)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with open_run(tmp_path / "r", DESCRIPTION) as run:
        run.append("k0", make_judgment(0))
    file = tmp_path / "r" / "judgments.jsonl"
    file.write_bytes(file.read_bytes() + b"{oops\n")
    with pytest.raises(DataError, match=r"judgments\.jsonl:2: not valid JSON"):
        list(read_judgments(tmp_path / "r"))


def test_a_full_disk_is_one_clear_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write
    written: list[int] = []

    def full(handle: int, data: bytes) -> int:
        """Takes twenty bytes, then has no room."""
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(real_write(handle, data[:20]))
        return written[0]

    with open_run(tmp_path / "r", DESCRIPTION) as run:
        run.append("k0", make_judgment(0))
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(RunError, match="No space left on device"):
            run.append("k1", make_judgment(1))
        monkeypatch.setattr(os, "write", real_write)
    finished = [key for key, _ in read_judgments(tmp_path / "r")]
    assert finished == ["k0"]
    with open_run(tmp_path / "r", DESCRIPTION) as run:
        assert run.is_finished("k0") and not run.is_finished("k1")


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RunError, match=r"cannot be written .Permission denied.; choose another folder$"):
        open_run(tmp_path / "r", DESCRIPTION)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not a run folder \(no run.json\)"):
        list(read_judgments(tmp_path))
    (tmp_path / "judgments.jsonl").write_text(json.dumps({"mine": 1}) + "\n")
    with pytest.raises(RunError, match=r"holds 'judgments.jsonl' but no run.json"):
        open_run(tmp_path, DESCRIPTION)
