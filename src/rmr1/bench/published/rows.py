"""Published figures as records.

Comes in: `rows.toml` beside this module, tables as they were printed (its head says how to read them). Goes
out: one `PublishedRow` per model, benchmark and table, every figure with the rounding of its last digit, so
that a check knows what the printed digits can and cannot say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from rmr1.errors import DataError

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
"""The benchmarks that judges are placed on; rows of others are kept for reading only."""

_WEIGHTS = {("judgebench", "categories"): {"Knowledge": 154, "Reasoning": 98, "Math": 56, "Coding": 42}}
"""Pairs of JudgeBench's set of GPT-4o answers, of which its overall is a share; every other one is a mean of its parts."""
SLACK = 1e-9
"""Sums of doubles, and figures on the very edge of their rounding."""
_NO_FIGURE = "-"
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
        """The mark in points, with the printed digits and two decimals at most."""
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
    """Name of the table it is from."""
    source: Citation
    citation: str
    scoring: str
    """`official`, `faulty` (RM-Bench with the third style file read twice), `unstated`, or another rule."""
    is_contaminated: bool
    """Marked as possibly contaminated by the authors of the table."""
    left_out: str | None
    """Why it is never placed; None where it may be."""
    note: str | None
    is_derived: bool = False
    """Its overall is not printed: it is the mean of the three figures that are."""

    def follow(self, group: str) -> tuple[float, float]:
        """The overall that a group of parts gives, and how far their rounding moves it; shares."""
        parts = self.parts[group]
        weights = _WEIGHTS.get((self.benchmark, group), dict.fromkeys(parts, 1))
        whole = sum(weights.values())
        value = sum(weights[name] * one.value for name, one in parts.items()) / whole
        return value, sum(weights[name] * one.rounding for name, one in parts.items()) / whole

    @property
    def deviant_groups(self) -> tuple[str, ...]:
        """Groups of parts that do not give the overall, further than rounding explains."""
        found = []
        for group in self.parts:
            value, reach = self.follow(group)
            if abs(self.overall.value - value) > reach + self.overall.rounding + SLACK:
                found.append(group)
        return tuple(found)

    def describe(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "kind": self.kind,
            "benchmark": self.benchmark,
            "overall": self.overall.value,
            "parts": {
                group: {name: one.value for name, one in parts.items()} for group, parts in self.parts.items()
            },
            "source": self.source,
            "citation": self.citation,
            "scoring": self.scoring,
            "contaminated": self.is_contaminated,
            "left_out": self.left_out,
            "note": self.note,
            "derived": self.is_derived,
        }


@cache
def load_rows() -> tuple[PublishedRow, ...]:
    """Every published row, in the order of the file."""
    file = resources.files("rmr1.bench.published") / "rows.toml"
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
    model, *figures = cells[:-1] if more else cells
    if unknown := sorted(set(more) - _ROW_KEYS):
        raise ValueError(f"{model}: unknown key {unknown[0]!r}")
    if model not in kinds:
        raise ValueError(f"{model}: not listed under [kinds]")
    columns: Mapping[str, Sequence[str]] = table["columns"]
    names = [name for group in columns.values() for name in group]
    if len(figures) != len(names) + 1:
        raise ValueError(f"{model}: {len(figures)} figures for {len(names)} columns and an overall")
    printed = [_read_figure(cell, table["unit"], model) for cell in figures]
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
        overall = _average([figure for group in parts.values() for figure in group.values()])
    if overall is not None:
        yield row(table["benchmark"], overall, more, parts=parts, scoring=scoring, is_derived=is_derived)
    if table.get("spread"):
        for benchmark, figure in zip(names, printed, strict=False):
            if figure is not None:
                own = more.get("of", {}).get(benchmark, {})
                # Only RM-Bench was ever scored in two ways; the average takes it over from there.
                used = scoring if benchmark == "rm-bench" else "official"
                yield row(benchmark, figure, own, parts={}, scoring=own.get("scoring", used))


def _average(figures: Sequence[Printed]) -> Printed:
    return Printed(
        value=sum(one.value for one in figures) / len(figures),
        rounding=sum(one.rounding for one in figures) / len(figures),
    )


def _read_figure(cell: object, unit: int, model: str) -> Printed | None:
    if cell == _NO_FIGURE:
        return None
    if not isinstance(cell, Decimal):
        raise ValueError(f"{model}: {cell!r} is no figure with decimals")
    exponent = cell.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= cell <= unit:
        raise ValueError(f"{model}: {cell} is not between 0 and {unit}")
    return Printed(value=float(cell / unit), rounding=float(Decimal(5).scaleb(exponent - 1) / unit))
