"""What `rmr1 show` says of a folder that holds no judgments of a run: a training, a curation, a distillation, a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rmr1.cli.curate import print_result
from rmr1.cli.distill_report import print_summary
from rmr1.cli.training import describe_unchanged, describe_use
from rmr1.distill.folder import list_passes, pass_file
from rmr1.errors import RunError
from rmr1.screen import print, print_json
from rmr1.store.kinds import (
    CHECKPOINTS,
    CURATION_FILE,
    FULL,
    METRICS,
    STAGES_FILE,
    TRAINING_FILE,
    TRIES,
    FolderKind,
    read_metrics,
)
from rmr1.store.replace import read_json
from rmr1.store.runs import RUN_FILE, SUMMARY_FILE, read_summary

_MADE = {
    "sft": "a judge by fine-tuning",
    "grpo": "a judge by reinforcement (GRPO)",
    "scalar": "a scalar reward model",
}


def print_folder(folder: Path, kind: FolderKind, *, as_json: bool = False) -> None:
    """What it holds and how far it is."""
    if as_json:
        print_json({"kind": kind, **_describe(folder, kind)})
        return
    show: Callable[[Path], None] = {
        "curate": lambda place: print_result(str(place), read_json(place / CURATION_FILE)),
        "distill": _print_distillation,
        "train": _print_pipeline,
    }.get(kind, lambda place: _print_training(place, kind))
    try:
        show(folder)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RunError(
            f"{folder}: cannot be shown ({type(error).__name__}: {error}); a file of it was changed or damaged"
        ) from None


def _describe(folder: Path, kind: str) -> dict[str, Any]:
    name = {"curate": CURATION_FILE, "distill": RUN_FILE, "train": STAGES_FILE}.get(kind, TRAINING_FILE)
    found: dict[str, Any] = {"description": read_json(folder / name)}
    if (summary := _read_summary(folder)) is not None:
        found["summary"] = summary
    if (folder / METRICS).is_file():
        found["looks"] = [one for one in read_metrics(folder) if _is_look(one)]
    return found


def _print_training(folder: Path, kind: str) -> None:
    recipe = read_json(folder / TRAINING_FILE)["recipe"]
    summary = _read_summary(folder)
    base = _name_base(recipe["model"])
    print(f"{folder}: {_MADE[kind]}, from {base}")
    print(f"data: {_name_data(recipe['data'])}")
    if lora := recipe.get("lora"):
        print(f"adapters: rank {lora['rank']}")
    places = (folder, *sorted(folder.glob(f"{TRIES}/*")), folder / FULL)
    metrics = {place: list(read_metrics(place)) for place in places}
    unit, optim = "rollouts" if kind == "grpo" else "steps", recipe["optim"]
    if summary is not None:
        print(f"finished: {summary['steps']:,} {unit} in {summary['seconds']:,.0f} s")
    else:
        step = max((line["step"] for lines in metrics.values() for line in lines), default=0)
        extent = f"{step:,} {unit} of {optim['epochs']:g} epochs"
        if optim.get("steps"):
            extent = f"{step:,} of {optim['steps']:,} {unit}"
        checkpoints = folder.glob(f"**/{CHECKPOINTS}/*-[0-9]*")
        kept = max((int(one.name.rpartition("-")[2]) for one in checkpoints), default=0)
        print(f"not finished: {extent} done; the same command goes on after {unit[:-1]} {kept:,}")
    for place, lines in metrics.items():
        about = "" if place == folder else f"{place.relative_to(folder)}, "
        for line in filter(_is_look, lines):
            print(f"{about}look after step {line['step']}: {_format_figures(line)}")
        if steps := [line for line in lines if not _is_look(line)]:
            figures = _format_figures(steps[-1], ("loss", "reward", "accuracy", "lr"))
            print(f"{about}step {steps[-1]['step']}: {figures}")
    if summary is not None:
        print(f"at the end: {_format_figures(summary)}")
        print(describe_use(str(folder), note=describe_unchanged(summary, base)))


def _print_distillation(folder: Path) -> None:
    description = read_json(folder / RUN_FILE)
    print(f"{folder}: judgments distilled from a teacher, asked as {description['prompt']['family']}")
    stored = list_passes(folder)
    for number in stored:
        with (folder / pass_file(number)).open("rb") as file:
            count = sum(line.endswith(b"\n") for line in file)
        print(f"pass {number}: {count:,} judgments stored")
    if (summary := _read_summary(folder)) is not None:
        print_summary(summary, folder=str(folder), steps=())
    else:
        print("not finished: there are no rows yet; the same command goes on")
    if stored:
        print(f"read the judgments: rmr1 show {folder} --limit 10")


def _print_pipeline(folder: Path) -> None:
    stages = read_json(folder / STAGES_FILE)
    print(f"{folder}: a pipeline of {len(stages)} stages so far")
    for name, stage in stages.items():
        state = "done" if stage["is_done"] else "begun and not done; the same command goes on there"
        if stage.get("exit_code"):
            state += ", its answer is no"
        figures = _format_figures(_read_summary(folder / name) or {})
        print(f"{name}: {state}, {stage['seconds']:,.0f} s{': ' if figures else ''}{figures}")
    shown = [str(folder / name) for name in stages if (folder / name).is_dir()]
    if shown:
        print(f"more of a stage: rmr1 show {shown[-1]}")
    trained = next((name for name in ("grpo", "sft") if stages.get(name, {}).get("is_done")), None)
    if trained is not None:
        base = _name_base(read_json(folder / trained / TRAINING_FILE)["recipe"]["model"])
        summary = read_summary(folder / trained)
        print(describe_use(f"{folder}/{trained}", note=describe_unchanged(summary, base)))


def _read_summary(folder: Path) -> dict[str, Any] | None:
    return read_summary(folder) if (folder / SUMMARY_FILE).is_file() else None


def _name_base(model: Mapping[str, Any]) -> str:
    return str(model["base"] or f"nothing ({model['from_scratch']['architecture']})")


def _name_data(data: Mapping[str, Any]) -> str:
    if not data.get("train"):
        return f"the synthetic world, {data['world']['items']:,} items"
    sources = [data[name] for name in ("train", "held_out") if data.get(name)]
    return "; held out: ".join(one if isinstance(one, str) else ", ".join(one) for one in sources)


def _is_look(line: Mapping[str, Any]) -> bool:
    return any(name.startswith("held_out") for name in line)


def _format_figures(values: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """Losses, rewards, rates and shares of right verdicts by their names; counts and times are left out."""
    parts = []
    for name in values if names is None else names:
        value, word = values.get(name), name.replace("held_out", "held-out").replace("_", " ")
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if "accuracy" in name or ("unparsed" in name and isinstance(value, float)):
            parts.append(f"{word} {100 * value:.1f}%")
        elif "unparsed" in name:
            parts.append(f"{word} {value}")
        elif "loss" in name or "reward" in name:
            parts.append(f"{word} {value:.4f}")
        elif name == "lr":
            parts.append(f"rate {value:.1e}")
        elif names is None and name in ("items", "rows"):
            parts.append(f"{name} {value:,}")
    return ", ".join(parts)
