"""The folders that the viewer was told to show, and a thread that follows what is still being written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rmr1.audit.figures import FIGURE_COLUMNS, Figures, measure
from rmr1.audit.finding import Finding
from rmr1.errors import ConfigError, RMR1Error
from rmr1.judge.ranking.run import RANKINGS_FILE
from rmr1.store.kinds import FolderKind, find_kind
from rmr1.store.labels import LABELS_FILE, HumanLabel, read_labels
from rmr1.store.runs import read_description
from rmr1.viewer.index import Index
from rmr1.viewer.search import Query

_TRAININGS = ("sft", "grpo", "scalar")
_EVERY_SECONDS = 1.0


_PATIENCE = 5.0
"""Figures may be older than the run for so many times as long as it took to reckon them."""


State = tuple[object, ...]
"""What a run's index holds: the file, the judgments in it, the last of them, and the labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFigures:
    """The figures of a state of the run."""

    figures: Figures
    num_items: int
    """Judgments that the run had."""
    state: State
    good_until: float
    """A time of the monotonic clock."""


@dataclass(kw_only=True)
class OpenRun:
    """One folder."""

    slot: int
    """Its place on the command line, by which addresses name it."""
    folder: Path
    name: str
    kind: FolderKind
    index: Index | None
    """None of a folder without judgments."""
    failure: str | None = None
    """Why the run cannot be followed any further."""
    _findings: dict[Query, tuple[State, tuple[Finding, ...]]] = field(default_factory=dict, repr=False)
    _labels: tuple[object, dict[str, list[HumanLabel]]] = (None, {})
    seen: set[str] = field(default_factory=set, repr=False)
    """Keys of judgments whose verdict this viewer has shown."""
    _kept: dict[Query, KeptFigures] = field(default_factory=dict, repr=False)

    @property
    def judgments(self) -> Index:
        """The index of its judgments.

        Raises:
            ConfigError: the folder holds none.
        """
        if self.index is None:
            raise ConfigError(f"{self.folder}: holds no judgments")
        return self.index

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """What the run says of itself (run.json); empty of a folder that is no run."""
        return {} if self.index is None else read_description(self.folder)

    @property
    def model(self) -> str:
        """The judge as it was named."""
        return str(self.description.get("model_name") or "unknown")

    @property
    def created(self) -> str:
        """The time at which the run was begun, to the minute; empty if it does not say."""
        return str(self.description.get("created") or "")[:16].replace("T", " ")

    @property
    def has_rankings(self) -> bool:
        return (self.folder / RANKINGS_FILE).is_file()

    @property
    def is_training(self) -> bool:
        """Whether it has curves, or will have."""
        return self.kind in _TRAININGS

    @property
    def benchmark(self) -> str | None:
        """The benchmark whose items were judged."""
        data = self.description.get("data")
        name = data.get("benchmark") if isinstance(data, dict) else None
        return name if isinstance(name, str) else None

    def labels_of(self, key: str) -> list[HumanLabel]:
        """What people said of a judgment, in the sequence in which they did; read again if the file has changed.

        Raises:
            DataError: a line is damaged.
        """
        path = self.folder / LABELS_FILE
        about = path.stat() if path.is_file() else None
        state = about and (about.st_ino, about.st_size, about.st_mtime_ns)
        if self._labels[0] != state:
            found: dict[str, list[HumanLabel]] = {}
            for one in read_labels(self.folder):
                found.setdefault(one.key, []).append(one)
            self._labels = (state, found)
        return self._labels[1].get(key, [])

    def audited(self, query: Query, audit: Callable[[], tuple[Finding, ...]]) -> tuple[Finding, ...]:
        """The findings about the judgments that are asked for; of an unchanged run they are made once."""
        state = self.judgments.state
        kept = self._findings.get(query)
        if kept is None or kept[0] != state:
            if len(self._findings) >= 20:
                self._findings.clear()
            kept = self._findings[query] = (state, audit())
        return kept[1]

    def figures(self, query: Query) -> KeptFigures:
        """The figures of the judgments that are asked for. Of an unchanged run they are reckoned once; of a large one that
        grows they may be some seconds old."""
        state, now = self.judgments.state, time.monotonic()
        kept = self._kept.get(query)
        if kept is not None and (
            kept.state == state or (kept.state[0::3] == state[0::3] and now < kept.good_until)
        ):
            return kept
        columns = self.judgments.columns(*FIGURE_COLUMNS, query=query, with_labels=query.by_people)
        figures = measure(columns)
        done = time.monotonic()
        kept = KeptFigures(
            figures=figures,
            num_items=int(str(state[1])),
            state=state,
            good_until=done + _PATIENCE * (done - now),
        )
        if len(self._kept) >= 20:
            self._kept.clear()
        self._kept[query] = kept
        return kept


class Runs:
    """All of them. A context manager."""

    def __init__(self, folders: list[Path]):
        """Open the folders; nothing is indexed yet.

        Raises:
            ConfigError, RunError: a folder is none of ours, or named twice.
        """
        self.all: list[OpenRun] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        names = name_folders(folders)
        for slot, (folder, name) in enumerate(zip(folders, names, strict=True)):
            kind = find_kind(folder)
            if kind not in ("run", *_TRAININGS):
                raise ConfigError(
                    f"{folder}: holds no judgments and no training curves (it was made by rmr1 {kind}); rmr1 show says what it holds"
                )
            index = Index.open(folder) if kind == "run" else None
            self.all.append(OpenRun(slot=slot, folder=folder, name=name, kind=kind, index=index))

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for one in self.all:
            if one.index is not None:
                one.judgments.close()

    @property
    def judged(self) -> list[OpenRun]:
        """Those with judgments."""
        return [one for one in self.all if one.index is not None]

    def follow(self) -> None:
        """Take in from now on what is written to the runs, until the end."""
        self._thread = threading.Thread(target=self._follow, name="viewer index", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stopping.wait(_EVERY_SECONDS):
            for one in self.judged:
                try:
                    one.judgments.refresh()
                    one.failure = None
                except RMR1Error as error:
                    one.failure = str(error)
                except Exception as error:  # of this run; the others are followed further
                    one.failure = f"the run cannot be followed ({type(error).__name__}: {error})"


def name_folders(folders: list[Path]) -> list[str]:
    """The folders' last names, with as many of the names above as tell them apart.

    Raises:
        ConfigError: a folder is named twice.

    >>> name_folders([Path("a/x"), Path("b/x"), Path("b/y")])
    ['a/x', 'b/x', 'y']
    """
    paths = [folder.resolve() for folder in folders]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise ConfigError(f"{folders[number]}: named twice; name every folder once")
    names = []
    for path in paths:
        depth = 1
        while sum(other.parts[-depth:] == path.parts[-depth:] for other in paths) > 1:
            depth += 1
        names.append("/".join(path.parts[-depth:]))
    return names
