"""Whether the measurement at a pipeline's end can be made, told before the first stage: it comes after all training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from rmr1.bench.base import Benchmark
from rmr1.bench.jobs import find_place
from rmr1.bench.run import NAMES, check_placement, load_benchmark
from rmr1.curate.recipe import is_dataset
from rmr1.errors import DataError
from rmr1.judge.config import JudgeConfig
from rmr1.judge.settings import Placement
from rmr1.models import JUDGE
from rmr1.pipeline.names import check_name, placed
from rmr1.pipeline.stages import HERE
from rmr1.settings import Mistakes

_JUDGE = ("bench", "judge")


def check_measuring(recipe: Any, mistakes: Mistakes, *, look: bool) -> None:
    """Note what is wrong with models and settings of [bench], as far as it can be read; its data are another matter
    (`list_missing_data`)."""
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


def find_missing_data(recipe: Any) -> str | None:
    """The first of `list_missing_data`."""
    return next(list_missing_data(recipe), None)


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
    """The place, or the folder of the benchmark's name in it; None of a dataset of the hub.

    Raises:
        DataError: there are no files in either.
    """
    path, has_size = Path(place), benchmark.is_sized
    if is_dataset(place) and (benchmark.hub is not None or not has_size):
        return None
    if not has_size and not path.exists():
        raise DataError("no such file or folder; expected labelled pairs", path=place)
    path = find_place(benchmark, path)
    benchmark.find_files(path)
    return path
