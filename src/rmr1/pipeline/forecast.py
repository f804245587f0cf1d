"""What each stage of a pipeline would take, before any of it is there: `rmr1 train --dry-run`.

Items flow from stage to stage by the recipe's own shares. Local files are read; of the hub only what the recipe
says itself is known, and what follows from what is not known is left open. Every assumption is named.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rmr1.bench.run import count_pairs, load_benchmark
from rmr1.curate.plan import CurationPlan, plan_curation
from rmr1.distill.forecast import WRONG_SHARE
from rmr1.distill.recipe import DistillDataRecipe, DistillRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.errors import ConfigError
from rmr1.forecast.machine import Machine, see_machine
from rmr1.forecast.prices import compute_cost
from rmr1.forecast.shape import ModelShape
from rmr1.forecast.training import MEMORY_SHARE, estimate_run, find_obstacle
from rmr1.judge.estimate import CHARS_PER_TOKEN, DEFAULT_TEXT_TOKENS
from rmr1.pipeline.check import NUM_PAIRS
from rmr1.pipeline.measuring import find_data, find_missing_data
from rmr1.pipeline.own import find_shape
from rmr1.pipeline.recipe import OWN_PAIRS, BenchRecipe, Pipeline
from rmr1.pipeline.sizes import PairSizes, measure_conversations, measure_pairs
from rmr1.pipeline.stages import HERE
from rmr1.prompts import load_family
from rmr1.records import Label
from rmr1.screen import format_bytes
from rmr1.train.grpo.fit import count_numbers
from rmr1.train.grpo.recipe import GrpoRecipe, TaskDataRecipe
from rmr1.train.recipe import Recipe

DEFAULT_PAIR_TOKENS = 900
"""Question and both answers, where no file tells."""
OFFICIAL_PAIRS = {
    "rewardbench": 2985,
    "rm-bench": 11943,
    "rmb": 23257,
    "judgebench": 1240,
    "rewardbench2": 5595,
}
"""Judgments of the whole benchmark, asked pair by pair."""
ROW_BYTES = 6
"""Stored for a token of text."""

_FULL_BYTES = {"fp32": 16, "bf16": 16, "bf16-pure": 8}
"""Of memory for each parameter: weights, gradient and Adam's two averages."""
_LAYER_ACTIVATIONS = {True: 2, False: 34}
"""Bytes that a layer keeps of each number of its input, with checkpointing and without, in 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageForecast:
    """None where it is not known or does not apply."""

    name: str
    items: int | None = None
    prompt_tokens: int | None = None
    """Read by a model."""
    completion_tokens: int | None = None
    """Written by a model."""
    cost_usd: float | None = None
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    """Of one device, or of this machine where no model is at work."""
    hours: float | None = None
    notes: tuple[str, ...] = ()
    obstacle: str | None = None
    """Why it cannot run on this machine."""

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def forecast_pipeline(
    pipeline: Pipeline,
    *,
    folder: Path = Path(),
    report: Callable[[str, int], None] = lambda stage, done: None,
) -> tuple[list[StageForecast], list[str]]:
    """One forecast for each stage, and what was assumed; `folder` is where the results would be.

    Raises:
        ConfigError, DataError, CheckpointError: as the stages themselves would.
    """
    found, assumptions = _Forecast(pipeline, report).run()
    return _check_disk(found, folder), assumptions


def _check_disk(found: list[StageForecast], folder: Path) -> list[StageForecast]:
    """The stage with which the disk is full cannot run; before it is full nothing is wrong."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free, total = shutil.disk_usage(there).free, 0
    checked: list[StageForecast] = []
    for one in found:
        total += one.disk_bytes or 0
        if total > free and one.disk_bytes:
            obstacle = (
                f"the stages up to here need {format_bytes(total)} of disk, and {there} has {format_bytes(free)} free; "
                "choose another -o, or lower checkpoint.keep"
            )
            obstacle = obstacle if one.obstacle is None else f"{one.obstacle}; {obstacle}"
            return [*checked, replace(one, obstacle=obstacle), *found[len(checked) + 1 :]]
        checked.append(one)
    return checked


class _Forecast:
    def __init__(self, pipeline: Pipeline, report: Callable[[str, int], None]):
        self._pipeline = pipeline
        self._recipes = pipeline.recipes
        self._report = report
        self._splits: dict[str, int | None] = {}
        self._pair_tokens = DEFAULT_PAIR_TOKENS
        self._is_measured = False
        """Whether the tokens of a pair are those of local files."""
        self._sizes: dict[str, PairSizes | None] = {}
        self._text_tokens = DEFAULT_TEXT_TOKENS
        self._rows: int | None = None
        self._assumptions: list[str] = []

    def run(self) -> tuple[list[StageForecast], list[str]]:
        found = [getattr(self, f"_{stage.name}")() for stage in self._pipeline.stages]
        shared = [
            f"a token has {CHARS_PER_TOKEN} characters; question and both answers {self._pair_tokens:,} tokens",
            f"a judgment has {self._text_tokens:,} tokens",
        ]
        return found, [*shared, *self._assumptions]

    def _curate(self) -> StageForecast:
        plan: CurationPlan = plan_curation(self._recipes["curate"], self._report)
        self._splits = dict(plan.splits)
        known = [(one.size, one.mean_bytes) for one in plan.sources if one.size and one.mean_bytes]
        if known and len(known) == len(plan.sources):
            total = sum(size for size, _ in known)
            self._pair_tokens = round(sum(size * mean for size, mean in known) / total / CHARS_PER_TOKEN)
            self._is_measured = True
        taken = [one.size for one in plan.sources]
        items = None if None in taken else sum(one or 0 for one in taken)
        sizes = ", ".join(
            f"{name} {'?' if size is None else f'{size:,}'}" for name, size in plan.splits.items()
        )
        missing = f"not installed here: {', '.join(plan.missing_libraries)}" if plan.missing_libraries else ""
        later = f"not looked at yet: {', '.join(plan.not_looked_at)}" if plan.not_looked_at else ""
        return StageForecast(
            name="curate",
            items=items,
            disk_bytes=plan.output_bytes
            if plan.output_bytes is not None
            else self._bytes(items, self._pair_tokens),
            memory_bytes=plan.memory_bytes,
            notes=tuple(one for one in (f"splits: {sizes}", missing, later, *plan.notes) if one),
        )

    def _distill(self) -> StageForecast:
        recipe: DistillRecipe = self._recipes["distill"]
        items = self._count(recipe.data, recipe.data.limit)
        prompt = self._prompt_tokens(recipe.family)
        read = written = 0
        cost: float | None = 0.0
        for number, one in enumerate(recipe.passes, 1):
            teacher = find_teacher(one)
            asked = (items or 0) * (1 if number == 1 else WRONG_SHARE)
            shown = prompt + (self._text(one.max_new_tokens) if number == 2 else 0)
            reads = round(asked * shown)
            writes = round(asked * one.samples * self._text(one.max_new_tokens))
            read, written = read + reads, written + writes
            if teacher.price is None:
                cost = None if teacher.is_billed else cost
            elif cost is not None:
                cost += compute_cost(teacher.price, prompt_tokens=reads, completion_tokens=writes)
        if recipe.pass2 is not None:
            self._assumptions.append(
                f"the first teacher is wrong on {WRONG_SHARE:.0%}, and all of them are mended"
            )
        self._rows = items
        is_billed = any(find_teacher(one).is_billed for one in recipe.passes)
        return StageForecast(
            name="distill",
            items=items,
            prompt_tokens=None if items is None else read,
            completion_tokens=None if items is None else written,
            cost_usd=cost if items is not None and is_billed else None,
            disk_bytes=self._bytes(items, 2 * (prompt + self._text_tokens)),
        )

    def _sft(self) -> StageForecast:
        recipe: Recipe = self._recipes["sft"]
        rows, row_tokens = self._measure_rows(recipe)
        shape = None if recipe.model.base is None else find_shape(recipe.model.base)
        tokens = None if rows is None else round(rows * recipe.optim.epochs * row_tokens)
        memory = None if shape is None else _sft_memory(shape, recipe)
        return StageForecast(
            name="sft",
            items=rows,
            prompt_tokens=tokens,
            disk_bytes=None
            if shape is None
            else _training_disk(shape, recipe.checkpoint.keep, recipe.lora is not None),
            memory_bytes=memory,
            obstacle=None if memory is None else _find_lack(memory, see_machine(recipe.device)),
            notes=() if shape is not None else (f"the shape of {recipe.model.base} is not known here",),
        )

    def _measure_rows(self, recipe: Recipe) -> tuple[int | None, float]:
        """Rows to fine-tune on, and the tokens of one."""
        data, expected = recipe.data, self._prompt_tokens("rubric") + self._text_tokens
        if data.world is not None:
            return getattr(data.world, "items", None), expected
        sources = (data.train,) if isinstance(data.train, str) else data.train or ()
        if any(HERE in one for one in sources):
            return self._rows if len(sources) == 1 else None, expected
        found = measure_conversations(sources)
        if found is None:
            return None, expected
        rows, characters = found
        return rows, characters / CHARS_PER_TOKEN / max(rows, 1)

    def _check(self) -> StageForecast:
        recipe: GrpoRecipe = self._recipes["grpo"]
        items = self._count(recipe.data, NUM_PAIRS) or NUM_PAIRS
        return StageForecast(
            name="check",
            items=items,
            prompt_tokens=items * self._prompt_tokens(recipe.data.family),
            completion_tokens=items * self._text(recipe.rollout.max_new_tokens),
        )

    def _grpo(self) -> StageForecast:
        recipe: GrpoRecipe = self._recipes["grpo"]
        items = self._count(recipe.data, None)
        base = recipe.model.base or ""
        if HERE in base:
            base = self._recipes["sft"].model.base or ""
        shape = find_shape(base) if base else None
        epochs, prompts = recipe.optim.epochs, recipe.rollout.prompts
        steps = recipe.optim.steps
        if items is not None:
            shown = items * (2 if recipe.data.order == "both" else 1)
            whole = max(1, math.floor(shown * epochs / prompts))
            steps = whole if steps is None else min(steps, whole)
        sampled = None if steps is None else steps * prompts * recipe.rollout.samples
        found = StageForecast(
            name="grpo",
            items=items,
            prompt_tokens=None
            if steps is None
            else steps * prompts * self._prompt_tokens(recipe.data.family),
            completion_tokens=None
            if sampled is None
            else sampled * self._text(recipe.rollout.max_new_tokens),
            notes=()
            if steps is None
            else (f"{steps} rollouts of {prompts} prompts, {recipe.rollout.samples} samples each",),
        )
        if shape is None:
            return replace(
                found, notes=(*found.notes, f"the shape of {base or 'the base'} is not known here")
            )
        machine = see_machine(recipe.device)
        numbers = replace(
            count_numbers(recipe),
            mean_prompt_tokens=float(
                min(self._prompt_tokens(recipe.data.family), recipe.data.max_prompt_tokens)
            ),
            rollouts=steps or 1,
        )
        estimate = estimate_run(shape, numbers, machine)
        return replace(
            found,
            disk_bytes=_training_disk(shape, recipe.checkpoint.keep, recipe.lora is not None),
            memory_bytes=estimate.peak_bytes,
            hours=None if steps is None else estimate.seconds / 3600,
            notes=(*found.notes, f"hours on {machine.num_devices} x {machine.name}"),
            obstacle=find_obstacle(estimate, machine),
        )

    def _baseline(self) -> StageForecast:
        return replace(self._bench(), name="baseline")

    def _bench(self) -> StageForecast:
        recipe = self._recipes["bench"]
        obstacle = find_missing_data(recipe)
        counts = [self._count_benchmark(recipe, name) for name in recipe.benchmarks]
        items = None if None in counts else sum(one or 0 for one in counts)
        return StageForecast(
            name="bench",
            items=items,
            prompt_tokens=None if items is None else items * self._prompt_tokens("rubric"),
            completion_tokens=None if items is None else items * self._text_tokens,
            disk_bytes=self._bytes(items, self._pair_tokens + 2 * self._text_tokens),
            obstacle=obstacle,
        )

    def _count_benchmark(self, recipe: BenchRecipe, name: str) -> int | None:
        """Pairs to judge: of local data as they are, of the hub's as the whole benchmark has them."""
        place, limit = recipe.data.get(name), recipe.limit
        if name == OWN_PAIRS and (place is None or HERE in place):
            return _least(self._count_split(place or f"{HERE}/curate/held_out.jsonl"), limit)
        assert place is not None
        if name == OWN_PAIRS:
            reading = recipe.judge.get("data", {})
            found = None
            if Path(place).exists():
                found = self._measure(
                    place, reading.get("map", {}), reading.get("format"), reading.get("label")
                )
            return None if found is None else _least(found.pairs, limit)
        if (data := find_data(load_benchmark(name), place)) is not None:
            return count_pairs(load_benchmark(name), data, limit)
        # A limit is of each part, and how many pairs that is only the data tell.
        return OFFICIAL_PAIRS.get(name) if limit is None else None

    def _count(self, data: TaskDataRecipe | DistillDataRecipe, limit: int | None) -> int | None:
        """Pairs of a stage: those of the world, of splits, or with a preferred answer in local files."""
        if data.world is not None:
            return _least(data.world.items, limit)
        total = 0
        for one in (data.train,) if isinstance(data.train, str) else data.train or ():
            if HERE in one:
                items = self._count_split(one)
            else:
                sizes = self._measure(one, data.map, data.format, data.label)
                items = None if sizes is None else sizes.decided
            if items is None:
                return None
            total += items
        return _least(total, limit)

    def _count_split(self, place: str) -> int | None:
        return self._splits.get(place.rpartition("/")[2].removesuffix(".jsonl"))

    def _measure(
        self,
        source: str,
        columns: Mapping[str, str],
        format: str | None,
        labels: Mapping[str, Label] | None,
    ) -> PairSizes | None:
        """Each file once; the first tells how long a pair is, where curation has not."""
        if source not in self._sizes:
            self._report(f"reading {source}", 0)
            self._sizes[source] = measure_pairs(source, columns=columns, format=format, labels=labels)
        found = self._sizes[source]
        if found is not None and found.pairs and not self._is_measured:
            self._pair_tokens = round(found.num_bytes / found.pairs / CHARS_PER_TOKEN)
            self._is_measured = True
        return found

    def _prompt_tokens(self, family: str) -> int:
        try:
            found = load_family(family)
        except ConfigError:
            return self._pair_tokens
        return self._pair_tokens + len(f"{found.system or ''}{found.single}") // CHARS_PER_TOKEN

    def _text(self, most: int) -> int:
        return min(self._text_tokens, most)

    def _bytes(self, items: int | None, tokens: int) -> int | None:
        return None if items is None else items * tokens * ROW_BYTES


def _least(items: int | None, limit: int | None) -> int | None:
    return items if items is None or limit is None else min(items, limit)


def _find_lack(memory: int, machine: Machine) -> str | None:
    if memory <= MEMORY_SHARE * machine.memory_bytes:
        return None
    return (
        f"it needs {format_bytes(memory)} of memory, and {machine.name} has {format_bytes(machine.memory_bytes)}; take a "
        "smaller base, adapters ([sft.lora]), or set sft.model.checkpointing and a smaller sft.batch.row_tokens"
    )


def _training_disk(shape: ModelShape, keep: int, has_adapters: bool) -> int:
    """Checkpoints with the optimizer's state, one more while it is written, and the finished model."""
    parameters = shape.parameters()
    if has_adapters:
        return 2 * parameters + (keep + 1) * round(0.02 * parameters * 12)
    return 2 * parameters + (keep + 1) * 12 * parameters


def _sft_memory(shape: ModelShape, recipe: Recipe) -> int:
    parameters = shape.parameters()
    weights = 2 * parameters if recipe.lora else _FULL_BYTES[recipe.model.precision] * parameters
    width = 2 if recipe.model.precision == "fp32" else 1
    kept = _LAYER_ACTIVATIONS[recipe.model.checkpointing] * width * shape.layers * shape.hidden
    return weights + recipe.batch.row_tokens * kept


def iterate_totals(found: list[StageForecast]) -> Iterator[tuple[str, float]]:
    """Cost, disk and hours of all stages together, where any of them is known."""
    for name in ("cost_usd", "disk_bytes", "hours"):
        known = [getattr(one, name) for one in found if getattr(one, name) is not None]
        if known:
            yield name, sum(known)
