"""Figures of a rollout, its update and the held-out pairs: for the log, and in a line for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.rewards import Judged, summarize_rewards
from rmr1.train.group import divide
from rmr1.train.grpo.batches import MiniBatch, ScoredGroup
from rmr1.train.grpo.learn import STATS
from rmr1.train.grpo.rollout import Sampler, list_costs
from rmr1.train.grpo.tasks import Task


def summarize_rollout(scored: Sequence[ScoredGroup]) -> dict[str, Any]:
    """Figures of all samples: rewards and their terms, accuracy by the default parser, and length."""
    judged = [sample for group in scored for sample in group.judged]
    number = max(1, len(judged))
    terms = summarize_rewards(reward for group in scored for reward in group.rewards)
    lengths = [sample.num_tokens for sample in judged]
    return {
        "reward": terms.pop("total", 0.0),
        **{f"reward/{name}": value for name, value in terms.items()},
        **_count_right([(group.task, sample) for group in scored for sample in group.judged], "accuracy"),
        "unparsed": sum(sample.verdict.winner is None for sample in judged) / number,
        "cut": sum(sample.is_cut for sample in judged) / number,
        "length": sum(lengths) / number,
        "longest": max(lengths, default=0),
        "groups": len(scored),
    }


def summarize_update(
    batches: Sequence[MiniBatch], sums: Mapping[str, float], norms: Sequence[float]
) -> dict[str, Any]:
    """Means per token that counts, the mean length of the gradients, and how many groups had one.

    `sums` are those of `Learner.update`.
    """
    tokens = max(1.0, sums["tokens"])
    steps = max(1, len(norms))
    means = {name: sums[name] / tokens for name in STATS if name != "tokens"}
    apart = {name: sums[name] for name in sums if name.startswith("sampler_")}
    return {
        "loss": sums["loss"] / steps,
        **means,
        **apart,
        "live_groups": sum(len(batch.groups) for batch in batches),
        "grad_norm": sum(norms) / steps,
    }


def describe_step(values: Mapping[str, Any]) -> list[str]:
    """`reward +0.52 · 76.0% right · 96 tokens · entropy 0.14 · KL 0.0012 · sampler ±1e-06 · 61/96 live · 900+2100 tokens/s`."""
    parts = [
        f"reward {values['reward']:+.3f}",
        f"{100 * values['accuracy']:.1f}% right",
        f"{values['length']:.0f} tokens",
        f"entropy {values['entropy']:.3f}",
    ]
    if values["kl"]:
        parts.append(f"KL {values['kl']:.2g}")
    if "sampler_log_ratio" in values:
        parts.append(f"sampler ±{values['sampler_log_ratio']:.1g}")
    if values["unparsed"]:
        parts.append(f"{100 * values['unparsed']:.1f}% unparsed")
    return [
        *parts,
        f"{values['live_groups']}/{values['groups']} live",
        f"{values['rollout_tokens_per_second']:.0f}+{values['update_tokens_per_second']:.0f} tokens/s",
    ]


def evaluate(
    sampler: Sampler, tasks: Sequence[Task], *, temperature: float | None, seed: str
) -> dict[str, Any]:
    """Figures of one greedy judgment of each task, and of one at `temperature` if that is given.

    Shares are of all tasks; `..._parsed` is of those with a verdict.
    """
    values: dict[str, Any] = {"held_out": len(tasks)}
    for name, degree in (("held_out", 0.0), ("held_out_sampled", temperature)):
        if degree is not None:
            found = _judge(sampler, tasks, temperature=degree, seed=seed)
            hits = sum(one.verdict.winner == one.label for _, one in found)
            number, parsed = max(1, len(found)), sum(one.verdict.winner is not None for _, one in found)
            values |= {
                **_count_right(found, f"{name}_accuracy"),
                f"{name}_accuracy_parsed": hits / max(1, parsed),
                f"{name}_unparsed": 1 - parsed / number,
                f"{name}_length": sum(one.num_tokens for _, one in found) / number,
            }
    return values


def format_look(values: Mapping[str, Any]) -> str:
    """`81.2% of 256 right greedily, 76.0% sampled; 0.4% without verdict`."""
    text = f"{100 * values['held_out_accuracy']:.1f}% of {values['held_out']} held-out pairs right greedily"
    if "held_out_sampled_accuracy" in values:
        text += f", {100 * values['held_out_sampled_accuracy']:.1f}% sampled"
    return f"{text}; {100 * values['held_out_unparsed']:.1f}% without verdict"


def _judge(
    sampler: Sampler, tasks: Sequence[Task], *, temperature: float, seed: str
) -> list[tuple[Task, Judged]]:
    def judge(own: list[Task]) -> list[Judged]:
        drawn = sampler.sample(own, samples=1, temperature=temperature, seed=seed, with_logprobs=False)
        return [sample.judge(task) for (sample,), task in zip(drawn, own, strict=True)]

    return list(zip(tasks, divide(tasks, judge, costs=list_costs(tasks)), strict=True))


def _count_right(found: Sequence[tuple[Task, Judged]], name: str) -> dict[str, float]:
    """The share whose verdict is the label: of all, and of each family if there are several."""
    right: dict[str, list[bool]] = defaultdict(list)
    for task, judged in found:
        right[task.family].append(judged.verdict.winner == judged.label)
    values = {name: sum(map(sum, right.values())) / max(1, len(found))}
    if len(right) > 1:
        values |= {f"{name}/{family}": sum(one) / len(one) for family, one in sorted(right.items())}
    return values
