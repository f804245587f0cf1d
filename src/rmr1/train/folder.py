"""The folder of a training run, which becomes a Hugging Face folder when the run is done.

    DIR/
      training.json    how it is made: recipe, data, versions; enough to do it again
      metrics.jsonl    one line per logged step and per look at the held-out data
      checkpoints/     see `rmr1.train.checkpoints`
      best/            weights with the best held-out figures so far, where they are kept
      summary.json     the figures at the end; there once the run is finished
      config.json, model.safetensors, tokenizer.json, ...

The same command goes on where the last checkpoint stands. A folder is locked while it is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rmr1.data.differences import describe_differences
from rmr1.data.fingerprint import fingerprint_source
from rmr1.data.replace import write_text
from rmr1.engines.chat import new_moment
from rmr1.errors import RunError
from rmr1.train.checkpoints import BEST, PART
from rmr1.train.checkpoints import FOLDER as CHECKPOINTS
from rmr1.train.recipe import Section, SourceRecipe

DESCRIPTION = "training.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
LOGS = "logs"
"""Of trackers that write files."""
TRIES = "tries"
"""Of a training that compares learning rates: a folder of this form for each."""
FULL = "full"
"""Of one whose tries are short: the full training at the rate that was chosen."""

_FREE = ("checkpoint", "report", "device")
"""Sections of the recipe that do not change what is trained."""


class RunFolder:
    """An open training folder. Only one process of a run opens it."""

    def __init__(self, path: Path, lock: int):
        self.path = path
        self._lock = lock

    @property
    def is_finished(self) -> bool:
        return (self.path / SUMMARY).exists()

    def read_summary(self) -> dict[str, Any]:
        return json.loads((self.path / SUMMARY).read_text(encoding="utf-8"))

    def log(self, values: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        path = self.path / METRICS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise RunError(
                f"{path}: cannot write ({error.strerror}); checkpoints stay: free space, then run the same "
                "command again"
            ) from None

    def rewind(self, step: int) -> None:
        """Drop the lines of later steps, which are about to be done again."""
        path = self.path / METRICS
        if not path.exists():
            return
        kept = [line for line, values in _lines(path) if values.get("step", 0) <= step]
        write_text(path, "".join(kept))

    def close(self) -> None:
        os.close(self._lock)


def open_folder(path: Path, description: Mapping[str, Any]) -> RunFolder:
    """Create a training folder, or go on with one that was begun in the same way.

    Raises:
        RunError: it holds something else, was begun in another way (the message shows how), is in use, or
            cannot be written.
    """
    lock: int | None = None
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{path}: another process is training into this folder") from None
        except OSError:
            pass  # a file system without locks; two writers are then the user's care
        stored = path / DESCRIPTION
        if stored.exists() and _has_begun(path):
            _refuse_differences(path, json.loads(stored.read_text(encoding="utf-8")), description)
        elif foreign := next((file.name for file in path.iterdir() if not _is_ours(file.name)), None):
            raise RunError(
                f"{path}: the folder holds {foreign!r}, which is no training's beginning; choose another folder"
            )
        else:
            write_text(stored, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    except BaseException as error:
        if lock is not None:
            os.close(lock)
        if isinstance(error, ValueError):
            raise RunError(f"{path / DESCRIPTION}: not valid JSON; the file was changed or damaged") from None
        if isinstance(error, OSError) and not isinstance(error, RunError):
            raise RunError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
        raise
    return RunFolder(path, lock)


def read_beginning(path: Path) -> dict[str, object]:
    """The model of a training that has begun there, as it was stored; of a new one the present time alone.

    `Chat.begin_run` takes it. A file that cannot be read is left to `open_folder`, which says so.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if _has_begun(path):
            return dict(json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))["model"])
    return {"template_time": new_moment()}


def describe_training(
    recipe: Section, data: SourceRecipe, model: Mapping[str, object], *, trained_with: str
) -> dict[str, Any]:
    """What a run is recognised by when it goes on: recipe, data and model; and the versions used."""
    sources = {
        name: [fingerprint_source(one) for one in ((value,) if isinstance(value, str) else value)]
        for name, value in (("train", data.train), ("held_out", data.held_out))
        if value is not None
    }
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": sources or {"world": getattr(data.world, "seed", None)},
        "model": model,
        "versions": {name: version(name) for name in ("rmr1", "torch", "transformers", trained_with)},
    }


def _has_begun(path: Path) -> bool:
    """Whether anything is there that another way of training would not give."""
    metrics = path / METRICS
    return (
        (path / SUMMARY).exists()
        or (path / CHECKPOINTS).exists()
        or (path / TRIES).exists()
        or (metrics.exists() and metrics.stat().st_size > 0)
    )


def _is_ours(name: str) -> bool:
    """Whether a training may have written it before its first checkpoint."""
    return name in (DESCRIPTION, METRICS, LOGS, BEST) or name.startswith(PART)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Whole lines; a line that a kill cut short is left out."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield line, json.loads(line)


def _refuse_differences(path: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    difference = describe_differences(_compared(stored), _compared(wanted))
    if difference is not None:
        raise RunError(
            f"{path}: this training was begun in another way: {difference}; choose another folder, or repeat the old settings"
        )


def _compared(description: Mapping[str, Any]) -> dict[str, Any]:
    recipe = {key: value for key, value in description.get("recipe", {}).items() if key not in _FREE}
    return {"recipe": recipe, "data": description.get("data"), "model": description.get("model")}
