"""Whether a recipe can run on the machine at hand, and what it takes: from the recipe to `estimate`'s numbers."""

from __future__ import annotations

from rmr1.engines.hf.lora import import_peft
from rmr1.errors import ConfigError
from rmr1.forecast.machine import Machine, see_machine
from rmr1.forecast.memory import RunNumbers
from rmr1.forecast.shape import PUBLISHED, ModelShape, read_shape
from rmr1.forecast.training import Estimate, estimate_run, find_obstacle
from rmr1.train.grpo.plan import GrpoPlan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.processes import check_trackers


def estimate_recipe(recipe: GrpoRecipe, plan: GrpoPlan | None = None) -> tuple[Estimate, Machine]:
    """What the recipe takes here. Without a plan, as where its base cannot be read, from what is published.

    Raises:
        ConfigError: the base's shape is not known, or not one that can be estimated.
    """
    machine = see_machine(recipe.device)
    return estimate_run(_find_shape(recipe, plan), count_numbers(recipe, plan), machine), machine


def check_libraries(recipe: GrpoRecipe) -> None:
    """
    Raises:
        ConfigError: the recipe needs a library or a tracker that is not installed.
    """
    if recipe.rollout.engine == "vllm":
        from rmr1.engines.vllm.core import check_installed

        check_installed()
    if recipe.lora is not None:
        import_peft()
    check_trackers(recipe.report)


def check_fit(plan: GrpoPlan) -> None:
    """
    Raises:
        ConfigError: a library is missing, or the run has no room on this machine; the line says why, and what
            would help.
    """
    check_libraries(plan.recipe)
    estimate, machine = estimate_recipe(plan.recipe, plan)
    if obstacle := find_obstacle(estimate, machine):
        raise ConfigError(obstacle)


def count_numbers(recipe: GrpoRecipe, plan: GrpoPlan | None = None) -> RunNumbers:
    """The numbers of the recipe that decide memory and time; those of its data where they were read."""
    rollout, objective = recipe.rollout, recipe.objective.build()
    counts = None if plan is None or not plan.counts.tasks else plan.counts
    return RunNumbers(
        prompts=rollout.prompts,
        samples=rollout.samples,
        prompt_tokens=recipe.data.max_prompt_tokens,
        new_tokens=rollout.max_new_tokens,
        mean_prompt_tokens=None if counts is None else counts.prompt_tokens / counts.tasks,
        row_tokens=recipe.update.row_tokens,
        updates=rollout.prompts // recipe.update_prompts,
        has_reference=objective.beta > 0,
        has_old_pass=objective.importance != "none" and not recipe.is_on_policy,
        lora_rank=None if recipe.lora is None else recipe.lora.r,
        precision="fp32" if recipe.model.precision == "fp32" else "bf16",
        checkpointing=recipe.model.checkpointing,
        engine=rollout.engine,
        rows=rollout.rows,
        gpu_memory=rollout.gpu_memory,
        rollouts=plan.steps if plan is not None else recipe.optim.steps or 1,
    )


def _find_shape(recipe: GrpoRecipe, plan: GrpoPlan | None) -> ModelShape:
    if plan is not None:
        return read_shape(plan.base.config)
    shape = PUBLISHED.get(recipe.model.base or "")
    if shape is None:
        known = ", ".join(PUBLISHED)
        raise ConfigError(f"model.base: the shape of {recipe.model.base!r} is not known; known are {known}")
    return shape
