"""Log-probabilities and advantages -> the loss of GRPO, one row of a mini-batch at a time.

Pure tensor maths. The defaults are RM-R1's (arXiv 2505.02387, section 4.2 and appendix; the reference
repository's verl settings): the clipped surrogate of PPO with 0.2 on both sides, the mean over each
completion's tokens and then over completions, and a KL term in the loss with coefficient 1e-3. Its estimator
is the low-variance one, exp(d) - d - 1 with d the reference's log-probability minus the policy's. As in verl
a token's estimate ends at 10, beyond which it has no gradient; TRL has no such end.

Every token has a weight that depends on the mini-batch alone (`token_weights`), so a mini-batch's loss is
the plain sum of its rows' losses, however completions are spread over rows, devices and steps of accumulation.

Options, each a setting of `rmr1.train.grpo.recipe.Objective`:

- `clip_high` above `clip_low` (clip-higher, arXiv 2503.14476, where it is 0.28);
- `average="token"`: the mean over all tokens of the mini-batch (the same paper);
- `scale="none"`: advantages are not divided by the standard deviation (arXiv 2503.20783);
- `overlong="mask"`: completions cut off at the token limit teach nothing. They have no part in their
  group's mean and no loss, and still count in the mini-batch's size: the others do not weigh more for it.
  To penalise them is a reward (`rmr1.rewards`);
- `importance`: where sampler and trainer give the same weights different probabilities, each token's
  surrogate is multiplied by exp(trainer - sampler), cut to `importance_cap` ("truncate") or set to 0 above
  it ("mask"). The log-probabilities compared are those of the weights that sampled;
- `correct_kl`: the KL estimate is multiplied by the policy ratio, with gradient, which makes it unbiased
  off-policy (TRL's default).

Shapes: `N` completion tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

    `num_sequences` and `num_tokens` count the whole mini-batch, on all devices, with the groups that are
    skipped because they are flat and the completions that are not `kept`, whose weight is 0.
    """
    if average == "sequence":
        each = [1.0 / (length * num_sequences) for length in lengths]
    else:
        each = [1.0 / num_tokens] * len(lengths)
    if kept is not None:
        each = [weight if is_kept else 0.0 for weight, is_kept in zip(each, kept, strict=True)]
    return spread(each, lengths, device=device)


def spread(
    values: Sequence[float], lengths: Sequence[int], *, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """`[N]` float32: a value per completion, such as its advantage, given to each of its tokens."""
    repeats = torch.tensor(lengths, dtype=torch.long)
    return torch.tensor(values, dtype=torch.float32).repeat_interleave(repeats).to(device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of one row. All but `value` are sums over its tokens with a weight, detached scalars."""

    value: torch.Tensor
    """Differentiable; add up those of a mini-batch."""
    num_tokens: torch.Tensor
    kl: torch.Tensor
    """Estimates of the KL divergence from the reference, before the coefficient; 0 where beta is."""
    clipped_low: torch.Tensor
    """Tokens without surrogate gradient because the ratio is low and the advantage negative."""
    clipped_high: torch.Tensor
    """The same for a high ratio and a positive advantage."""
    ratio: torch.Tensor
    """Policy over the weights that sampled."""
    log_ratio: torch.Tensor
    """Absolute values: how far the policy has moved since it sampled."""
    importance: torch.Tensor
    """Trainer over sampler, before the cap; the number of tokens where no correction is made."""
    importance_cut: torch.Tensor
    """Tokens whose correction met the cap."""


SUMS = (
    "kl",
    "clipped_low",
    "clipped_high",
    "ratio",
    "log_ratio",
    "importance",
    "importance_cut",
)


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

    `old_logprobs_N` are the trainer's for the weights that sampled; None says that the policy still has
    these weights. `sampler_logprobs_N` are the sampler's own. A token of weight 0 has no part in anything.

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
    old = logprobs_N.detach() if old_logprobs_N is None else old_logprobs_N
    log_ratio = logprobs_N - old
    ratio = _exp(log_ratio)
    low, high = 1.0 - objective.clip_low, 1.0 + objective.clip_high
    losses = -torch.minimum(ratio * advantages_N, ratio.clamp(low, high) * advantages_N)

    importance, is_cut = torch.ones_like(old), torch.zeros_like(old, dtype=torch.bool)
    if objective.importance != "none" and sampler_logprobs_N is not None:
        importance = _exp(old - sampler_logprobs_N)
        is_cut = importance > objective.importance_cap
        correction = (
            importance.clamp(max=objective.importance_cap)
            if objective.importance == "truncate"
            else importance.masked_fill(is_cut, 0.0)
        )
        losses = losses * correction

    kl = torch.zeros_like(old)
    if objective.beta and ref_logprobs_N is not None:
        kl = _estimate_kl(logprobs_N, ref_logprobs_N)
        losses = losses + objective.beta * (kl * ratio if objective.correct_kl else kl)

    is_counted = weights_N != 0
    with torch.no_grad():
        sums = {
            "kl": kl,
            "clipped_low": (ratio < low) & (advantages_N < 0),
            "clipped_high": (ratio > high) & (advantages_N > 0),
            "ratio": ratio,
            "log_ratio": log_ratio.abs(),
            "importance": importance,
            "importance_cut": is_cut,
        }
        totals = {name: (values.detach().float() * is_counted).sum() for name, values in sums.items()}
    return Loss(value=(losses * weights_N).sum(), num_tokens=is_counted.sum(), **totals)


def summarize_losses(losses: Iterable[Loss]) -> dict[str, float]:
    """Loss of the rows together, and means per token of the rest, for a log; 0 where there are no tokens.

    Groups that were skipped because they are flat are not among the tokens.
    """
    rows = list(losses)
    count = sum(int(row.num_tokens) for row in rows)
    summary = {"loss": sum((float(row.value.detach()) for row in rows), 0.0), "tokens": float(count)}
    for name in SUMS:
        summary[name] = sum((float(getattr(row, name)) for row in rows), 0.0) / max(1, count)
    return summary


def _estimate_kl(logprobs_N: torch.Tensor, ref_logprobs_N: torch.Tensor) -> torch.Tensor:
    # The difference is bounded first: the gradient of an infinite value is not a number even where it is cut.
    difference = (ref_logprobs_N - logprobs_N).clamp(-_LOG_END, _LOG_END)
    return (difference.exp() - difference - 1.0).clamp(max=KL_END)


def _exp(difference: torch.Tensor) -> torch.Tensor:
    return difference.clamp(-_LOG_END, _LOG_END).exp()
