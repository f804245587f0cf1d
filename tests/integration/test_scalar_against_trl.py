"""From the same pairs in the same order our losses, gradients and weights are those of TRL's RewardTrainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler

from rmr1.train.optim import build_optimizers, compute_rate
from rmr1.train.processes import accelerated
from rmr1.train.recipe import ReportRecipe
from rmr1.train.scalar.model import load_model
from rmr1.train.scalar.plan import Rate, ScalarPlan, build_scalar_plan, list_rates
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.scalar.run import ScalarTraining

from ..training import alone, write_rows
from .test_scalar import make_pairs, small_recipe

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_accelerator() -> Iterator[None]:
    with alone():
        yield


def make_plan(folder: Path, optim: dict[str, Any]) -> ScalarPlan:
    pairs = write_rows(folder / "pairs.jsonl", make_pairs(24))
    recipe = small_recipe(pairs, optim={"epochs": 1, **optim}, checkpoint={"every": 0})
    return build_scalar_plan(ScalarRecipe.from_values(recipe, "recipe.toml"))


def build_trainer(plan: ScalarPlan, rate: Rate, folder: Path) -> Any:
    """TRL's trainer over the plan's pairs in the plan's order, with the optimizer and the rates of the recipe."""
    from trl import RewardConfig, RewardTrainer

    class Trainer(RewardTrainer):
        def _get_train_sampler(self, *arguments: Any, **options: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    recipe, model = plan.recipe, load_model(plan, torch.device("cpu")).model
    optim, batch = recipe.optim, recipe.batch
    optimizers = build_optimizers(
        model,
        name=optim.name,
        lr=rate.lr,
        muon_lr=rate.muon_lr,
        betas=optim.betas,
        eps=optim.eps,
        weight_decay=optim.weight_decay,
    )
    (optimizer,) = optimizers.parts  # what TRL takes is one optimizer

    def factor(step: int) -> float:
        return compute_rate(step, total=plan.steps, warmup=plan.warmup_steps, schedule=optim.schedule)

    chosen, rejected = zip(*(plan.train.get(place) for place in plan.course.order), strict=True)
    tokenizer = deepcopy(plan.base.tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(plan.pad)
    return Trainer(
        model=model,
        args=RewardConfig(
            output_dir=str(folder),
            seed=recipe.seed,
            use_cpu=True,
            bf16=recipe.model.precision == "bf16",
            gradient_checkpointing=False,
            per_device_train_batch_size=batch.examples_at_once,
            gradient_accumulation_steps=batch.examples // batch.examples_at_once,
            num_train_epochs=1,
            max_grad_norm=optim.clip,
            max_length=None,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"chosen_ids": _plain(chosen), "rejected_ids": _plain(rejected)}),
        optimizers=(optimizer, LambdaLR(optimizer, factor)),
    )


def _plain(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(row) for row in rows]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_those_of_trl(tmp_path: Path, precision: str) -> None:
    """Several steps, each of two parts, with clipped gradients, weight decay and a rate that rises and falls."""
    optim = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.1, "clip": 1.0}
    plan = make_plan(tmp_path, optim)
    model = plan.recipe.model.model_copy(update={"precision": precision})
    plan.recipe.__dict__["model"] = model
    (rate,) = list_rates(plan.recipe)
    with accelerated(device="cpu", is_mixed=precision == "bf16", report=ReportRecipe()) as accelerator:
        ours = ScalarTraining(plan, accelerator, tmp_path, None, quiet=True)
        lines = [ours.take_step() for _ in range(plan.steps)]
        weights = {name: one.detach().clone() for name, one in ours.model.named_parameters()}
    trainer = build_trainer(plan, rate, tmp_path / "trl")
    trainer.train()
    theirs = [line for line in trainer.state.log_history if "grad_norm" in line]
    assert plan.steps == len(lines) == len(theirs) == 3
    assert theirs[1]["grad_norm"] > 1  # which is clipped
    for line, their in zip(lines, theirs, strict=True):
        for name in ("loss", "accuracy", "margin", "grad_norm"):
            assert line[name] == pytest.approx(their[name], rel=1e-6, abs=1e-7), name
    found = dict(trainer.model.named_parameters())
    for name, weight in weights.items():
        assert torch.equal(weight, found[name]), name


@pytest.mark.filterwarnings("ignore")
def test_gradients_are_those_of_trl(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"name": "adamw", "lr": 1e-2, "clip": 0.0})
    (rate,) = list_rates(plan.recipe)
    gradients: dict[str, torch.Tensor] = {}
    with accelerated(device="cpu", is_mixed=False, report=ReportRecipe()) as accelerator:
        ours = ScalarTraining(plan, accelerator, tmp_path, None, quiet=True)

        def keep(factor: float) -> None:
            gradients.update((name, one.grad.clone()) for name, one in ours.model.named_parameters())

        ours.updater.optimizers.step = keep  # type: ignore[method-assign]
        ours.take_step()
    trainer = build_trainer(plan, rate, tmp_path / "trl")
    trainer.model.train()
    batches = iter(trainer.get_train_dataloader())
    trainer.current_gradient_accumulation_steps = 2
    for _ in range(2):
        trainer.training_step(trainer.model, dict(next(batches)))
    for name, parameter in trainer.model.named_parameters():
        assert gradients[name].norm() > 0, name
        assert torch.equal(gradients[name], parameter.grad), name
