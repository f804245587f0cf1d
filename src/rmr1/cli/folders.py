"""What `rmr1 show` says of a folder that holds no judgments of a run: a training, a curation, a distillation, a pipeline.

Folders are told apart by the file that describes them, trainings by what their recipe has: groups of samples
(`rollout`) are GRPO's, rates to choose from a scalar model's, else it is fine-tuning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.data.runs import RUN_FILE, SUMMARY_FILE
from rmr1.errors import RunError
from rmr1.screen import print

_TRAINING = "training.json"
"""The name that `rmr1.train.folder` has for it, repeated here because that module imports torch."""
_METRICS = "metrics.jsonl"
_CHECKPOINTS = "checkpoints"
_CURATION = "curate.json"
_STAGES = "stages.json"
_MADE = {
    "sft": "a judge by fine-tuning",
    "grpo": "a judge by reinforcement (GRPO)",
    "scalar": "a scalar reward model",
}


def recognise(folder: Path) -> str:
    """`sft`, `grpo`, `scalar`, `curate`, `distill`, `train`, or `run` for a judging run.

    Raises:
        RunError: it is nothing that can be shown.
    """
    if (folder / RUN_FILE).is_file():
        return "distill" if _read(folder / RUN_FILE).get("kind") == "distill" else "run"
    if (folder / _TRAINING).is_file():
        recipe = _section(_read(folder / _TRAINING), "recipe")
        if "rollout" in recipe:
            return "grpo"
        return "scalar" if isinstance(_section(recipe, "optim").get("lr"), list) else "sft"
    for name, kind in ((_CURATION, "curate"), (_STAGES, "train")):
        if (folder / name).is_file():
            return kind
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise RunError(f"{folder}: {what}; expected the folder of a run or a training, made with -o")
    inside = sorted(one.parent.name for one in folder.glob(f"*/{RUN_FILE}"))
    if inside:
        raise RunError(
            f"{folder}: holds runs; name one of them: {', '.join(str(folder / one) for one in inside)}"
        )
    raise RunError(
        f"{folder}: not a run folder (no {RUN_FILE}) and not a training, curation or pipeline ({_TRAINING}, "
        f"{_CURATION}, {_STAGES}); expected a folder made with -o"
    )


def print_folder(folder: Path, kind: str, *, as_json: bool = False) -> None:
    """What it holds and how far it is.

    Raises:
        RunError: its files were changed or damaged.
    """
    if as_json:
        print(json.dumps({"kind": kind, **_describe(folder, kind)}, ensure_ascii=False))
        return
    show: Callable[[Path], None] = {
        "curate": _print_curation,
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
    name = {"curate": _CURATION, "distill": RUN_FILE, "train": _STAGES}.get(kind, _TRAINING)
    found: dict[str, Any] = {"description": _read(folder / name)}
    if (folder / SUMMARY_FILE).is_file():
        found["summary"] = _read(folder / SUMMARY_FILE)
    if (folder / _METRICS).is_file():
        found["looks"] = [one for one in _read_metrics(folder) if _is_look(one)]
    return found


def _print_training(folder: Path, kind: str) -> None:
    from rmr1.cli.training import describe_unchanged, print_use

    recipe = _read(folder / _TRAINING)["recipe"]
    summary = _read(folder / SUMMARY_FILE) if (folder / SUMMARY_FILE).is_file() else None
    base = _name_base(recipe["model"])
    print(f"{folder}: {_MADE[kind]}, from {base}")
    print(f"data: {_name_data(recipe['data'])}")
    if lora := recipe.get("lora"):
        print(f"adapters: rank {lora['rank']}")
    metrics = [
        line
        for place in (folder, *sorted(folder.glob("tries/*")), folder / "full")
        for line in _read_metrics(place)
    ]
    step = max((int(line["step"]) for line in metrics), default=0)
    _print_extent(folder, kind, recipe, summary, step)
    for place in (folder, *sorted(folder.glob("tries/*")), folder / "full"):
        about = "" if place == folder else f"{place.relative_to(folder)}, "
        last = None
        for line in _read_metrics(place):
            if _is_look(line):
                print(f"{about}look after step {line['step']}: {_format_figures(line)}")
            else:
                last = line
        if last is not None:
            print(
                f"{about}step {last['step']}: {_format_figures(last, ('loss', 'reward', 'accuracy', 'lr'))}"
            )
    if summary is None:
        return
    print(f"at the end: {_format_figures(summary)}")
    print_use(str(folder), note=describe_unchanged(summary, base))


def _print_extent(
    folder: Path, kind: str, recipe: Mapping[str, Any], summary: Mapping[str, Any] | None, step: int
) -> None:
    unit = "rollouts" if kind == "grpo" else "steps"
    if summary is not None:
        print(f"finished: {summary['steps']:,} {unit} in {summary['seconds']:,.0f} s")
        return
    optim = recipe["optim"]
    if optim.get("steps"):
        extent = f"{step:,} of {optim['steps']:,} {unit}"
    else:
        extent = f"{step:,} {unit} of {optim['epochs']:g} epochs"
    kept = max(
        (int(one.name.rpartition("-")[2]) for one in folder.glob(f"**/{_CHECKPOINTS}/*-[0-9]*")), default=0
    )
    print(f"not finished: {extent} done; the same command goes on after {unit[:-1]} {kept:,}")


def _print_curation(folder: Path) -> None:
    from rmr1.cli.curate import _print_result

    _print_result(str(folder), _read(folder / _CURATION))


def _print_distillation(folder: Path) -> None:
    from rmr1.cli.distill_report import print_summary

    description = _read(folder / RUN_FILE)
    print(f"{folder}: judgments distilled from a teacher, asked as {description['prompt']['family']}")
    stored = list_passes(folder)
    for number in stored:
        with (folder / f"pass{number}.jsonl").open("rb") as file:
            count = sum(line.endswith(b"\n") for line in file)
        print(f"pass {number}: {count:,} judgments stored")
    if (folder / SUMMARY_FILE).is_file():
        print_summary(_read(folder / SUMMARY_FILE), folder=str(folder), steps=())
    else:
        print("not finished: there are no rows yet; the same command goes on")
    if stored:
        print(f"read the judgments: rmr1 show {folder} --limit 10")


def list_passes(folder: Path) -> list[int]:
    """Numbers of a distillation's passes that have judgments."""
    return [number for number in (1, 2) if (folder / f"pass{number}.jsonl").is_file()]


def _print_pipeline(folder: Path) -> None:
    from rmr1.cli.training import describe_unchanged, print_use

    stages = _read(folder / _STAGES)
    print(f"{folder}: a pipeline of {len(stages)} stages so far")
    for name, stage in stages.items():
        state = "done" if stage["is_done"] else "begun and not done; the same command goes on there"
        if stage.get("exit_code"):
            state += ", its answer is no"
        place = folder / name
        figures = ""
        if (place / SUMMARY_FILE).is_file():
            figures = _format_figures(_read(place / SUMMARY_FILE))
        print(f"{name}: {state}, {stage['seconds']:,.0f} s{': ' if figures else ''}{figures}")
    shown = [str(folder / name) for name in stages if (folder / name).is_dir()]
    if shown:
        print(f"more of a stage: rmr1 show {shown[-1]}")
    trained = next((name for name in ("grpo", "sft") if stages.get(name, {}).get("is_done")), None)
    if trained is not None:
        recipe, summary = (
            _read(folder / trained / _TRAINING)["recipe"],
            _read(folder / trained / SUMMARY_FILE),
        )
        print_use(f"{folder}/{trained}", note=describe_unchanged(summary, _name_base(recipe["model"])))


def _name_base(model: Mapping[str, Any]) -> str:
    if model["base"] is not None:
        return str(model["base"])
    return f"nothing ({model['from_scratch']['architecture']})"


def _name_data(data: Mapping[str, Any]) -> str:
    def name(value: Any) -> str:
        return value if isinstance(value, str) else ", ".join(map(str, value))

    if not data.get("train"):
        return f"the synthetic world, {data['world']['items']:,} items"
    return name(data["train"]) + (f"; held out: {name(data['held_out'])}" if data.get("held_out") else "")


def _is_look(line: Mapping[str, Any]) -> bool:
    return any(name.startswith("held_out") for name in line)


def _format_figures(values: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """Losses, rewards, rates and shares of right verdicts by their names; counts and times are left out."""
    wanted = values if names is None else names
    parts = []
    for name in wanted:
        value = values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if "accuracy" in name:
            parts.append(f"{_word(name)} {100 * value:.1f}%")
        elif "unparsed" in name:
            parts.append(f"{_word(name)} {value if isinstance(value, int) else f'{100 * value:.1f}%'}")
        elif "loss" in name or "reward" in name:
            parts.append(f"{_word(name)} {value:.4f}")
        elif name == "lr":
            parts.append(f"rate {value:.1e}")
        elif names is None and name in ("items", "rows"):
            parts.append(f"{name} {value:,}")
    return ", ".join(parts)


def _word(name: str) -> str:
    return name.replace("held_out", "held-out").replace("_", " ")


def _read_metrics(folder: Path) -> Iterator[dict[str, Any]]:
    """Lines of metrics.jsonl; one that a kill cut short is left out.

    Raises:
        RunError: a line is damaged.
    """
    path = folder / _METRICS
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                values = json.loads(line)
            except ValueError:
                values = None
            if not isinstance(values, dict) or not isinstance(values.get("step"), int):
                raise RunError(f"{path}:{number}: not a line of figures; the file was changed or damaged")
            yield values


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; the folder was changed") from None
    except ValueError:
        raise RunError(f"{path}: not valid JSON; the file was changed or damaged") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: not a JSON object; the file was changed or damaged")
    return values


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}
