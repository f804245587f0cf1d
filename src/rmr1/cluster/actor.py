"""The actor's side: one judge, loaded once, that is asked about block after block.

Several blocks are at the actor at a time, and one stream runs through the judge: the next block's items follow before
the last one's are finished, so the engine's batches stay full.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rmr1.cluster.blocks import Answer, Block, Way
from rmr1.cluster.outline import Profile, profile_judge
from rmr1.errors import GenerationError, RMR1Error, reason_of
from rmr1.judge.alarm import Alarm
from rmr1.judge.cascade import CascadeJudge
from rmr1.judge.finish import Finish
from rmr1.judge.identity import begin_run
from rmr1.judge.load import LoadedJudge, load_judge
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import PromptFamily
from rmr1.records import Judgment, PreferencePair


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an actor loads. Cache and calibration are the driver's, but for a cascade's thresholds."""

    model: str
    settings: JudgeSettings
    family: PromptFamily | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    cascade: tuple[str, ...] | None = None
    thresholds: tuple[float | None, ...] | None = None
    directory: str | None = None
    """The folder that relative names of files count from, if it is there."""

    def load(self) -> LoadedJudge:
        """The judge, in this process.

        Raises:
            RMR1Error: as `rmr1.judge.load.load_judge`.
        """
        if self.directory is not None:
            with suppress(OSError):
                os.chdir(self.directory)
        judge = load_judge(
            self.model,
            family=self.family,
            settings=self.settings,
            options=self.options,
            cascade=self.cascade,
        )
        if isinstance(judge, CascadeJudge):
            judge.thresholds = self.thresholds
        judge.finish = Finish()
        return judge


@dataclass(slots=True)
class _Entry:
    """A block at the actor."""

    block: Block
    judgments: list[tuple[str, Judgment]] = field(default_factory=list)
    error: RMR1Error | None = None
    is_done: threading.Event = field(default_factory=threading.Event)


class Desk:
    """A loaded judge that several threads give blocks to. One thread of its own asks it."""

    def __init__(self, judge: LoadedJudge):
        self._judge = judge
        self._entries: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._begun: Mapping[str, Any] | None = None
        self._carried: _Entry | None = None
        """A block that was taken up and is asked about in another way."""
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def profile(self) -> Profile:
        """What its model is."""
        return profile_judge(self._judge)

    def judge(self, block: Block) -> Answer:
        """The block's judgments, as soon as all are there."""
        entry = _Entry(block)
        self._entries.put(entry)
        entry.is_done.wait()
        return Answer(
            number=block.number,
            judgments=tuple(entry.judgments),
            notes=tuple(getattr(self._model, "notes", ())),
            error=entry.error,
        )

    @property
    def _model(self) -> Any:
        return self._judge.scorer if isinstance(self._judge, ScalarJudge) else self._judge.engine

    def _work(self) -> None:
        while True:
            first, self._carried = self._carried or self._entries.get(), None
            waiting: dict[str, _Entry] = {}
            error: RMR1Error = GenerationError("the engine ended before all items were judged")
            try:
                judge = self._adapt(first.block.asking)
                items = self._stream(first, waiting)
                for key, judgment in judge.begin().run(items, alarm=Alarm(num_alike=0)):
                    entry = waiting.pop(key)
                    entry.judgments.append((key, judgment))
                    if len(entry.judgments) == len(entry.block.items):
                        entry.is_done.set()
            except BaseException as caught:  # without its thread an actor would wait for ever
                error = caught if isinstance(caught, RMR1Error) else GenerationError(describe_failure(caught))
            for entry in (first, *waiting.values()):
                if not entry.is_done.is_set():
                    entry.error = error
                    entry.is_done.set()

    def _stream(self, first: _Entry, waiting: dict[str, _Entry]) -> Iterator[tuple[str, PreferencePair]]:
        """Items of block after block, until none is at hand that is asked about in the same way."""
        entry: _Entry | None = first
        while entry is not None:
            for key, pair in entry.block.items:
                waiting[key] = entry
                yield key, pair
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                return
            if entry.block.asking != first.block.asking:
                self._carried, entry = entry, None

    def _adapt(self, asking: Way) -> LoadedJudge:
        judge: Any = self._judge
        for method, *arguments in asking.adapted:
            judge = getattr(judge, method)(*arguments)
        if asking.model is not None and asking.model != self._begun:
            begin_run(judge, asking.model)
            self._begun = asking.model
        return judge  # type: ignore[no-any-return]


def describe_failure(error: BaseException) -> str:
    """What befell an actor, in one line."""
    return f"an actor failed: {type(error).__name__}: {reason_of(error)}"
