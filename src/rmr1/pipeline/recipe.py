"""The recipe of `rmr1 train`: a section for each stage, in the form of that stage's own command.

    seed = 0                 of every stage that names none
    [curate]                 as for rmr1 curate; its splits "distill", "rl", "looks" and "held_out" go to the stages below
    [distill]                as for rmr1 distill run; data.train is the split "distill"
    [sft]                    as for rmr1 sft; data.train is what was distilled
                             With [lora] its adapters are then merged into the base (`merged`)
    [grpo]                   as for rmr1 grpo; model.base is what was fine-tuned, data the splits "rl" and "looks".
                             A base of its own is first seen to write judgments that can be read (`check`)
    [bench]                  `BenchRecipe`: the last model on benchmarks, or on the split "held_out"

A stage without a section is left out. What a section says itself stands; only what it leaves open is filled in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from rmr1.bench.results import OWN_PAIRS
from rmr1.bench.run import NAMES
from rmr1.curate.recipe import CurateRecipe, locate
from rmr1.distill.recipe import DistillRecipe
from rmr1.errors import ConfigError
from rmr1.forecast.machine import Machine
from rmr1.named import JudgeName
from rmr1.nearest import find_nearest
from rmr1.pipeline.check import (
    LEAST_ASIDE,
    NUM_PAIRS,
    SplitNeed,
    check_measuring,
    check_models,
    list_missing_data,
    require_splits,
    require_verdicts,
)
from rmr1.pipeline.fitting import AUTOMATIC, KINDS, Choice, choose
from rmr1.pipeline.stages import HERE, Stage
from rmr1.prompts import locate_family
from rmr1.prompts.families import PUBLISHED
from rmr1.settings import Mistakes, Section, find_preset, read_toml, rule
from rmr1.train.grpo.recipe import PRESETS as GRPO_PRESETS
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.recipe import Recipe

STAGES = ("curate", "distill", "sft", "grpo", "bench")
SPLITS: Mapping[str, float | str] = {"distill": 0.12, "held_out": 0.02, "looks": 0.02, "rl": "rest"}
"""Shares of all prompts; the paper distils about 12%. The looks choose a checkpoint, so the final measurement needs other pairs."""
MAX_FAILED_SHARE = 0.01
"""`distill.max_failed_share`, where the recipe names none: a chain is not held up by a few replies that never come."""


class BenchRecipe(Section):
    """How the last model is measured."""

    benchmarks: tuple[str, ...] = (OWN_PAIRS,)
    """Benchmarks of rmr1 bench; "pairs" is the curated split "held_out"."""
    data: dict[str, str] = Field(default_factory=dict)
    """Benchmark to folder, file or dataset; that of "pairs" is known."""
    model: JudgeName = None
    """The judge; by default what the last training made."""
    baseline: JudgeName = None
    """A model that is measured first on the same pairs; the command's answer is no where the last one is
    significantly worse."""
    limit: int | None = Field(default=None, ge=1)
    judge: dict[str, Any] = Field(default_factory=dict)
    """What `--config` of rmr1 bench takes: family, [sampling], [engine]."""

    @rule
    def _check_benchmarks(self) -> Iterator[str]:
        if not self.benchmarks:
            yield "benchmarks names none"
        for name in (*self.benchmarks, *self.data):
            if name not in NAMES:
                near = find_nearest(name, NAMES)
                hint = f"did you mean {near!r}?" if near else f"there are {', '.join(NAMES)}"
                yield f"no benchmark {name!r}; {hint}"
        for name in self.benchmarks:
            if name in NAMES and name not in self.data and name != OWN_PAIRS:
                yield f'data names no place for {name!r}; add {name} = "DIR" to [bench.data]'
        if OWN_PAIRS in self.benchmarks and len(self.benchmarks) > 1:
            yield '"pairs" stands alone; name either it or benchmarks'


Part = dict[str, Any] | str | None
"""A section, or the name of a file beside this one that holds it."""


class PipelineRecipe(Section):
    apart: ClassVar[Mapping[str, type[Section]]] = {
        "curate": CurateRecipe,
        "distill": DistillRecipe,
        "sft": Recipe,
        "grpo": GrpoRecipe,
        "bench": BenchRecipe,
    }
    preset: str | None = None
    """One of RM-R1's six models (`PRESETS`), whose settings stand under those of [sft] and [grpo]; with `-lora` or
    `-qlora` behind it by adapters."""
    wording: Literal["own", "published"] = "own"
    """What the families "rubric" and "reasoning" are called in all stages: by our words, or by the authors', which are
    imported once (`rmr1 prompts import`)."""
    seed: int = 0
    curate: Part = None
    distill: Part = None
    sft: Part = None
    grpo: Part = None
    bench: Part = None


PRESETS: Mapping[str, Mapping[str, str]] = {
    f"{model}-{size}{kind}": {
        **({"sft": f"rm-r1-{size}{kind}"} if model == "rm-r1-qwen" else {}),
        "grpo": f"{model}-{size}{kind}",
    }
    for kind in KINDS
    for model in ("rm-r1-qwen", "rm-r1-deepseek")
    for size in ("7b", "14b", "32b")
}
"""Model -> presets of its stages. Those that reason already are reinforced without being distilled (section 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The stages, and each one's checked recipe by name."""

    stages: tuple[Stage, ...]
    recipes: Mapping[str, Any]
    choice: Choice | None = None
    """What a preset stands for on the machine."""


def build_pipeline(
    values: Mapping[str, Any],
    origin: str,
    *,
    look: bool = False,
    look_at_benchmarks: bool | None = None,
    machine: Machine | None = None,
    folder: Path | None = None,
    processes: Callable[[str], int] = lambda device: 1,
) -> Pipeline:
    """The stages that a file's values make. All that is wrong is told together.

    Args:
        look: as for `Section.from_values`.
        look_at_benchmarks: `look` for the data of benchmarks, without which a forecast can be made.
        machine: what a preset is fitted to; None takes it as it stands.
        folder: where the choice is kept, or was.
        processes: how many train, by a recipe's `device`.
    """
    look_at_benchmarks = look if look_at_benchmarks is None else look_at_benchmarks
    mistakes = Mistakes(origin)
    whole = mistakes.read(PipelineRecipe, values)
    sections: dict[str, dict[str, Any]] = {}
    parts = {name: part for name in STAGES if (part := getattr(whole, name)) is not None}
    for name, part in parts.items():
        with mistakes.catch((name,)):
            if isinstance(part, dict | str):
                sections[name] = _read_part(part, origin)
    if not sections and not mistakes:
        raise ConfigError(f"{origin}: no stage; expected a section [{'], ['.join(STAGES)}]")
    presets: Mapping[str, str] = {}
    choice: Choice | None = None
    if isinstance(whole.preset, str):
        name = find_preset(PRESETS, whole.preset, mistakes, ("preset",))
        choice = None if machine is None else _choose(name, sections, machine, folder)
        presets = PRESETS[name if choice is None else _stem(name) + choice.kind]
    for name, section in sections.items():
        if name != "bench":
            section.setdefault("seed", whole.seed if isinstance(whole.seed, int) else 0)
        if name in presets:
            section.setdefault("preset", presets[name])
        if choice is not None and name in choice.settings:
            sections[name] = Section.merge(choice.settings[name], section)
    if isinstance(whole.wording, str) and whole.wording == "published":
        _take_published(sections)
    builder = _Builder(
        sections, origin, mistakes, lost=parts.keys() - sections, look=look, processes=processes
    )
    stages = [stage for name in sections for stage in builder.build(name)]
    check_models(builder.recipes, mistakes)
    if "bench" in builder.recipes:
        check_measuring(builder.recipes["bench"], mistakes, look=look)
        with mistakes.catch():
            for missing in list_missing_data(builder.recipes["bench"]) if look_at_benchmarks else ():
                mistakes.add(missing, ("bench", "data"))
    mistakes.tell()
    if builder.needs:
        check = partial(require_splits, needs=tuple(builder.needs.values()))
        stages = [replace(one, check=check) if one.name == "curate" else one for one in stages]
    return Pipeline(stages=tuple(stages), recipes=builder.recipes, choice=choice)


def _stem(preset: str) -> str:
    return preset.removesuffix("-qlora").removesuffix("-lora")


def _choose(
    name: str, sections: Mapping[str, Mapping[str, Any]], machine: Machine, folder: Path | None
) -> Choice | None:
    """What the preset stands for on the machine, with the settings that fit."""
    stem = _stem(name)
    kinds = AUTOMATIC if stem == name else (name.removeprefix(stem),)
    variants = {
        kind: {stage: PipelineRecipe.apart[stage].presets[one] for stage, one in PRESETS[stem + kind].items()}
        for kind in kinds
    }
    stages = [one for one in PRESETS[name] if one in sections]
    if not stages:
        return None
    seen = {one: sections[one] for one in stages}
    if "grpo" in seen and "looks" in sections.get("curate", {"splits": ()}).get("splits", SPLITS):
        seen["grpo"] = Section.merge({"data": {"held_out": "looks"}}, seen["grpo"])
    asked = {"preset": name, "stages": stages}
    return choose(variants, seen, machine, asked=asked, folder=folder)


def read_parts(values: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A recipe's values with the files that it names in their place, so that single settings can be changed."""
    return {
        name: _read_part(one, origin) if name in STAGES and isinstance(one, str) else one
        for name, one in values.items()
    }


def _read_part(part: dict[str, Any] | str, origin: str) -> dict[str, Any]:
    if not isinstance(part, str):
        return copy.deepcopy(part)
    return read_toml(Path(origin).parent / part, hint=f"; {origin} names it")


def _take_published(sections: Mapping[str, dict[str, Any]]) -> None:
    """Have the stages that would ask in one of our families ask in the authors' words for the same."""
    for name, place in (("distill", None), ("grpo", "data"), ("bench", "judge")):
        if name in sections:
            section = sections[name]
            preset = GRPO_PRESETS.get(section.get("preset", ""), {}) if name == "grpo" else {}
            part = section if place is None else _section(section, place)
            ours = part.get("family", preset.get("data", {}).get("family", "rubric"))
            part["family"] = {own: published for published, (own, _) in PUBLISHED.items()}.get(ours, ours)


class _Builder:
    """Fills in what a section leaves open from the stages before it."""

    def __init__(
        self,
        sections: Mapping[str, Any],
        origin: str,
        mistakes: Mistakes,
        *,
        lost: set[str],
        look: bool,
        processes: Callable[[str], int],
    ):
        self._sections = sections
        self._origin = origin
        self._mistakes = mistakes
        self._look = look
        self._processes = processes
        self._made = lost
        """Stages that are there, or were meant to be: of those with mistakes nothing else is known."""
        self.recipes: dict[str, Any] = {}
        self.needs: dict[str, SplitNeed] = {}
        """Needs of curated splits that stages read."""

    def build(self, name: str) -> list[Stage]:
        before = len(self._mistakes)
        stages: list[Stage] = []
        with self._mistakes.catch((name,)):
            stages = list(getattr(self, name)(self._sections[name]))
        if len(self._mistakes) > before:
            self._made.add(name)
        return stages

    def curate(self, section: dict[str, Any]) -> Iterable[Stage]:
        # Without a stage that distils, its share is reinforced on.
        read = {name: share for name, share in SPLITS.items() if name != "distill" or name in self._sections}
        section.setdefault("splits", read)
        recipe: CurateRecipe = self._check("curate", section)
        for split, reader in (("distill", "distill"), ("rl", "grpo")):
            if reader in self._sections and split not in recipe.splits:
                told = f"curate.splits: no split {split!r}, which a later stage reads"
                self._mistakes.add(told, ("curate", "splits"))
        data = [one for key, paths in recipe.list_data() for one in locate(recipe, paths, ".".join(key))]
        yield self._run_recipe("curate", section, data)

    def distill(self, section: dict[str, Any]) -> Iterable[Stage]:
        data = _section(section, "data")
        if not {"train", "world"} & set(data):
            data["train"] = self._split("distill", "distill", "data.train")
            self._keep_sides(data)
        section.setdefault("max_failed_share", MAX_FAILED_SHARE)
        recipe = self._check("distill", section)
        reads = [*_names(recipe.data.sources), *_family(recipe.family)]
        for one in recipe.passes:
            reads += _model(one.teacher, one.engine)
        if recipe.pass2 is not None:
            reads += _names(recipe.pass2.template)
        stage = self._run_recipe("distill", section, reads, "run")
        # The same command is how a chain goes on; without the flag it would find the same failures stored.
        yield replace(stage, command=(*stage.command, "--retry-failed"), in_place=True)

    def sft(self, section: dict[str, Any]) -> Iterable[Stage]:
        data = _section(section, "data")
        if not {"train", "world"} & set(data):
            if "distill" not in self._made:
                told = "sft: data.train is missing, and no stage [distill] makes it"
                self._mistakes.add(told, ("sft", "data"))
            data["train"] = f"{HERE}/distill/train.jsonl"
        recipe = self._check("sft", section)
        reads = _names(recipe.data.train, recipe.data.held_out, recipe.model.base)
        yield self._train("sft", section, reads, recipe)
        if recipe.lora is not None and "grpo" in self._sections:
            # The judge before reinforcement is what the KL term holds to, so it has to be a model of its own.
            words = ("merge", str(recipe.model.base), f"{HERE}/sft", "-o", f"{HERE}/merged")
            reads = (*_names(recipe.model.base), f"{HERE}/sft")
            yield self._stage("merged", words, reads, anew=True)

    def grpo(self, section: dict[str, Any]) -> Iterable[Stage]:
        data, model = _section(section, "data"), _section(section, "model")
        if "base" not in model and "sft" in self._made:
            model["base"] = f"{HERE}/{'merged' if 'merged' in self._made else 'sft'}"
        if not {"train", "world"} & set(data):
            data["train"] = self._split("rl", "grpo", "data.train")
            self._keep_sides(data)
            has_looks = "curate" in self.recipes and "looks" in self.recipes["curate"].splits
            if not {"held_out", "held_out_share"} & set(data) and has_looks:
                data["held_out"] = self._split("looks", "grpo", "data.held_out")
        recipe = self._check("grpo", section)
        if recipe.data.train == self._file("rl") and "rl" in self.needs:
            seen = recipe.optim.epochs * (2 if recipe.data.order == "both" else 1)
            self.needs["rl"] = replace(self.needs["rl"], pairs=-(-recipe.rollout.prompts // seen))
        if "sft" not in self._made and recipe.data.train is not None and recipe.model.base is not None:
            yield self._parse_check(recipe)
        reads = _names(recipe.data.train, recipe.data.held_out, recipe.model.base)
        yield self._train("grpo", section, (*reads, *_family(recipe.data.family)), recipe)

    def bench(self, section: dict[str, Any]) -> Iterable[Stage]:
        recipe = self._mistakes.read(BenchRecipe, section, ("bench",), look=self._look)
        self.recipes["bench"] = recipe
        trained = next((name for name in ("grpo", "sft") if name in self._made), None)
        model = recipe.model or (None if trained is None else f"{HERE}/{trained}")
        if model is None:
            raise ConfigError(f"{self._origin}: bench: model is missing, and no stage trains one")
        if OWN_PAIRS not in recipe.benchmarks and not set(recipe.benchmarks) <= set(recipe.data):
            return  # which the recipe's own rules say
        if OWN_PAIRS in recipe.benchmarks:
            what = [OWN_PAIRS, recipe.data.get(OWN_PAIRS) or self._split("held_out", "bench", "data.pairs")]
        else:
            what = [*recipe.benchmarks, *(f"--data={name}={recipe.data[name]}" for name in recipe.benchmarks)]
        if recipe.limit is not None:
            what.append(f"--limit={recipe.limit}")
        reads = _names(*(what[1:2] if OWN_PAIRS in recipe.benchmarks else recipe.data.values()))
        if recipe.baseline is not None:
            yield self._bench("baseline", recipe.baseline, what, recipe, reads)
            what, reads = [*what, f"--baseline={HERE}/baseline"], (*reads, f"{HERE}/baseline")
        judge = self.recipes.get(trained or "") if recipe.model is None else None
        if judge is not None and judge.lora is not None:
            what, reads = [*what, f"--adapter={model}"], (*reads, model)
            model = str(judge.model.base)
        yield self._bench("bench", model, what, recipe, reads)

    def _bench(
        self, name: str, model: str, what: list[str], recipe: BenchRecipe, reads: tuple[str, ...]
    ) -> Stage:
        words = ("bench", *what, "-m", model, "-o", f"{HERE}/{name}")
        if recipe.judge:
            words += ("--config", f"{HERE}/recipes/{name}.toml")
        reads += (*_model(model, recipe.judge.get("engine")), *_family(recipe.judge.get("family")))
        return self._stage(name, words, reads, recipe=recipe.judge or None, may_say_no=True)

    def _parse_check(self, recipe: GrpoRecipe) -> Stage:
        pairs = (*recipe.data.sources, "")[0]
        limits = (f"--limit={NUM_PAIRS}", f"--max-new-tokens={recipe.rollout.max_new_tokens}")
        form = [f"--map={ours}={theirs}" for ours, theirs in recipe.data.map.items()]
        form += [f"--label={value}={label}" for value, label in (recipe.data.label or {}).items()]
        if recipe.data.format is not None:
            form.append(f"--format={recipe.data.format}")
        asked = ("-m", str(recipe.model.base), f"--family={recipe.data.family}")
        words = ("judge", pairs, *form, *asked, *limits, "-o", f"{HERE}/check")
        reads = (*_names(pairs, recipe.model.base), *_family(recipe.data.family))
        return self._stage("check", words, reads, may_say_no=True, check=require_verdicts)

    def _check(self, name: str, values: Mapping[str, Any]) -> Any:
        kind = PipelineRecipe.apart[name]
        self.recipes[name] = found = kind.from_values(values, self._origin, section=(name,), look=self._look)
        return found

    def _split(self, name: str, stage: str, key: str) -> str:
        """The file of a curated split; a mistake is noted if there is none."""
        if "curate" not in self._made:
            self._mistakes.add(f"{stage}: {key} is missing, and no stage [curate] makes it", (stage,))
        if "curate" not in self.recipes:
            return self._file(name)
        if name not in self.recipes["curate"].splits:
            self._mistakes.add(f"curate.splits: no split {name!r}, which {stage} reads", ("curate", "splits"))
        aside = LEAST_ASIDE if name in ("looks", "held_out") else 1
        self.needs[name] = SplitNeed(split=name, stage=stage, prompts=aside)
        return self._file(name)

    def _file(self, split: str) -> str:
        return f"{HERE}/curate/{split}.jsonl"

    def _keep_sides(self, data: dict[str, Any]) -> None:
        # Answers stay where curation put them; drawn anew they would be half and half only about.
        if "curate" in self.recipes and self.recipes["curate"].sides != "as-read":
            data.setdefault("order", "given")

    def _train(
        self, name: str, section: Mapping[str, Any], reads: Iterable[str], recipe: Recipe | GrpoRecipe
    ) -> Stage:
        number = self._processes(recipe.device)
        where = (f"--processes={number}",) if number > 1 else ()
        return replace(self._run_recipe(name, section, reads), where=where)

    def _run_recipe(self, name: str, section: Mapping[str, Any], reads: Iterable[str], *action: str) -> Stage:
        words = (name, *action, f"{HERE}/recipes/{name}.toml", "-o", f"{HERE}/{name}")
        return self._stage(name, words, reads, recipe=section)

    def _stage(self, name: str, command: tuple[str, ...], reads: Iterable[str], **more: Any) -> Stage:
        self._made.add(name)
        return Stage(name=name, command=command, reads=tuple(reads), **more)


def _section(section: dict[str, Any], name: str) -> dict[str, Any]:
    found = section.setdefault(name, {})
    return found if isinstance(found, dict) else {}


def _names(*values: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """What is a file, folder or result; a name on the hub is in the recipe already."""
    lists = ((value,) if isinstance(value, str) else value or () for value in values)
    return tuple(one for names in lists for one in names if HERE in one or Path(one).exists())


def _family(name: str | None) -> tuple[str, ...]:
    """One's own prompt family; shipped ones change with the package alone."""
    found = None if name is None else locate_family(str(name))
    return () if found is None else (str(found),)


def _model(name: str, options: Any) -> tuple[str, ...]:
    """The files of a model that is asked: its folder or recording, and its adapter."""
    scheme, _, rest = name.partition(":")
    adapter = options.get("lora_adapter") if isinstance(options, Mapping) else None
    return _names(rest if scheme in ("vllm", "replay") else name, None if adapter is None else str(adapter))
