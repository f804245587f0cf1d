"""Counting a run's work, with sizes given by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rmr1 import Judge
from rmr1.errors import RunError
from rmr1.judge.estimate import (
    BYTES_PER_TOKEN,
    RECORD_BYTES,
    PromptSize,
    ServerPace,
    Work,
    compute_server_seconds,
    measure_work,
    read_stored_run,
)
from rmr1.messages import assistant, user
from rmr1.records import Generation, PreferencePair
from rmr1.store.codec import dump_record, dumps
from rmr1.store.runs import open_run, read_description, read_judgments

LIMIT = 100


def make_pair(id: str, tokens: int) -> PreferencePair:
    return PreferencePair(
        id=id, prompt=(user("x" * tokens),), response_a=(assistant("a"),), response_b=(assistant("bb"),)
    )


def count_lengths(key: str, pair: PreferencePair) -> Iterator[PromptSize]:
    """One prompt, of as many tokens as the question has characters."""
    tokens = len(pair.prompt[0].text)
    if tokens > LIMIT:
        yield PromptSize(tokens=tokens, problem="prompt_too_long")
    else:
        yield PromptSize(tokens=tokens, room=min(40, LIMIT - tokens))


def make_work(**changes: float) -> Work:
    return Work(**{"num_samples": 2, "max_new_tokens": 40, "expected_tokens": 30, **changes})  # type: ignore[arg-type]


def test_work_is_counted_prompt_by_prompt() -> None:
    pairs = [make_pair(str(tokens), tokens) for tokens in (10, 20, 60, 75, 90, 101)]
    asked: list[int | None] = []
    work = measure_work(pairs, count_lengths, make_work(), on_prompt=lambda size: asked.append(size.tokens))
    assert asked == [10, 20, 60, 75, 90]
    # 75 leaves 25 tokens and 90 leaves 10; the others leave 40 and are expected to use 30.
    assert work.describe() == {
        "items": 6,
        "finished": 0,
        "prompts": 6,
        "texts": 10,
        "prompts_over_limit": 1,
        "prompts_that_fail": 0,
        "prompts_with_less_room": 2,
        "prompt_tokens": {"total": 356, "over_limit": 101, "median": 60, "longest": 101},
        "completion_tokens": {"most": 2 * (40 * 3 + 25 + 10), "expected": 2 * (30 * 3 + 25 + 10)},
    }
    assert work.asked_tokens == 255
    stored = sum(len(dumps(dump_record(pair))) + RECORD_BYTES for pair in pairs)
    assert work.stored_bytes == stored + 10 * RECORD_BYTES + 250 * BYTES_PER_TOKEN


def test_nothing_has_no_median() -> None:
    work = measure_work([], count_lengths, make_work())
    assert (work.median_tokens, work.longest_tokens, work.describe()["prompt_tokens"]) == (None, None, None)
    assert compute_server_seconds(work, ServerPace(concurrency=4)) == 0.0


@pytest.mark.parametrize(("lengths", "median"), [((5,), 5), ((1, 9), 1), ((1, 9, 9), 9), ((3, 3, 8, 9), 3)])
def test_the_median_is_a_length_that_occurs(lengths: tuple[int, ...], median: int) -> None:
    work = measure_work([make_pair("p", length) for length in lengths], count_lengths, make_work())
    assert work.median_tokens == median


def test_finished_items_are_left_out_and_equal_ones_told_apart(tmp_path: Path) -> None:
    pair, other = make_pair("p", 10), make_pair("q", 20)
    list(Judge("scripted:longer").judge([pair, pair], run=tmp_path / "run"))
    stored = read_stored_run(tmp_path / "run")
    assert (stored.num_items, stored.num_texts) == (2, 2)
    assert stored.num_bytes == (tmp_path / "run" / "judgments.jsonl").stat().st_size
    judged = [judgment.completion_tokens for _, judgment in read_judgments(tmp_path / "run")]
    assert stored.completion_tokens == sum(judged) and stored.mean_tokens == sum(judged) / 2
    work = measure_work([pair, pair, other, pair], count_lengths, make_work(), stored=stored)
    # The run holds the first two of three equal pairs.
    assert (work.items, work.finished, work.prompt_tokens) == (4, 2, 30)


def test_failed_items_are_to_be_judged_again_where_that_is_asked(tmp_path: Path) -> None:
    list(Judge("scripted:longer").judge([make_pair("p", 10), make_pair("q", 20)], run=tmp_path / "run"))
    (first, good), (second, bad) = read_judgments(tmp_path / "run")
    failed = Generation(text="", finish_reason="error", error="no answer", completion_tokens=7)
    bad = replace(bad, votes=(replace(bad.votes[0], generation=failed),))
    with open_run(tmp_path / "again", read_description(tmp_path / "run")) as writer:
        writer.append(first, good)
        writer.append(second, bad)
    stored = read_stored_run(tmp_path / "again")
    assert (stored.num_items, stored.num_texts) == (2, 1)
    assert stored.mean_tokens == good.completion_tokens
    assert read_stored_run(tmp_path / "again", retry_failed=True).num_items == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "judgments.jsonl").touch()
    with pytest.raises(RunError, match="not a run folder"):
        read_stored_run(tmp_path)


def test_a_server_is_as_slow_as_its_narrowest_limit() -> None:
    work = measure_work([make_pair(str(n), 50) for n in range(60)], count_lengths, make_work())
    # A text of 30 tokens takes 1 s and 30 / 50 s; 60 requests go 4 at a time.
    assert compute_server_seconds(work, ServerPace(concurrency=4)) == pytest.approx(1.6 * 60 / 4)
    assert compute_server_seconds(work, ServerPace(concurrency=1000)) == pytest.approx(1.6)
    assert compute_server_seconds(work, ServerPace(concurrency=4, requests_per_minute=30)) == 120
    # 60 prompts of 50 tokens and 120 texts of 30 are 6,600 tokens.
    assert compute_server_seconds(work, ServerPace(concurrency=4, tokens_per_minute=2200)) == 180
