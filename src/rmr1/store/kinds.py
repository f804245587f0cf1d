"""What kind of folder a command has made, and what its files are called.

run.json         a judging run (`rmr1.store.runs`), a distillation (`rmr1.distill.folder`) or a pool (`rmr1.active.judging`)
training.json    a training (`rmr1.train.folder`)
curate.json      a curation (`rmr1.curate.folder`)
stages.json      a pipeline (`rmr1.pipeline.stages`)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from rmr1.errors import RunError
from rmr1.store.codec import loads
from rmr1.store.replace import read_json
from rmr1.store.runs import RUN_FILE

TRAINING_FILE = "training.json"
CURATION_FILE = "curate.json"
STAGES_FILE = "stages.json"

POOL = "pool"
"""The `kind` in run.json of pairs that are judged under several rubrics, to ask people about (`rmr1.active.judging`)."""

METRICS = "metrics.jsonl"
"""A training's log: a line for each logged step and each look at the held-out data."""
CHECKPOINTS = "checkpoints"
TRIES = "tries"
"""The tries of a training that compares learning rates: a folder of this form for each."""
FULL = "full"
"""The full training, at the rate that was chosen, of a training whose tries are short."""

FolderKind = Literal["run", "distill", "sft", "grpo", "scalar", "curate", "train"]
"""The command that made a folder; `run` is a judging run, of judge or bench."""


def find_kind(folder: Path) -> FolderKind:
    """Folders are told apart by the file that describes them, trainings by what their recipe has: groups of samples
    (`rollout`) are GRPO's, rates to choose from a scalar model's, else it is fine-tuning."""
    if (folder / RUN_FILE).is_file():
        kind = read_json(folder / RUN_FILE).get("kind")
        if kind == POOL:
            runs = ", ".join(sorted(str(one.parent) for one in folder.glob(f"*/{RUN_FILE}")))
            raise RunError(f"{folder}: a pool of pairs, for rmr1 label; name one of its runs: {runs}")
        return "distill" if kind == "distill" else "run"
    if (folder / TRAINING_FILE).is_file():
        recipe = _section(read_json(folder / TRAINING_FILE), "recipe")
        if "rollout" in recipe:
            return "grpo"
        return "scalar" if isinstance(_section(recipe, "optim").get("lr"), list) else "sft"
    if (folder / CURATION_FILE).is_file():
        return "curate"
    if (folder / STAGES_FILE).is_file():
        return "train"
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise RunError(f"{folder}: {what}; expected the folder of a run or a training")
    if inside := sorted(str(one.parent) for one in folder.glob(f"*/{RUN_FILE}")):
        raise RunError(f"{folder}: holds runs; name one of them: {', '.join(inside)}")
    raise RunError(
        f"{folder}: not a run folder (no {RUN_FILE}) and not a training, curation or pipeline ({TRAINING_FILE}, "
        f"{CURATION_FILE}, {STAGES_FILE})"
    )


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def read_metrics(folder: Path) -> Iterator[dict[str, Any]]:
    """Lines of a training's metrics; one that a kill cut short is left out."""
    path = folder / METRICS
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                values = loads(line)
            except ValueError:
                values = None
            if not isinstance(values, dict) or not isinstance(values.get("step"), int):
                raise RunError(f"{path}:{number}: not a line of figures; the file was changed or damaged")
            yield values
