"""Samples with rewards -> the groups that an update learns from, and its tensors.

Pure but for tensors. The size of a mini-batch counts all its groups, also those that are skipped, so skipping
changes the time that a step takes and not what it computes. Where nothing of a mini-batch is left, the
optimizer makes no step: neither its momentum nor weight decay moves the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rmr1.attention.groups import Group, GroupRow, build_group_row
from rmr1.rewards import Judged, Reward
from rmr1.train.grpo.advantages import is_flat, normalize_group
from rmr1.train.grpo.objective import spread, token_weights
from rmr1.train.grpo.recipe import Objective
from rmr1.train.grpo.rollout import Sample
from rmr1.train.grpo.tasks import Task


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
    found = []
    for start in range(0, len(scored), prompts):
        part = scored[start : start + prompts]
        found.append(
            MiniBatch(
                groups=[group for group in part if group.is_live(objective)],
                num_sequences=sum(len(group.samples) for group in part),
                num_tokens=sum(len(sample.tokens) for group in part for sample in group.samples),
            )
        )
    return found


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
