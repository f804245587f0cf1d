"""Whether the measurement at a pipeline's end can be made, told before the first stage: it comes after all training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from rmr1.bench.base import Benchmark
from rmr1.bench.run import check_placement, load_benchmark
from rmr1.curate.recipe import is_dataset
from rmr1.engines import check_options, load_engine, parse_model_name
from rmr1.errors import CheckpointError, ConfigError, DataError, RMR1Error
from rmr1.judge.settings import Placement
from rmr1.models import is_bundled
from rmr1.pipeline.names import check_name
from rmr1.pipeline.stages import HERE
from rmr1.prompts import load_family


def check_measuring(recipe: Any, origin: str) -> None:
    """Models and settings of the section [bench]; its data are another matter (`find_missing_data`).

    Raises:
        ConfigError, CheckpointError: a model cannot be asked, or a prompt family or an order does not fit.
    """
    options = recipe.judge.get("engine")
    options = options if isinstance(options, Mapping) else {}
    for key in ("model", "baseline"):
        name = getattr(recipe, key)
        if name is not None and HERE not in name:
            _check_judge(name, options, f"{origin}: bench.{key}")
    if options and (recipe.model is None or HERE in recipe.model):
        # What was trained is asked by the embedded engine.
        from rmr1.engines.transformers import TransformersEngine

        try:
            check_options(TransformersEngine, options)
        except ConfigError as error:
            raise ConfigError(f"{origin}: bench.judge: {error}") from None
    try:
        if isinstance(family := recipe.judge.get("family"), str):
            load_family(family)
        if (order := recipe.judge.get("order")) in get_args(Placement):
            for name in recipe.benchmarks:
                check_placement(load_benchmark(name), order)
    except ConfigError as error:
        raise ConfigError(f"{origin}: bench.judge: {error}") from None


def find_missing_data(recipe: Any) -> str | None:
    """What of the benchmarks' data is not on this machine, and should be; datasets of the hub are not looked for."""
    for name in recipe.benchmarks:
        place = recipe.data.get(name)
        if place is None or HERE in place:
            continue
        try:
            _find_files(load_benchmark(name), place)
        except DataError as error:
            return f"bench.data.{name}: {error}; name its place with --set bench.data.{name}=DIR"
    return None


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


def _check_judge(name: str, options: Mapping[str, Any], place: str) -> None:
    try:
        parsed = parse_model_name(name)
        if parsed.scheme in ("scripted", "replay", "openai"):
            load_engine(name, options)  # loads no weights and sends nothing
    except RMR1Error as error:
        raise ConfigError(f"{place}: {error}") from None
    if parsed.scheme not in (None, "vllm"):
        return
    local = parsed.rest
    check_name(local, place)
    if Path(local).is_dir() and not is_bundled(local) and not (Path(local) / "config.json").is_file():
        raise CheckpointError(f"{place}: {local}: no model that can be read: it has no config.json")
