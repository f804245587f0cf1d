"""The policy's loss on a row of groups, and the reference that it is held to.

Shapes: `N` completion tokens of the row.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.attention.groups import GroupRow
from rmr1.attention.proof.training import RowPaths
from rmr1.devices import widest_float
from rmr1.train.grpo.batches import UpdateRow
from rmr1.train.grpo.logprobs import GroupLogprobs
from rmr1.train.grpo.objective import SUMS, compute_loss
from rmr1.train.grpo.recipe import Objective

STATS = (*SUMS, "entropy")
"""What `GroupLoss` sums over the tokens that count, in its order."""


class GroupLoss(torch.nn.Module):
    """A causal language model whose forward gives the loss of a row of groups."""

    def __init__(
        self,
        model: PreTrainedModel,
        objective: Objective,
        *,
        temperature: float,
        paths: RowPaths | None = None,
    ):
        super().__init__()
        self.policy = GroupLogprobs(model, temperature=temperature, paths=paths)
        self.objective = objective

    def forward(
        self, update: UpdateRow, ref_N: torch.Tensor | None, old_N: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss, and the sums named in `STATS`, in the widest numbers and detached; and how far the sampler's
        log-probabilities are from the policy's while it has the weights that sampled: sum, number and largest of
        the absolute differences, all 0 later.

        `ref_N` and `old_N` are log-probabilities under the reference, and under the weights that sampled if those are
        no longer the policy's.
        """
        logprobs_N, entropies_N = self.policy(update.row)
        loss = compute_loss(
            self.objective,
            logprobs_N=logprobs_N,
            advantages_N=update.advantages,
            weights_N=update.weights,
            old_logprobs_N=old_N,
            ref_logprobs_N=ref_N,
            sampler_logprobs_N=update.sampler_logprobs,
        )
        is_counted_N = update.weights != 0
        wide = widest_float(logprobs_N.device)
        sums = [one.detach().to(wide) for one in (*loss.sums.values(), (entropies_N * is_counted_N).sum())]
        apart = torch.zeros(3, dtype=wide, device=logprobs_N.device)
        if old_N is None and is_counted_N.any():
            found = (logprobs_N.detach() - update.sampler_logprobs).abs()[is_counted_N].to(wide)
            apart = torch.stack([found.sum(), is_counted_N.sum().to(wide), found.max()])
        return loss.value, torch.stack(sums), apart


class Reference:
    """The model as it was before reinforcement: the policy without its adapters, or a copy that stays."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        adapted: Any = None,
        temperature: float,
        paths: RowPaths | None = None,
    ):
        """`model` is the copy, or with `adapted`, peft's wrapper, the policy itself; `paths` are the policy's."""
        self._adapted = adapted
        self._model = model
        self._logprobs = GroupLogprobs(model, temperature=temperature, paths=paths)
        if adapted is None:
            model.requires_grad_(False)

    @torch.no_grad()
    def compute(self, row: GroupRow) -> torch.Tensor:
        """Log-probabilities `[N]` of the row's completion tokens."""
        was_training = self._model.training
        without = contextlib.nullcontext() if self._adapted is None else self._adapted.disable_adapter()
        self._model.eval()
        try:
            with without, self._logprobs.attention():
                logprobs_N: torch.Tensor = self._logprobs(row)[0]
        finally:
            self._model.train(was_training)
        return logprobs_N
