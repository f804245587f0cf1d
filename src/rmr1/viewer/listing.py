"""The list of judgments: filters, search, sort, one row each."""

from __future__ import annotations

from typing import Any

from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import format_sure, one_line
from rmr1.viewer.address import FLAGS, PAGE_SIZE, VERDICTS, Address, iterate_hidden
from rmr1.viewer.index import Row
from rmr1.viewer.marks import Mark
from rmr1.viewer.runs import OpenRun
from rmr1.viewer.search import SORTS

_FORM = ("is", "q", "rubric", "subset", "unsure", "sort", "down", *FLAGS)
_MOST_SUBSETS = 500
_MOST_ID = 200
"""Letters of an id that are shown."""


def describe_list(run: OpenRun, address: Address, fault: str | None) -> dict[str, Any]:
    """What the template of the page needs; with a `fault` of the address no judgment."""
    found = run.judgments.search(
        address.query, start=(address.page - 1) * PAGE_SIZE, limit=0 if fault else PAGE_SIZE
    )
    run.seen.update(row.facts.key for row in found.rows)
    words = address.values.get("q", "").strip()
    named = run.judgments.find(words) if words and " " not in words else None
    last = found.start + len(found.rows)
    subsets = [one for one in run.judgments.counts("subset") if one]
    return {
        "rows": [describe_row(row, address, found.start + place) for place, row in enumerate(found.rows)],
        "num_pages": -(-found.total // PAGE_SIZE),
        "page_size": PAGE_SIZE,
        "total": 0 if fault else found.total,
        "named": None if named is None else (one_line(words), f"items/{named}"),
        "is_total_exact": found.is_total_exact,
        "is_sorted": found.is_sorted,
        "first": found.start + 1,
        "last": last,
        "previous_page": address.link(page=address.page - 1) or "?" if address.page > 1 else None,
        "next_page": address.link(page=address.page + 1) if last < found.total else None,
        "sorts": SORTS,
        "verdicts": VERDICTS,
        "flags": FLAGS,
        "subsets": subsets if len(subsets) <= _MOST_SUBSETS else [],
        "hidden": list(iterate_hidden(address, *_FORM)),
    }


def describe_row(row: Row, address: Address, place: int) -> dict[str, Any]:
    """A judgment in one line."""
    facts, label, is_right = row.facts, row.facts.label, row.facts.is_right
    if address.query.by_people and row.mark is not None and (row.mark.label or row.mark.is_disputed):
        label = row.mark.label
        is_right = None if label is None else facts.winner == label
    marks = []
    if facts.has_flipped:
        marks.append(("warn", "orders disagree"))
    if facts.quotes_invented:
        marks.append(("bad", f"{facts.quotes_invented} not found"))
    if facts.has_failed:
        marks.append(("bad", "engine error"))
    if row.mark is not None:
        marks.append(("note", _tell_mark(row.mark)))
    verdict = {True: ("good", "right"), False: ("bad", "wrong"), None: ("none", "not labelled")}[is_right]
    if facts.winner is None:
        verdict = ("warn", "no verdict")
    return {
        "number": row.number,
        "link": f"items/{row.number}{address.link(page=address.page, at=place + 1)}",
        "head": one_line(row.head),
        "id": one_line(facts.id[:_MOST_ID]),
        "subset": None if facts.subset is None else one_line(facts.subset),
        "verdict": verdict,
        "said": f"says {facts.winner}"
        if facts.winner
        else PROBLEM_TEXTS.get(facts.problem or "", facts.problem or "unknown"),
        "label": label,
        "confidence": None if facts.confidence is None else format_sure(facts.confidence),
        "bar": None if facts.confidence is None else round(100 * facts.confidence),
        "tokens": facts.completion_tokens,
        "marks": marks,
    }


def _tell_mark(mark: Mark) -> str:
    """What people say of it, in few words."""
    said = "people disagree" if mark.is_disputed else "people: a tie" if mark.label == "tie" else ""
    if mark.label in ("A", "B"):
        said = f"people: {mark.label}"
    if mark.is_judge_wrong is not None:
        said += f"{', ' if said else ''}judge {'wrong' if mark.is_judge_wrong else 'right'}"
    return said or "a note"
