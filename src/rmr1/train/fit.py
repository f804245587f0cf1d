"""What a training takes on a machine, and whether it fits: from a recipe and its plan to an estimate."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rmr1.errors import CheckpointError, ConfigError
from rmr1.forecast.machine import find_machine, parse_machine, see_machine
from rmr1.forecast.numbers import RunNumbers
from rmr1.forecast.shape import PUBLISHED, ModelShape, read_shape
from rmr1.forecast.training import Estimate, estimate_run, find_obstacle
from rmr1.models import resolve_model
from rmr1.train.fitting import add_advice
from rmr1.train.recipe import Recipe, TrainingRecipe

if TYPE_CHECKING:
    from rmr1.train.grpo.plan import GrpoPlan
    from rmr1.train.grpo.recipe import GrpoRecipe
    from rmr1.train.plan import Plan
    from rmr1.train.scalar.plan import ScalarPlan
    from rmr1.train.scalar.recipe import ScalarRecipe


def estimate_sft(plan: Plan, machine: str | None = None, *, processes: int | None = None) -> Estimate | str:
    """What fine-tuning takes on the machine of this name, or with so many processes on the one at hand; or why that is
    not known."""
    recipe, counts = plan.recipe, plan.counts
    number = max(1, counts.rows - counts.overlong)
    numbers = count_sft(
        recipe, tokens=counts.tokens / number, judged=counts.judged_tokens / number, steps=plan.steps
    )
    held_out = [one.num_prompt for one in plan.held_out]
    numbers = replace(numbers, **_count_look(numbers.look_rows, held_out))
    return _estimate(recipe, numbers, machine, processes, vocabulary=len(plan.base.tokenizer))


def count_sft(recipe: Recipe, *, tokens: float, judged: float, steps: int) -> RunNumbers:
    """The numbers of fine-tuning on documents of so many tokens, the judge's own among them."""
    batch = recipe.batch
    return RunNumbers(
        prompts=batch.examples or max(1, int((batch.tokens or 0) // max(1, tokens))),
        prompt_tokens=max(1, recipe.data.max_tokens - math.ceil(judged)),
        new_tokens=math.ceil(judged),
        mean_prompt_tokens=tokens - judged,
        mean_new_tokens=judged,
        row_tokens=batch.row_tokens if batch.packing else 0,
        has_reference=False,
        **_list_common(recipe),
        is_packed=batch.packing,
        engine=None,
        row_setting="batch.row_tokens",
        rollouts=steps,
        look_rows=min(recipe.evaluation.verdicts, recipe.evaluation.batch_size) if _has_looks(recipe) else 0,
    )


def _list_common(recipe: Recipe | ScalarRecipe | GrpoRecipe) -> dict[str, Any]:
    lora = getattr(recipe, "lora", None)
    return {
        "lora_rank": None if lora is None else lora.r,
        "precision": recipe.model.precision,
        "optimizer": recipe.optim.name,
        "checkpointing": recipe.model.checkpointing,
        "quantize": None if lora is None else lora.quantize,
        "offload": recipe.sharding.offload,
    }


def _count_look(rows: int, held_out: Sequence[int]) -> dict[str, Any]:
    """The numbers of a look that writes so many texts together; `held_out` are tokens of its prompts, if they were read."""
    if not rows or not held_out:
        return {"look_rows": rows}
    return {"look_rows": min(rows, len(held_out)), "look_prompt_tokens": max(held_out)}


def _has_looks(recipe: Recipe) -> bool:
    data = recipe.data
    return bool(data.held_out or data.held_out_share or (data.world is not None and data.world.held_out))


def estimate_scalar(
    plan: ScalarPlan, machine: str | None = None, *, processes: int | None = None
) -> Estimate | str:
    """What a scalar model's training takes, its tries of several rates counted; as `estimate_sft`."""
    recipe, rates, full = plan.recipe, len(plan.recipe.optim.lr), plan.steps
    tried = None if plan.try_course is None else len(plan.try_course.tokens)
    numbers = RunNumbers(
        prompts=2 * recipe.batch.examples,
        prompt_tokens=recipe.data.max_tokens,
        new_tokens=0,
        mean_prompt_tokens=plan.train.counts.tokens / (2 * len(plan.train)),
        row_groups=2 * (recipe.batch.examples_at_once or recipe.batch.examples),
        has_reference=False,
        can_adapt=False,
        **_list_common(recipe),
        engine=None,
        row_setting="batch.examples_at_once",
        rollouts=full * rates if tried is None else full + tried * rates,
    )
    return _estimate(recipe, numbers, machine, processes, vocabulary=plan.base.num_embeddings, has_head=False)


def estimate_grpo(
    recipe: GrpoRecipe,
    plan: GrpoPlan | None = None,
    machine: str | None = None,
    *,
    processes: int | None = None,
) -> Estimate:
    """What a reinforcement takes; without a plan from the base's published shape."""
    shape = find_shape(recipe.model.base or "") if plan is None else read_shape(plan.base.config)
    return estimate_run(
        shape, count_grpo(recipe, plan), find_machine(machine, recipe.device, processes=processes)
    )


def count_grpo(recipe: GrpoRecipe, plan: GrpoPlan | None = None) -> RunNumbers:
    """The numbers of a reinforcement; those of its data if they were read."""
    rollout, objective = recipe.rollout, recipe.objective.build()
    counts = None if plan is None or not plan.counts.tasks else plan.counts
    held_out = () if plan is None else [len(task.tokens) for task in plan.held_out]
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
        **_list_common(recipe),
        engine=rollout.engine,
        rows=rollout.rows,
        gpu_memory=rollout.gpu_memory,
        tensor_parallel=getattr(rollout, "tensor_parallel", 1),
        **_count_look(recipe.evaluation.rows if recipe.data.has_held_out else 0, held_out),
        rollouts=plan.steps if plan is not None else recipe.optim.steps or 1,
    )


def check_libraries(recipe: Recipe | GrpoRecipe) -> None:
    """Complain of a library or tracker that the recipe needs and that is not installed."""
    from rmr1.engines.hf.lora import import_peft
    from rmr1.train.processes import check_trackers

    rollout = getattr(recipe, "rollout", None)
    if rollout is not None and rollout.engine == "vllm":
        from rmr1.engines.vllm.core import check_installed

        check_installed()
    if recipe.lora is not None:
        import_peft()
    check_trackers(recipe.report)


def check_fit(plan: GrpoPlan) -> None:
    """Complain of a missing library, or of no room on this machine, with what would help."""
    check_libraries(plan.recipe)
    check_room(plan.recipe, estimate_grpo(plan.recipe, plan))


def check_room(recipe: TrainingRecipe, estimate: Estimate | str) -> None:
    """Complain of no room on this machine, with what would help; a training of which nothing is known may try."""
    if isinstance(estimate, Estimate) and (obstacle := find_obstacle(estimate)):
        raise ConfigError(add_advice(obstacle, recipe, estimate))


def find_shape(base: str, *, has_head: bool = True, is_local: bool = True) -> ModelShape:
    """The sizes of a model by its name.

    Raises:
        ConfigError: the name is the hub's and only local ones are looked for, or the model cannot be estimated.
        CheckpointError: a folder holds no model.
    """
    if base in PUBLISHED and has_head:
        return PUBLISHED[base]
    folder = Path(resolve_model(base))
    if is_local and not folder.is_dir():
        raise ConfigError(f"the shape of {base!r} is not known; known are folders and {', '.join(PUBLISHED)}")
    try:
        if folder.is_dir():
            # The file states the sizes of known decoders; transformers takes seconds to import.
            stated = json.loads((folder / "config.json").read_bytes())
            with contextlib.suppress(ConfigError):
                return read_shape(SimpleNamespace(**stated), has_head=has_head)
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(folder if folder.is_dir() else base)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{base}: no model that can be read: {error}") from None
    return read_shape(config, has_head=has_head)


def _estimate(
    recipe: Recipe | ScalarRecipe,
    numbers: RunNumbers,
    machine: str | None,
    processes: int | None,
    *,
    vocabulary: int,
    has_head: bool = True,
) -> Estimate | str:
    named, model = None if machine is None else parse_machine(machine), recipe.model
    try:
        if model.from_scratch is not None:
            scratch = model.from_scratch
            shape = ModelShape(
                layers=scratch.layers,
                hidden=scratch.hidden_size,
                heads=scratch.heads,
                kv_heads=scratch.kv_heads,
                head_dim=scratch.hidden_size // scratch.heads,
                intermediate=scratch.intermediate_size,
                vocabulary=vocabulary,
                tied=scratch.tied,
                biased=scratch.architecture == "llama",
                has_head=has_head,
            )
        else:
            shape = find_shape(model.base or "", has_head=has_head, is_local=False)
        return estimate_run(shape, numbers, named or see_machine(recipe.device, processes=processes))
    except ConfigError as error:
        return f"not known: {error}"
