"""List, show and import prompt families.

  rmr1 prompts list
  rmr1 prompts show rubric
  rmr1 prompts import SOURCE --name NAME

SOURCE is a dataset or JSONL whose first row holds `context_messages` (as RM-R1's published training
sets do), or a text file with a template or a system prompt. It is stored in your prompt folder
($RMR1_PROMPTS, else ~/.config/rmr1/prompts) and then has a name that --family takes.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rmr1.cli.options import add
from rmr1.data.files import read_rows
from rmr1.errors import DataError
from rmr1.prompts import list_families, load_family
from rmr1.prompts.families import family_from_messages as from_messages
from rmr1.prompts.families import family_from_text, write_family
from rmr1.screen import print, print_text


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="every family that can be named")
    show = actions.add_parser("show", help="the texts of one family")
    add(show, "FAMILY", "name, folder or file")
    take = actions.add_parser("import", help="take a family over from a dataset or a text file")
    add(take, "SOURCE", "dataset name, JSONL or text file")
    add(take, "--name NAME", "the family's name (default: from SOURCE)")
    add(take, "--force", "replace a family of this name")


def run(arguments: Namespace) -> int:
    return {"list": _list, "show": _show, "import": _import}[arguments.action](arguments)


def _list(arguments: Namespace) -> int:
    for name, origin in list_families():
        print(f"{name:<16} {load_family(name).digest[:12]}  {origin}")
    return 0


def _show(arguments: Namespace) -> int:
    family = load_family(arguments.family)
    texts = {"system": family.system, "single-turn": family.single, "multi-turn": family.multi}
    for title, text in texts.items():
        if text is not None:
            print(f"--- {family.name}: {title} ---")
            print_text(f"{text}\n")
    return 0


def _import(arguments: Namespace) -> int:
    source = Path(arguments.source)
    name = arguments.name or source.name.split(".")[0].lower()
    if source.is_file() and source.suffix in (".txt", ".md"):
        family = family_from_text(name, source.read_text(encoding="utf-8"))
    else:
        family = from_messages(name, _first_messages(arguments.source))
    folder = write_family(family, overwrite=arguments.force)
    print(f"stored prompt family {family.name!r} ({family.digest[:12]}) in {folder}")
    return 0


def _first_messages(source: str) -> list[tuple[str, str]]:
    row = next(iter(read_rows(source)), None)
    if row is None:
        raise DataError("no row to take a prompt from", path=source)
    messages = row.data.get("context_messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        seen = ", ".join(map(str, row.data))
        raise DataError(
            f"the first row has the columns {seen}; expected context_messages", path=row.path, line=row.line
        )
    return [(str(one.get("role")), str(one.get("content"))) for one in messages]
