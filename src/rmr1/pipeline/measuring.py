"""Whether the measurement at a pipeline's end can be made, told before the first stage: it comes after all training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from rmr1.bench.base import Benchmark
from rmr1.bench.run import NAMES, check_placement, load_benchmark
from rmr1.curate.recipe import is_dataset
from rmr1.engines import list_option_faults, load_engine, parse_model_name
from rmr1.errors import CheckpointError, ConfigError, DataError, RMR1Error
from rmr1.judge.settings import Placement
from rmr1.models import JUDGE, is_bundled
from rmr1.pipeline.names import check_name
from rmr1.pipeline.stages import HERE
from rmr1.prompts import load_family
from rmr1.settings import Mistakes


def check_measuring(recipe: Any, mistakes: Mistakes) -> None:
    """Note what is wrong with models and settings of [bench], as far as it can be read; its data are another matter
    (`list_missing_data`)."""
    with mistakes.catch():
        options = recipe.judge.get("engine")
        options = options if isinstance(options, Mapping) else {}
        for key in ("model", "baseline"):
            with mistakes.catch(("bench", key)):
                _check_judge(getattr(recipe, key), options, key, mistakes)
    with mistakes.catch(("bench", "judge")), _placed():
        if isinstance(family := recipe.judge.get("family"), str):
            load_family(family)
    with mistakes.catch():
        if (order := recipe.judge.get("order")) in get_args(Placement):
            for name in recipe.benchmarks:
                with mistakes.catch(("bench", "judge")), _placed():
                    if name in NAMES:
                        check_placement(load_benchmark(name), order)


@contextmanager
def _placed() -> Iterator[None]:
    """Say of an error that it is one of [bench.judge]."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"bench.judge: {error}") from None


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
    """Where the benchmark's files are; None where there are none on this machine."""
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
    try:
        benchmark.find_files(path)
    except DataError:
        if not (path / benchmark.name).exists():
            raise
        path = path / benchmark.name
        benchmark.find_files(path)
    return path


def _check_judge(name: str | None, options: Mapping[str, Any], key: str, mistakes: Mistakes) -> None:
    """Note what is wrong with one that is measured, and with the engine's options, which are both models'."""
    place = f"bench.{key}"
    if name is None and key == "baseline":
        return
    # What was trained is asked by the embedded engine.
    asked = JUDGE if name is None or HERE in name else name
    for option, fault in list_option_faults(asked, options):
        mistakes.add(f"bench.judge: {fault}", ("bench", "judge", "engine", option))
    if name is None or HERE in name:
        return
    try:
        parsed = parse_model_name(name)
        if parsed.scheme in ("scripted", "replay", "openai"):
            load_engine(name)  # loads no weights and sends nothing
    except RMR1Error as error:
        raise ConfigError(f"{place}: {error}") from None
    if parsed.scheme not in (None, "vllm"):
        return
    local = parsed.rest
    check_name(local, place)
    if Path(local).is_dir() and not is_bundled(local) and not (Path(local) / "config.json").is_file():
        raise CheckpointError(f"{place}: {local}: no model that can be read: it has no config.json")
