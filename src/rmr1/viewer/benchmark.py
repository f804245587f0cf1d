"""A benchmark's run: its table of scores, and its place among the published judges."""

from __future__ import annotations

from typing import Any

from rmr1.bench.base import OFFICIAL_RULE
from rmr1.bench.published import TITLES, Standing, explain_rows
from rmr1.bench.results import Job, ScoringOptions, collect
from rmr1.bench.run import load_benchmark
from rmr1.report.benchmarks import build_rows, remarks
from rmr1.screen import format_percent, one_line
from rmr1.viewer.runs import OpenRun

HEADER = ("Part", "% right", "95%", "right", "of", "no verdict", "ties")


def describe_benchmark(run: OpenRun) -> dict[str, Any]:
    """What the template of the page needs.

    Raises:
        DataError, ConfigError: the judgments cannot be scored.
    """
    assert run.benchmark is not None
    benchmark = load_benchmark(run.benchmark)
    job = Job(
        benchmark=benchmark,
        data=None,
        folder=None,
        source=run.folder,
        baseline=None,
        variant=OFFICIAL_RULE,
        asking=None,
        is_asking_said=False,
    )
    collected = collect([job], {}, ScoringOptions())
    rows = build_rows(collected.results, collected.average)
    marks, sources = explain_rows([standing for standing, _ in collected.standings])
    return {
        "title": benchmark.title,
        "header": HEADER,
        "rows": [((*cells, *[""] * (len(HEADER) - len(cells))), is_bold) for cells, is_bold in rows],
        "remarks": [one_line(line.strip()) for line in remarks(collected.results, collected.average) if line],
        "fields": [_describe_field(standing, run.model) for standing, _ in collected.standings],
        "letters": list(marks.items()),
        "sources": sources,
    }


def _describe_field(standing: Standing, name: str) -> dict[str, Any]:
    columns = list(
        dict.fromkeys(part for row in standing.rows for group in row.parts.values() for part in group)
    )
    rows: list[dict[str, Any]] = []
    for row in standing.rows:
        parts = {part: value for group in row.parts.values() for part, value in group.items()}
        rows.append(
            {
                "model": one_line(row.model),
                "kind": str(row.kind),
                "overall": str(row.overall),
                "parts": [str(parts.get(part, "")) for part in columns],
                "marks": standing.marks(row),
                "is_own": False,
            }
        )
    own = {
        "model": one_line(name),
        "kind": "this run",
        "overall": format_percent(standing.value, 1),
        "parts": ["" for _ in columns],
        "marks": "",
        "is_own": True,
    }
    rows.insert(len(standing.above), own)
    return {
        "title": standing.title,
        "sentence": one_line(standing.sentence()),
        "note": standing.scoring_note,
        "columns": [TITLES.get(one, one) for one in columns],
        "rows": rows,
    }
