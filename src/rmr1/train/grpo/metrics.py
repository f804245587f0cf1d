"""What is told of a rollout and its update: figures for the log, and a line for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.rewards import summarize_rewards
from rmr1.train.grpo.batches import MiniBatch, ScoredGroup
from rmr1.train.grpo.policy import STATS


def summarize_rollout(scored: Sequence[ScoredGroup]) -> dict[str, Any]:
    """Figures of all samples: rewards and their terms, accuracy by family, length, and those without a verdict.

    Accuracy is the share whose verdict, by the default parser, is the label.
    """
    judged = [sample for group in scored for sample in group.judged]
    number = max(1, len(judged))
    terms = summarize_rewards(reward for group in scored for reward in group.rewards)
    right: dict[str, list[bool]] = defaultdict(list)
    for group in scored:
        right[group.task.family] += [sample.verdict.winner == sample.label for sample in group.judged]
    hits = sum(map(sum, right.values()))
    lengths = [sample.num_tokens for sample in judged]
    return {
        "reward": terms.pop("total", 0.0),
        **{f"reward/{name}": value for name, value in terms.items()},
        "accuracy": hits / number,
        **(
            {f"accuracy/{name}": sum(found) / len(found) for name, found in sorted(right.items())}
            if len(right) > 1
            else {}
        ),
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
