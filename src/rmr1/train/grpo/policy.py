"""The policy's loss on a row of groups, and the reference that it is held to.

Shapes: `N` completion tokens of the row.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.train.grpo.attention import shared_prompt_attention
from rmr1.train.grpo.batches import UpdateRow
from rmr1.train.grpo.logprobs import GroupLogprobs
from rmr1.train.grpo.objective import SUMS, compute_loss
from rmr1.train.grpo.options import Objective
from rmr1.train.grpo.rows import GroupRow

STATS = ("tokens", *SUMS, "entropy")
"""What `GroupLoss` sums over the tokens that count, in its order."""


class GroupLoss(torch.nn.Module):
    """A causal language model whose forward gives the loss of a row of groups.

    A module of its own so that data-parallel wrappers see the whole computation.
    """

    def __init__(self, model: PreTrainedModel, objective: Objective, *, temperature: float):
        super().__init__()
        self.policy = GroupLogprobs(model, temperature=temperature)
        self.objective = objective

    def forward(
        self, update: UpdateRow, ref: torch.Tensor | None, old: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the sums named in `STATS`, float64 and detached.

        `ref` and `old` are `[N]`: log-probabilities under the reference, and under the weights that sampled
        where those are no longer the policy's.
        """
        logprobs, entropies = self.policy(update.row)
        loss = compute_loss(
            self.objective,
            logprobs_N=logprobs,
            advantages_N=update.advantages,
            weights_N=update.weights,
            old_logprobs_N=old,
            ref_logprobs_N=ref,
            sampler_logprobs_N=update.sampler_logprobs,
        )
        is_counted = update.weights != 0
        sums = [loss.num_tokens, *(getattr(loss, name) for name in SUMS), (entropies * is_counted).sum()]
        return loss.value, torch.stack([one.detach().double() for one in sums])


class Reference:
    """The model as it was before reinforcement: the policy without its adapters, or a copy that stays."""

    def __init__(self, model: PreTrainedModel, *, adapted: Any = None, temperature: float):
        """`model` is the copy, or with `adapted`, peft's wrapper, the policy itself."""
        self._adapted = adapted
        self._model = model
        self._logprobs = GroupLogprobs(model, temperature=temperature)
        if adapted is None:
            model.requires_grad_(False)

    @torch.no_grad()
    def compute(self, row: GroupRow) -> torch.Tensor:
        """Log-probabilities of the row's completion tokens, `[N]`."""
        was_training = self._model.training
        without = contextlib.nullcontext() if self._adapted is None else self._adapted.disable_adapter()
        self._model.eval()
        try:
            with without, shared_prompt_attention(self._model):
                found, _ = self._logprobs(row)
        finally:
            self._model.train(was_training)
        return found
