"""What `rmr1 bench` is asked for, benchmark by benchmark, and the judging of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rmr1.bench.base import AS_PUBLISHED, OFFICIAL_RULE, Benchmark
from rmr1.bench.results import OWN_PAIRS, Job
from rmr1.bench.run import (
    NAMES,
    PAIRS_ASKING,
    Scored,
    check_placement,
    check_sides,
    count_pairs,
    find_asking,
    judge_benchmark,
    load_benchmark,
    open_benchmark_run,
    place_answers,
    read_finished,
    stored_data,
    suit_asking,
    summarize_run,
)
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.base import PairJudge, Watcher
from rmr1.judge.config import DataConfig, JudgeConfig
from rmr1.judge.source import SHOWN_ERRORS
from rmr1.nearest import suggest
from rmr1.store.runs import RUN_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The words of the command that say what is measured."""

    benchmarks: Sequence[str]
    own: Sequence[Path] = ()
    data: Sequence[str] | None = None
    """`[NAME=]PLACE`, each; so are the judgments of `source` and `baseline`."""
    source: Sequence[str] | None = None
    baseline: Sequence[str] | None = None
    output: Path | None = None
    ask: str | None = None
    scoring: str | None = None
    as_published: bool = False


def split_names(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The benchmarks, and the data of own pairs: words that are no benchmarks' names."""
    names = list(dict.fromkeys(word for word in words if word in NAMES))
    others = [word for word in words if word not in NAMES]
    if others and OWN_PAIRS not in names:
        known = f"; there are {', '.join(NAMES)}; `pairs` takes a FILE"
        raise ConfigError(f"no benchmark {others[0]!r}{suggest(others[0], NAMES) or known}")
    return names, others


def plan_jobs(asked: Asked, reading: DataConfig, tell: Callable[[object], None]) -> list[Job]:
    """The benchmarks in the order they were named, each once; `tell` is called with rows that cannot be read.

    Raises:
        ConfigError: what is said does not fit together.
    """
    names, own = asked.benchmarks, asked.own
    data = _assign(asked.data, "--data", names)
    if own and OWN_PAIRS in data and [data[OWN_PAIRS]] != own:
        raise ConfigError(f"bench pairs {own[0]} and --data {data[OWN_PAIRS]} name two files; leave one out")
    if own:
        more = "" if len(own) == 1 else f" and {len(own) - 1} more"
        data[OWN_PAIRS] = Path(f"{own[0]}{more}")
    invalid: set[str] = set()
    benchmarks = [
        _read_own_pairs(reading, own, invalid, tell) if name == OWN_PAIRS else load_benchmark(name)
        for name in names
    ]
    is_one = len(benchmarks) == 1
    given = {
        flag: _assign(places, flag, names)
        for flag, places in (("--from", asked.source), ("--baseline", asked.baseline))
    }
    _check_said(asked, benchmarks)
    jobs = []
    for one in benchmarks:
        name, output = one.name, asked.output
        is_asked = asked.ask is not None and (is_one or bool(one.askings))
        for flag, places in given.items():
            if places and name not in places:
                raise ConfigError(
                    f"{flag} {name}=RUN is missing; {flag} names judgments for every benchmark, or none"
                )
        wanted = AS_PUBLISHED if asked.as_published else asked.scoring
        jobs.append(
            Job(
                benchmark=one,
                data=None if name not in data else find_place(one, data[name]),
                folder=output if output is None or is_one else output / name,
                source=given["--from"].get(name),
                baseline=given["--baseline"].get(name),
                variant=wanted if wanted is not None and wanted in one.variants else OFFICIAL_RULE,
                asking=find_asking(one, asked.ask) if is_asked else None,
                is_asking_said=is_asked,
                invalid=invalid,
            )
        )
    return jobs


def check_baselines(jobs: Sequence[Job]) -> None:
    """What a comparison would miss only after judging."""
    for job in jobs:
        if job.baseline is None:
            continue
        if not (job.baseline / RUN_FILE).is_file():
            next(iter(read_finished(job.baseline)), None)
        made = stored_data(job.baseline).get("benchmark", job.benchmark.name)
        if made != job.benchmark.name:
            raise ConfigError(
                f"{name_option('baseline')} {job.baseline}: a run of {made}; expected one of {job.benchmark.name}"
            )


def require_data(job: Job) -> Path:
    """The place of the data, which must have been named."""
    if job.data is not None:
        return job.data
    if job.benchmark.name == OWN_PAIRS:
        raise ConfigError(
            "bench pairs lacks its FILE; expected a file, a folder or a dataset of labelled pairs: "
            "rmr1 bench pairs FILE -m MODEL -o RUN"
        )
    flag, hub = name_option("data"), job.benchmark.hub
    more = "" if hub is None else f", or the hub's dataset: {flag} {hub}"
    raise ConfigError(f"{flag} DIR is missing: the official data of {job.benchmark.title}{more}; {_needs()}")


def _needs() -> str:
    data, output, model, source = map(name_option, ("data", "output", "model", "from"))
    return f"a benchmark run needs {data} and {output}, and mostly {model} (or {source} alone)"


def require_folder(job: Job) -> Path:
    """The run folder, which must have been named."""
    if job.folder is None:
        raise ConfigError(f"{name_option('output')} RUN is missing; {_needs()}")
    return job.folder


Watch = Callable[[Job, int, int], AbstractContextManager[Watcher]]
"""Called with how many pairs a run holds already, and of how many; open while they are judged."""


def check_jobs(jobs: Sequence[Job], config: JudgeConfig) -> list[int]:
    """How many pairs of each there are to judge; reads everything before a model is loaded."""
    refuse_reading(config.data, jobs)
    for job in jobs:
        require_folder(job)
        check_order(job, config)
    limit = config.data.limit
    return [count_pairs(job.benchmark, require_data(job), limit, asking=job.asking) for job in jobs]


def check_order(job: Job, config: JudgeConfig) -> None:
    """Refuse an order that shows the better answer in one place always."""
    data, order = require_data(job), config.judge_settings(order=job.benchmark.order).order
    check_placement(job.benchmark, order)
    if job.benchmark.name == OWN_PAIRS:
        check_sides(job.benchmark, data, order)


def judge_jobs(
    jobs: Sequence[Job],
    first: PairJudge,
    config: JudgeConfig,
    totals: Sequence[int],
    watch: Watch,
    *,
    retry_failed: bool,
    num_resamples: int,
) -> dict[str, Scored]:
    """What each benchmark came to, by name; every run folder is opened before the first is judged."""
    limit, scored = config.data.limit, {}
    with ExitStack() as opened:
        ready = []
        for job, total in zip(jobs, totals, strict=True):
            data = require_data(job)
            asking = job.asking if job.is_asking_said else suit_asking(job.benchmark, first, config.family)
            judge = place_answers(first, config.order or job.benchmark.order)
            if asking is not None:
                judge = asking.adapt(judge)
            if asking is not job.asking:
                total = count_pairs(job.benchmark, data, limit, asking=asking)
            run = open_benchmark_run(
                job.benchmark, data, judge, require_folder(job), asking=asking, retry_failed=retry_failed
            )
            ready.append((replace(job, asking=asking), data, judge, opened.enter_context(run), total))
        for job, data, judge, writer, total in ready:
            one = job.benchmark
            with watch(job, writer.num_resumed, max(total, writer.num_resumed)) as watcher:
                judge_benchmark(
                    one, data, judge, writer, limit=limit, asking=job.asking, on_judgment=watcher.update
                )
            num_pairs = count_pairs(one, data) if one.name == OWN_PAIRS else None
            scored[one.name] = summarize_run(
                one, writer, judge, num_resamples=num_resamples, num_pairs=num_pairs
            )
    return scored


def refuse_reading(config: DataConfig, jobs: Sequence[Job]) -> None:
    """Refuse what is said of how pairs are read, if none of one's own are."""
    said = [name for name in ("format", "map", "label", "skip_invalid") if getattr(config, name)]
    if said and not any(job.benchmark.name == OWN_PAIRS and job.data is not None for job in jobs):
        raise ConfigError(
            f"data.{said[0]} (--{said[0].replace('_', '-')}) says how own pairs are read, and there are none here; "
            "leave it out, or name a file: rmr1 bench pairs FILE"
        )


def _read_own_pairs(
    config: DataConfig, own: Sequence[Path], invalid: set[str], tell: Callable[[object], None]
) -> Benchmark:
    """Rows that are passed over go to `invalid`."""
    from rmr1.bench.tasks.pairs import own_pairs

    def pass_over(error: DataError) -> None:
        if str(error) not in invalid and len(invalid) < SHOWN_ERRORS:
            tell(error)
        invalid.add(str(error))

    on_invalid = pass_over if config.skip_invalid else None
    return own_pairs(on_invalid=on_invalid, sources=own if len(own) > 1 else (), **config.reading())


def _assign(values: Sequence[str] | None, flag: str, names: Sequence[str]) -> dict[str, Path]:
    """`NAME=PLACE`, a bare PLACE for the only one, or the folder of one per name."""
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


def find_place(benchmark: Benchmark, place: Path) -> Path:
    """The place; of a folder without the benchmark's files, the folder of its name in it."""
    if not (place / benchmark.name).exists():
        return place
    try:
        benchmark.find_files(place)
    except DataError:
        return place / benchmark.name
    return place


def _check_said(asked: Asked, benchmarks: Sequence[Benchmark]) -> None:
    if asked.as_published and asked.scoring not in (None, AS_PUBLISHED):
        raise ConfigError(
            f"{name_option('as_published')} and {name_option('scoring')} {asked.scoring} are two scorings; leave one out"
        )
    scoring = asked.scoring
    if scoring not in (None, OFFICIAL_RULE) and not any(scoring in one.variants for one in benchmarks):
        known = sorted({name for one in benchmarks for name in one.variants})
        names = ", ".join(one.title for one in benchmarks)
        raise ConfigError(
            f"{name_option('scoring')} {scoring}: {names} can be scored by {', '.join([OFFICIAL_RULE, *known])}"
        )
    if asked.ask not in (None, PAIRS_ASKING) and not any(asked.ask in one.askings for one in benchmarks):
        raise ConfigError(f"{name_option('ask')} {asked.ask}: none of the benchmarks is asked so")
