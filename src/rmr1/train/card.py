"""The model card of a trained judge: `README.md` in its folder, made of what the run has stored.

The front matter is that of the hub. Base model and licence are handed on from the card of a base that has one, so a judge
at the end of a chain names the model that the chain began with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.errors import CheckpointError
from rmr1.models import resolve_model
from rmr1.plugins import require
from rmr1.screen import markdown_text
from rmr1.store.kinds import TRAINING_FILE, find_kind
from rmr1.store.replace import read_json, write_text
from rmr1.store.runs import SUMMARY_FILE
from rmr1.version import __version__

CARD = "README.md"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WHAT = {
    "sft": "A judge (a generative reward model): it reads a question and two answers, reasons, and gives a verdict. "
    "It was fine-tuned on judgments",
    "grpo": "A judge (a generative reward model): it reads a question and two answers, reasons, and gives a verdict. "
    "It was reinforced on labelled pairs with GRPO",
    "scalar": "A scalar reward model: it gives a conversation a number. It was trained on labelled pairs with the "
    "Bradley-Terry loss",
}
_FIGURES = {
    "steps": "steps",
    "updates": "steps of the optimizer",
    "examples": "examples seen",
    "samples": "judgments sampled",
    "tokens": "tokens",
    "loss": "training loss, of the last steps",
    "held_out_loss": "held-out loss",
    "held_out_accuracy": "held-out verdicts that are right",
    "held_out_verdicts": "held-out verdicts",
    "held_out_pairs": "held-out pairs",
    "held_out_unparsed": "held-out texts without a verdict",
    "best_held_out_accuracy": "held-out verdicts that are right, of the weights that were kept",
    "kept_step": "step whose weights were kept",
    "lr": "learning rate that was kept",
    "parameters": "parameters",
    "trained_parameters": "trained parameters",
    "seconds": "seconds",
}
"""Keys of a summary that a card tells, in this order, and what they are called."""


def write_card(folder: Path) -> None:
    """Write the card of a finished training."""
    write_text(folder / CARD, format_card(folder))


def format_card(folder: Path) -> str:
    """The card of a finished training, out of its description and its summary."""
    kind = str(find_kind(folder))
    described, summary = read_json(folder / TRAINING_FILE), read_json(folder / SUMMARY_FILE)
    recipe = described["recipe"]
    base, adapters = recipe["model"].get("base"), (folder / "adapter_config.json").is_file()
    origin = read_origin(base)
    how = f", by adapters{' (LoRA)' if adapters else ''}" if adapters else ""
    start = f", from {_code(base)}" if base else ", from nothing"
    return "\n".join(
        [
            format_front(origin, kind=kind, is_adapted=adapters),
            f"# {markdown_text(folder.resolve().name)}",
            "",
            f"{_WHAT[kind]}{how}{start}, by rmr1 {described['versions'].get('rmr1', __version__)}.",
            "",
            "## Use",
            "",
            "```",
            f"rmr1 judge pairs.jsonl -m {base} --adapter {folder}"
            if adapters
            else f"rmr1 judge pairs.jsonl -m {folder}",
            "```",
            "",
            *format_figures("Figures", list_figures(summary)),
            "## Data",
            "",
            *_list_data(described),
            "",
            "## Command and settings",
            "",
            "```",
            f"rmr1 {kind} recipe.toml -o {folder}",
            "```",
            "",
            "```toml",
            _format_recipe(recipe).rstrip(),
            "```",
            "",
            "Versions: "
            + ", ".join(f"{name} {version}" for name, version in described["versions"].items())
            + ".",
            "",
        ]
    )


def format_merged(base: str, adapter: Path) -> str:
    """The card of a base into which adapters were merged."""
    return "\n".join(
        [
            format_front(read_origin(base), kind="merged", is_adapted=False),
            "# Merged adapters",
            "",
            f"{_code(base)} with the adapters of {_code(adapter)} added to its weights, by rmr1 {__version__}.",
            "",
            "```",
            f"rmr1 merge {base} {adapter} -o DIR",
            "```",
            "",
        ]
    )


def format_front(origin: Mapping[str, str], *, kind: str, is_adapted: bool) -> str:
    """The front matter; `origin` is of `read_origin`."""
    scored = kind == "scalar"
    lines = [f"{key}: {value}" for key, value in origin.items()]
    lines.append(f"library_name: {'peft' if is_adapted else 'transformers'}")
    lines.append(f"pipeline_tag: {'text-classification' if scored else 'text-generation'}")
    tags = ["rmr1", "reward-model", *([] if scored else ["judge"]), kind, *(["lora"] if is_adapted else [])]
    lines += ["tags:", *(f"- {one}" for one in tags)]
    return "\n".join(["---", *lines, "---", ""])


def read_origin(base: str | None) -> dict[str, str]:
    """Base model and licence of a model, as front matter has them, as far as they are known: of the card in its folder,
    or of the card of the hub where that lies in its cache."""
    if base is None:
        return {}
    is_named = _HUB_NAME.fullmatch(base) is not None and not Path(base).is_dir()
    stated = _read_front(base, is_named=is_named)
    named = {"base_model": base} if is_named else {}
    if not is_named and "base_model" in stated:
        named = {"base_model": stated["base_model"]}
    return {**named, **({"license": stated["license"]} if "license" in stated else {})}


def _read_front(base: str, *, is_named: bool) -> dict[str, str]:
    path: Any = None
    if is_named:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(base, CARD)
    else:
        try:
            path = Path(resolve_model(base)).expanduser() / CARD
        except CheckpointError:
            return {}
    if not isinstance(path, str | Path) or not Path(path).is_file():
        return {}
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    found = re.match(r"---\n(.*?)\n---\n", text, re.S)
    # Of YAML only plain values of one line are read.
    lines = re.findall(r"^(base_model|license):[ \t]*([\w./-]+)[ \t]*$", found[1] if found else "", re.M)
    return dict(lines)


def list_figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of what a training's summary tells."""
    for key, name in _FIGURES.items():
        value = summary.get(key)
        if value is None:
            continue
        if "accuracy" in key:
            yield name, f"{100 * value:.1f}%"
        elif isinstance(value, float):
            yield name, f"{value:.6g}"
        else:
            yield name, f"{value:,}"


def format_figures(title: str, figures: Iterator[tuple[str, str]]) -> list[str]:
    """A section that is a table of two columns."""
    return [
        f"## {title}",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in figures),
        "",
    ]


def _list_data(described: Mapping[str, Any]) -> Iterator[str]:
    data = described["recipe"]["data"]
    if data.get("world"):
        yield f"- items of the synthetic world: `{json.dumps(data['world'])}`"
    for name in ("train", "held_out"):
        sources = data.get(name) or ()
        for one in (sources,) if isinstance(sources, str) else sources:
            yield f"- {name}: {_code(one)}"
    if data.get("held_out_share"):
        yield f"- held out of the training rows: {100 * data['held_out_share']:g}%"


def _format_recipe(recipe: Mapping[str, Any]) -> str:
    with require("training", "train"):
        import tomli_w
    return tomli_w.dumps(_drop_none(recipe))


def _drop_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = ((key, _drop_none(one) if isinstance(one, Mapping) else one) for key, one in values.items())
    return {key: one for key, one in kept if one is not None}


def _code(text: Any) -> str:
    return "`" + str(text).replace("`", "'").replace("\n", " ") + "`"
