"""One's own labelled pairs as a benchmark: `rmr1 bench pairs FILE`.

Comes in: any source of pairs that `rmr1.data` reads, every pair labelled "A", "B" or "tie". Goes out: the
share of pairs for which the judge's verdict is the label, whole and by subset, source and label, each with
Wilson's interval. A missing verdict is wrong and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rmr1.bench.base import Benchmark
from rmr1.bench.files import read_once
from rmr1.bench.outcomes import Measure, Measures, Outcomes, PartBuilder, Whole
from rmr1.bench.ruling_counts import RulingCounts, add_pair, both_ways_measures
from rmr1.data.files import SUFFIXES, kind_of, list_files, stem_of
from rmr1.data.hub import is_saved_dataset
from rmr1.data.read import SourcedPair, read_sourced_pairs
from rmr1.errors import DataError
from rmr1.records import PreferencePair
from rmr1.store.keys import KeyCounter, content_digest
from rmr1.store.rulings import Ruling
from rmr1.store.runs import key_digest

LABELS = ("A", "B", "tie")
UNNAMED = "(none)"
"""Pairs without a subset or source, where others have one."""

_SEPARATOR = "\t"


def find_pair_files(data: Path) -> list[Path]:
    """The file itself, or every data file in the folder; none for a hub name."""
    if not data.is_dir():
        return [data] if data.exists() else []
    files = sorted(file for file in data.rglob("*") if file.is_file() and kind_of(file) is not None)
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(data).parts)]
    if not files:
        raise DataError(
            f"no data in the folder; expected files that end with {', '.join(SUFFIXES)}", path=data
        )
    return files


def own_pairs(
    *, on_invalid: Callable[[DataError], Any] | None = None, sources: Sequence[Path] = (), **reading: Any
) -> Benchmark:
    """`PAIRS`, of data that is read in this way: `reading` is format, columns and labels of `rmr1.data.read_pairs`.

    Rows that cannot be read go to `on_invalid`. `sources` are measured together; the data only names them then.
    """
    read = partial(read_labelled_pairs, on_invalid=on_invalid, sources=sources, **reading)
    names = {"format": "format", "columns": "map", "labels": "label"}
    said = {names[name]: value for name, value in reading.items() if value}
    return replace(PAIRS, read_pairs=read, reading=said)


def read_labelled_pairs(
    data: Path,
    limit: int | None = None,
    *,
    on_invalid: Callable[[DataError], Any] | None = None,
    sources: Sequence[Path] = (),
    **reading: Any,
) -> Iterator[PreferencePair]:
    """The first `limit` pairs; an id that came before gets a number: `17`, `17 (2)`, `17 (3)`.

    What stands in two files or `sources` is read once. Of several, a pair that names no source is of its file.
    """
    ids = KeyCounter()
    read = partial(
        read_sourced_pairs,
        **reading,
        on_error="raise" if on_invalid is None else "skip",
        errors=on_invalid,
    )
    files: list[Path] = []
    for source in sources or (data,):
        is_folder = source.is_dir() and not is_saved_dataset(source)
        files += list_files(source) if is_folder else [source]
    names = name_apart([str(one) for one in sources]) if len(sources) > 1 else {}
    for one in islice(read_once(files, read, _identify), limit):
        pair = one.pair
        if names and pair.source is None:
            places = (one.row.path, *map(str, Path(one.row.path).parents))
            name = next((names[place] for place in places if place in names), one.row.path)
            pair = replace(pair, source=name)
        if pair.label is None:
            raise DataError(
                f"pair {pair.id!r} has no label, so no verdict can be right; expected one of "
                f"{', '.join(LABELS)}, or `rmr1 judge` for pairs without labels",
                path=one.row.path,
                line=one.row.line,
            )
        before = ids.increment(key_digest(pair.id))
        # The id stays marked as the row's own, if it is.
        yield pair if before == 0 else replace(pair, id=type(pair.id)(f"{pair.id} ({before + 1})"))


def name_apart(sources: Sequence[str]) -> dict[str, str]:
    """A short name of each source: its file's without the suffix, and with folders if two would be alike.

    >>> name_apart(["a/x.jsonl", "b/x.jsonl", "y.csv"])
    {'a/x.jsonl': 'a/x', 'b/x.jsonl': 'b/x', 'y.csv': 'y'}
    """
    places = {source: (*Path(source).parent.parts, stem_of(source)) for source in sources}
    names = {}
    for source, place in places.items():
        others = [other for one, other in places.items() if one != source]
        most = len(place)
        depth = next(
            (depth for depth in range(1, most) if all(one[-depth:] != place[-depth:] for one in others)), most
        )
        names[source] = "/".join(place[most - depth :])
    return names


def _identify(sourced: SourcedPair) -> bytes:
    """All that a pair holds, its id too unless that is no more than its place in the file."""
    pair, row = sourced.pair, sourced.row
    is_place = pair.id.startswith(f"{stem_of(row.path)}:{row.line}")
    return content_digest(replace(pair, id="") if is_place else pair)


def tally_pairs(rulings: Iterable[Ruling]) -> Outcomes:
    """One part for each subset, source and label."""
    parts: dict[str, PartBuilder] = {}
    counts = RulingCounts()
    for ruling in counts.answered(rulings):
        if ruling.label is None:
            raise DataError(f"pair {ruling.id!r} has no label, so no verdict can be right")
        name = f"{_name(ruling.subset)}{_SEPARATOR}{_name(ruling.source)}{_SEPARATOR}{ruling.label}"
        part = parts.get(name)
        if part is None:
            part = parts.setdefault(name, PartBuilder(name))
        add_pair(part, ruling.id, ruling)
    for part in parts.values():
        _number_repeated(part.items)
    return counts.outcomes("pairs", parts.values())


def _number_repeated(items: list[str]) -> None:
    """Runs of `rmr1 judge` may hold ids that repeat."""
    if len(set(items)) == len(items):
        return
    seen: Counter[str] = Counter()
    for index, item in enumerate(items):
        seen[item] += 1
        if seen[item] > 1:
            items[index] = f"{item} ({seen[item]})"


def _name(text: str | None) -> str:
    return "" if text is None else text.replace(_SEPARATOR, " ")


def rule_pairs(outcomes: Outcomes, variant: str) -> Measures:
    """Plain accuracy of all pairs, and by subset, source and label if there are several."""
    everything = tuple(sorted(outcomes.parts))
    # Own data has no official size: what was judged is the whole of it, unless more is known to be there.
    total = sum(len(part) for part in outcomes.parts.values())
    total += outcomes.unfinished + outcomes.failed
    overall = Measure(group="pairs", name="overall", parts=everything, official=total)
    figures = [
        *_by(everything, "subset", lambda one: one[0]),
        *_by(everything, "source", lambda one: one[1]),
        *(
            Measure(group="label", name=label, parts=parts)
            for label in LABELS
            if (parts := tuple(one for one in everything if _fields(one)[2] == label))
        ),
    ]
    both = both_ways_measures(outcomes, {"pairs": everything})
    crossed = _by(everything, "subset and source", lambda one: f"{one[0] or UNNAMED}, {one[1] or UNNAMED}")
    has_both = {figure.group for figure in figures} >= {"subset", "source"}
    return Measures(
        overall=(Whole(measure=overall, needs=(overall,)),),
        figures=(*figures, *both),
        categories=tuple(crossed) if has_both else (),
        notes=tuple(_label_notes(outcomes)),
    )


def _fields(part: str) -> list[str]:
    return part.split(_SEPARATOR)


def _by(parts: Iterable[str], group: str, name_of: Callable[[list[str]], str]) -> list[Measure]:
    named: dict[str, list[str]] = {}
    for part in parts:
        named.setdefault(name_of(_fields(part)), []).append(part)
    if set(named) <= {""}:
        return []
    return [Measure(group=group, name=name or UNNAMED, parts=tuple(named[name])) for name in sorted(named)]


def _label_notes(outcomes: Outcomes) -> Iterator[str]:
    counts = dict.fromkeys(LABELS, 0)
    for name, part in outcomes.parts.items():
        counts[_fields(name)[2]] += len(part)
    total = sum(counts.values())
    if not total:
        return
    shown = ", ".join(f"{label} {count}" for label, count in counts.items() if count)
    most = max(counts, key=lambda label: counts[label])
    yield f"labels: {shown}; a judge that always says {most} reaches {100 * counts[most] / total:.1f}%"
    if counts["tie"]:
        reach = 100 * (total - counts["tie"]) / total
        are = "label is" if counts["tie"] == 1 else "labels are"
        yield (
            f"{counts['tie']} {are} a tie, which only a verdict of a tie meets: a judge that never "
            f"calls one reaches {reach:.1f}% at most"
        )


PAIRS = Benchmark(
    name="pairs",
    title="own pairs",
    placements=("seeded", "both", "given"),
    find_files=find_pair_files,
    read_pairs=read_labelled_pairs,
    tally=tally_pairs,
    rule=rule_pairs,
    is_sized=False,
)
