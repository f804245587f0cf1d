"""Held-out pairs: how often the policy is right, greedily and as it samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.rewards import Judged
from rmr1.train.grpo.rollout import Sampler
from rmr1.train.grpo.tasks import Task
from rmr1.train.processes import gather


def evaluate(
    sampler: Sampler, tasks: Sequence[Task], accelerator: Any, *, temperature: float | None, seed: str
) -> dict[str, Any]:
    """Figures of one greedy judgment of each task, and of one at `temperature` where that is given.

    Shares are of all tasks; `..._parsed` is of those with a verdict.
    """
    found = _judge(sampler, tasks, accelerator, temperature=0.0, seed=seed)
    values: dict[str, Any] = {"held_out": len(tasks), **_summarize(found, "held_out")}
    if temperature is not None:
        drawn = _judge(sampler, tasks, accelerator, temperature=temperature, seed=seed)
        values |= _summarize(drawn, "held_out_sampled")
    return values


def format_look(values: Mapping[str, Any]) -> str:
    """`81.2% of 256 right greedily, 76.0% sampled; 0.4% without verdict`."""
    text = f"{100 * values['held_out_accuracy']:.1f}% of {values['held_out']} held-out pairs right greedily"
    if "held_out_sampled_accuracy" in values:
        text += f", {100 * values['held_out_sampled_accuracy']:.1f}% sampled"
    return f"{text}; {100 * values['held_out_unparsed']:.1f}% without verdict"


def _judge(
    sampler: Sampler, tasks: Sequence[Task], accelerator: Any, *, temperature: float, seed: str
) -> list[tuple[Task, Judged]]:
    own = range(accelerator.process_index, len(tasks), accelerator.num_processes)
    drawn = sampler.sample(
        [tasks[place] for place in own],
        samples=1,
        temperature=temperature,
        seed=seed,
        with_logprobs=False,
    )
    texts = dict(gather(accelerator, list(zip(own, (group[0] for group in drawn), strict=True))))
    return [(task, texts[place].judge(task)) for place, task in enumerate(tasks)]


def _summarize(found: Sequence[tuple[Task, Judged]], name: str) -> dict[str, Any]:
    right = [judged.verdict.winner == judged.label for _, judged in found]
    parsed = sum(judged.verdict.winner is not None for _, judged in found)
    families: dict[str, list[bool]] = defaultdict(list)
    for (task, _), is_right in zip(found, right, strict=True):
        families[task.family].append(is_right)
    number = max(1, len(found))
    return {
        f"{name}_accuracy": sum(right) / number,
        f"{name}_accuracy_parsed": sum(right) / max(1, parsed),
        f"{name}_unparsed": 1 - parsed / number,
        f"{name}_length": sum(judged.num_tokens for _, judged in found) / number,
        **(
            {f"{name}_accuracy/{family}": sum(one) / len(one) for family, one in sorted(families.items())}
            if len(families) > 1
            else {}
        ),
    }
