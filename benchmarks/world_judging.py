"""What judges of the synthetic world do on its test split, and whether two of them differ: for the experiments here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rmr1.engines.hf.loading import load_checkpoint
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.prompts import load_family
from rmr1.rewards import Judged
from rmr1.train.grpo.plan import build_grpo_plan, build_reader
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.rollout import Sampler
from rmr1.train.grpo.tasks import Task, TaskMaker

RESAMPLES = 20_000


def open_sampler(model: Path, rows: int) -> Sampler:
    loaded = load_checkpoint(str(model), device=torch.device("cpu"), dtype=torch.float32)
    ends = read_end_tokens(loaded.model.generation_config, loaded.model.config, loaded.tokenizer)
    return Sampler(loaded.model, loaded.tokenizer, end_tokens=ends, rows=rows)


def judge_test(model: Path, items: int, samples: int) -> dict[str, Any]:
    """Of each test item: family; whether each greedy verdict is right and parsed, both orders; counts of samples."""
    from rmr1.world import sample_pairs

    recipe = GrpoRecipe.from_values(
        {
            "model": {"base": str(model)},
            "data": {"world": {"items": 96, "held_out": 0}},
            "rollout": {"prompts": 96, "samples": 2, "max_new_tokens": 320},
        },
        "evaluation",
    )
    plan = build_grpo_plan(recipe)
    maker = TaskMaker(build_reader(recipe, plan.base), load_family("rubric"), recipe, both=True)
    pairs = [item.pair for item in sample_pairs(0, items, split="test", distribution="balanced")]
    made = [maker.make(pair, place) for place, pair in enumerate(pairs)]
    tasks = [both[order] for order in (0, 1) for both in made]
    sampler = open_sampler(model, 128)

    def judge(tasks: Sequence[Task], number: int, temperature: float) -> list[list[Judged]]:
        drawn = sampler.sample(
            tasks, samples=number, temperature=temperature, seed="test", with_logprobs=False
        )
        return [[one.judge(task) for one in group] for task, group in zip(tasks, drawn, strict=True)]

    greedy = [group[0] for group in judge(tasks, 1, 0.0)]
    drawn = judge(tasks[:items], samples, 1.0)
    return {
        "family": [task.family for task in tasks[:items]],
        "right": [one.verdict.winner == one.label for one in greedy],
        "parsed": [one.verdict.winner is not None for one in greedy],
        "sampled_right": [sum(one.verdict.winner == one.label for one in group) for group in drawn],
        "sampled_parsed": [sum(one.verdict.winner is not None for one in group) for group in drawn],
        "samples": samples,
        "length": float(np.mean([one.num_tokens for one in greedy])),
    }


class Outcome:
    """What a judge did on the test items; shares in percent, `[items]` arrays."""

    def __init__(self, found: dict[str, Any]):
        items = len(found["family"])
        self.family = np.array(found["family"])
        right, parsed = np.array(found["right"], float), np.array(found["parsed"], bool)
        first, second = right[:items], right[items:]
        self.greedy = 100 * first
        # The same answer preferred both ways: right both ways or wrong both ways, with verdicts.
        both = parsed[:items] & parsed[items:]
        self.consistent = 100.0 * (both & (first == second))
        self.both_right = 100 * first * second
        self.sampled = 100 * np.array(found["sampled_right"], float) / found["samples"]
        self.parsed = 100 * parsed[:items].mean()
        self.greedy_parsed = self.greedy.sum() / max(1, parsed[:items].sum())
        drawn = np.array(found["sampled_parsed"], float)
        self.sampled_share = 100 * drawn.sum() / (items * found["samples"])
        self.sampled_parsed = 100 * np.sum(found["sampled_right"]) / max(1.0, drawn.sum())
        self.length = found["length"]


def compare(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], seed: int = 0
) -> tuple[float, float, float, float]:
    """Mean difference in points over seeds and items, its 95% interval and two-sided p; items are resampled."""
    difference = np.mean([one - other for one, other in zip(ours, theirs, strict=True)], axis=0)
    draws = np.random.default_rng(seed)
    number = len(difference)
    means = np.array([difference[draws.integers(0, number, number)].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min((means <= 0).mean(), (means >= 0).mean())
    return float(difference.mean()), float(low), float(high), float(min(1.0, 2 * max(tail, 1 / RESAMPLES)))
