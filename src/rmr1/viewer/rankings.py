"""The rankings of a run: each question's answers in order, with circles and doubts, and the comparisons behind them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rmr1.judge.ranking.record import Ranking
from rmr1.judge.ranking.run import read_rankings
from rmr1.report.rankings import describe_doubts, describe_rankings, number_places
from rmr1.screen import inert, one_line
from rmr1.store.runs import SUMMARY_FILE, read_summary
from rmr1.viewer.runs import OpenRun

PAGE_SIZE = 20
_MOST_CHARS = 2000


def describe_page(run: OpenRun, page: int) -> dict[str, Any]:
    """What the template of a page of rankings needs.

    Raises:
        DataError: a line is damaged.
    """
    start = (page - 1) * PAGE_SIZE
    found = list(islice(read_rankings(run.folder), start, start + PAGE_SIZE + 1))
    has_summary = (run.folder / SUMMARY_FILE).is_file()
    counts = read_summary(run.folder).get("ranking") if has_summary else None
    return {
        "rankings": [_describe(run, one) for one in found[:PAGE_SIZE]],
        "figures": [one_line(line) for line in describe_rankings(counts)] if counts else [],
        "first": start + 1,
        "previous_page": f"?page={page - 1}" if page > 1 else None,
        "next_page": f"?page={page + 1}" if len(found) > PAGE_SIZE else None,
    }


def _describe(run: OpenRun, ranking: Ranking) -> dict[str, Any]:
    candidates = ranking.candidates
    order = [
        (str(number), place)
        for number, group in zip(number_places(ranking), ranking.order, strict=True)
        for place in group
    ]
    known = [value for value in ranking.strengths if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    rows = []
    for number, place in [*order, *(("-", place) for place in ranking.unranked)]:
        strength, error = ranking.strengths[place], ranking.errors[place]
        text = inert("\n".join(message.text for message in candidates.responses[place]))
        rows.append(
            {
                "number": number,
                "place": place,
                "is_best": candidates.best == place,
                "strength": "-" if strength is None else f"{round(strength, 2) + 0.0:+.2f}",
                "error": "-" if error is None else f"{error:.2f}",
                "bar": None
                if strength is None or high <= low
                else round(100 * (strength - low) / (high - low)),
                "head": one_line(" ".join(text.split())[:120]),
                "text": text[:_MOST_CHARS] + (" …" if len(text) > _MOST_CHARS else ""),
            }
        )
    question = inert("\n\n".join(message.text for message in candidates.prompt))
    return {
        "id": one_line(candidates.id),
        "question": question[:_MOST_CHARS],
        "method": one_line(ranking.method),
        "comparisons": ranking.spent.comparisons,
        "rows": rows,
        "doubts": [one_line(line) for line in describe_doubts(ranking)],
        "is_right": ranking.is_right,
    }
