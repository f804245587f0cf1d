"""From the same samples our gradients are those of TRL's GRPO: the paper's objective and each option that TRL has.

TRL is handed the prompts, the completions and their rewards, and does the rest itself: padding, advantages,
the reference's log-probabilities, loss and gradients. Our side computes each completion in a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from transformers import PreTrainedModel

from rmr1.train.grpo.batches import normalize_group
from rmr1.train.grpo.objective import (
    Loss,
    compute_loss,
    spread,
    token_weights,
)
from rmr1.train.grpo.recipe import Objective

from ..tiny_models import build_model, build_tokenizer, save_model
from ..training import alone

torch.set_num_threads(1)

TRL_EPSILON = 1e-4
"""What TRL adds to a group's standard deviation."""
SIZE = 4
GROUPS = (
    # prompt tokens, completion tokens, rewards
    (9, (7, 1, 12, 4), (1.0, -1.0, -1.0, 1.0)),
    (3, (5, 5, 2, 16), (-1.0, -1.0, -1.0, 1.0)),
    (14, (6, 9, 3, 8), (0.3, 1.1, -1.0, -1.0)),
    (5, (2, 11, 4, 4), (1.0, 1.0, 1.0, 1.0)),
)
"""Ragged; the last group is flat, and counts in the mini-batch all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    reward: float


def make_samples() -> list[Sample]:
    draw = torch.Generator().manual_seed(1)

    def tokens(number: int) -> tuple[int, ...]:
        return tuple(torch.randint(4, 400, (number,), generator=draw).tolist())

    samples = []
    for num_prompt, lengths, rewards in GROUPS:
        prompt = tokens(num_prompt)
        for length, reward in zip(lengths, rewards, strict=True):
            samples.append(Sample(prompt=prompt, completion=tokens(length), reward=reward))
    return samples


SAMPLES = make_samples()
LENGTHS = [len(sample.completion) for sample in SAMPLES]


def make_weights(step: float, seed: int) -> dict[str, torch.Tensor]:
    """The base's weights, each matrix moved by `step` times its own size."""
    model = build_model(initializer_range=0.1, seed=0)
    draw = torch.Generator().manual_seed(seed)
    return {
        name: weight + step * weight.std() * torch.randn(weight.shape, generator=draw)
        if weight.dim() > 1
        else weight.clone()
        for name, weight in model.state_dict().items()
    }


# The policy, the weights that sampled, and the reference: the first two near each other, the last further off.
POLICY, OLD, REFERENCE = make_weights(0.0, 0), make_weights(0.15, 1), make_weights(0.3, 2)


def row_logprobs(model: PreTrainedModel, sample: Sample) -> torch.Tensor:
    ids = torch.tensor([[*sample.prompt, *sample.completion]])
    logits = model(input_ids=ids).logits[0, len(sample.prompt) - 1 : -1].float()
    return logits.log_softmax(-1)[torch.arange(len(sample.completion)), torch.tensor(sample.completion)]


def our_model(weights: dict[str, torch.Tensor]) -> PreTrainedModel:
    model = build_model(initializer_range=0.1)
    model.load_state_dict(weights)
    return model


@torch.no_grad()
def fixed_logprobs(weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    model = our_model(weights)
    return [row_logprobs(model, sample) for sample in SAMPLES]


def our_advantages(objective: Objective) -> list[float]:
    rewards = [sample.reward for sample in SAMPLES]
    return [
        advantage
        for start in range(0, len(rewards), SIZE)
        for advantage in normalize_group(
            rewards[start : start + SIZE], scale=objective.scale, epsilon=objective.epsilon
        )
    ]


def our_gradients(
    objective: Objective, *, old: Sequence[torch.Tensor] | None, sampler: Sequence[torch.Tensor] | None
) -> tuple[dict[str, torch.Tensor], list[Loss]]:
    """Gradients of the mini-batch, accumulated one completion at a time; flat groups are left out without KL."""
    model = our_model(POLICY)
    reference = fixed_logprobs(REFERENCE)
    advantages = our_advantages(objective)
    losses = []
    for index, sample in enumerate(SAMPLES):
        if not objective.beta and not any(advantages[index - index % SIZE :][:SIZE]):
            continue
        length = [LENGTHS[index]]
        loss = compute_loss(
            objective,
            logprobs_N=row_logprobs(model, sample),
            old_logprobs_N=None if old is None else old[index],
            ref_logprobs_N=reference[index] if objective.beta else None,
            sampler_logprobs_N=None if sampler is None else sampler[index],
            advantages_N=spread([advantages[index]], length),
            weights_N=token_weights(
                length, average=objective.average, num_sequences=len(SAMPLES), num_tokens=sum(LENGTHS)
            ),
        )
        loss.value.backward()
        losses.append(loss)
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for name, weight in model.named_parameters()
    }, losses


def average_sums(losses: Sequence[Loss]) -> dict[str, float]:
    """Means per token that was computed."""
    sums = {name: sum(float(loss.sums[name]) for loss in losses) for name in losses[0].sums}
    return {name: value / max(1.0, sums["tokens"]) for name, value in sums.items()}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, alone():
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        yield build_trainer(tmp_path_factory.mktemp("trl"))


def build_trainer(folder: Path) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    base = save_model(folder / "base", build_model(initializer_range=0.1), build_tokenizer())

    def roll_out(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        chosen = [SAMPLES[int(prompt)] for prompt in prompts]
        return {
            "prompt_ids": [list(sample.prompt) for sample in chosen],
            "completion_ids": [list(sample.completion) for sample in chosen],
            "logprobs": None,
        }

    def reward(prompts: list[str], completions: list[str], **kwargs: Any) -> list[float | None]:
        return [SAMPLES[int(prompt)].reward for prompt in prompts]

    trainer: Any = GRPOTrainer(
        model=str(base),
        reward_funcs=reward,
        rollout_func=roll_out,
        train_dataset=Dataset.from_list([{"prompt": str(index)} for index in range(len(SAMPLES))]),
        args=GRPOConfig(
            output_dir=str(folder / "out"),
            loss_type="grpo",
            beta=1e-3,
            num_generations=SIZE,
            per_device_train_batch_size=len(SAMPLES),
            max_completion_length=max(LENGTHS),
            use_bias_correction_kl=False,
            gradient_checkpointing=False,
            disable_dropout=True,
            use_cpu=True,
            bf16=False,
            report_to="none",
            model_init_kwargs={"dtype": "float32"},
        ),
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    trainer.ref_model.load_state_dict(REFERENCE)
    return trainer


def trl_gradients(
    trainer: Any, settings: dict[str, Any], change: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, float]]:
    """Gradients, the inputs of TRL's loss after `change`, and what it logged."""
    own = {name for name in settings if hasattr(trainer, name)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setattr(trainer if name in own else trainer.args, name, value)
        trainer.model.load_state_dict(POLICY)
        trainer.model.zero_grad()
        trainer._metrics["train"].clear()
        rows = [{"prompt": str(index)} for index in range(len(SAMPLES))]
        # What follows is set for the loss alone: nothing here is sampled by vLLM.
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(trainer, "use_vllm", False)
            inputs = trainer._generate_and_score_completions(rows)
        change(inputs)
        trainer.compute_loss(trainer.model, inputs).backward()
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    gradients = {name: weight.grad.clone() for name, weight in trainer.model.named_parameters()}
    return gradients, inputs, logged


def pad(rows: Sequence[torch.Tensor], width: int) -> torch.Tensor:
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])


def compare(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """The largest relative distance of a parameter's gradients."""
    assert found.keys() == wanted.keys() and all(gradient.norm() > 1e-6 for gradient in wanted.values())
    return max(float((found[name] - gradient).norm() / gradient.norm()) for name, gradient in wanted.items())


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # ours, TRL's
    "no KL": ({"beta": 0.0}, {"beta": 0.0}),
    "the paper's": ({}, {}),
    "much KL": ({"beta": 0.5}, {"beta": 0.5}),
    "corrected KL": ({"beta": 0.5, "correct_kl": True}, {"beta": 0.5, "use_bias_correction_kl": True}),
    "clip-higher": ({"clip_high": 0.28}, {"epsilon_high": 0.28}),
    "token-level": ({"average": "token"}, {"loss_type": "bnpo"}),
    "no-std": ({"scale": "none"}, {"scale_rewards": "none"}),
}


@pytest.mark.parametrize("is_off_policy", [False, True], ids=["on policy", "off policy"])
@pytest.mark.parametrize("case", CASES)
def test_gradients(trainer: Any, case: str, is_off_policy: bool) -> None:
    ours, theirs = CASES[case]
    objective = Objective(epsilon=TRL_EPSILON, **ours)
    old = fixed_logprobs(OLD) if is_off_policy else None

    def change(inputs: dict[str, Any]) -> None:
        if old is not None:
            inputs["old_per_token_logps"] = pad(old, inputs["completion_ids"].shape[1])

    wanted, inputs, logged = trl_gradients(trainer, theirs, change)
    found, losses = our_gradients(objective, old=old, sampler=None)
    assert our_advantages(objective) == pytest.approx(inputs["advantages"].tolist(), rel=1e-5, abs=1e-6)
    assert compare(found, wanted) < 1e-4

    summary = average_sums(losses)
    clipped = summary["clipped_low"] + summary["clipped_high"]
    assert clipped >= 0.1 if is_off_policy else clipped == 0.0
    # TRL's shares are of all tokens, ours of those that were computed.
    share = sum(float(loss.sums["tokens"]) for loss in losses) / sum(LENGTHS)
    assert clipped * share == pytest.approx(logged["clip_ratio/region_mean"], abs=1e-6)
    if objective.beta and not objective.correct_kl:  # TRL logs the corrected estimate, ours is the plain one
        assert summary["kl"] == pytest.approx(logged["kl"], rel=1e-4)


@pytest.mark.parametrize("importance", ["truncate", "mask"])
def test_gradients_with_importance_correction(trainer: Any, importance: str) -> None:
    """TRL multiplies the surrogate by whatever ratios it is given; these are worked out here."""
    cap = 1.1
    objective = Objective(epsilon=TRL_EPSILON, importance=importance, importance_cap=cap)
    old = fixed_logprobs(OLD)
    draw = torch.Generator().manual_seed(3)
    sampler = [row + 0.2 * torch.randn(row.shape, generator=draw) for row in old]
    ratios = [(one - other).exp() for one, other in zip(old, sampler, strict=True)]
    met = sum(int((ratio > cap).sum()) for ratio in ratios)

    def change(inputs: dict[str, Any]) -> None:
        width = inputs["completion_ids"].shape[1]
        inputs["old_per_token_logps"] = pad(old, width)
        capped = [
            ratio.clamp(max=cap) if importance == "truncate" else ratio * (ratio <= cap) for ratio in ratios
        ]
        inputs["importance_sampling_ratio"] = pad(capped, width)

    settings = {"use_vllm": True, "vllm_importance_sampling_correction": True}
    # TRL logs nothing of the ratios in the loss itself.
    wanted, _, _ = trl_gradients(trainer, settings, change)
    found, losses = our_gradients(objective, old=old, sampler=sampler)
    assert compare(found, wanted) < 1e-4
    summary = average_sums(losses)
    assert summary["importance_cut"] == pytest.approx(met / sum(LENGTHS)) and met >= 0.1 * sum(LENGTHS)


def test_the_epsilon_of_the_deviation_is_told_apart(trainer: Any) -> None:
    """verl's epsilon, our default, is another than TRL's, and the comparison sees it."""
    _, inputs, _ = trl_gradients(trainer, {}, lambda inputs: None)
    theirs = inputs["advantages"].tolist()
    assert our_advantages(Objective(epsilon=TRL_EPSILON)) == pytest.approx(theirs, rel=1e-6, abs=1e-7)
    assert our_advantages(Objective()) != pytest.approx(theirs, rel=2e-5, abs=1e-7)


def test_the_comparison_sees_small_changes(trainer: Any) -> None:
    """One thousandth of KL, or a clip a little wider, is further off than the tolerance."""
    old = fixed_logprobs(OLD)

    def change(inputs: dict[str, Any]) -> None:
        inputs["old_per_token_logps"] = pad(old, inputs["completion_ids"].shape[1])

    wanted, _, _ = trl_gradients(trainer, {}, change)
    changes: tuple[dict[str, Any], ...] = ({"beta": 0.0}, {"clip_low": 0.25}, {"clip_high": 0.25})
    for settings in changes:
        found, _ = our_gradients(Objective(epsilon=TRL_EPSILON, **settings), old=old, sampler=None)
        assert compare(found, wanted) > 5e-4, settings
