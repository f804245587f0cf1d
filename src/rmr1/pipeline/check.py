"""Whether what a pipeline names is there and fits, told before its first stage; and what a stage must have left.

The hub is not asked: of a model's name there only the form is checked, more strictly than by the single commands,
because a mistyped folder would be found only when its stage begins. A base that gives few verdicts has nothing to learn
from in reinforcement, which is why the paper distils first (arXiv 2505.02387, section 3.2).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rmr1.bench.base import Benchmark
from rmr1.bench.jobs import find_place
from rmr1.bench.run import NAMES, check_placement, load_benchmark
from rmr1.curate.measures import count_tokens
from rmr1.curate.recipe import is_dataset
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.teachers import find_teacher
from rmr1.engines.folders import read_stated_context
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.judge.config import JudgeConfig
from rmr1.judge.settings import Placement
from rmr1.models import JUDGE, is_bundled, resolve_model
from rmr1.named import find_missing_model
from rmr1.pipeline.stages import HERE
from rmr1.prompts import load_family
from rmr1.records import Problem
from rmr1.settings import Mistakes, Place
from rmr1.store.kinds import CURATION_FILE
from rmr1.store.replace import read_json
from rmr1.store.runs import read_judgments
from rmr1.train.grpo.recipe import GrpoRecipe

NUM_PAIRS = 64
"""Pairs whose judgments of a base are looked at."""
LEAST_PARSED = 0.5
LEAST_ASIDE = 2
"""Prompts of a split that is measured on: the pairs of one are right or wrong together."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_DISTIL = "distil first (--teacher MODEL, or a recipe with [distill] and [sft]), or choose a base that writes judgments"
_ADVICE: Mapping[Problem | None, str] = {
    "prompt_too_long": (
        "the base's context has no room for prompt and judgment: choose another base, set grpo.rollout.max_new_tokens, "
        "or curate shorter pairs"
    ),
    "truncated": f"set grpo.rollout.max_new_tokens, at which they were cut, or {_DISTIL}",
    "generation_failed": "the engine failed; rmr1 show DIR --failed names its errors",
}
"""Advice by the problem that most judgments have."""
_JUDGE = ("bench", "judge")


def check_models(recipes: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Note names that are none of a model, a teacher that cannot be asked, and a base without room for the prompt."""
    for stage in ("sft", "grpo"):
        if stage in recipes:
            check_name(recipes[stage].model.base, (stage, "model", "base"), mistakes)
    if "grpo" in recipes:
        with mistakes.catch(("grpo", "model", "base")):
            _check_context(recipes["grpo"])
    if "distill" in recipes:
        distill: DistillRecipe = recipes["distill"]
        for number, one in enumerate(distill.passes, 1):
            place = ("distill", f"pass{number}", "teacher")
            with mistakes.catch(place), placed(place):
                find_teacher(one)
            if ":" not in one.teacher:
                check_name(one.teacher, place, mistakes)


def check_name(name: str | None, place: Place, mistakes: Mistakes) -> None:
    """Note one that is no folder, nor as the hub's are; what is wrong with a folder was told already."""
    if name is None or HERE in name or find_missing_model(name) is not None:
        return
    if not (is_bundled(name) or Path(name).is_dir() or _HUB_NAME.fullmatch(name)):
        told = f"{name!r} is neither a folder nor a model of the hub (ORG/NAME)"
        mistakes.add(f"{'.'.join(place)}: {told}", place)


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """Say of a complaint where the file says what it is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{'.'.join(place)}: {error}") from None


def _check_context(recipe: GrpoRecipe) -> None:
    """Refuse a base in a folder that has no room for a prompt without question and answers."""
    base, family = recipe.model.base, recipe.data.family
    context = read_stated_context(base)
    if base is None or context is None:
        return
    asked = load_family(family)
    text = f"{asked.system or ''}{asked.single}"
    if context > len(text.encode()):  # a token has a byte at least
        return
    length = count_tokens(Path(resolve_model(base)).expanduser(), text)
    if length >= context:
        raise ConfigError(
            f"grpo.model.base: {base} reads {context:,} tokens at most, and the prompt {family!r} alone has {length:,}; "
            "choose another base, or a shorter family with grpo.data.family"
        )


def check_measuring(recipe: Any, mistakes: Mistakes, *, look: bool) -> None:
    """Note what is wrong with models and settings of [bench]; its data are for `list_missing_data`."""
    for key in ("model", "baseline"):
        with mistakes.catch():
            if (name := getattr(recipe, key)) is None and key == "baseline":
                continue
            if is_named := name is not None and HERE not in name:
                scheme, _, rest = name.rpartition(":")
                check_name(rest if scheme in ("", "vllm") else None, ("bench", key), mistakes)
            # What was trained is asked by the embedded engine.
            values = {**recipe.judge, "model": name if is_named else JUDGE}
            mistakes.read(JudgeConfig, values, _JUDGE, look=look)
    with mistakes.catch():
        if (order := recipe.judge.get("order")) in get_args(Placement):
            for name in recipe.benchmarks:
                with mistakes.catch(_JUDGE), placed(_JUDGE):
                    if name in NAMES:
                        check_placement(load_benchmark(name), order)


def list_missing_data(recipe: Any) -> Iterator[str]:
    """What of the benchmarks' data is not on this machine, and should be; datasets of the hub are not looked for."""
    for name in recipe.benchmarks:
        place = recipe.data.get(name)
        if name not in NAMES or place is None or HERE in place:
            continue
        try:
            _find_files(load_benchmark(name), place)
        except DataError as error:
            yield f"bench.data.{name}: {error}; name its place with --set bench.data.{name}=DIR"


def find_data(benchmark: Benchmark, place: str) -> Path | None:
    """The place of the benchmark's files; None if there are none on this machine."""
    try:
        return _find_files(benchmark, place)
    except DataError:
        return None


def _find_files(benchmark: Benchmark, place: str) -> Path | None:
    """The place, or the folder of the benchmark's name in it; None of a dataset of the hub."""
    path, has_size = Path(place), benchmark.is_sized
    if is_dataset(place) and (benchmark.hub is not None or not has_size):
        return None
    if not has_size and not path.exists():
        raise DataError("no such file or folder; expected labelled pairs", path=place)
    path = find_place(benchmark, path)
    benchmark.find_files(path)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNeed:
    """What a stage needs of a split at least."""

    split: str
    stage: str
    pairs: int = 1
    prompts: int = 1


def require_splits(folder: Path, *, needs: Sequence[SplitNeed]) -> None:
    """Refuse a finished curation of which a split is too small."""
    path = folder / CURATION_FILE
    try:
        described = read_json(path)
        counts, recipe = described["counts"], described["recipe"]
    except (RunError, KeyError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete {folder} to curate anew") from None
    for need in needs:
        pairs, prompts = (counts["splits"][need.split][name] for name in ("pairs", "prompts"))
        if pairs >= need.pairs and prompts >= need.prompts:
            continue
        least = f"{need.pairs:,} pairs" if pairs < need.pairs else f"{need.prompts} prompts"
        distinct, groups = counts["prompt_groups"]["prompts"], counts["prompt_groups"]["groups"]
        advice, similar = ["add pairs with other prompts"], ""
        if recipe["splits"].get(need.split) != "rest":
            advice.append(f"give the split a larger share (--set curate.splits.{need.split}=SHARE)")
        if groups < distinct:
            similar = f" in {groups:,} groups of similar ones"
            advice.append(
                f"raise curate.duplicates.prompts, now {recipe['duplicates']['prompts']:g}, where prompts are alike "
                "only by their template (0 keeps none together but equal ones)"
            )
        raise ConfigError(
            f"{folder}: split {need.split} has {pairs:,} pairs of {prompts:,} prompts, and stage {need.stage} needs at "
            f"least {least}; the {counts['kept']:,} pairs have {distinct:,} distinct prompts{similar}, and prompts are "
            f"what is split; {', or '.join(advice)}"
        )


def require_verdicts(folder: Path) -> None:
    """Refuse a run in which fewer than half of the texts have a verdict."""
    votes = [vote for _, judgment in read_judgments(folder) for vote in judgment.votes]
    problems = Counter(vote.verdict.problem for vote in votes if vote.verdict.winner is None)
    parsed = len(votes) - problems.total()
    if votes and parsed >= LEAST_PARSED * len(votes):
        return
    told = ", ".join(f"{problem} {number}" for problem, number in problems.most_common())
    most = next(iter(problems.most_common(1)), (None, 0))[0]
    raise ConfigError(
        f"{folder}: {parsed} of {len(votes)} judgments of the base have a verdict, fewer than half ({told}), so there is "
        f"little to reinforce; {_ADVICE.get(most, _DISTIL)}. rmr1 show tells what it wrote"
    )
