"""Samples with rewards -> advantages, the groups that an update learns from, and its tensors.

An advantage is GRPO's (arXiv 2402.03300, section 4.1.1): a reward minus the group's mean, divided by the group's
standard deviation: in verl, with which RM-R1 trained, the sample's (divisor G - 1) plus 1e-6. `scale="none"` leaves the
division out (arXiv 2503.20783), so that groups which are nearly all right or wrong do not weigh more than others.

The size of a mini-batch counts all its groups, skipped ones too, so skipping changes the time of a step and not what it
computes. If nothing of a mini-batch is left, there is no step: neither momentum nor weight decay moves the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt

import torch

from rmr1.attention.groups import Group, GroupRow, build_group_row
from rmr1.rewards import Judged, Reward
from rmr1.train.grpo.objective import spread, token_weights
from rmr1.train.grpo.recipe import Objective, Scale
from rmr1.train.grpo.rollout import Sample
from rmr1.train.grpo.tasks import Task

_FLAT = 1e-9
"""Rewards that differ by less are equal: sums of terms carry rounding."""


def normalize_group(
    rewards: Sequence[float],
    *,
    scale: Scale = "std",
    epsilon: float = 1e-6,
    kept: Sequence[bool] | None = None,
) -> tuple[float, ...]:
    """Advantages of one group's completions, whose sum is 0; all 0 if the group is flat.

    `kept` says which completions take part; the others have advantage 0 and no part in mean and deviation.

        >>> normalize_group([1.0, -1.0, -1.0, 1.0], scale="none")
        (1.0, -1.0, -1.0, 1.0)
    """
    if is_flat(rewards, kept=kept):
        return (0.0,) * len(rewards)
    part = _choose(rewards, kept)
    mean = fsum(part) / len(part)
    divisor = 1.0
    if scale == "std":
        divisor = sqrt(fsum((reward - mean) ** 2 for reward in part) / (len(part) - 1)) + epsilon
    return tuple(
        (reward - mean) / divisor if kept is None or kept[index] else 0.0
        for index, reward in enumerate(rewards)
    )


def is_flat(rewards: Sequence[float], *, kept: Sequence[bool] | None = None) -> bool:
    """Whether all completions that take part have one reward, or fewer than two take part.

    Without a KL term the gradient of such a group is exactly zero.
    """
    part = _choose(rewards, kept)
    return len(part) < 2 or max(part) - min(part) < _FLAT


def _choose(rewards: Sequence[float], kept: Sequence[bool] | None) -> Sequence[float]:
    if kept is None:
        return rewards
    return [reward for reward, is_kept in zip(rewards, kept, strict=True) if is_kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """A task, what was sampled for it, and what that earned."""

    task: Task
    samples: Sequence[Sample]
    judged: Sequence[Judged]
    rewards: Sequence[Reward]

    @property
    def group(self) -> Group:
        return Group(prompt=self.task.tokens, completions=[sample.tokens for sample in self.samples])

    @property
    def totals(self) -> list[float]:
        return [reward.total for reward in self.rewards]

    def list_kept(self, objective: Objective) -> list[bool] | None:
        """Whether each sample is trained on; None if all are."""
        if objective.overlong != "mask":
            return None
        return [not sample.is_cut for sample in self.samples]

    def is_live(self, objective: Objective) -> bool:
        """Whether it has a gradient at all."""
        kept = self.list_kept(objective)
        if kept is not None and not any(kept):
            return False
        return objective.beta > 0 or not is_flat(self.totals, kept=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniBatch:
    """What one step of the optimizer learns from, over all processes."""

    groups: Sequence[ScoredGroup]
    """The live ones."""
    num_sequences: int
    """Sequences of all its groups, skipped ones too; so are the tokens."""
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRow:
    """A packed row of groups with what their tokens are worth. All tensors `[N]`."""

    row: GroupRow
    advantages: torch.Tensor
    weights: torch.Tensor
    sampler_logprobs: torch.Tensor


def build_minibatches(
    scored: Sequence[ScoredGroup], objective: Objective, *, prompts: int
) -> list[MiniBatch]:
    """The rollout in parts of so many prompts, in its order."""
    return [
        MiniBatch(
            groups=[group for group in part if group.is_live(objective)],
            num_sequences=sum(len(group.samples) for group in part),
            num_tokens=sum(len(sample.tokens) for group in part for sample in group.samples),
        )
        for part in (scored[start : start + prompts] for start in range(0, len(scored), prompts))
    ]


def build_update_row(
    groups: Sequence[ScoredGroup],
    batch: MiniBatch,
    objective: Objective,
    device: torch.device | str = "cpu",
) -> UpdateRow:
    """The row of these groups of the mini-batch, in this order."""
    row = build_group_row([group.group for group in groups], device)
    advantages: list[float] = []
    kept: list[bool] = []
    logprobs: list[float] = []
    for group in groups:
        own = group.list_kept(objective)
        advantages += normalize_group(
            group.totals, scale=objective.scale, epsilon=objective.epsilon, kept=own
        )
        kept += own or [True] * len(group.samples)
        for sample in group.samples:
            logprobs += sample.logprobs
    return UpdateRow(
        row=row,
        advantages=spread(advantages, row.lengths, device=device),
        weights=token_weights(
            row.lengths,
            average=objective.average,
            num_sequences=batch.num_sequences,
            num_tokens=batch.num_tokens,
            kept=kept,
            device=device,
        ),
        sampler_logprobs=torch.tensor(logprobs, dtype=torch.float32, device=device),
    )
