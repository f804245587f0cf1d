"""Running a benchmark: official data, a judge and a run folder in, scores out; or judgments that exist.

A live run is an ordinary run folder. Its `summary.json` holds the counts of any run and under `scores` what the
benchmark makes of it. Scores are always computed from stored judgments, one at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from rmr1.bench.base import OFFICIAL_RULE, Asking, Benchmark, BenchmarkScores, ItemCounts, score_outcomes
from rmr1.bench.files import list_sources
from rmr1.bench.outcomes import NUM_RESAMPLES, Outcomes
from rmr1.bench.recorded import read_recorded
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.base import AdaptableJudge, PairJudge, list_keys
from rmr1.judge.identity import FORMAT, describe_run, library_versions
from rmr1.judge.settings import Placement
from rmr1.judge.summary import Tally, describe_cost
from rmr1.judge.votes import read_again
from rmr1.nearest import suggest
from rmr1.records import Judgment, PreferencePair
from rmr1.store.fingerprint import fingerprint_source
from rmr1.store.keys import KeyCounter, content_digest, format_key, item_digest
from rmr1.store.rulings import Ruling, read_rulings, ruling_of
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE, RunWriter, open_run, read_description, read_judgments

MOST_FILES = 6
"""Files that an error names."""


class Scored(NamedTuple):
    """A run's table and its scores."""

    outcomes: Outcomes
    scores: BenchmarkScores


PAIRS_ASKING = "pairs"

_PLACES: Mapping[str, str] = {
    "rewardbench": "rewardbench.REWARDBENCH",
    "rm-bench": "rmbench.RM_BENCH",
    "rmb": "rmb.RMB",
    "judgebench": "judgebench.JUDGEBENCH",
    "rewardbench2": "rewardbench2.REWARDBENCH2",
    "pairs": "pairs.PAIRS",
}
NAMES = tuple(_PLACES)


def load_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _PLACES:
        near = suggest(name, NAMES)
        raise ConfigError(f"no benchmark {name!r}{near or '; there are ' + ', '.join(NAMES)}")
    module, _, constant = _PLACES[name].partition(".")
    benchmark: Benchmark = getattr(import_module(f"rmr1.bench.tasks.{module}"), constant)
    return benchmark


def find_asking(benchmark: Benchmark, name: str | None) -> Asking | None:
    """The way of asking of that name; None for pair by pair."""
    if name in (None, PAIRS_ASKING):
        return None
    if name not in benchmark.askings:
        known = ", ".join([PAIRS_ASKING, *benchmark.askings])
        raise ConfigError(f"{benchmark.title} is not asked by {name!r}; it knows {known}")
    return benchmark.askings[name]


def check_placement(benchmark: Benchmark, order: Placement | None) -> None:
    """Refuse an order that the benchmark gives away: its data names the better answer first, and the order is
    as read."""
    if order is not None and order not in benchmark.placements:
        raise ConfigError(
            f"{benchmark.title} names the better answer first, so order {order!r} would show it in one "
            f"place always; choose {' or '.join(benchmark.placements)}"
        )


def check_sides(benchmark: Benchmark, data: Path, order: Placement) -> None:
    """Refuse order `given` for own pairs whose right answer always stands on one side."""
    if order != "given":
        return
    labels = {pair.label for pair in read_pairs(benchmark, data)}
    if len(labels) == 1 and labels <= {"A", "B"}:
        raise ConfigError(
            f"{data}: the better answer is {labels.pop()} in every pair, so order 'given' would show it in one "
            f"place always; choose {' or '.join(one for one in benchmark.placements if one != order)}"
        )


def place_answers(judge: PairJudge, order: Placement) -> PairJudge:
    """The same model with another placement."""
    if isinstance(judge, AdaptableJudge):
        return judge.place(order)
    if judge.order in (None, order):
        return judge
    raise ConfigError(f"judge {judge.name!r} places answers by {judge.order!r} and in no other way")


def suit_asking(benchmark: Benchmark, judge: PairJudge, family: str | None) -> Asking | None:
    """How the benchmark asks this judge if nothing was said of that; None is pair by pair.

    A judge with a prompt for pairs whose `family` was named is asked by it.
    """
    if not benchmark.askings:
        return None
    from rmr1.bench.tasks.rewardbench2 import default_asking

    is_for_pairs = family is not None and isinstance(judge, AdaptableJudge) and judge.kind == "pair"
    return find_asking(benchmark, PAIRS_ASKING if is_for_pairs else default_asking(judge))


def read_pairs(
    benchmark: Benchmark, data: Path, limit: int | None = None, *, asking: Asking | None = None
) -> Iterator[PreferencePair]:
    """The benchmark's pairs, as they are asked.

    Raises:
        DataError: the data cannot be read.
    """
    return (benchmark if asking is None else asking).read_pairs(data, limit)


def count_pairs(
    benchmark: Benchmark, data: Path, limit: int | None = None, *, asking: Asking | None = None
) -> int:
    """How many pairs there are to judge; reads everything, so that bad rows are known early."""
    pairs = read_pairs(benchmark, data, limit, asking=asking)
    if benchmark.is_sized:
        unanswered = (
            Ruling(one.id, one.label, one.source, one.subset, None, None, (), None, "pair", 0)
            for one in pairs
        )
        outcomes = benchmark.tally(unanswered)
        _refuse_surplus(benchmark, outcomes, data)
        total = outcomes.judgments
    else:
        total = sum(1 for _ in pairs)
    if total == 0:
        raise DataError("no pairs in it", path=data)
    return total


def _refuse_surplus(benchmark: Benchmark, outcomes: Outcomes, data: Path) -> None:
    counts = ItemCounts(outcomes)
    for need in (need for whole in benchmark.measures(outcomes).overall for need in whole.needs):
        official, total = counts.official(need), counts.total(need)
        if official is not None and total > official:
            files = [path.name for path in list_sources(benchmark.find_files, data)]
            shown = ", ".join(files[:MOST_FILES]) + (", ..." if len(files) > MOST_FILES else "")
            raise DataError(
                f"{total} items of {need.name}, of which {benchmark.title} has {official}: is the data there "
                f"twice? Read were {shown}; keep one of each, or name one with {name_option('data')}",
                path=data,
            )


def fingerprint_data(benchmark: Benchmark, data: Path) -> dict[str, Any]:
    """What identifies the data: the contents of its files, in their order; of a hub's dataset its name.

    Of own data also how many pairs it holds, so that a run over a part of it is known for one.
    """
    size = {} if benchmark.is_sized else {"pairs": count_pairs(benchmark, data)}
    if not data.exists():
        return {"benchmark": benchmark.name, "dataset": str(data), **size, **benchmark.reading}
    digest = hashlib.sha256()
    files = benchmark.find_files(data)
    for path in files:
        digest.update(str(fingerprint_source(path)["sha256"]).encode())
    return {
        "benchmark": benchmark.name,
        "sha256": digest.hexdigest(),
        "files": len(files),
        **size,
        **benchmark.reading,
    }


def own_keys(benchmark: Benchmark, data: Path) -> Callable[[], Iterator[str]] | None:
    """The keys of the items of own data; None of official data, known by their bytes."""
    return None if benchmark.is_sized else lambda: list_keys(read_pairs(benchmark, data))


def stored_data(source: Path) -> dict[str, Any]:
    """What a run folder says of its data (`benchmark`, `pairs` of own data, `asked`); nothing of other judgments."""
    return (read_description(source).get("data") or {}) if (source / RUN_FILE).is_file() else {}


def open_benchmark_run(
    benchmark: Benchmark,
    data: Path,
    judge: PairJudge,
    folder: Path,
    *,
    asking: Asking | None = None,
    retry_failed: bool = False,
) -> RunWriter:
    """A new run folder, or one to go on with. The limit is left out, so that a run can be widened. `judge`
    asks as `asking` says."""
    check_placement(benchmark, judge.order)
    identity = fingerprint_data(benchmark, data)
    if benchmark.askings:
        identity["asked"] = PAIRS_ASKING if asking is None else asking.name
    description = describe_run(f"bench {benchmark.name}", judge, data=identity, folder=folder)
    keys = own_keys(benchmark, data)
    return open_run(folder, description, retry_failed=retry_failed, keys=keys)


def judge_benchmark(
    benchmark: Benchmark,
    data: Path,
    judge: PairJudge,
    writer: RunWriter,
    *,
    limit: int | None = None,
    asking: Asking | None = None,
    on_judgment: Callable[[Judgment], None] | None = None,
) -> None:
    """Judge what the folder does not hold yet."""
    for _, judgment in judge.run(read_pairs(benchmark, data, limit, asking=asking), run=writer):
        if on_judgment is not None:
            on_judgment(judgment)


def count_unjudged(outcomes: Outcomes, num_pairs: int) -> Outcomes:
    """The outcomes of own data of that many pairs: what nobody judged is unfinished."""
    known = sum(len(part) for part in outcomes.parts.values()) + outcomes.failed
    return replace(outcomes, unfinished=max(0, num_pairs - known))


def summarize_run(
    benchmark: Benchmark,
    writer: RunWriter,
    judge: PairJudge | None = None,
    *,
    variant: str = OFFICIAL_RULE,
    num_resamples: int = NUM_RESAMPLES,
    num_pairs: int | None = None,
) -> Scored:
    """Score a run folder's judgments and store the summary; with the judge that made them, what they cost.

    `num_pairs` is how many there are in own data.
    """
    tally = Tally()
    judgments = _counted(tally, (one for _, one in read_judgments(writer.folder)))
    outcomes = benchmark.tally(map(ruling_of, judgments))
    if num_pairs is not None:
        outcomes = count_unjudged(outcomes, num_pairs)
    scores = score_outcomes(benchmark, outcomes, variant=variant, num_resamples=num_resamples)
    summary = tally.summary()
    if judge is not None:
        summary |= describe_cost(summary, judge)
    writer.write_summary({**summary, "scores": scores.describe()})
    return Scored(outcomes, scores)


def read_finished(source: Path, rule: str | None = None) -> Iterator[Judgment]:
    """The judgments of a run folder or of recorded outputs, their texts read by `rule` if one is given."""
    if (source / RUN_FILE).is_file():
        for _, judgment in read_judgments(source):
            yield judgment if rule is None else read_again(judgment, rule)
        return
    if not source.exists():
        raise DataError("no such file or folder; expected a run folder or recorded outputs", path=source)
    for item in read_recorded(source, rule):
        yield item.judgment


def read_outcomes(
    benchmark: Benchmark, source: Path, *, rule: str | None = None, data: Path | None = None
) -> Outcomes:
    """The outcomes of judgments that exist; of a run folder as it stands only what scoring needs is read.

    With `data`, every judged pair must be one of the official data's, text by text.
    """
    if rule is None and data is None and (source / RUN_FILE).is_file():
        return benchmark.tally(read_rulings(source))
    return benchmark.tally(map(ruling_of, _finished(benchmark, source, rule, data)))


def score_finished(
    benchmark: Benchmark,
    source: Path,
    *,
    rule: str | None = None,
    data: Path | None = None,
    folder: Path | None = None,
    variant: str = OFFICIAL_RULE,
    num_resamples: int = NUM_RESAMPLES,
) -> BenchmarkScores:
    """Score judgments that exist; with `folder`, store them there as a run."""
    if folder is None:
        outcomes = read_outcomes(benchmark, source, rule=rule, data=data)
        return score_outcomes(benchmark, outcomes, variant=variant, num_resamples=num_resamples)
    num_pairs = None
    if not benchmark.is_sized:
        num_pairs = stored_data(source).get("pairs") if data is None else count_pairs(benchmark, data)
    with open_run(folder, _describe_finished(benchmark, source, rule, num_pairs)) as writer:
        for key, judgment in number_judgments(_finished(benchmark, source, rule, data)):
            if not writer.is_finished(key):
                writer.append(key, judgment)
        return summarize_run(
            benchmark, writer, variant=variant, num_resamples=num_resamples, num_pairs=num_pairs
        ).scores


def number_judgments(judgments: Iterable[Judgment]) -> Iterator[tuple[str, Judgment]]:
    """(key, judgment) of judgments that have no keys: those that their items have in a run."""
    occurrences = KeyCounter()
    for judgment in judgments:
        digest = item_digest(judgment.pair)
        yield format_key(digest, occurrences.increment(digest)), judgment


def _finished(benchmark: Benchmark, source: Path, rule: str | None, data: Path | None) -> Iterator[Judgment]:
    known = KeyCounter()
    if data is not None:
        for asking in (None, *benchmark.askings.values()):
            for pair in read_pairs(benchmark, data, asking=asking):
                known.increment(_text_digest(pair))
    for judgment in read_finished(source, rule):
        if data is not None and _text_digest(judgment.pair) not in known:
            raise DataError(f"judged pair {judgment.pair.id!r} is not in the data", path=data)
        yield judgment


def _counted(tally: Tally, judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    for judgment in judgments:
        tally.add(judgment)
        yield judgment


def _text_digest(pair: PreferencePair) -> bytes:
    return content_digest(replace(pair, id="", source=None, subset=None))


def _describe_finished(
    benchmark: Benchmark, source: Path, rule: str | None, num_pairs: int | None
) -> dict[str, Any]:
    is_run = (source / RUN_FILE).is_file()
    made = read_description(source) if is_run else {}
    content = fingerprint_source(source / JUDGMENTS_FILE if is_run else source)
    more = {"pairs": num_pairs, "asked": stored_data(source).get("asked")}
    return {
        "format": FORMAT,
        "command": f"bench {benchmark.name} --from",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": library_versions(),
        "data": {
            "benchmark": benchmark.name,
            "source": source.name,
            **content,
            **{name: value for name, value in more.items() if value is not None},
        },
        "model_name": made.get("model_name", f"recorded:{source.name}"),
        "model": made.get("model", {}),
        "prompt": made.get("prompt", {}),
        "settings": {**made.get("settings", {}), **({} if rule is None else {"rule": rule})},
    }
