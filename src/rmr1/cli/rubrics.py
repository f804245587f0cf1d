"""List the criteria that judgments go by, and which of them decide.

  rmr1 rubrics runs/x                   criteria of the judge's own, of shared rubrics, or a user's
  rmr1 rubrics runs/x runs/y --json     of several runs together

Uses: how often the criterion stands in a text's rubric, near-equal names counted as one. Weight: its mean share. Of criteria
that the judge was given it scores each answer by each (--criteria, --share-rubric): Follows is the share of texts whose
verdict is for the answer with the higher score by this criterion, of those that score both and unlike; Turns is the share
of texts whose weighted sum would no longer be on the verdict's side without it.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.text import Text

from rmr1.cli.options import add
from rmr1.errors import ConfigError
from rmr1.prompts.render import format_weight
from rmr1.report.tables import Cell, make_table, print_table
from rmr1.rubrics.count import Figures, RubricCounts, cut_title
from rmr1.rubrics.report import RubricReport, report_rubrics
from rmr1.screen import one_line, print, print_json
from rmr1.store.kinds import find_kind
from rmr1.store.runs import read_description, read_judgments

SIMILAR = 0.8


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folders of judging runs", nargs="+", dest="runs")
    near = "group names that are as similar as this, from 0 to 1, by their character n-grams (default 0.8); 1: none"
    add(parser, "--similar P", near, default=SIMILAR)
    add(parser, "--limit N", "at most N criteria (default 20; 0 = all)", default=20)
    add(parser, "--json", "JSON on standard output")


def run(arguments: Namespace) -> int:
    if arguments.limit < 0:
        raise ConfigError(f"--limit {arguments.limit}: expected 0 or more")
    if not 0 < arguments.similar <= 1:
        raise ConfigError(f"--similar {arguments.similar:g}: expected more than 0, and at most 1")
    counts = RubricCounts()
    for name in dict.fromkeys(arguments.runs):
        folder = Path(name)
        if (kind := find_kind(folder)) != "run":
            raise ConfigError(f"{folder}: holds no judgments (it was made by rmr1 {kind})")
        settings = read_description(folder).get("settings") or {}
        for _, judgment in read_judgments(folder):
            counts.add(judgment, is_shared=bool(settings.get("share_rubric")))
    if not counts.criteria:
        told = f"none of {counts.texts} texts has a rubric, and the judge was given no criteria"
        print(f"rmr1: {', '.join(arguments.runs)}: {told}", file=sys.stderr)
        return 1
    report = report_rubrics(counts, similar=arguments.similar)
    if arguments.json:
        print_json(report.describe(arguments.limit))
    else:
        _print(report, arguments.limit)
    return 0


def _print(report: RubricReport, limit: int) -> None:
    counts, shown = report.counts, report.groups[: limit or None]
    is_scored = any(group.figures.scored for group in shown)
    header = ["Criterion", "Uses", "Per text", "Weight"]
    if is_scored:
        header += ["Scored", "Follows", "Turns"]
    rows = []
    for group in shown:
        figures = group.figures
        more = f" (and {len(group.names) - 1} more names)" if len(group.names) > 1 else ""
        weight = format_weight(round(figures.weight / figures.weighed, 4)) if figures.weighed else "-"
        row: list[Cell] = [
            Text(one_line(cut_title(group.wording)) + more),
            figures.uses,
            f"{figures.uses / counts.with_rubric:.2f}",
            weight,
        ]
        rows.append([*row, *_score_cells(figures)] if is_scored else row)
    print_table(make_table(header, rows))
    print(
        f"{counts.with_rubric:,} of {counts.texts:,} texts in {counts.judgments:,} judgments have a rubric or criteria; "
        f"{len(shown)} of {len(report.groups):,} criteria shown"
    )
    if not is_scored:
        print("scores are only given by criteria that the judge is given: which decide cannot be said")
    if total := counts.sums.total():
        found = counts.sums
        print(
            f"weighted sums of {total:,} texts that score everything: {found['with']:,} with their verdict, "
            f"{found['against']:,} against it, {found['level']:,} level"
        )
    if report.not_compared:
        print(f"{report.not_compared:,} rarer names were too many to be compared, and stand alone")


def _score_cells(figures: Figures) -> list[Cell]:
    return [
        figures.scored,
        _share(figures.followed, figures.parted),
        _share(figures.turned, figures.weighable),
    ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}% of {whole:,}" if whole else "-"
