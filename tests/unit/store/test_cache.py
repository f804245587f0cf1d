"""The cache of judgments: whole entries, several processes, kills, and what is not kept."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rmr1.engines.base import SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import RunError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.finish import Finish
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Generation, Judgment, PreferencePair
from rmr1.store.cache import CACHE_FILE, JudgmentCache

FILLER = """
import sys
from tests.unit.store.test_cache import make_judgment, make_key
from rmr1.store.cache import JudgmentCache
cache = JudgmentCache(sys.argv[1])
for number in range(int(sys.argv[2]), 10**9, 2):
    cache.keep(make_key(number), make_judgment(number))
    print(number, flush=True)
"""


def make_key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def make_judgment(number: int) -> Judgment:
    return Judgment(pair=make_pair(number), family="direct", rule="tagged", winner="A", prompt_tokens=number)


def make_pair(number: int) -> PreferencePair:
    text = f"{number} " * 200
    return PreferencePair(
        id=str(number), prompt=(user(text),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )


def make_pairs(number: int) -> Iterator[PreferencePair]:
    return map(make_pair, range(number))


class Counting(ScriptedEngine):
    def __init__(self, texts: list[str]):
        super().__init__(texts, "counting")
        self.asked = 0

    def _answer(self, prompt, sample, params):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super()._answer(prompt, sample, params)


def judge(cache: JudgmentCache, *, seed: int = 0, text: str = "<answer>[[A]]</answer>") -> GenerativeJudge:
    return GenerativeJudge(
        Counting([text]), load_family("direct"), JudgeSettings(seed=seed), finish=Finish(cache=cache)
    )


def test_a_file_that_grows_is_asked_about_only_where_it_is_new(tmp_path: Path) -> None:
    with JudgmentCache(tmp_path / "cache") as cache:
        first, again = judge(cache), judge(cache)
        before = dict(first.run(make_pairs(10)))
        after = dict(again.run(make_pairs(15)))
        assert (first.engine.asked, again.engine.asked) == (10, 5)
        assert (cache.num_found, cache.num_missing) == (10, 15)
        for key, one in before.items():
            assert after[key] == replace(one, is_cached=True, seconds=after[key].seconds)
        # Another seed places the answers otherwise, another model says something else: nothing is taken over.
        other = judge(cache, seed=1)
        assert len(list(other.run(make_pairs(10)))) == other.engine.asked == 10
        silent = judge(cache, text="<answer>[[B]]</answer>")
        assert len(list(silent.run(make_pairs(10)))) == silent.engine.asked == 10
        assert len(cache) == 35


def test_equal_rows_are_items_of_their_own(tmp_path: Path) -> None:
    with JudgmentCache(tmp_path) as cache:
        keys = [key for key, _ in judge(cache).run([make_pair(1), make_pair(1)])]
        again = judge(cache)
        assert [key for key, _ in again.run([make_pair(1)] * 3)][:2] == keys and again.engine.asked == 1


def test_failures_are_asked_again(tmp_path: Path) -> None:
    class Failing(ScriptedEngine):
        def generate(self, requests, params: SamplingParams):  # type: ignore[no-untyped-def]
            for request in requests:
                yield request, (Generation(text="", finish_reason="error", error="gone"),)

    with JudgmentCache(tmp_path) as cache:
        failing = GenerativeJudge(
            Failing(["x"], "counting"), load_family("direct"), JudgeSettings(), finish=Finish(cache=cache)
        )
        assert [one.problem for _, one in failing.run(make_pairs(3))] == ["generation_failed"] * 3
        assert len(cache) == 0


def test_two_processes_and_kills_leave_whole_entries_only(tmp_path: Path) -> None:
    folder, draw = tmp_path / "cache", random.Random(0)
    told: set[int] = set()
    for round_ in range(3):
        start = 2 * 10**6 * round_
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", FILLER, str(folder), str(start + number)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in (0, 1)
        ]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline()  # both are at work
        time.sleep(0.1 + 0.3 * draw.random())
        for number, writer in enumerate(writers):
            writer.send_signal(signal.SIGKILL)
            out, _ = writer.communicate()
            told |= {start + number, *map(int, [line for line in out.splitlines() if line.isdigit()][:-1])}
    with JudgmentCache(folder) as cache:
        assert len(told) > 20
        for number in told:
            assert cache.find(make_key(number), make_pair(number)) == replace(
                make_judgment(number), is_cached=True
            )
        database = sqlite3.connect(folder / CACHE_FILE)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for (key,) in database.execute("SELECT key FROM judgments").fetchall():
            number = int.from_bytes(key, "big")  # none is foreign or torn
            assert cache.find(key, make_pair(number)) == replace(make_judgment(number), is_cached=True)


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / CACHE_FILE).write_text("not a database, and longer than the header of one " * 9)
    with pytest.raises(RunError, match=r"the cache cannot be used .*; choose another folder"):
        JudgmentCache(tmp_path)
    database = sqlite3.connect(tmp_path / "new.sqlite")
    database.execute("PRAGMA user_version = 9")
    database.close()
    (tmp_path / "new.sqlite").replace(tmp_path / CACHE_FILE)
    with pytest.raises(RunError, match="a cache of format 9; this version reads 1"):
        JudgmentCache(tmp_path)
