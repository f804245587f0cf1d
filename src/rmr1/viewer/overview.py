"""The first page of a run: its figures, each leading to the judgments that it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmr1.audit.figures import Figures, GroupFigures
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import format_percent, format_usd, one_line
from rmr1.store.runs import SUMMARY_FILE, read_summary
from rmr1.viewer.address import Address
from rmr1.viewer.charts import draw_reliability, draw_risk, span
from rmr1.viewer.runs import OpenRun
from rmr1.viewer.search import EQUALS

_GROUPS = {
    "subset": "By subset, the worst first",
    "source": "By data set",
    "family": "By prompt family",
    "task_type": "By task, as the judge names it",
    "length": "By style: the preferred answer, in length",
    "markdown": "By style: the preferred answer, in Markdown",
}
_MOST_ROWS = 12
"""Groups of a sort that are shown at once; the others are folded away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A group of labelled judgments."""

    name: str
    link: str | None
    percent: str
    interval: str
    bar: tuple[int, int, int] | None
    """The beginning of the interval, its middle and its width, in percent."""
    right: int
    labelled: int
    unparsed: int
    wrong_link: str | None


def describe_overview(run: OpenRun, address: Address) -> dict[str, Any]:
    """What the template of the page needs."""
    kept = run.figures(address.query)
    figures = kept.figures
    groups = [
        (
            title,
            _list_rows(
                run, name, figures.subsets if name == "subset" else figures.groups.get(name, ()), address
            ),
        )
        for name, title in _GROUPS.items()
    ]
    return {
        "figures": figures,
        "num_items": kept.num_items,
        "people": run.judgments.count_people(),
        "tiles": _list_tiles(figures, address),
        "whole": None if figures.accuracy is None else _row(figures.accuracy, None, None),
        "subsets": [_fold(*one) for one in groups[:1] if one[1]],
        "groups": [_fold(*one) for one in groups[1:] if one[1]],
        "reliability": None
        if figures.reliability is None or not figures.reliability["bins"]
        else draw_reliability(figures.reliability, address),
        "risk": None if figures.risk is None else draw_risk(figures.risk, address),
        "problems": [
            (PROBLEM_TEXTS.get(name, one_line(name)), count, address.narrow(problem=name))
            for name, count in sorted(figures.problems.items(), key=lambda item: (-item[1], item[0]))
        ],
        "winners": [
            (name, count, address.narrow(**({"is": "unparsed"} if name == "none" else {"winner": name})))
            for name, count in figures.winners.items()
        ],
        "cost": None if address.conditions else _tell_cost(run),
        "right_link": address.narrow(**{"is": "right"}),
        "invented_link": address.narrow(invented=1),
        "first_link": address.narrow(given="A", swapped="B"),
        "second_link": address.narrow(given="B", swapped="A"),
    }


def _tell_wrong(figures: Figures) -> str:
    without = 0 if figures.accuracy is None else figures.accuracy.unparsed
    some = f", {without:,} of them without a verdict" if without else ""
    return f"not right{some}; the surest first"


def _fold(title: str, rows: list[Row]) -> tuple[str, list[Row], list[Row]]:
    return title, rows[:_MOST_ROWS], rows[_MOST_ROWS:]


def _list_tiles(figures: Figures, address: Address) -> list[tuple[str, int, str, str | None]]:
    """(class, count, what it counts, link) of what is worth reading."""
    flips = 0 if figures.position is None else figures.position.pairs - figures.position.consistent
    wrong = figures.labelled - figures.right
    tiles: list[tuple[str, int, str, dict[str, object]]] = [
        ("bad", wrong, _tell_wrong(figures), {"is": "wrong", "sort": "confidence", "down": 1}),
        ("warn", flips, "orders disagree", {"flips": 1}),
        ("bad", figures.judgments_with_invented, "with a quotation that is not found", {"invented": 1}),
        ("warn", figures.unparsed, "without a verdict", {"is": "unparsed"}),
        ("bad", figures.failed, "engine error", {"is": "failed"}),
        ("good", figures.right, "right, the least sure first", {"is": "right", "sort": "confidence"}),
    ]
    return [(kind, count, text, address.narrow(**values)) for kind, count, text, values in tiles if count]


def _list_rows(run: OpenRun, sort: str, groups: tuple[GroupFigures, ...], address: Address) -> list[Row]:
    known = {"longer", "shorter", "alike", "more", "less", "as much"}
    if address.query.by_people and sort in ("length", "markdown"):
        known = set()  # the list knows the data's preferred answer only
    if sort not in ("length", "markdown"):
        known = {name for name in run.judgments.counts(sort) if name}
        groups = tuple(sorted(groups, key=lambda one: (one.accuracy, -one.labelled, one.name)))
    param = sort if sort == "subset" or sort in EQUALS else None
    return [
        _row(
            one,
            address.narrow(**{param: one.name}) if param and one.name in known else None,
            address.narrow(**{param: one.name, "is": "wrong"}) if param and one.name in known else None,
        )
        for one in groups
    ]


def _row(one: GroupFigures, link: str | None, wrong_link: str | None) -> Row:
    interval, bar = "too few prompts", None
    if one.interval is not None:
        low, high = one.interval
        interval, bar = f"{100 * low:.1f} to {100 * high:.1f}", span(low, one.accuracy, high)
    return Row(
        name=one_line(one.name),
        link=link,
        percent=format_percent(one.accuracy, 1),
        interval=interval,
        bar=bar,
        right=one.right,
        labelled=one.labelled,
        unparsed=one.unparsed,
        wrong_link=wrong_link,
    )


def _tell_cost(run: OpenRun) -> str | None:
    """What the run cost, once it has ended with a price known."""
    if not (run.folder / SUMMARY_FILE).is_file():
        return None
    cost = read_summary(run.folder).get("cost_usd")
    return None if not isinstance(cost, int | float) else format_usd(cost)
