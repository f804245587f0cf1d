"""The published field: figures of other judges as records, and where a new one stands among them.

Comes in: `rows.toml` beside this module, tables as they were printed (its head says how to read them). Goes
out: one `PublishedRow` per model, benchmark and table, with the rounding of every figure's last digit; and the
`Standing` of a judge.

Only a complete overall is placed, and only among rows scored the same way. RM-Bench, and with it the
three-benchmark average, is published under two scorings: the official matrix, and RM-R1's own script, which
reads its third style file twice and never the second. Rows of the other scoring are shown apart; rows whose
scoring is not stated stand in both fields and are marked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from rmr1.errors import DataError
from rmr1.screen import format_percent

RowKind = Literal["scalar", "genrm", "reasrm"]
"""A score from a head; a verdict from a model as it comes, or trained to judge; one that reasons first."""

Citation = Literal["paper", "released", "leaderboard", "secondary"]

AVERAGE = "average"
THREE = ("rewardbench", "rm-bench", "rmb")
"""The benchmarks whose unweighted mean RM-R1's main table sorts by."""

TITLES: Mapping[str, str] = {
    "rewardbench": "RewardBench",
    "rm-bench": "RM-Bench",
    "rmb": "RMB",
    "judgebench": "JudgeBench",
    "rewardbench2": "RewardBench 2",
    AVERAGE: "Average of RewardBench, RM-Bench and RMB",
}
"""The benchmarks that judges are placed on."""

_WEIGHTS = {("judgebench", "categories"): {"Knowledge": 154, "Reasoning": 98, "Math": 56, "Coding": 42}}
"""Pairs of JudgeBench's GPT-4o set, of which its overall is a share; others are means of their parts."""
SLACK = 1e-9
"""Sums of doubles, and figures on the very edge of their rounding."""
_NO_FIGURE = "-"
_LEAST, _MOST = -0.02, 1.02
"""RewardBench 2's Ties has a term beyond its shares: a judge that is always right can be above 1."""
_TWO_SCORINGS = ("rm-bench", AVERAGE)

MARKS: Mapping[str, str] = {
    "c": "marked as possibly contaminated by the authors of its table",
    "d": "its parts do not give its overall",
    "m": "the mean of its three figures, no average is printed",
    "s": "quoted from another paper or a leaderboard, not rechecked",
    "?": "which scoring was used is not stated",
    "x": "scored another way, not ranked",
}
"""What has to be known about a published row."""
_TABLE_KEYS = {"id", "benchmark", "source", "citation", "unit", "columns"}
_TABLE_KEYS |= {"rows", "scoring", "left_out", "spread"}
_ROW_KEYS = {"note", "scoring", "left_out", "of"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A figure as a source prints it."""

    value: float
    """Share, in [0, 1]."""
    rounding: float
    """Half a unit of the last printed digit, as a share: 0.0005 for 91.4."""

    def __str__(self) -> str:
        """The mark in points, with two decimals at most."""
        return f"{100 * self.value:.{1 if self.rounding > 1e-4 else 2}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One model's figures on one benchmark, from one table."""

    model: str
    kind: RowKind
    benchmark: str
    overall: Printed
    parts: Mapping[str, Mapping[str, Printed]]
    """Group -> part -> figure; a group that lacks a part is not there."""
    table: str
    source: Citation
    citation: str
    scoring: str
    """`official`, `faulty` (RM-Bench with the third style file read twice), `unstated`, or another rule."""
    is_contaminated: bool
    """Possibly contaminated, as the authors of the table mark it."""
    left_out: str | None
    """Why it is never placed; None where it may be."""
    note: str | None
    is_derived: bool = False
    """Its overall is the mean of the three printed figures."""

    def follow(self, group: str) -> tuple[float, float]:
        """The overall that a group of parts gives, and how far their rounding moves it."""
        parts = self.parts[group]
        weights = _WEIGHTS.get((self.benchmark, group), dict.fromkeys(parts, 1))
        whole = sum(weights.values())
        value = sum(weights[name] * one.value for name, one in parts.items()) / whole
        return value, sum(weights[name] * one.rounding for name, one in parts.items()) / whole

    @property
    def deviant_groups(self) -> tuple[str, ...]:
        """Groups of parts that do not give the overall, further than rounding explains."""
        followed = {group: self.follow(group) for group in self.parts}
        return tuple(
            group
            for group, (value, reach) in followed.items()
            if abs(self.overall.value - value) > reach + self.overall.rounding + SLACK
        )

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        named = ("model", "kind", "benchmark", "source", "citation", "scoring", "left_out", "note")
        return {
            **{name: getattr(self, name) for name in named},
            "overall": self.overall.value,
            "parts": {
                group: {name: one.value for name, one in parts.items()} for group, parts in self.parts.items()
            },
            "contaminated": self.is_contaminated,
            "derived": self.is_derived,
        }


@cache
def load_rows() -> tuple[PublishedRow, ...]:
    """Every published row, in the order of the file."""
    file = resources.files(__name__) / "rows.toml"
    return read_rows(file.read_text(encoding="utf-8"))


def read_rows(text: str, *, name: str = "rows.toml") -> tuple[PublishedRow, ...]:
    """Rows of a file in the form of the package's own."""
    try:
        # Decimals keep the printed digits: 92.0 is known to a tenth, 92.00 to a hundredth.
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not TOML: {error}", path=name) from error
    kinds: dict[str, RowKind] = {
        model: kind for kind in get_args(RowKind) for model in content.get("kinds", {}).get(kind, ())
    }
    contaminated = content.get("contaminated", {})
    found: list[PublishedRow] = []
    for table in content.get("table", ()):
        if unknown := sorted(set(table) - _TABLE_KEYS):
            raise DataError(f"table {table.get('id')!r}: unknown key {unknown[0]!r}", path=name)
        if table["source"] not in get_args(Citation):
            raise DataError(f"table {table['id']!r}: unknown source {table['source']!r}", path=name)
        for cells in table["rows"]:
            try:
                found += _read_row(table, cells, kinds, contaminated)
            except ValueError as error:
                raise DataError(f"table {table['id']!r}: {error}", path=name) from error
    return tuple(found)


def _read_row(
    table: Mapping[str, Any],
    cells: Sequence[Any],
    kinds: Mapping[str, RowKind],
    contaminated: Mapping[str, Sequence[str]],
) -> Iterator[PublishedRow]:
    more = cells[-1] if isinstance(cells[-1], dict) else {}
    model, *numbers = cells[:-1] if more else cells
    if unknown := sorted(set(more) - _ROW_KEYS):
        raise ValueError(f"{model}: unknown key {unknown[0]!r}")
    if model not in kinds:
        raise ValueError(f"{model}: not listed under [kinds]")
    columns: Mapping[str, Sequence[str]] = table["columns"]
    names = [name for group in columns.values() for name in group]
    if len(numbers) != len(names) + 1:
        raise ValueError(f"{model}: {len(numbers)} figures for {len(names)} columns and an overall")
    printed = [_read_figure(cell, table["unit"], model) for cell in numbers]
    overall, rest = printed[-1], iter(printed[:-1])
    parts = {}
    for group, group_names in columns.items():
        values = {one: next(rest) for one in group_names}
        known = {one: value for one, value in values.items() if value is not None}
        if len(known) == len(values):
            parts[group] = known
    kind = kinds[model]
    scoring = table.get("scoring", "official")
    scoring = more.get("scoring", scoring if isinstance(scoring, str) else scoring[kind])

    def row(benchmark: str, overall: Printed, own: Mapping[str, Any], **values: Any) -> PublishedRow:
        return PublishedRow(
            model=model,
            kind=kind,
            benchmark=benchmark,
            overall=overall,
            table=table["id"],
            source=table["source"],
            citation=table["citation"],
            is_contaminated=model in contaminated.get(benchmark, ()),
            left_out=own.get("left_out", table.get("left_out")),
            note=own.get("note"),
            **values,
        )

    is_derived = overall is None and bool(table.get("spread")) and tuple(names) == THREE and bool(parts)
    if is_derived:
        figures = [figure for group in parts.values() for figure in group.values()]
        overall = Printed(
            value=sum(one.value for one in figures) / len(figures),
            rounding=sum(one.rounding for one in figures) / len(figures),
        )
    if overall is not None:
        yield row(table["benchmark"], overall, more, parts=parts, scoring=scoring, is_derived=is_derived)
    if table.get("spread"):
        for benchmark, figure in zip(names, printed, strict=False):
            if figure is not None:
                own = more.get("of", {}).get(benchmark, {})
                # Only RM-Bench was ever scored in two ways; the average takes it over from there.
                used = scoring if benchmark == "rm-bench" else "official"
                yield row(benchmark, figure, own, parts={}, scoring=own.get("scoring", used))


def _read_figure(cell: object, unit: int, model: str) -> Printed | None:
    if cell == _NO_FIGURE:
        return None
    if not isinstance(cell, Decimal):
        raise ValueError(f"{model}: {cell!r} is no figure with decimals")
    exponent = cell.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= cell <= unit:
        raise ValueError(f"{model}: {cell} is not between 0 and {unit}")
    return Printed(value=float(cell / unit), rounding=float(Decimal(5).scaleb(exponent - 1) / unit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A complete overall among the published ones."""

    benchmark: str
    value: float
    interval: tuple[float, float] | None
    as_published: bool
    field: tuple[PublishedRow, ...]
    """Comparable rows, one per model, best first."""
    apart: tuple[PublishedRow, ...]
    """Rows that are published only under another scoring."""

    @property
    def title(self) -> str:
        return TITLES[self.benchmark]

    @property
    def above(self) -> tuple[PublishedRow, ...]:
        return tuple(row for row in self.field if self._gap(row) > 0)

    @property
    def level(self) -> tuple[PublishedRow, ...]:
        """Rows that print the judge's own figure."""
        return tuple(row for row in self.field if self._gap(row) == 0)

    @property
    def below(self) -> tuple[PublishedRow, ...]:
        return tuple(row for row in self.field if self._gap(row) < 0)

    @property
    def within(self) -> tuple[PublishedRow, ...]:
        """Rows inside the judge's interval."""
        if self.interval is None:
            return ()
        low, high = self.interval
        return tuple(row for row in self.field if low <= row.overall.value <= high)

    @property
    def rank(self) -> int:
        """From 1; equal figures share the better rank."""
        return len(self.above) + 1

    @property
    def total(self) -> int:
        """Published judges of the field and this one."""
        return len(self.field) + 1

    @property
    def scoring_note(self) -> str | None:
        """How this and the published figures are scored, if there is more than one way."""
        said = []
        if self.benchmark in _TWO_SCORINGS:
            which = "its RM-Bench " if self.benchmark == AVERAGE else ""
            faulty, official = "as RM-R1's script does, style file 3 read twice", "by the official rule"
            said.append(f"{which}scored {faulty if self.as_published else official}")
        if unstated := sum(row.scoring == "unstated" for row in self.field):
            said.append(f"for {unstated} of {len(self.field)} published figures the scoring is not stated")
        if self.apart:
            said.append(f"{len(self.apart)} scored another way stand apart, without a rank")
        return "; ".join(said) or None

    @property
    def rows(self) -> tuple[PublishedRow, ...]:
        return self.field + self.apart

    def marks(self, row: PublishedRow) -> str:
        """The letters of `MARKS` that apply to a row."""
        applies = {
            "c": row.is_contaminated,
            "d": bool(row.deviant_groups),
            "m": row.is_derived,
            "s": row.source in ("secondary", "leaderboard"),
            "?": row.scoring == "unstated",
            "x": row in self.apart,
        }
        return "".join(mark for mark, is_on in applies.items() if is_on)

    def sentence(self) -> str:
        """One line: rank, neighbours, and how far the interval reaches."""
        if not self.field:
            return f"{self.title}: {format_percent(self.value, 1)}, nothing comparable is published"
        text = f"{self.title}: {format_percent(self.value, 1)}, rank {self.rank} of {self.total} ({len(self.field)} published)"
        if self.level:
            text += f", level with {self.level[0].model}"
            text += f" and {len(self.level) - 1} more" * (len(self.level) > 1)
        else:
            near = [f"below {row.model} at {row.overall}" for row in self.above[-1:]]
            near += [f"above {row.model} at {row.overall}" for row in self.below[:1]]
            text += ", " + " and ".join(near)
        if self.interval is not None:
            num = len(self.within)
            text += f"; its interval holds {num} published figure{'' if num == 1 else 's'}"
        return text

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "benchmark": self.benchmark,
            "value": self.value,
            "interval": self.interval,
            "as_published": self.as_published,
            "rank": self.rank,
            "of": self.total,
            "within_interval": [row.model for row in self.within],
            "scoring": self.scoring_note,
            "field": [row.describe() for row in self.field],
            "apart": [row.describe() for row in self.apart],
        }

    def _gap(self, row: PublishedRow) -> float:
        """Published minus own; 0 where the own figure rounds to the printed one."""
        gap = row.overall.value - self.value
        return 0.0 if abs(gap) <= row.overall.rounding + SLACK else gap


def place(
    benchmark: str,
    overall: float | None,
    *,
    interval: tuple[float, float] | None = None,
    as_published: bool = False,
    rows: Iterable[PublishedRow] | None = None,
) -> Standing | None:
    """The standing of an overall figure; None if it is partial (None) or nothing is published for the benchmark.

    JudgeBench means its set of GPT-4o answers. `as_published` says that RM-Bench was scored with RM-R1's fault. For the
    benchmark "average", `overall` comes from `average_three`.
    """
    if overall is None or benchmark not in TITLES:
        return None
    if not _LEAST < overall < _MOST:
        raise ValueError(f"{overall} is not a share")
    own = "faulty" if as_published and benchmark in _TWO_SCORINGS else "official"
    field: dict[str, PublishedRow] = {}
    apart: dict[str, PublishedRow] = {}
    for row in load_rows() if rows is None else rows:
        if row.benchmark == benchmark and row.left_out is None:
            (field if row.scoring in (own, "unstated") else apart).setdefault(row.model, row)
    return Standing(
        benchmark=benchmark,
        value=overall,
        interval=interval,
        as_published=as_published,
        field=_sort(field.values()),
        apart=_sort(row for model, row in apart.items() if model not in field),
    )


def explain_rows(standings: Sequence[Standing]) -> tuple[dict[str, str], list[str]]:
    """The marks of the rows with what they mean, and the sources of the figures."""
    rows = [(one, row) for one in standings for row in one.rows]
    used = {mark for one, row in rows for mark in one.marks(row)}
    sources = list(dict.fromkeys(row.citation for _, row in rows))
    return {mark: meaning for mark, meaning in MARKS.items() if mark in used}, sources


def average_three(overalls: Mapping[str, float | None]) -> float | None:
    """RM-R1's average: the unweighted mean over `THREE`; None unless all are complete."""
    known = [value for name in THREE if (value := overalls.get(name)) is not None]
    return sum(known) / len(THREE) if len(known) == len(THREE) else None


def _sort(rows: Iterable[PublishedRow]) -> tuple[PublishedRow, ...]:
    return tuple(sorted(rows, key=lambda row: (-row.overall.value, row.model)))
