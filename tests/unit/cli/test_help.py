"""docs/cli.md holds what `--help` prints. `RMR1_UPDATE_DOCS=1` writes it anew."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmr1.cli.main import build_parser

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"


def command_page() -> str:
    """The page, from the parsers themselves."""
    parts = ["# Commands\n\nWhat `--help` prints, checked by the tests.\n"]
    for name, one in list_commands("rmr1", build_parser()):
        parts.append(f"## {name}\n\n```\n{one.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


def list_commands(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The command itself and all under it."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, one in action.choices.items():
                yield from list_commands(f"{name} {verb}", one)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse lays help out differently elsewhere")
def test_the_page_is_what_help_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    page = command_page()
    if os.environ.get("RMR1_UPDATE_DOCS") == "1":
        PAGE.write_text(page)
    assert PAGE.read_text() == page


def test_the_data_page_lists_every_form() -> None:
    from rmr1.data import list_formats

    page = (PAGE.parent / "data.md").read_text()
    for reader in list_formats():
        columns = ", ".join(f"`{column}`" for column in reader.columns)
        assert (
            f"| `{reader.name}` | {reader.source} | {columns} | {'yes' if reader.verified else 'no'} |"
            in page
        )
