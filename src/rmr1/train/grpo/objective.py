"""Log-probabilities and advantages -> the loss of GRPO, one row of a mini-batch at a time.

Pure tensor maths. The defaults are RM-R1's (arXiv 2505.02387, section 4.2 and appendix; the reference repository's
verl settings): the clipped surrogate of PPO with 0.2 on both sides, the mean over each completion's tokens and then
over completions, and a KL term in the loss with coefficient 1e-3. Its estimator is the low-variance one,
exp(d) - d - 1 with d the reference's log-probability minus the policy's. As in verl a token's estimate ends at 10,
beyond which it has no gradient; TRL has no such end.

Every token has a weight that depends on the mini-batch alone (`token_weights`), so a mini-batch's loss is the plain
sum of its rows' losses, however completions are spread over rows, devices and steps of accumulation.

Options, each a setting of `rmr1.train.grpo.recipe.Objective`:

- `clip_high` above `clip_low` (clip-higher, arXiv 2503.14476, where it is 0.28);
- `average="token"`: the mean over all tokens of the mini-batch (the same paper);
- `scale="none"`: advantages are not divided by the standard deviation (arXiv 2503.20783);
- `overlong="mask"`: completions cut off at the token limit have no part in their group's mean and no loss, and still
  count in the mini-batch's size: the others do not weigh more for it. To penalise them is a reward (`rmr1.rewards`);
- `importance`: each token's surrogate is multiplied by exp(trainer - sampler) under the weights that sampled, cut to
  `importance_cap` ("truncate") or set to 0 above it ("mask");
- `correct_kl`: the KL estimate is multiplied by the policy ratio, with gradient, which makes it unbiased off-policy
  (TRL's default).

Shapes: `S` completions, `N` completion tokens of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rmr1.errors import ConfigError
from rmr1.train.grpo.recipe import Average, Objective

KL_END = 10.0
"""Largest KL estimate of a token, in nats."""

_LOG_END = 20.0
"""Largest difference of log-probabilities that is exponentiated: exp(20) is far beyond every clip."""


def token_weights(
    lengths: Sequence[int],
    *,
    average: Average,
    num_sequences: int,
    num_tokens: int,
    kept: Sequence[bool] | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """`[N]` float32: the weight of each token of completions of these lengths, one after the other.

    `num_sequences` and `num_tokens` count the whole mini-batch, on all devices, with the groups that are skipped
    because they are flat and the completions that are not `kept`, whose weight is 0.
    """
    weights_S = [1.0 / (num_tokens if average == "token" else length * num_sequences) for length in lengths]
    if kept is not None:
        weights_S = [weight if is_kept else 0.0 for weight, is_kept in zip(weights_S, kept, strict=True)]
    return spread(weights_S, lengths, device=device)


def spread(
    values: Sequence[float], lengths: Sequence[int], *, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """`[N]` float32: a value per completion, such as its advantage, given to each of its tokens."""
    lengths_S = torch.tensor(lengths, dtype=torch.long)
    return torch.tensor(values, dtype=torch.float32).repeat_interleave(lengths_S).to(device)


SUMS = ("tokens", "kl", "clipped_low", "clipped_high", "ratio", "log_ratio", "importance", "importance_cut")
"""What is summed over a row's tokens with a weight: their number; estimates of the KL divergence from the reference,
before the coefficient (0 without KL term); tokens without surrogate gradient because the ratio is low and the
advantage negative, or the ratio high and the advantage positive; policy over the weights that sampled, and the
absolute logarithm of that; trainer over sampler, before the cap (1 without correction), and tokens that met the cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of one row."""

    value: torch.Tensor
    """Differentiable; add up those of a mini-batch."""
    sums: dict[str, torch.Tensor]
    """Detached scalars by the names of `SUMS`."""


def compute_loss(
    objective: Objective,
    *,
    logprobs_N: torch.Tensor,
    advantages_N: torch.Tensor,
    weights_N: torch.Tensor,
    old_logprobs_N: torch.Tensor | None = None,
    ref_logprobs_N: torch.Tensor | None = None,
    sampler_logprobs_N: torch.Tensor | None = None,
) -> Loss:
    """The loss of a row, differentiable in `logprobs_N`, which the policy gives.

    `old_logprobs_N` are the trainer's for the weights that sampled; None says that the policy still has these
    weights. `sampler_logprobs_N` are the sampler's own. A token of weight 0 has no part in anything.

    Raises:
        ConfigError: the objective needs log-probabilities that are not given.
    """
    if objective.beta and ref_logprobs_N is None:
        raise ConfigError(
            f"objective.beta is {objective.beta:g}, and the reference's log-probabilities are missing"
        )
    if objective.importance != "none" and sampler_logprobs_N is None:
        raise ConfigError(
            f"objective.importance is {objective.importance!r}, and this sampler gives no log-probabilities; "
            "set objective.importance = 'none' or sample with another engine"
        )
    old_N = logprobs_N.detach() if old_logprobs_N is None else old_logprobs_N
    log_ratio_N = logprobs_N - old_N
    ratio_N = _exp(log_ratio_N)
    low, high = 1.0 - objective.clip_low, 1.0 + objective.clip_high
    losses_N = -torch.minimum(ratio_N * advantages_N, ratio_N.clamp(low, high) * advantages_N)

    importance_N, is_cut_N = torch.ones_like(old_N), torch.zeros_like(old_N, dtype=torch.bool)
    if objective.importance != "none" and sampler_logprobs_N is not None:
        importance_N = _exp(old_N - sampler_logprobs_N)
        is_cut_N = importance_N > objective.importance_cap
        correction_N = (
            importance_N.clamp(max=objective.importance_cap)
            if objective.importance == "truncate"
            else importance_N.masked_fill(is_cut_N, 0.0)
        )
        losses_N = losses_N * correction_N

    kl_N = torch.zeros_like(old_N)
    if objective.beta and ref_logprobs_N is not None:
        # Bounded first: the gradient of an infinite value is not a number even where it is cut.
        apart_N = (ref_logprobs_N - logprobs_N).clamp(-_LOG_END, _LOG_END)
        kl_N = (apart_N.exp() - apart_N - 1.0).clamp(max=KL_END)
        losses_N = losses_N + objective.beta * (kl_N * ratio_N if objective.correct_kl else kl_N)

    is_counted_N = weights_N != 0
    with torch.no_grad():
        figures = (
            kl_N,
            (ratio_N < low) & (advantages_N < 0),
            (ratio_N > high) & (advantages_N > 0),
            ratio_N,
            log_ratio_N.abs(),
            importance_N,
            is_cut_N,
        )
        sums = [is_counted_N.sum(), *((one_N.detach().float() * is_counted_N).sum() for one_N in figures)]
    return Loss(value=(losses_N * weights_N).sum(), sums=dict(zip(SUMS, sums, strict=True)))


def _exp(difference_N: torch.Tensor) -> torch.Tensor:
    return difference_N.clamp(-_LOG_END, _LOG_END).exp()
