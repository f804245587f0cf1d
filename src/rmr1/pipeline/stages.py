"""Stages that follow each other, each one command of `rmr1` with a folder of its own.

    DIR/
      choice.json        whole weights or adapters, and the settings that fit, if they were chosen
      stages.json        of each stage that was begun: the key of its inputs, whether it is done, how long it took,
                         and the hashes of its files
      recipes/sft.toml   what the stage's command reads; `rmr1 sft DIR/recipes/sft.toml -o DIR/sft` does the same
      sft/               its results, in the form of that command
      replaced/sft-1/    results of other inputs, moved out of the way

A stage is skipped if it is done, its files are as it left them and its key is the same: its command, its recipe, and the
contents of what it reads, results of other stages included. One that was stopped goes on as its command does. A stage
runs in a process of its own, which ends when this one does.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from rmr1.errors import RunError
from rmr1.judge.summary import is_unanswered
from rmr1.plugins import require
from rmr1.settings import LATER
from rmr1.store.fingerprint import find_damage, fingerprint_source, hash_files
from rmr1.store.folder import open_folder
from rmr1.store.kinds import METRICS, STAGES_FILE, TRAINING_FILE
from rmr1.store.replace import read_json, remove, write_json, write_text
from rmr1.store.runs import RUN_FILE, SUMMARY_FILE, read_summary

CHOICE_FILE = "choice.json"
"""What was chosen for the machine when the chain began (`rmr1.pipeline.fitting`), so that it goes on in the same way."""
RECIPES = "recipes"
REPLACED = "replaced"
HERE = LATER
"""Stands for the folder in commands and recipes, so that it may be moved."""

_ABOUT = (TRAINING_FILE, METRICS, SUMMARY_FILE, "README.md")
"""What a training writes beside a model."""

_FORWARD_SECONDS = 1.0
_INTERRUPTED = 130
"""Exit code of a command that was interrupted, and has said so."""

STAGE = "RMR1_STAGE"
"""Environment variable of a stage's command: what is said of the whole pipeline is not said again."""

NO = 1
"""Exit code of a command that is done and whose answer is no."""


class Interrupted(KeyboardInterrupt):
    """A stage was interrupted; its command has told the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One command."""

    name: str
    """Its folder."""
    command: tuple[str, ...]
    """Words after `rmr1`."""
    recipe: Mapping[str, Any] | None = None
    """What `{DIR}/recipes/NAME.toml` holds, where the command names that file."""
    reads: tuple[str, ...] = ()
    """Files, folders and datasets; results of other stages as `{DIR}/NAME`."""
    may_say_no: bool = False
    """Whether exit code 1 is an answer, as a gate's, and not something that is left to do."""
    in_place: bool = False
    """Whether the command takes changed inputs in the folder it has, or refuses: what was paid for is never moved
    away."""
    where: tuple[str, ...] = ()
    """Further words that say where the command runs; no part of what it makes."""
    anew: bool = False
    """Whether a command that was stopped cannot go on, so that what it left is removed first."""
    check: Callable[[Path], None] | None = None
    """Looks at the finished folder; raises RMR1Error where there is no going on."""


def run_stages(
    stages: Sequence[Stage],
    folder: Path,
    *,
    say: Callable[[str], None],
    choice: Mapping[str, Any] | None = None,
) -> int:
    """Run what is not done yet; the exit code of the last stage's command: 0, or 1 if its answer is no. `choice` is
    kept in the folder."""
    with open_folder(folder, STAGES_FILE, {}, identify=lambda _: {}):
        if choice is not None:
            write_json(folder / CHOICE_FILE, choice)
        code = 0
        for number, stage in enumerate(stages, 1):
            key = compute_key(stage, folder)
            title = f"stage {number} of {len(stages)}, {stage.name}"
            before = read_state(folder).get(stage.name, {})
            why = None
            if before.get("key") not in (None, key):
                why = "its inputs have changed"
            elif before.get("is_done"):
                why = _find_damage(folder / stage.name, before.get("files", {}))
            if why is None and before.get("is_done"):
                say(f"{title}: done before")
                code = before.get("exit_code", 0)
            else:
                if why is not None and not stage.in_place:
                    moved = _move_away(folder, stage.name)
                    say(f"{title}: {why}" + (f"; what it had made is in {moved}" if moved else ""))
                say(f"{title}: rmr1 {' '.join(_place((*stage.command, *stage.where), folder))}")
                code = _run(stage, key, folder)
            if stage.check is not None:
                stage.check(folder / stage.name)
        return code


def compute_key(stage: Stage, folder: Path) -> str:
    """What the stage's results depend on, as a digest."""
    content = {
        "said": [stage.command, stage.recipe],
        "reads": [_fingerprint(_place(one, folder)) for one in stage.reads],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fingerprint(source: str) -> dict[str, object]:
    """Data by all their bytes, a model's folder by samples of its files, without those that say how it was trained."""
    folder = Path(source)
    if (folder / "config.json").is_file():
        return {"model": hash_files(one for one in _list_files(folder) if one.name not in _ABOUT)}
    return fingerprint_source(source)


def _list_files(folder: Path) -> list[Path]:
    # Below the folder are checkpoints, which may be deleted.
    return sorted(one for one in folder.iterdir() if one.is_file()) if folder.is_dir() else []


def _find_damage(folder: Path, hashes: Mapping[str, str]) -> str | None:
    if not folder.is_dir():
        return "its results are gone"
    return find_damage(folder, hashes, lambda file: hash_files([file]))


def read_state(folder: Path) -> dict[str, Any]:
    """What is stored of each stage that was begun; empty before the first."""
    return read_json(folder / STAGES_FILE) if (folder / STAGES_FILE).exists() else {}


def _run(stage: Stage, key: str, folder: Path) -> int:
    begun = time.monotonic()
    earlier = read_state(folder).get(stage.name, {})
    seconds = earlier.get("seconds", 0.0) if earlier.get("key") == key else 0.0
    _note(folder, stage.name, {"key": key, "is_done": False, "seconds": seconds})
    if stage.recipe is not None:
        with require("rmr1 train", "train"):
            import tomli_w
        path = folder / RECIPES / f"{stage.name}.toml"
        path.parent.mkdir(exist_ok=True)
        write_text(path, tomli_w.dumps(_place(stage.recipe, folder)))
    try:
        if stage.anew:
            remove(folder / stage.name)
        code = run_command(_place((*stage.command, *stage.where), folder))
    finally:
        seconds += time.monotonic() - begun
        _note(folder, stage.name, {"key": key, "is_done": False, "seconds": seconds})
    if code != 0 and not (code == NO and stage.may_say_no and _has_answered(stage, folder / stage.name)):
        raise RunError(
            f"stage {stage.name} ended with exit code {code} (its message stands above); the same command goes on there"
        )
    files = {one.name: hash_files([one]) for one in _list_files(folder / stage.name)}
    done = {"key": key, "is_done": True, "seconds": seconds, "exit_code": code, "files": files}
    _note(folder, stage.name, done)
    return code


def _has_answered(stage: Stage, folder: Path) -> bool:
    """Whether every run has its summary, which is written last, and the model has answered, unless the stage's own
    check says more of that."""
    runs = [one.parent for one in (*folder.glob(RUN_FILE), *folder.glob(f"*/{RUN_FILE}"))]
    if not runs or not all((run / SUMMARY_FILE).is_file() for run in runs):
        return False
    summaries = [read_summary(run) for run in runs]
    return stage.check is not None or not any(
        is_unanswered(one["items"], one["problems"]) for one in summaries
    )


def run_command(words: Sequence[str]) -> int:
    """Run `rmr1 WORDS` in a process that ends when this one does; its exit code, or `Interrupted`."""
    command = [sys.executable, "-m", "rmr1.cli.follow", *words]
    # Leaving the block closes the command's input, at which it ends.
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, STAGE: "1"}) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # A terminal interrupts the command too, which may have something to finish; kill -INT does not.
            try:
                process.wait(timeout=_FORWARD_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                process.wait()
            if process.returncode == _INTERRUPTED:
                raise Interrupted from None
            raise


def _place(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return value.replace(HERE, str(folder))
    if isinstance(value, Mapping):
        return {key: _place(one, folder) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_place(one, folder) for one in value]
    return value


def _note(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    write_json(folder / STAGES_FILE, {**read_state(folder), name: dict(values)})


def _move_away(folder: Path, name: str) -> Path | None:
    old = folder / name
    if not old.exists():
        return None
    place = folder / REPLACED
    place.mkdir(exist_ok=True)
    free = (one for number in count(1) if not (one := place / f"{name}-{number}").exists())
    return old.rename(next(free))
