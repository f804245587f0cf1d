"""How far the sampler's log-probabilities are from the trainer's: measured, logged, and a fault beyond rounding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmr1.attention.groups import Group, build_group_row
from rmr1.attention.proof.training import RowPaths
from rmr1.errors import ConfigError
from rmr1.train.grpo.batches import UpdateRow
from rmr1.train.grpo.learn import STATS, GroupLoss, Learner
from rmr1.train.grpo.metrics import describe_step, summarize_update
from rmr1.train.grpo.objective import Objective
from tests.tiny_models import build_model


def make_update(policy: GroupLoss, *, off: float) -> UpdateRow:
    """Three completion tokens, the last of no weight; the sampler's log-probabilities are off, the second twice."""
    row = build_group_row([Group(prompt=(3, 4, 5), completions=((6, 7), (8,)))])
    with policy.policy.attention(), torch.no_grad():
        logprobs, _ = policy.policy(row)
    return UpdateRow(
        row=row,
        advantages=torch.ones(3),
        weights=torch.tensor([0.5, 0.5, 0.0]),
        sampler_logprobs=logprobs + torch.tensor([off, -2 * off, 100.0]),
    )


def test_differences_are_summed_over_tokens_that_count() -> None:
    policy = GroupLoss(build_model(), Objective(beta=0.0), temperature=1.0)
    update = make_update(policy, off=0.1)
    with policy.policy.attention():
        _, _, apart = policy(update, None, None)
        assert apart.tolist() == pytest.approx([0.3, 2, 0.2], abs=1e-5)
        _, _, later = policy(update, None, update.sampler_logprobs)
    assert later.tolist() == [0, 0, 0]  # the weights that sampled are gone


def test_they_are_logged_and_shown() -> None:
    sums = {"loss": 1.0, **dict.fromkeys(STATS, 4.0)}
    values = summarize_update([], {**sums, "sampler_log_ratio": 0.02, "sampler_log_ratio_max": 0.5}, [1.0])
    assert (values["sampler_log_ratio"], values["sampler_log_ratio_max"]) == (0.02, 0.5)
    assert "sampler_log_ratio" not in summarize_update([], sums, [1.0])
    shown = dict.fromkeys(("reward", "accuracy", "length", "kl", "unparsed", "live_groups", "groups"), 0.0)
    speeds = {"rollout_tokens_per_second": 1.0, "update_tokens_per_second": 1.0}
    assert "sampler ±0.02" in describe_step({**shown, **speeds, **values})


def make_learner(engine: str) -> Any:
    learner = Learner.__new__(Learner)
    learner.model = build_model()
    learner.paths = RowPaths(noise=1e-5)
    learner.notes = []
    learner._is_compared = False
    learner.recipe = SimpleNamespace(rollout=SimpleNamespace(temperature=0.5, engine=engine))  # type: ignore[assignment]
    return learner


def test_another_model_in_the_sampler_ends_the_run_at_once() -> None:
    learner = make_learner("transformers")
    with pytest.raises(
        ConfigError, match=r"Qwen2ForCausalLM: log-probabilities of sampler and trainer differ by 0.1 "
    ):
        learner._compare(0.1)
    rounded = make_learner("transformers")
    rounded._compare(1.9e-4)  # ten times the noise, at half the temperature
    rounded._compare(0.1)  # later the weights have changed
    assert rounded.notes == []


def test_vllm_rounds_otherwise() -> None:
    learner = make_learner("vllm")
    learner._compare(0.1)
    (note,) = learner.notes
    assert "vLLM rounds otherwise" in note and "\n" not in note
