"""Write the table of what RM-R1's six models take on common machines into docs/training.md.

    python scripts/preset_table.py            prints it
    python scripts/preset_table.py --write    replaces it between its marks

Each cell is an estimate of `rmr1.forecast` with the settings that `rmr1.train.fitting` chooses, of the paper's
supervised stage (8,750 judgments) and of its reinforcement (64,188 pairs, of the others 72,941).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmr1.forecast.machine import Machine, parse_machine
from rmr1.forecast.shape import PUBLISHED
from rmr1.pipeline.fitting import KINDS, TYPICAL_TOKENS
from rmr1.train.fit import count_grpo, count_sft
from rmr1.train.fitting import Fitting, fit_settings
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.recipe import Recipe

DOCS = Path(__file__).parent.parent / "docs" / "training.md"
BEGIN, END = "<!-- presets: scripts/preset_table.py -->", "<!-- end of presets -->"
MACHINES = ("8xH100", "8xH200", "H100", "H200")
JUDGMENTS, PAIRS = 8753, {"qwen": 64_188, "deepseek": 72_941}
PROMPT_TOKENS = 1600


def fit(model: str, size: str, kind: str, machine: Machine) -> dict[str, Fitting]:
    """The trainings of one model, by stage."""
    data = {"train": "rows"}
    found: dict[str, Fitting] = {}
    base = f"Qwen/Qwen2.5-{size.upper()}-Instruct"
    if model == "qwen":
        sft = Recipe.from_values({"preset": f"rm-r1-{size}{kind}", "data": data}, "table")
        numbers = count_sft(sft, tokens=TYPICAL_TOKENS, judged=TYPICAL_TOKENS / 3, steps=JUDGMENTS // 128)
        found["sft"] = fit_settings(PUBLISHED[base], numbers, machine)
    preset = {"preset": f"rm-r1-{model}-{size}{kind}", "data": data}
    given: dict[str, Any] = {"model": {"base": base}} if model == "qwen" else {}
    grpo = GrpoRecipe.from_values({**preset, **given}, "table")
    rollouts = PAIRS[model] // grpo.rollout.prompts
    numbers = replace(count_grpo(grpo), rollouts=rollouts, mean_prompt_tokens=PROMPT_TOKENS)
    found["grpo"] = fit_settings(PUBLISHED[str(grpo.model.base)], numbers, machine)
    return found


def format_cell(found: dict[str, Fitting]) -> str:
    """Peak of a device and hours of each stage, or why one does not fit."""
    told = []
    for stage, one in found.items():
        estimate = one.estimate
        gigabytes = f"{max(estimate.peak_bytes, 0) / 1e9:.0f} GB"
        if one.obstacle is not None:
            needs = "vLLM's weights" if one.obstacle.startswith("vLLM") else gigabytes
            told.append(f"{stage} no ({needs})")
            continue
        aside = (", offloaded" if estimate.host_bytes else "") + ("" if one.risk is None else "\\*")
        told.append(f"{stage} {gigabytes}{aside}, {format_hours(estimate.seconds / 3600)}")
    return "; ".join(told)


def format_hours(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1g} h" if hours < 1 else f"{hours:.2g} h"


def format_table() -> str:
    lines = ["| preset | " + " | ".join(MACHINES) + " |", "|---" * (1 + len(MACHINES)) + "|"]
    for model in ("qwen", "deepseek"):
        for size in ("7b", "14b", "32b"):
            for kind in KINDS:
                cells = [format_cell(fit(model, size, kind, parse_machine(one))) for one in MACHINES]
                lines.append(f"| `rm-r1-{model}-{size}{kind}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def replace_table(text: str) -> str:
    """The page with the present table between its marks."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{format_table()}{END}{after}"


def main() -> None:
    if "--write" in sys.argv[1:]:
        DOCS.write_text(replace_table(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(format_table(), end="")


if __name__ == "__main__":
    main()
