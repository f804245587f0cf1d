"""Jobs: batches of pairs that are judged behind all else. Each has a folder: its pairs, and a run folder of judgments.

A server that starts again goes on with the jobs that were not finished.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rmr1.data.read import read_pairs
from rmr1.judge.base import list_keys, unfinished_pairs
from rmr1.judge.identity import describe_run
from rmr1.judge.summary import Tally, summarize_run
from rmr1.records import Judgment, PreferencePair
from rmr1.server.service import Service, ServiceError
from rmr1.store.codec import dump_record, dumps
from rmr1.store.replace import write_text
from rmr1.store.runs import JUDGMENTS_FILE, SUMMARY_FILE, open_run

_PAIRS_FILE = "pairs.jsonl"
_RUN = "run"
_MOST_AT_ONCE = 64
"""Pairs of a job that are asked about at a time."""
_PAUSES = (1.0, 5.0, 20.0, 60.0)
"""Seconds before a pair is asked about again if the engine as a whole failed."""
_PART_BYTES = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}")
"""A job's name; nothing else is ever looked up as a folder."""


class Job:
    """One batch."""

    def __init__(self, service: Service, folder: Path):
        self.name = folder.name
        self._service = service
        self._folder = folder
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self._is_stopped = False
        with (folder / _PAIRS_FILE).open("rb") as lines:
            self.num_pairs = sum(1 for _ in lines)

    @property
    def is_finished(self) -> bool:
        return (self._folder / _RUN / SUMMARY_FILE).exists()

    def start(self) -> None:
        self._is_stopped = False
        self._task = asyncio.create_task(self._judge())

    async def stop(self) -> None:
        """End the work; the folder keeps what is judged, and the job does not go on by itself."""
        if self._task is not None and not self._task.done():
            self._is_stopped = True
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def read(self) -> Iterator[bytes]:
        """The lines of its judgments, part by part."""
        with suppress(FileNotFoundError), (self._folder / _RUN / JUDGMENTS_FILE).open("rb") as file:
            while part := file.read(_PART_BYTES):
                yield part

    def describe(self) -> dict[str, Any]:
        status = "running"
        if self.is_finished:
            status = "finished"
        elif self._failure is not None:
            status = "failed"
        elif self._is_stopped or self._task is None:
            status = "stopped"
        told = {
            "id": self.name,
            "status": status,
            "pairs": self.num_pairs,
            "judged": sum(part.count(b"\n") for part in self.read()),
        }
        return told if self._failure is None else {**told, "failure": self._failure}

    async def _judge(self) -> None:
        self._failure = None
        try:
            await self._judge_all()
        except* Exception as errors:
            first = errors.exceptions[0]
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            self._failure = str(first) or type(first).__name__

    async def _judge_all(self) -> None:
        judge = self._service.judge
        pairs = list(read_pairs(self._folder / _PAIRS_FILE))
        description = describe_run("judge", judge, data=None, folder=self._folder / _RUN)
        with open_run(self._folder / _RUN, description, keys=lambda: list_keys(pairs)) as writer:
            tally, room = Tally(), asyncio.Semaphore(_MOST_AT_ONCE)

            async def judge_one(key: str, pair: PreferencePair) -> None:
                try:
                    judgment = await self._insist(key, pair)
                finally:
                    room.release()
                tally.add(judgment)
                writer.append(key, judgment)

            async with asyncio.TaskGroup() as group:
                for key, pair in unfinished_pairs(pairs, writer):
                    await room.acquire()
                    group.create_task(judge_one(key, pair))
            writer.write_summary(summarize_run(writer, tally, judge))

    async def _insist(self, key: str, pair: PreferencePair) -> Judgment:
        """The judgment, also from an engine that fails now and then."""
        for pause in _PAUSES:
            try:
                return await self._service.judge_pair(pair, key=key, in_background=True)
            except ServiceError as error:
                if error.status != 502:
                    raise
                await asyncio.sleep(pause)
        return await self._service.judge_pair(pair, key=key, in_background=True)


class Jobs:
    """All jobs of a server."""

    def __init__(self, service: Service, folder: Path):
        """
        Raises:
            OSError: the folder cannot be made or read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._service = service
        self._folder = folder
        found = sorted(
            one for one in folder.iterdir() if (one / _PAIRS_FILE).exists() and _NAME.fullmatch(one.name)
        )
        self._jobs = {one.name: Job(service, one) for one in found}

    def go_on(self) -> None:
        """Start what was not finished when the server ended."""
        for job in self._jobs.values():
            if not job.is_finished:
                job.start()

    def create(self, pairs: Sequence[PreferencePair]) -> Job:
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir()
        lines = b"".join(dumps(dump_record(pair)) + b"\n" for pair in pairs)
        write_text(folder / _PAIRS_FILE, lines.decode())
        job = self._jobs[folder.name] = Job(self._service, folder)
        job.start()
        return job

    def list(self) -> list[Job]:
        return list(self._jobs.values())

    def find(self, name: str) -> Job:
        """
        Raises:
            ServiceError: there is no such job.
        """
        if name not in self._jobs:
            raise ServiceError(404, "not_found", "no such job")
        return self._jobs[name]

    async def close(self) -> None:
        for job in self._jobs.values():
            await job.stop()
