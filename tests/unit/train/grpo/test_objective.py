"""The objective and each of its options, against numbers worked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from rmr1.errors import ConfigError
from rmr1.train.grpo.objective import (
    Loss,
    compute_loss,
    spread,
    token_weights,
)
from rmr1.train.grpo.recipe import OPTIONS, Objective, ObjectiveRecipe

FREE: dict[str, Any] = {"beta": 0.0}


def build_objective(options: Sequence[str] = (), **settings: Any) -> Objective:
    return ObjectiveRecipe.from_values({"options": options, **settings}, "objective").build()


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def run(objective: Objective, logprobs: torch.Tensor, **tensors: Any) -> tuple[Loss, torch.Tensor]:
    """The loss and its slope by each log-probability."""
    policy = logprobs.clone().requires_grad_()
    tensors.setdefault("weights_N", torch.ones(len(policy)))
    tensors = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in tensors.items()}
    loss = compute_loss(objective, logprobs_N=policy, **tensors)
    (slope,) = torch.autograd.grad(loss.value, policy)
    return loss, slope


def test_the_defaults_are_the_papers() -> None:
    objective = Objective()
    assert (objective.clip_low, objective.clip_high, objective.beta) == (0.2, 0.2, 1e-3)
    assert (objective.average, objective.scale, objective.importance) == ("sequence", "std", "none")
    assert (objective.overlong, objective.correct_kl) == ("keep", False)


def test_on_policy_the_slope_is_the_advantage() -> None:
    loss, slope = run(Objective(**FREE), logs(0.5, 0.2, 0.9), advantages_N=[1.5, -0.5, 0.0])
    assert loss.value.item() == pytest.approx(-1.0)
    assert slope.tolist() == pytest.approx([-1.5, 0.5, 0.0])
    assert (loss.sums["ratio"].item(), loss.sums["clipped_low"].item(), loss.sums["clipped_high"].item()) == (
        3.0,
        0.0,
        0.0,
    )


# Ratios 1.5, 1.5, 0.5, 0.5, 1.1, 0.9, 1.25 with old probabilities of 0.4.
RATIOS = [1.5, 1.5, 0.5, 0.5, 1.1, 0.9, 1.25]
ADVANTAGES = [1.0, -1.0, 1.0, -1.0, 2.0, -2.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "losses", "slopes", "low", "high"),
    [
        (
            {},
            [-1.2, 1.5, -0.5, 0.8, -2.2, 1.8, -1.2],
            [0.0, 1.5, -0.5, 0.0, -2.2, 1.8, 0.0],
            1,
            2,
        ),
        (
            OPTIONS["clip-higher"],
            [-1.28, 1.5, -0.5, 0.8, -2.2, 1.8, -1.25],
            [0.0, 1.5, -0.5, 0.0, -2.2, 1.8, -1.25],
            1,
            1,
        ),
        (
            {"clip_low": 0.6},
            [-1.2, 1.5, -0.5, 0.5, -2.2, 1.8, -1.2],
            [0.0, 1.5, -0.5, 0.5, -2.2, 1.8, 0.0],
            0,
            2,
        ),
    ],
)
def test_off_policy_the_ratio_is_clipped(
    settings: Any, losses: list[float], slopes: list[float], low: int, high: int
) -> None:
    objective = Objective(**FREE, **settings)
    old = logs(*[0.4] * len(RATIOS))
    loss, slope = run(
        objective, logs(*(0.4 * ratio for ratio in RATIOS)), old_logprobs_N=old, advantages_N=ADVANTAGES
    )
    assert loss.value.item() == pytest.approx(sum(losses), rel=1e-5)
    assert slope.tolist() == pytest.approx(slopes, rel=1e-5)
    assert (loss.sums["clipped_low"].item(), loss.sums["clipped_high"].item()) == (low, high)
    assert loss.sums["ratio"].item() == pytest.approx(sum(RATIOS), rel=1e-5)
    assert loss.sums["log_ratio"].item() == pytest.approx(sum(abs(math.log(one)) for one in RATIOS), rel=1e-5)


def test_kl_by_hand() -> None:
    # The reference gives 0.5 and 0.2 where the policy gives 0.25 and 0.4: d = ln 2 and -ln 2,
    # estimates 2 - ln 2 - 1 and 1/2 + ln 2 - 1, slopes 1 - exp(d).
    loss, slope = run(
        Objective(beta=0.1), logs(0.25, 0.4), ref_logprobs_N=logs(0.5, 0.2), advantages_N=[0.0, 0.0]
    )
    assert loss.sums["kl"].item() == pytest.approx(0.5)
    assert loss.value.item() == pytest.approx(0.05)
    assert slope.tolist() == pytest.approx([-0.1, 0.05], rel=1e-5)


def test_the_kl_estimate_ends_at_ten() -> None:
    for difference, kl, slope in (
        (2.3, math.exp(2.3) - 3.3, 1 - math.exp(2.3)),
        (3.0, 10.0, 0.0),
        (-30.0, 10.0, 0.0),
        (500.0, 10.0, 0.0),
    ):
        policy, reference = torch.tensor([-600.0]), torch.tensor([difference - 600.0])
        loss, found = run(Objective(beta=1.0), policy, ref_logprobs_N=reference, advantages_N=[0.0])
        assert loss.value.item() == pytest.approx(kl, rel=1e-4)
        assert found.item() == pytest.approx(slope, rel=1e-4)


def test_the_corrected_kl_is_multiplied_by_the_ratio() -> None:
    # Ratio 1/2, estimate 1 - ln 2; the slope is the ratio times (estimate + 1 - exp(d)).
    loss, slope = run(
        Objective(beta=1.0, correct_kl=True),
        logs(0.25),
        old_logprobs_N=logs(0.5),
        ref_logprobs_N=logs(0.5),
        advantages_N=[0.0],
    )
    estimate = 1 - math.log(2)
    assert loss.value.item() == pytest.approx(estimate / 2)
    assert slope.item() == pytest.approx((estimate - 1) / 2)
    assert loss.sums["kl"].item() == pytest.approx(estimate)


# Trainer over sampler: 1, 3 and 1/2.
SAMPLER = (0.3, 0.1, 0.6)


@pytest.mark.parametrize(
    ("option", "factors", "cut"),
    [("importance-truncated", [1.0, 2.0, 0.5], 1), ("importance-masked", [1.0, 0.0, 0.5], 1)],
)
def test_importance_correction(option: str, factors: list[float], cut: int) -> None:
    objective = build_objective([option], **FREE)
    loss, slope = run(
        objective, logs(0.3, 0.3, 0.3), sampler_logprobs_N=logs(*SAMPLER), advantages_N=[1.0, 1.0, -1.0]
    )
    wanted = [-factors[0], -factors[1], factors[2]]
    assert loss.value.item() == pytest.approx(sum(wanted), rel=1e-5)
    assert slope.tolist() == pytest.approx(wanted, rel=1e-5)
    assert (loss.sums["importance"].item(), loss.sums["importance_cut"].item()) == (pytest.approx(4.5), cut)


def test_importance_compares_the_weights_that_sampled_and_leaves_kl_alone() -> None:
    # Policy 0.36, trainer's old 0.3, sampler's 0.2: ratio 1.2, correction 1.5. KL against itself is 0,
    # against half its probability 1/2 + ln 2 - 1.
    settings: dict[str, Any] = {"beta": 0.1, "importance": "truncate"}
    tensors = {"old_logprobs_N": logs(0.3), "sampler_logprobs_N": logs(0.2), "advantages_N": [-1.0]}
    loss, slope = run(Objective(**settings), logs(0.36), ref_logprobs_N=logs(0.36), **tensors)
    assert loss.value.item() == pytest.approx(1.8, rel=1e-5)
    assert slope.item() == pytest.approx(1.8, rel=1e-5)
    loss, slope = run(Objective(**settings), logs(0.36), ref_logprobs_N=logs(0.18), **tensors)
    assert loss.value.item() == pytest.approx(1.8 + 0.1 * (math.log(2) - 0.5), rel=1e-5)
    assert slope.item() == pytest.approx(1.8 + 0.1 * 0.5, rel=1e-5)


def test_another_cap() -> None:
    objective = Objective(beta=0.0, importance="mask", importance_cap=3.5)
    loss, _ = run(objective, logs(0.3, 0.3), sampler_logprobs_N=logs(0.1, 0.06), advantages_N=[-1.0, -1.0])
    assert loss.value.item() == pytest.approx(3.0, rel=1e-5)
    assert loss.sums["importance_cut"].item() == 1


def test_weights_of_sequences_and_tokens() -> None:
    lengths = [1, 2, 4]
    sequence = token_weights(lengths, average="sequence", num_sequences=4, num_tokens=100)
    assert sequence.tolist() == pytest.approx([0.25] + [0.125] * 2 + [0.0625] * 4)
    token = token_weights(lengths, average="token", num_sequences=4, num_tokens=10)
    assert token.tolist() == pytest.approx([0.1] * 7)
    masked = token_weights(
        lengths, average="sequence", num_sequences=4, num_tokens=100, kept=[True, False, True]
    )
    assert masked.tolist() == pytest.approx([0.25, 0.0, 0.0] + [0.0625] * 4)
    assert token_weights([], average="token", num_sequences=4, num_tokens=10).shape == (0,)


def test_spread() -> None:
    assert spread([0.5, -1.0], [3, 1]).tolist() == [0.5, 0.5, 0.5, -1.0]


@pytest.mark.parametrize(
    ("average", "num_sequences", "num_tokens", "wanted"),
    [
        # One completion of 4 tokens with advantage 1 and one of 1 token with advantage -1/2.
        ("sequence", 2, 5, (-1 + 1 / 2) / 2),
        ("token", 2, 5, (-4 + 1 / 2) / 5),
        # The same beside a third completion, of 1 token, whose flat group was skipped.
        ("sequence", 3, 6, (-1 + 1 / 2) / 3),
        ("token", 3, 6, (-4 + 1 / 2) / 6),
    ],
)
def test_averages_by_hand(average: Any, num_sequences: int, num_tokens: int, wanted: float) -> None:
    lengths = [4, 1]
    weights = token_weights(lengths, average=average, num_sequences=num_sequences, num_tokens=num_tokens)
    loss, slope = run(
        Objective(**FREE, average=average),
        logs(*[0.5] * 5),
        advantages_N=spread([1.0, -0.5], lengths),
        weights_N=weights,
    )
    assert loss.value.item() == pytest.approx(wanted)
    assert slope.tolist() == pytest.approx([*(-weights[:4]).tolist(), 0.5 * weights[4].item()])


def test_masked_tokens_have_no_part_in_loss_slope_or_sums() -> None:
    weights = token_weights([1, 2], average="token", num_sequences=2, num_tokens=3, kept=[True, False])
    loss, slope = run(
        Objective(beta=1.0, importance="truncate"),
        logs(0.3, 0.9, 0.9),
        old_logprobs_N=logs(0.3, 0.1, 0.9),
        ref_logprobs_N=logs(0.3, 0.01, 0.1),
        sampler_logprobs_N=logs(0.3, 0.001, 0.9),
        advantages_N=[1.0, 1.0, 1.0],
        weights_N=weights,
    )
    assert slope.tolist() == pytest.approx([-1 / 3, 0.0, 0.0])
    assert loss.value.item() == pytest.approx(-1 / 3)
    assert (loss.sums["tokens"].item(), loss.sums["kl"].item(), loss.sums["clipped_high"].item()) == (
        1,
        0.0,
        0.0,
    )
    assert (
        loss.sums["ratio"].item(),
        loss.sums["importance"].item(),
        loss.sums["importance_cut"].item(),
    ) == (1.0, 1.0, 0.0)


def test_far_apart_log_probabilities_stay_finite() -> None:
    far = torch.tensor([-300.0, -1.0, -300.0, -1.0])
    loss, slope = run(
        Objective(beta=1e-3, importance="truncate", correct_kl=True),
        far,
        old_logprobs_N=far.flip(0),
        ref_logprobs_N=far.flip(0),
        sampler_logprobs_N=far,
        advantages_N=[1.0, -1.0, -1.0, 1.0],
    )
    assert torch.isfinite(loss.value) and torch.isfinite(slope).all()


def test_rows_of_a_mini_batch_add_up() -> None:
    torch.manual_seed(0)
    lengths = [3, 5, 2, 7]
    count = sum(lengths)
    objective = Objective(clip_high=0.28, importance="mask")
    tensors = {
        "advantages_N": spread([1.0, -1.0, 0.3, -0.3], lengths),
        "weights_N": token_weights(lengths, average="sequence", num_sequences=4, num_tokens=count),
        "old_logprobs_N": torch.randn(count),
        "ref_logprobs_N": torch.randn(count),
        "sampler_logprobs_N": torch.randn(count),
    }
    policy = torch.randn(count)
    whole, slope = run(objective, policy, **tensors)
    rows = []
    for part in (slice(0, 8), slice(8, 10), slice(10, count)):
        rows.append(run(objective, policy[part], **{name: one[part] for name, one in tensors.items()}))
    assert torch.allclose(torch.cat([one for _, one in rows]), slope)
    assert sum(loss.value.item() for loss, _ in rows) == pytest.approx(whole.value.item(), rel=1e-5)
    for name, wanted in whole.sums.items():
        found = sum(loss.sums[name].item() for loss, _ in rows)
        assert found == pytest.approx(wanted.item(), rel=1e-5), name
    assert whole.sums["tokens"] == count


def test_missing_log_probabilities_are_named() -> None:
    one = torch.zeros(1)
    with pytest.raises(ConfigError, match="reference's log-probabilities are missing"):
        compute_loss(Objective(), logprobs_N=one, advantages_N=one, weights_N=one)
    with pytest.raises(ConfigError, match="this sampler gives no log-probabilities"):
        compute_loss(Objective(beta=0.0, importance="mask"), logprobs_N=one, advantages_N=one, weights_N=one)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_low": 1.0}, "objective: clip_low: input should be less than 1, got 1.0"),
        ({"clip_high": -0.1}, "objective: clip_high: input should be greater than or equal to 0, got -0.1"),
        ({"beta": math.nan}, "objective: beta: input should be a finite number, got nan"),
        ({"importance_cap": 0.5}, "objective: importance_cap: input should be greater than or equal to 1"),
        ({"average": "batch"}, "objective: average: input should be 'sequence' or 'token', got 'batch'"),
        ({"overlong": "penalise"}, "objective: overlong: input should be 'keep' or 'mask', got 'penalise'"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_objective(**settings)


def test_named_options() -> None:
    assert build_objective() == Objective()
    found = build_objective(["clip-higher", "token-level", "no-std", "overlong-masked"], beta=0.0)
    assert found == Objective(clip_high=0.28, average="token", scale="none", overlong="mask", beta=0.0)
    assert build_objective(["clip-higher"], clip_high=0.3).clip_high == 0.3
    with pytest.raises(ConfigError, match="option 'dapo' is not known; expected one of clip-higher"):
        build_objective(["dapo"])
