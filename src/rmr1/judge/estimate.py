"""What a run would do and take, from its pairs and the sizes of their prompts; nothing is judged.

Pairs are read one at a time and let go. What is not known before a run (how much a judge writes, how fast a server
answers) is assumed, and the assumption is named beside the figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low
from typing import Any

from rmr1.faces import name_option
from rmr1.forecast.numbers import DEFAULT_TEXT_TOKENS
from rmr1.judge.summary import list_failures
from rmr1.records import NO_TEXT, PreferencePair
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import KeyCounter, number_items
from rmr1.store.runs import JUDGMENTS_FILE, key_digest, read_judgments

BYTES_PER_TOKEN = 8
"""Stored for one token of a text: its characters, once as written and once as the trace read from it."""
RECORD_BYTES = 400
"""Stored for one text beside its characters."""

SERVER_TOKENS_PER_SECOND = 50.0
SERVER_FIRST_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSize:
    """One prompt of a pair."""

    tokens: int | None
    """None where they are not counted."""
    room: int = 0
    """Most tokens of each of its texts."""
    parts: tuple[int, ...] = ()
    """Most tokens of each request that a guided text takes, in their sequence."""
    problem: str | None = None
    """"prompt_too_long" or "generation_failed": it will not be asked."""


PromptCounter = Callable[[str, PreferencePair], Iterable[PromptSize]]
"""The sizes of the prompts that a judge would make of a pair, by its key, without the judge."""


@dataclass(slots=True, kw_only=True)
class StoredRun:
    """What a run folder holds already."""

    folder: Path
    finished: KeyCounter = field(default_factory=KeyCounter)
    num_items: int = 0
    num_texts: int = 0
    completion_tokens: int = 0
    num_bytes: int = 0

    @property
    def mean_tokens(self) -> float | None:
        """None if there is no text, or tokens were not counted."""
        return self.completion_tokens / self.num_texts if self.completion_tokens else None


def read_stored_run(folder: Path, *, retry_failed: bool = False) -> StoredRun:
    """Read a run folder, and only read it. With `retry_failed`, failed items are not finished."""
    run, file = StoredRun(folder=folder), folder / JUDGMENTS_FILE
    if not file.exists():
        return run
    run.num_bytes = file.stat().st_size
    for key, judgment in read_judgments(folder):
        if retry_failed and list_failures(judgment):
            continue
        run.finished.increment(key_digest(key))
        run.num_items += 1
        texts = [one.generation for one in judgment.votes if one.generation.finish_reason not in NO_TEXT]
        run.num_texts += len(texts)
        run.completion_tokens += sum(text.completion_tokens for text in texts)
    return run


def expect_tokens(
    most: int, *, given: int | None = None, stored: float | None = None, where: str = "those stored"
) -> tuple[float, str]:
    """The length of a text, which `--expect-tokens` gives or stored ones tell, and the reason for it."""
    if given is not None:
        return min(given, most), f"as {name_option('expect_tokens')} says"
    if stored:
        return min(stored, most), f"the mean of {where}"
    if most < DEFAULT_TEXT_TOKENS:
        return most, "the limit of its tokens"
    return DEFAULT_TEXT_TOKENS, f"a guess; {name_option('expect_tokens', 'N')} is another"


@dataclass(slots=True, kw_only=True)
class Work:
    """What there is to do, counted prompt by prompt."""

    num_samples: int
    max_new_tokens: int
    expected_tokens: float
    """The tokens that a text is reckoned with, if it has room for them."""
    items: int = 0
    finished: int = 0
    prompts: int = 0
    overlong: int = 0
    """Prompts beyond the model's limit, which are skipped."""
    overlong_tokens: int = 0
    failed: int = 0
    """Prompts that the model cannot be asked for another reason."""
    short: int = 0
    """Prompts that leave less than `max_new_tokens`."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Tokens of a prompt -> how many prompts have so many, over-long ones among them."""
    most_completion_tokens: int = 0
    expected_completion_tokens: float = 0.0
    stored_bytes: float = 0.0
    """Expected to be added to the run folder."""

    def add(self, size: PromptSize) -> None:
        self.prompts += 1
        if size.tokens is not None:
            self.lengths[size.tokens] += 1
        if size.problem is not None:
            self.overlong += size.problem == "prompt_too_long"
            self.failed += size.problem != "prompt_too_long"
            self.overlong_tokens += size.tokens or 0
            return
        self.short += size.room < (sum(size.parts) or self.max_new_tokens)
        expected = min(self.expected_tokens, size.room)
        self.most_completion_tokens += self.num_samples * size.room
        self.expected_completion_tokens += self.num_samples * expected
        self.stored_bytes += self.num_samples * (RECORD_BYTES + BYTES_PER_TOKEN * expected)

    @property
    def texts(self) -> int:
        return self.num_samples * (self.prompts - self.overlong - self.failed)

    @property
    def prompt_tokens(self) -> int:
        """Each prompt is counted once for all its samples."""
        return sum(tokens * count for tokens, count in self.lengths.items())

    @property
    def asked_tokens(self) -> int:
        """`prompt_tokens` without the prompts that are not asked."""
        return self.prompt_tokens - self.overlong_tokens

    @property
    def median_tokens(self) -> int | None:
        """The lower one of two in the middle."""
        return median_low(self.lengths.elements()) if self.lengths else None

    @property
    def longest_tokens(self) -> int | None:
        return max(self.lengths, default=None)

    def describe(self) -> dict[str, Any]:
        tokens = {
            "prompt_tokens": {
                "total": self.prompt_tokens,
                "over_limit": self.overlong_tokens,
                "median": self.median_tokens,
                "longest": self.longest_tokens,
            },
            "completion_tokens": {
                "most": self.most_completion_tokens,
                "expected": round(self.expected_completion_tokens),
            },
        }
        return {
            "items": self.items,
            "finished": self.finished,
            "prompts": self.prompts,
            "texts": self.texts,
            "prompts_over_limit": self.overlong,
            "prompts_that_fail": self.failed,
            "prompts_with_less_room": self.short,
            **(tokens if self.lengths else dict.fromkeys(tokens)),
        }


def measure_work(
    pairs: Iterable[PreferencePair],
    counter: PromptCounter,
    work: Work,
    *,
    stored: StoredRun | None = None,
    on_prompt: Callable[[PromptSize], None] | None = None,
) -> Work:
    """Count every prompt that is still to be asked into `work`, in the sequence of the run."""
    measure_several(pairs, [(counter, work, on_prompt)], stored=stored)
    return work


def measure_several(
    pairs: Iterable[PreferencePair],
    parts: Sequence[tuple[PromptCounter, Work, Callable[[PromptSize], None] | None]],
    *,
    stored: StoredRun | None = None,
) -> None:
    """Count into several works at once; what is stored of a pair is counted into the first of them.

    Args:
        parts: (what counts, into which work, what is told each prompt that will be asked) of each.
    """
    for keys, pair in number_items(pairs):
        is_finished = stored is not None and any(key_digest(key) in stored.finished for key in keys)
        for number, (counter, work, on_prompt) in enumerate(parts):
            work.items += 1
            if is_finished:
                work.finished += 1
                continue
            if not number:
                work.stored_bytes += len(dumps(dump_record(pair))) + RECORD_BYTES
            for size in counter(keys[0], pair):
                work.add(size)
                if on_prompt is not None and size.problem is None:
                    on_prompt(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPace:
    """How fast a server may be asked."""

    concurrency: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


def compute_server_seconds(work: Work, pace: ServerPace) -> float:
    """The longest of what concurrency, requests and tokens a minute allow; one request for all samples."""
    requests = work.prompts - work.overlong - work.failed
    if not requests:
        return 0.0
    text = work.expected_completion_tokens / work.texts if work.texts else 0.0
    answer = SERVER_FIRST_SECONDS + text / SERVER_TOKENS_PER_SECOND
    seconds = max(answer, answer * requests / pace.concurrency)
    if pace.requests_per_minute:
        seconds = max(seconds, 60 * requests / pace.requests_per_minute)
    if pace.tokens_per_minute:
        tokens = work.asked_tokens + work.expected_completion_tokens
        seconds = max(seconds, 60 * tokens / pace.tokens_per_minute)
    return seconds
