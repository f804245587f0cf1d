"""What a `rmr1 bench` command line asks for: which benchmarks, their data, judgments and folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmr1.bench.base import AS_PUBLISHED, OFFICIAL_RULE, Asking, Benchmark
from rmr1.bench.run import NAMES, PAIRS_ASKING, find_asking, load_benchmark, read_finished
from rmr1.cli.config import DataConfig, build_config
from rmr1.cli.session import SHOWN_ERRORS
from rmr1.cli.sources import list_sources
from rmr1.data.runs import RUN_FILE, read_description
from rmr1.errors import ConfigError, DataError
from rmr1.judge.base import PairJudge
from rmr1.judge.generative import GenerativeJudge
from rmr1.nearest import suggest
from rmr1.screen import print

OWN_PAIRS = "pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One benchmark of the command."""

    benchmark: Benchmark
    data: Path | None
    """A file, a folder, or the name of a dataset on the hub; what several of own pairs are called together."""
    folder: Path | None
    """The run folder to write."""
    source: Path | None
    """Judgments that exist."""
    baseline: Path | None
    """Judgments to compare with."""
    variant: str
    asking: Asking | None
    """None: pair by pair, or what suits the judge where `is_asking_said` is False."""
    is_asking_said: bool
    invalid: set[str] = field(default_factory=set)
    """Rows of own pairs that cannot be read and are passed over, as they are found."""


def plan_jobs(arguments: argparse.Namespace) -> list[Job]:
    """The benchmarks in the order they were named, each once.

    Raises:
        ConfigError: a name is unknown, or what is said does not fit together.
    """
    names, own = _split_names(arguments.benchmark)
    data = _assign(arguments.data, "--data", names)
    if own and OWN_PAIRS in data and [data[OWN_PAIRS]] != own:
        raise ConfigError(f"bench pairs {own[0]} and --data {data[OWN_PAIRS]} name two files; leave one out")
    if own:
        more = "" if len(own) == 1 else f" and {len(own) - 1} more"
        data[OWN_PAIRS] = Path(f"{own[0]}{more}")
    invalid: set[str] = set()
    benchmarks = [
        _read_own_pairs(arguments, own, invalid) if name == OWN_PAIRS else load_benchmark(name)
        for name in names
    ]
    is_one = len(benchmarks) == 1
    sources = _assign(arguments.source, "--from", names)
    baselines = _assign(arguments.baseline, "--baseline", names)
    _check_said(arguments, benchmarks)
    jobs = []
    for one in benchmarks:
        name = one.name
        output = None if arguments.output is None else Path(arguments.output)
        is_asked = arguments.ask is not None and (is_one or bool(one.askings))
        for flag, given in (("--from", sources), ("--baseline", baselines)):
            if given and name not in given:
                raise ConfigError(
                    f"{flag} {name}=RUN is missing; {flag} names judgments for every benchmark, or none"
                )
        jobs.append(
            Job(
                benchmark=one,
                data=_find_data(one, data.get(name)),
                folder=output if output is None or is_one else output / name,
                source=sources.get(name),
                baseline=baselines.get(name),
                variant=_choose_variant(arguments, one),
                asking=find_asking(one, arguments.ask) if is_asked else None,
                is_asking_said=is_asked,
                invalid=invalid,
            )
        )
    return jobs


def check_baselines(jobs: Sequence[Job]) -> None:
    """What a comparison would miss only after judging.

    Raises:
        ConfigError: a baseline is a run of another benchmark. DataError, RunError: it cannot be read.
    """
    for job in jobs:
        if job.baseline is None:
            continue
        if not (job.baseline / RUN_FILE).is_file():
            next(iter(read_finished(job.baseline)), None)
            continue
        made = read_description(job.baseline).get("data", {}).get("benchmark", job.benchmark.name)
        if made != job.benchmark.name:
            raise ConfigError(
                f"--baseline {job.baseline}: a run of {made}; expected one of {job.benchmark.name}"
            )


def require_data(job: Job) -> Path:
    """
    Raises:
        ConfigError: no data was named.
    """
    if job.data is None and job.benchmark.name == OWN_PAIRS:
        raise ConfigError(
            "bench pairs lacks its FILE; expected a file, a folder or a dataset of labelled pairs: "
            "rmr1 bench pairs FILE -m MODEL -o RUN"
        )
    if job.data is None:
        hub = "" if job.benchmark.hub is None else f", or the hub's dataset: --data {job.benchmark.hub}"
        raise ConfigError(
            f"--data DIR is missing: the official data of {job.benchmark.title}{hub}; "
            "a benchmark run needs --data and -o, and mostly -m (or --from alone)"
        )
    return job.data


def require_folder(job: Job) -> Path:
    """
    Raises:
        ConfigError: no run folder was named.
    """
    if job.folder is None:
        raise ConfigError(
            "-o RUN is missing; a benchmark run needs --data and -o, and mostly -m (or --from alone)"
        )
    return job.folder


def refuse_reading(config: DataConfig, jobs: Sequence[Job]) -> None:
    """
    Raises:
        ConfigError: it is said how pairs are read, and none of one's own are.
    """
    said = [name for name in ("format", "map", "label", "skip_invalid") if getattr(config, name)]
    if said and not any(job.benchmark.name == OWN_PAIRS and job.data is not None for job in jobs):
        raise ConfigError(
            f"data.{said[0]} (--{said[0].replace('_', '-')}) says how own pairs are read, and there are none here; "
            "leave it out, or name a file: rmr1 bench pairs FILE"
        )


def _read_own_pairs(arguments: argparse.Namespace, own: Sequence[Path], invalid: set[str]) -> Benchmark:
    """The benchmark of own pairs, read as the settings say; rows that are passed over go to `invalid`."""
    from rmr1.bench.pairs import own_pairs

    def pass_over(error: DataError) -> None:
        if str(error) not in invalid and len(invalid) < SHOWN_ERRORS:
            print(f"rmr1: {error}", file=sys.stderr)
        invalid.add(str(error))

    config = build_config(arguments).data
    return own_pairs(
        format=config.format,
        columns=config.map or None,
        labels=config.label,
        on_invalid=pass_over if config.skip_invalid else None,
        sources=own if len(own) > 1 else (),
    )


def suit_asking(benchmark: Benchmark, judge: PairJudge, family: str | None) -> Asking | None:
    """How the benchmark asks this judge where nothing was said of that; None is pair by pair.

    `family` is the prompt family that was named: a judge with a prompt for pairs is asked by it.
    """
    if not benchmark.askings:
        return None
    from rmr1.bench.rewardbench2 import default_asking

    is_for_pairs = family is not None and isinstance(judge, GenerativeJudge)
    return find_asking(benchmark, PAIRS_ASKING if is_for_pairs else default_asking(judge))


def _split_names(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """The benchmarks, and the data of own pairs: the words that are no benchmarks' names, wherever they are."""
    names = list(dict.fromkeys(word for word in words if word in NAMES))
    others = [word for word in words if word not in NAMES]
    if others and OWN_PAIRS not in names:
        known = f"; there are {', '.join(NAMES)}; `pairs` takes a FILE"
        raise ConfigError(f"no benchmark {others[0]!r}{suggest(others[0], NAMES) or known}")
    return names, [Path(one) for one in list_sources(others)]


def _assign(values: Sequence[str] | None, flag: str, names: Sequence[str]) -> dict[str, Path]:
    """`NAME=PLACE` for one benchmark, a bare PLACE for the only one, or for the folder of one per name, as
    `-o` makes it."""
    found: dict[str, Path] = {}
    for value in values or ():
        name, equals, place = value.partition("=")
        if equals and name in NAMES:
            if name not in names:
                raise ConfigError(f"{flag} {value}: {name} is not among the benchmarks {', '.join(names)}")
            given = {name: Path(place)}
        elif len(names) == 1:
            whole, inner = Path(value), Path(value) / names[0]
            is_of_several = (inner / RUN_FILE).is_file() and not (whole / RUN_FILE).is_file()
            given = {names[0]: inner if is_of_several else whole}
        else:
            given = {one: Path(value) / one for one in names if (Path(value) / one).exists()}
            if not given:
                raise ConfigError(
                    f"{flag} {value}: holds nothing named {', '.join(names)}; "
                    f"say which is which: {flag} {names[0]}=PLACE"
                )
        for one, path in given.items():
            if one in found and found[one] != path:
                raise ConfigError(f"{flag} names {one} twice: {found[one]} and {path}")
            found[one] = path
    return found


def _find_data(benchmark: Benchmark, place: Path | None) -> Path | None:
    """The place itself; of a folder that holds none of the benchmark's files, the folder of its name in it."""
    if place is None or not (place / benchmark.name).exists():
        return place
    try:
        benchmark.find_files(place)
    except DataError:
        return place / benchmark.name
    return place


def _check_said(arguments: argparse.Namespace, benchmarks: Sequence[Benchmark]) -> None:
    if arguments.as_published and arguments.scoring not in (None, AS_PUBLISHED):
        raise ConfigError(f"--as-published and --scoring {arguments.scoring} are two scorings; leave one out")
    scoring = arguments.scoring
    if scoring not in (None, OFFICIAL_RULE) and not any(scoring in one.variants for one in benchmarks):
        known = sorted({name for one in benchmarks for name in one.variants})
        names = ", ".join(one.title for one in benchmarks)
        raise ConfigError(
            f"--scoring {scoring}: {names} can be scored by {', '.join([OFFICIAL_RULE, *known])}"
        )
    if arguments.ask not in (None, PAIRS_ASKING) and not any(
        arguments.ask in one.askings for one in benchmarks
    ):
        raise ConfigError(f"--ask {arguments.ask}: none of the benchmarks is asked so")


def _choose_variant(arguments: argparse.Namespace, benchmark: Benchmark) -> str:
    wanted = AS_PUBLISHED if arguments.as_published else arguments.scoring
    return wanted if wanted in benchmark.variants else OFFICIAL_RULE
