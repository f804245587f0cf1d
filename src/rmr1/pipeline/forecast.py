"""What each stage of a pipeline would take, before any of it is there: `rmr1 train --dry-run`.

Items flow from stage to stage by the recipe's own shares. Local files are read; of the hub only what the recipe says is
known, and what follows from what is not known is left open.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from rmr1.bench.results import OWN_PAIRS
from rmr1.bench.run import count_pairs, load_benchmark
from rmr1.curate.plan import CurationPlan, plan_curation
from rmr1.curate.recipe import is_dataset
from rmr1.curate.write import pair_row
from rmr1.data.read import read_pairs
from rmr1.distill.forecast import WRONG_SHARE
from rmr1.distill.recipe import DistillDataRecipe, DistillRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.errors import ConfigError, DataError
from rmr1.forecast.machine import find_machine
from rmr1.forecast.numbers import CHARS_PER_TOKEN, DEFAULT_TEXT_TOKENS, RunNumbers
from rmr1.forecast.prices import compute_cost
from rmr1.forecast.training import estimate_run, find_obstacle
from rmr1.pipeline.check import NUM_PAIRS, find_data, list_missing_data
from rmr1.pipeline.own import find_shape
from rmr1.pipeline.recipe import BenchRecipe, Pipeline
from rmr1.pipeline.stages import HERE
from rmr1.prompts import load_family
from rmr1.records import Label
from rmr1.screen import format_bytes
from rmr1.store.codec import dumps
from rmr1.train.examples import read_conversations
from rmr1.train.fit import count_grpo, count_sft
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
    """Bytes of one device, or of this machine where no model is at work."""
    hours: float | None = None
    notes: tuple[str, ...] = ()
    obstacle: str | None = None
    """Why it cannot run on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSizes:
    """Counts of rows that can be read."""

    pairs: int
    decided: int
    """Pairs with a preferred answer."""
    num_bytes: int
    """Bytes of all pairs, in rmr1's own form."""


def forecast_pipeline(
    pipeline: Pipeline,
    *,
    folder: Path = Path(),
    machine: str | None = None,
    processes: Callable[[str], int] = lambda device: 1,
) -> tuple[list[StageForecast], list[str]]:
    """One forecast for each stage of results in `folder`, and what was assumed.

    Args:
        machine: what trains, by default the machine at hand with so many `processes` by a recipe's device. Of another
            one neither the disk nor the data are looked at.
    """
    found, assumptions = _Forecast(pipeline, machine, processes).run()
    if machine is not None:
        return found, [*assumptions, f"disk and benchmarks' data suffice on {machine}"]
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free, totals = shutil.disk_usage(there).free, accumulate(one.disk_bytes or 0 for one in found)
    # The stage with which the disk is full cannot run; before it is full nothing is wrong.
    for place, total in enumerate(totals):
        if total > free and (one := found[place]).disk_bytes:
            lack = (
                f"the stages up to here need {format_bytes(total)} of disk, and {there} has {format_bytes(free)} free; "
                "choose another -o, or lower checkpoint.keep"
            )
            found[place] = replace(one, obstacle="; ".join(filter(None, (one.obstacle, lack))))
            break
    return found, assumptions


class _Forecast:
    def __init__(self, pipeline: Pipeline, machine: str | None, processes: Callable[[str], int]):
        self._pipeline = pipeline
        self._machine = machine
        self._processes = processes
        self._recipes = pipeline.recipes
        self._splits: dict[str, int | None] = {}
        self._pair_tokens = DEFAULT_PAIR_TOKENS
        self._is_measured = False
        """Whether the tokens of a pair are those of local files."""
        self._sizes: dict[str, PairSizes | None] = {}
        self._rows: int | None = None
        self._assumptions: list[str] = []

    def run(self) -> tuple[list[StageForecast], list[str]]:
        found = [getattr(self, f"_{stage.name}")() for stage in self._pipeline.stages]
        shared = [
            f"a token has {CHARS_PER_TOKEN} characters; question and both answers {self._pair_tokens:,} tokens",
            f"a judgment has {DEFAULT_TEXT_TOKENS:,} tokens",
        ]
        return found, [*shared, *self._assumptions]

    def _curate(self) -> StageForecast:
        plan: CurationPlan = plan_curation(self._recipes["curate"], lambda stage, done: None)
        self._splits = dict(plan.splits)
        known = [(one.size, one.mean_bytes) for one in plan.sources if one.size and one.mean_bytes]
        if known and len(known) == len(plan.sources):
            mean = sum(size * mean for size, mean in known) / sum(size for size, _ in known)
            self._pair_tokens, self._is_measured = round(mean / CHARS_PER_TOKEN), True
        items = _add(one.size for one in plan.sources)
        sizes = [f"{name} {'?' if size is None else f'{size:,}'}" for name, size in plan.splits.items()]
        told = {
            "splits": sizes,
            "not installed here": plan.missing_libraries,
            "not looked at yet": plan.not_looked_at,
        }
        notes = [
            f"{name}: {', '.join(values)}" for name, values in told.items() if values or name == "splits"
        ]
        return StageForecast(
            name="curate",
            items=items,
            disk_bytes=plan.output_bytes or _times(items, self._pair_tokens * ROW_BYTES),
            memory_bytes=plan.memory_bytes,
            notes=(*notes, *plan.notes),
        )

    def _distill(self) -> StageForecast:
        recipe: DistillRecipe = self._recipes["distill"]
        items = self._count(recipe.data, recipe.data.limit)
        prompt = self._prompt_tokens(recipe.family)
        read = written = cost = 0.0
        for number, one in enumerate(recipe.passes, 1):
            teacher, text = find_teacher(one), _text(one.max_new_tokens)
            asked = (items or 0) * (1 if number == 1 else WRONG_SHARE)
            reads = round(asked * (prompt + (text if number == 2 else 0)))
            writes = round(asked * one.samples * text)
            read, written = read + reads, written + writes
            if teacher.price is not None:
                cost += compute_cost(teacher.price, prompt_tokens=reads, completion_tokens=writes)
            elif teacher.is_billed:
                cost = math.nan
        if recipe.pass2 is not None:
            told = f"the first teacher is wrong on {WRONG_SHARE:.0%}, and all of them are mended"
            self._assumptions.append(told)
        self._rows = items
        is_known = any(find_teacher(one).is_billed for one in recipe.passes) and not math.isnan(cost)
        return StageForecast(
            name="distill",
            items=items,
            prompt_tokens=None if items is None else round(read),
            completion_tokens=None if items is None else round(written),
            cost_usd=cost if items is not None and is_known else None,
            disk_bytes=_times(items, 2 * (prompt + DEFAULT_TEXT_TOKENS) * ROW_BYTES),
        )

    def _sft(self) -> StageForecast:
        recipe: Recipe = self._recipes["sft"]
        rows, row_tokens = self._measure_rows(recipe)
        seen = None if rows is None else rows * recipe.optim.epochs
        tokens = max(1.0, min(row_tokens, recipe.data.max_tokens))
        numbers = count_sft(recipe, tokens=tokens, judged=min(DEFAULT_TEXT_TOKENS, tokens), steps=1)
        steps = None if seen is None else math.ceil(seen / numbers.prompts)
        if recipe.optim.steps is not None:
            steps = min(recipe.optim.steps, steps or recipe.optim.steps)
        read = None if seen is None else round(seen * row_tokens)
        found = StageForecast(name="sft", items=rows, prompt_tokens=read)
        return self._train(found, recipe, recipe.model.base, numbers, steps)

    def _merged(self) -> StageForecast:
        base = self._recipes["sft"].model.base
        shape = None if not base else find_shape(base)
        if shape is None:
            return StageForecast(
                name="merged", notes=(f"the shape of {base or 'the base'} is not known here",)
            )
        # Added in float32, in the machine's memory, and stored in 16 bits.
        parameters = shape.parameters()
        return StageForecast(name="merged", disk_bytes=2 * parameters, memory_bytes=4 * parameters)

    def _train(
        self,
        found: StageForecast,
        recipe: Recipe | GrpoRecipe,
        base: str | None,
        numbers: RunNumbers,
        steps: int | None,
    ) -> StageForecast:
        if not base or (shape := find_shape(base)) is None:
            note = f"the shape of {base or 'the base'} is not known here"
            return replace(found, notes=(*found.notes, note))
        machine = find_machine(self._machine, recipe.device, processes=self._processes(recipe.device))
        estimate = estimate_run(shape, replace(numbers, rollouts=steps or 1), machine)
        return replace(
            found,
            # Checkpoints with the optimizer's state, one more while it is written, and the finished model.
            disk_bytes=(2 + 12 * (recipe.checkpoint.keep + 1)) * estimate.trained_parameters,
            memory_bytes=estimate.peak_bytes,
            hours=None if steps is None else estimate.seconds / 3600,
            notes=(*found.notes, f"hours on {machine.num_devices} x {machine.name}"),
            obstacle=find_obstacle(estimate),
        )

    def _measure_rows(self, recipe: Recipe) -> tuple[int | None, float]:
        data, expected = recipe.data, self._prompt_tokens("rubric") + DEFAULT_TEXT_TOKENS
        if data.world is not None:
            return getattr(data.world, "items", None), expected
        sources = (data.train,) if isinstance(data.train, str) else data.train or ()
        if any(HERE in one for one in sources):
            return self._rows if len(sources) == 1 else None, expected
        if any(map(is_dataset, sources)):
            return None, expected
        rows = read_conversations(sources, check_prompts=False)
        sizes = [sum(len(message.text) for message in messages) for messages, _, _ in rows]
        return len(sizes), sum(sizes) / CHARS_PER_TOKEN / max(len(sizes), 1)

    def _check(self) -> StageForecast:
        recipe: GrpoRecipe = self._recipes["grpo"]
        items = self._count(recipe.data, NUM_PAIRS) or NUM_PAIRS
        return StageForecast(
            name="check",
            items=items,
            prompt_tokens=items * self._prompt_tokens(recipe.data.family),
            completion_tokens=items * _text(recipe.rollout.max_new_tokens),
        )

    def _grpo(self) -> StageForecast:
        recipe: GrpoRecipe = self._recipes["grpo"]
        items = self._count(recipe.data, None)
        base = recipe.model.base or ""
        if HERE in base:
            base = self._recipes["sft"].model.base or ""
        prompts, steps = recipe.rollout.prompts, recipe.optim.steps
        if items is not None:
            shown = items * (2 if recipe.data.order == "both" else 1)
            whole = max(1, math.floor(shown * recipe.optim.epochs / prompts))
            steps = whole if steps is None else min(steps, whole)
        found, tokens = StageForecast(name="grpo", items=items), self._prompt_tokens(recipe.data.family)
        if steps is not None:
            text, samples = _text(recipe.rollout.max_new_tokens), recipe.rollout.samples
            found = replace(
                found,
                prompt_tokens=steps * prompts * tokens,
                completion_tokens=steps * prompts * samples * text,
                notes=(f"{steps} rollouts of {prompts} prompts, {samples} samples each",),
            )
        mean = float(min(tokens, recipe.data.max_prompt_tokens))
        numbers = replace(count_grpo(recipe), mean_prompt_tokens=mean)
        return self._train(found, recipe, base, numbers, steps)

    def _baseline(self) -> StageForecast:
        return replace(self._bench(), name="baseline")

    def _bench(self) -> StageForecast:
        recipe = self._recipes["bench"]
        items = _add(self._count_benchmark(recipe, name) for name in recipe.benchmarks)
        return StageForecast(
            name="bench",
            items=items,
            prompt_tokens=_times(items, self._prompt_tokens("rubric")),
            completion_tokens=_times(items, DEFAULT_TEXT_TOKENS),
            disk_bytes=_times(items, (self._pair_tokens + 2 * DEFAULT_TEXT_TOKENS) * ROW_BYTES),
            obstacle=None if self._machine else next(list_missing_data(recipe), None),
        )

    def _count_benchmark(self, recipe: BenchRecipe, name: str) -> int | None:
        place, limit = recipe.data.get(name), recipe.limit
        if name == OWN_PAIRS and (place is None or HERE in place):
            return _least(self._count_split(place or f"{HERE}/curate/held_out.jsonl"), limit)
        assert place is not None
        if name == OWN_PAIRS:
            reading = recipe.judge.get("data", {})
            names = {"columns": "map", "format": "format", "labels": "label"}
            form = {ours: reading.get(name) for ours, name in names.items()}
            found = self._measure(place, **form) if Path(place).exists() else None
            return None if found is None else _least(found.pairs, limit)
        if (data := find_data(load_benchmark(name), place)) is not None:
            return count_pairs(load_benchmark(name), data, limit)
        # A limit is of each part, and how many pairs that is only the data tell.
        return OFFICIAL_PAIRS.get(name) if limit is None else None

    def _count(self, data: TaskDataRecipe | DistillDataRecipe, limit: int | None) -> int | None:
        if data.world is not None:
            return _least(data.world.items, limit)

        def count(source: str) -> int | None:
            if HERE in source:
                return self._count_split(source)
            sizes = self._measure(source, columns=data.map, format=data.format, labels=data.label)
            return None if sizes is None else sizes.decided

        sources = (data.train,) if isinstance(data.train, str) else data.train or ()
        return _least(_add(map(count, sources)), limit)

    def _count_split(self, place: str) -> int | None:
        return self._splits.get(place.rpartition("/")[2].removesuffix(".jsonl"))

    def _measure(self, source: str, **form: Any) -> PairSizes | None:
        """Each file once; the first tells how long a pair is, if curation has not."""
        if source not in self._sizes:
            self._sizes[source] = measure_pairs(source, **form)
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


def measure_pairs(
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Mapping[str, Label] | None = None,
) -> PairSizes | None:
    """Counts of all rows; None of a dataset of the hub."""
    if is_dataset(source):
        return None
    pairs = decided = num_bytes = 0
    errors: list[DataError] = []
    form: dict[str, Any] = {"columns": columns or None, "format": format, "labels": labels}
    for pair in read_pairs(source, **form, on_error="skip", errors=errors):
        pairs += 1
        decided += pair.label in ("A", "B")
        num_bytes += len(dumps(pair_row(pair))) + 1
    return PairSizes(pairs=pairs, decided=decided, num_bytes=num_bytes)


def _text(most: int) -> int:
    return min(DEFAULT_TEXT_TOKENS, most)


def _times(items: int | None, number: float) -> int | None:
    return None if items is None else round(items * number)


def _add(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(one or 0 for one in known)


def _least(items: int | None, limit: int | None) -> int | None:
    return items if items is None or limit is None else min(items, limit)


def iterate_totals(found: list[StageForecast]) -> Iterator[tuple[str, float]]:
    """Cost, disk and hours of all stages together, where any of them is known."""
    for name in ("cost_usd", "disk_bytes", "hours"):
        known = [getattr(one, name) for one in found if getattr(one, name) is not None]
        if known:
            yield name, sum(known)
