"""A report as one HTML page that needs nothing else: no script, no network, no other file.

Whatever judges and answers hold is foreign text: it is made inert (`rmr1.screen`) and escaped by the template
engine, and the page's content-security policy forbids every script and every load besides.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rmr1.plugins import require
from rmr1.records import Judgment
from rmr1.report.overview import ReportData
from rmr1.report.sentences import Section, list_audits, list_sections
from rmr1.report.shown import Shown, choose_votes, show_judgment
from rmr1.screen import one_line
from rmr1.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_BYTES = 2_500_000
"""Size at which no further judgment is put on the page."""
_MOST_CHARS = 12_000
"""Characters of one text that are shown."""
_MOST_VOTES = 4
"""Texts of one judgment that are shown: of each order and each winner the first."""


def format_html(report: ReportData) -> str:
    """The page, of less than 3 MB.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    environment = make_environment()
    template: Any = environment.get_template("report/page.html.jinja").module
    parts: Any = environment.get_template("report/parts.html.jinja").module
    style = load_style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    lists = (
        ("worst", "Wrong, the surest first", report.worst),
        ("flips", "The two orders name different winners", report.flips),
        ("sample", "A random sample of the rest", report.sample),
    )
    head = template.head(
        title=one_line(f"{report.folder}: {report.model}"),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=style,
        report={
            "folder": one_line(report.folder),
            "model": one_line(report.model),
            "created": one_line(report.created[:16].replace("T", " ")),
        },
        conditions=[one_line(one) for one in report.conditions],
        sections=_clean([*list_sections(report.overview), list_audits(report.findings)]),
        lists=[(name, title, len(entries)) for name, title, entries in lists],
    )
    written, size, number, left = [str(head)], len(str(head)), 0, 0
    for name, title, entries in lists:
        written.append(str(template.opening(name=name, title=title, count=len(entries))))
        for entry in entries:
            number += 1
            page = str(parts.judgment(one=_show(f"j{number}", *entry)))
            if (size := size + len(page.encode())) > MOST_BYTES:
                size, left = size - len(page.encode()), left + 1
            else:
                written.append(page)
        written.append("</section>")
    written.append(str(template.closing(version=__version__, left=left)))
    return "".join(written)


@lru_cache(maxsize=1)
def make_environment() -> Environment:
    """The template engine, with the templates of the package's rooms: `report/page.html.jinja`.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    with require("HTML pages", "report"):
        from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str | None:
        room, _, file = name.partition("/")
        found = files(f"rmr1.{room}") / file
        return found.read_text(encoding="utf-8") if found.is_file() else None

    environment = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["number_in"] = lambda quote, numbers: numbers.of(quote)
    return environment


def load_style() -> str:
    """The style sheet of reports, with a class for each width in percent: styles inside of elements are forbidden."""
    widths = "".join(f".w{width}{{width:{width}%}}" for width in range(101))
    return (files("rmr1.report") / "page.css").read_text(encoding="utf-8") + widths


def _clean(sections: Sequence[Section]) -> list[Section]:
    return [
        Section(
            title=one.title,
            lines=tuple(map(one_line, one.lines)),
            header=one.header,
            rows=tuple(tuple(map(one_line, row)) for row in one.rows),
        )
        for one in sections
    ]


def _show(name: str, key: str, judgment: Judgment) -> Shown:
    votes = choose_votes(judgment, _MOST_VOTES)
    return show_judgment(name, key, judgment, votes=votes, most_chars=_MOST_CHARS)
