"""Run under torchrun: the gradient of a rollout's last mini-batch, whatever the number of processes.

The weights have not moved, so where there are several mini-batches the last one is off the policy by its old
log-probabilities alone. For test_grpo.py.

python -m torch.distributed.run ... grpo_gradients.py RECIPE OUTPUT
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rmr1.train.grpo.batches import build_minibatches
from rmr1.train.grpo.plan import build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.run import Reinforcement
from rmr1.train.grpo.tasks import take_tasks
from rmr1.train.processes import accelerated
from rmr1.train.sharding import gather_whole


def main(recipe_path: str, output: str) -> None:
    torch.set_num_threads(1)
    recipe = GrpoRecipe.from_values(tomllib.loads(Path(recipe_path).read_text()), recipe_path)
    with accelerated(device="cpu", is_mixed=False, report=recipe.report) as accelerator:
        # In a function of its own, so that what refers to the process group is gone before the group is.
        store_gradient(recipe, accelerator, Path(output))


def store_gradient(recipe: GrpoRecipe, accelerator: Any, output: Path) -> None:
    plan = build_grpo_plan(recipe)
    training = Reinforcement(plan, accelerator, output.parent, None, quiet=True)
    tasks, _ = take_tasks(plan.source, recipe.rollout.prompts, training.position)
    scored = training.score(tasks, training.sample(tasks))
    batches = build_minibatches(scored, plan.objective, prompts=recipe.update_prompts)
    last = len(batches) - 1
    sums, _ = training.learner.backward(batches[last], training.learner.compute_old(batches).get(last))
    found = {
        name: gather_whole(one.grad)
        for name, one in training.learner.loss.named_parameters()
        if one.grad is not None
    }
    if accelerator.is_main_process:
        save_file({**found, "sums": sums.float()}, output)


main(*sys.argv[1:])
