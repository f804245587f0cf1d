"""A whole run against a server that misbehaves, killed on the way: everything is judged, nothing is paid twice.

Each item's request carries one `Idempotency-Key` over all its tries and starts, so the server can tell two
pairs that happen to be equal (every tenth is) from one pair that is asked about twice.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.judge.summary import list_failures
from rmr1.prompts import load_family, render_prompt
from rmr1.records import Judgment
from rmr1.store.codec import load_record
from rmr1.store.order import read_in_order
from rmr1.store.runs import read_judgments

from .faulty_server import ANSWERED, FAULTS, LOSSY, Answer, Call, FaultyServer, completion, failure, misbehave
from .runs import kill_when, rmr1, write_pairs

CONCURRENCY = 32
READ_AHEAD = 8
"""Replies that may wait to be stored, beside those on their way."""
TIMEOUT_SECONDS = 2
MAX_RETRIES = 8
SETTINGS = (
    f"engine.concurrency={CONCURRENCY}",
    f"engine.timeout_seconds={TIMEOUT_SECONDS}",
    f"engine.max_retries={MAX_RETRIES}",
    "engine.backoff_seconds=0.01",
    "engine.max_backoff_seconds=0.05",
)


def digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(slots=True)
class Meeting:
    """One call and what became of it."""

    prompt: str
    identity: str
    start: int
    """Number of kills before the call."""
    label: str


@dataclass(slots=True)
class Play:
    """How the server behaves, and all it has met."""

    is_healthy: bool = False
    start: int = 0
    seconds: float = 0.0
    """What an answer takes."""
    meetings: list[Meeting] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: Call) -> Answer:
        with self.lock:
            meeting = Meeting(
                prompt=call.item, identity=call.headers["idempotency-key"], start=self.start, label=""
            )
            self.meetings.append(meeting)
        answer = self.choose(call)
        meeting.label = answer.label
        return replace(answer, seconds=self.seconds)

    def choose(self, call: Call) -> Answer:
        name = f"{digest(call.item):016x}"
        if self.is_healthy:
            side = "AB"[digest(call.item) % 2]
            return Answer(body=completion(f"{name} <answer>[[{side}]]</answer>"), is_billed=True)
        if digest(call.item) % 25 == 0:
            return failure(500, "this one never works")
        # By its short name: the prompt itself speaks of verdicts.
        return misbehave(replace(call, item=name))

    def has_met(self, count: int) -> bool:
        return len(self.meetings) >= count

    def ended(self) -> list[Meeting]:
        with self.lock:
            return list(self.meetings)


def stored_prompts(run: Path) -> Counter[str]:
    """What the judge was asked for each record of the run, torn last line left out."""
    family = load_family("rubric")
    return Counter(
        prompt_of(judgment, family)
        for line in (run / "judgments.jsonl").read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
        for judgment in [
            load_record(Judgment, {k: v for k, v in json.loads(line).items() if k not in ("key", "place")})
        ]
    )


def prompt_of(judgment: Judgment, family: Any) -> str:
    (vote,) = judgment.votes
    return render_prompt(judgment.pair, family, order=vote.order).messages[-1].text


def wait_until_quiet(play: Play) -> None:
    """Until what the killed run had sent has been met."""
    seen = -1
    while seen != len(play.meetings):
        seen = len(play.meetings)
        time.sleep(0.1)


def kill_on_the_way(
    command: list[object], run: Path, play: Play, is_time: Callable[[], bool]
) -> Counter[str]:
    """Kill the run; what was stored at that moment, by prompt."""
    assert kill_when(command, is_time, poll=0.002), "the run finished before it could be killed"
    wait_until_quiet(play)
    play.start += 1
    return stored_prompts(run)


def assert_asked_only_what_was_missing(play: Play, stored: list[Counter[str]]) -> None:
    """After each kill, a prompt is asked for as many items as were not stored, and no more."""
    items = Counter(prompt for prompt, _ in {(one.prompt, one.identity) for one in play.ended()})
    for start, before in enumerate(stored, start=1):
        asked = {(one.prompt, one.identity) for one in play.ended() if one.start >= start}
        for prompt, count in Counter(prompt for prompt, _ in asked).items():
            assert count <= items[prompt] - before[prompt], (start, before[prompt], prompt[-80:])


def count_paid_twice(play: Play) -> list[int]:
    """Per kill: good answers to items that were answered again later, since they were not stored."""
    answers: dict[str, list[int]] = {}
    for one in play.ended():
        if one.label in ANSWERED:
            answers.setdefault(one.identity, []).append(one.start)
    twice = [0] * play.start
    for starts in answers.values():
        # Within one start an item that has its answer is not asked again.
        assert len(starts) == len(set(starts))
        for start in starts[:-1]:
            twice[start] += 1
    return twice


def assert_records_are_whole(run: Path, pairs: Path) -> list[tuple[str, Judgment]]:
    """One record for every item, and nothing else."""
    judgments = list(read_judgments(run))
    wanted = [json.loads(line)["id"] for line in pairs.read_text().splitlines()]
    assert sorted(judgment.pair.id for _, judgment in judgments) == sorted(wanted)
    assert len({key for key, _ in judgments}) == len(judgments)
    return judgments


@pytest.mark.soak
def test_a_run_survives_a_faulty_server_and_kills(tmp_path: Path, soak: bool) -> None:
    number, kills = (2000, 10) if soak else (250, 3)
    pairs, run, play = write_pairs(tmp_path / "pairs.jsonl", number), tmp_path / "run", Play()
    with FaultyServer(play) as server:
        command: list[object] = ["judge", pairs, "-m", f"openai:judge@{server.base_url}", "-o", run]
        command += [part for setting in SETTINGS for part in ("--set", setting)]
        stored = []
        draw = random.Random(0)
        for kill in range(kills):
            # An item takes about three calls.
            target = int((kill + draw.random()) * 2.4 * number / kills)
            stored.append(kill_on_the_way([*command, "--quiet"], run, play, partial(play.has_met, target)))
        done = rmr1(*command)
        judgments = assert_records_are_whole(run, pairs)
        failed = {key: judgment for key, judgment in judgments if list_failures(judgment)}

        labels = Counter(one.label for one in play.ended())
        assert set(labels) == {*FAULTS, "ok"}
        assert_asked_only_what_was_missing(play, stored)
        twice = count_paid_twice(play)
        # What was on its way at a kill, and nothing else.
        assert all(count <= CONCURRENCY + READ_AHEAD for count in twice), twice
        assert len({one.identity for one in play.ended()}) == number

        tell_failures(run, done.stdout, failed)
        never = {one.prompt for one in play.ended() if digest(one.prompt) % 25 == 0}
        family = load_family("rubric")
        assert never <= {prompt_of(judgment, family) for judgment in failed.values()}
        lost = sum(labels[label] for label in LOSSY)
        print(
            f"{number} pairs, {kills} kills, {len(play.meetings)} calls: {dict(labels)}; failed {len(failed)}; "
            f"stored at the kills {[count.total() for count in stored]}; answered again after each kill {twice}; "
            f"answers lost by the server {lost}"
        )

        retry_what_failed(command, run, pairs, play, failed)


def tell_failures(run: Path, printed: str, failed: dict[str, Judgment]) -> None:
    """A user sees how many failed and why, and can list them."""
    assert f"failed: {len(failed)}, for which the engine gave an error\n" in printed
    reasons = Counter(reason for judgment in failed.values() for reason in list_failures(judgment))
    assert all(f"after {MAX_RETRIES + 1} tries" in reason for reason in reasons)
    for reason, count in reasons.most_common(2):
        assert f"  {count} x {reason}\n" in printed
    summary = json.loads((run / "summary.json").read_text())
    assert summary["failed"] == len(failed) and summary["failures"] == dict(reasons)
    listed = rmr1("show", run, "--failed", "--list", "--limit", 0).stdout.splitlines()
    assert len(listed) == len(failed)
    in_order = {key: judgment for key, judgment in read_in_order(run) if key in failed}
    assert in_order == failed and [int(one.pair.id) for one in in_order.values()] == sorted(
        int(one.pair.id) for one in failed.values()
    )
    for line, (key, judgment) in zip(listed, in_order.items(), strict=True):
        assert line.startswith(key[:12]) and judgment.pair.id in line
        assert all(reason in line for reason in list_failures(judgment))
    first = rmr1("show", run, "--failed", "--limit", 1).stdout
    assert "Error" in first and "tries" in first


def retry_what_failed(
    command: list[object], run: Path, pairs: Path, play: Play, failed: dict[str, Judgment]
) -> None:
    """`--retry-failed` asks for what failed alone, also when it is killed itself."""
    family = load_family("rubric")
    wanted = Counter(prompt_of(judgment, family) for judgment in failed.values())
    kept = {
        line
        for line in (run / "judgments.jsonl").read_bytes().splitlines()
        if json.loads(line)["key"] not in failed
    }
    play.is_healthy, play.seconds, play.start = True, 0.05, play.start + 1
    slow = [*command, "--set", "engine.concurrency=2", "--quiet", "--retry-failed"]
    before = len(play.meetings)
    half = before + max(1, len(failed) // 2)
    stored = kill_on_the_way(slow, run, play, partial(play.has_met, half))
    assert stored.total() >= len(kept)
    summary = json.loads(rmr1(*slow, "--json").stdout)

    meetings = play.ended()[before:]
    assert Counter(prompt for prompt, _ in {(one.prompt, one.identity) for one in meetings}) == wanted
    assert {one.label for one in meetings} == {"ok"}
    again = len(meetings) - len(failed)
    assert 0 <= again <= 2 + 2  # on its way, or waiting to be stored, at the kill
    assert summary["items"] == len(kept) + len(failed) and summary["failed"] == 0
    assert summary["failures"] == {} and "generation_failed" not in summary["problems"]
    assert not any(list_failures(judgment) for _, judgment in assert_records_are_whole(run, pairs))
    assert kept <= set((run / "judgments.jsonl").read_bytes().splitlines())
    assert sorted(path.name for path in run.iterdir()) == ["judgments.jsonl", "run.json", "summary.json"]
    print(f"--retry-failed: {len(meetings)} calls for {len(failed)} failures, {again} again after a kill")
