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

import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from rmr1.engines.hf.chat import new_moment
from rmr1.store.fingerprint import fingerprint_source
from rmr1.store.folder import open_folder as open_described
from rmr1.store.identity import list_versions
from rmr1.store.kinds import CHECKPOINTS, METRICS, TRAINING_FILE, TRIES, read_metrics
from rmr1.store.replace import PART, read_json, write_text, writing
from rmr1.store.runs import SUMMARY_FILE, read_summary
from rmr1.train.checkpoints import BEST
from rmr1.train.recipe import SourceRecipe, TrainingRecipe

LOGS = "logs"
"""Folder of trackers that write files."""

_FREE = ("checkpoint", "report", "device", "sharding")
"""Sections of the recipe that do not change what is trained."""


class RunFolder:
    """An open training folder. Only one process of a run opens it."""

    def __init__(self, path: Path, opened: ExitStack):
        self.path = path
        self.close = opened.close

    def read_summary(self) -> dict[str, Any] | None:
        """The summary of a finished training; None until it is finished."""
        return read_summary(self.path) if (self.path / SUMMARY_FILE).exists() else None

    def log(self, values: Mapping[str, Any]) -> None:
        path = self.path / METRICS
        advice = "checkpoints stay: free space, then run the same command again"
        with writing(path, advice), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def rewind(self, step: int) -> None:
        """Drop the lines of later steps, which are about to be done again."""
        if (self.path / METRICS).exists():
            kept = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= step]
            write_text(self.path / METRICS, "".join(line + "\n" for line in kept))


def open_folder(path: Path, description: Mapping[str, Any]) -> RunFolder:
    """Create a training folder, or go on with one that was begun in the same way.

    Raises:
        RunError: it holds something else, was begun in another way, is in use, or cannot be written.
    """
    opened = ExitStack()
    opened.enter_context(
        open_described(
            path,
            TRAINING_FILE,
            description,
            identify=_identify,
            is_begun=lambda: _has_begun(path),
            # What a training may have written before its first checkpoint.
            is_ours=lambda name: name in (METRICS, LOGS, BEST) or name.startswith(PART),
        )
    )
    return RunFolder(path, opened)


def read_beginning(path: Path) -> dict[str, object]:
    """What `Chat.begin_run` takes: the stored model of a training that has begun there, or the present time.

    A file that cannot be read is left to `open_folder`, which says so.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        if _has_begun(path):
            return dict(read_json(path / TRAINING_FILE)["model"])
    return {"template_time": new_moment()}


def describe_training(recipe: TrainingRecipe, model: Mapping[str, object]) -> dict[str, Any]:
    """What a run is recognised by when it goes on: recipe, data and model; and the versions used."""
    data: SourceRecipe = recipe.data
    sources = {
        name: [fingerprint_source(one) for one in ((value,) if isinstance(value, str) else value)]
        for name, value in (("train", data.train), ("held_out", data.held_out))
        if value is not None
    }
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": sources or {"world": getattr(data.world, "seed", None)},
        "model": model,
        "versions": list_versions(("rmr1", "torch", "transformers", "accelerate")),
    }


def _has_begun(path: Path) -> bool:
    """Whether anything is there that another way of training would not give."""
    if any((path / name).exists() for name in (SUMMARY_FILE, CHECKPOINTS, TRIES)):
        return True
    return (path / METRICS).exists() and (path / METRICS).stat().st_size > 0


def _identify(description: Mapping[str, Any]) -> dict[str, Any]:
    recipe = {key: value for key, value in description.get("recipe", {}).items() if key not in _FREE}
    scratch = recipe.get("model", {}).get("from_scratch")
    if scratch is not None and scratch.get("copying") is False:  # a setting that is gone, at its default
        kept = {key: value for key, value in scratch.items() if key != "copying"}
        recipe["model"] = {**recipe["model"], "from_scratch": kept}
    return {"recipe": recipe, "data": description.get("data"), "model": description.get("model")}
