"""The model card of a judge that a chain has trained: `README.md` in the chain's folder, beside those of its trainings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rmr1.pipeline.stages import HERE, Stage, read_state
from rmr1.store.replace import write_text
from rmr1.store.runs import SUMMARY_FILE, read_summary
from rmr1.train.card import CARD, format_figures, format_front, list_figures, read_origin
from rmr1.version import __version__


def write_chain_card(folder: Path, stages: Sequence[Stage], recipes: Mapping[str, Any], use: str) -> None:
    """Write the card of a finished chain; `use` says how its judge is used."""
    trained = next(name for name in ("grpo", "sft") if name in recipes)
    base = str(recipes[trained].model.base or "").replace(HERE, str(folder)) or None
    state = read_state(folder)
    lines = [
        format_front(read_origin(base), kind=trained, is_adapted=recipes[trained].lora is not None),
        f"# {folder.resolve().name}",
        "",
        f"A judge (a generative reward model) that `rmr1 train` has made, by rmr1 {__version__}; {use}.",
        "",
        "## Stages",
        "",
        "| stage | seconds | command |",
        "|---|---:|---|",
    ]
    for stage in stages:
        name = f"[{stage.name}]({stage.name}/{CARD})" if (folder / stage.name / CARD).exists() else stage.name
        words = " ".join((*stage.command, *stage.where)).replace(HERE, str(folder)).replace("|", "\\|")
        lines.append(f"| {name} | {state.get(stage.name, {}).get('seconds', 0):,.0f} | `rmr1 {words}` |")
    lines += ["", *format_figures(f"Training ({trained})", list_figures(read_summary(folder / trained)))]
    for name in ("baseline", "bench"):
        if (folder / name / SUMMARY_FILE).is_file():
            scores = read_summary(folder / name).get("scores", {})
            if rows := [*_list_scores(scores)]:
                lines += format_figures(f"Measured ({name})", iter(rows))
    write_text(folder / CARD, "\n".join(lines))


def _list_scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Share that is right, overall and in each part."""
    for one in (*scores.get("overall", ()), *scores.get("figures", ())):
        if one.get("value") is not None:
            yield f"{one['group']}: {one['name']}", f"{100 * one['value']:.1f}% of {one.get('total') or 0:,}"
