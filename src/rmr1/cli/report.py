"""Sum a run up: what is right, how sure, how consistent, and the judgments that are worth reading.

rmr1 report runs/x --html report.html       one page that needs no network and no script, to be sent to anyone
rmr1 report runs/x --markdown               the figures, and a line for each such judgment
rmr1 report runs/x --json
rmr1 report runs/x --html math.html --subset Math --labels

Shown are the worst (wrong, the surest first), pairs whose two orders name different winners, and a random sample.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rmr1.cli.filters import add_filter_arguments, read_filter
from rmr1.cli.options import add
from rmr1.errors import ConfigError
from rmr1.report.html import format_html
from rmr1.report.markdown import format_markdown
from rmr1.report.overview import build_report
from rmr1.report.selection import Selection
from rmr1.screen import print, print_json, print_text
from rmr1.store.replace import write_text


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folder of a judging run", dest="run_folder")
    add(parser, "--html FILE", "write one HTML page to FILE")
    add(parser, "--markdown", "Markdown on standard output (default)")
    add(parser, "--json", "JSON on standard output")
    add(parser, "--force", "replace FILE if it exists")
    add(parser, "--labels", "people's labels (labels.jsonl of the run) win over the data's")
    add(parser, "--limit N", "judgments in each list, at most (default 15)", default=15)
    add(parser, "--seed N", "seed of the sample (default 0)", default=0)
    add_filter_arguments(parser)


def run(arguments: Namespace) -> int:
    forms = [name for name in ("html", "markdown", "json") if getattr(arguments, name)]
    if len(forms) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in forms)}: choose one")
    if arguments.limit < 0:
        raise ConfigError(f"--limit {arguments.limit}: expected 0 or more")
    page = None if arguments.html is None else Path(arguments.html)
    if page is not None and page.exists() and not arguments.force:
        raise ConfigError(f"--html {page}: exists; choose another name or pass --force")
    selection = Selection(Path(arguments.run_folder), read_filter(arguments), with_labels=arguments.labels)
    report = build_report(selection, most=arguments.limit, seed=arguments.seed)
    if page is not None:
        write_text(page, format_html(report))
        print(f"{page}: {report.overview.items:,} judgments, {page.stat().st_size / 1e6:.2f} MB")
    elif arguments.json:
        print_json(report.describe())
    else:
        print_text(format_markdown(report))
    return 0
