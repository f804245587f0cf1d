"""Say what you think of a judgment: a label, beside the judge's verdict and the data's.

rmr1 mark runs/x train-0-64 --label B                     the better answer, by the pair's id or the beginning of a key
rmr1 mark runs/x db121e26 --judge-wrong --note "invents"  the judge is wrong, for its verdict or its reasons
rmr1 mark runs/x db121e26 --label tie --blind --who ada   said without having seen the verdict
rmr1 mark runs/x --from labels.csv                        many: columns key or id, label, who, when, note, ...
rmr1 mark runs/x --list                                   what people have said, and what they agree on

A label goes to labels.jsonl of the run; nothing is ever taken out. The last label of each person counts, in which what
is not said anew stays as it was said before. With --labels rmr1 report and rmr1 export go by what people agree on.
docs/reading.md tells the columns.
"""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rmr1.active.exchange import read_labels_of
from rmr1.active.judging import list_rubric_folders
from rmr1.audit.label_files import LabelFile, leave_known
from rmr1.audit.naming import choose_named, find_named, tell_ids
from rmr1.cli.options import add
from rmr1.console import Console
from rmr1.errors import ConfigError
from rmr1.report.marks import format_labels, summarize_labels
from rmr1.screen import print, print_json
from rmr1.store.kinds import find_kind, is_pool
from rmr1.store.labels import HumanLabel, append_label, append_labels, begin_label, now, read_labels

_SHOWN_ERRORS = 5
_NO_SIDE = "none"
_SAID = ("label", "judge_wrong", "judge_right", "note", "blind")


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folder of a judging run, or of a pool (rmr1 label)", dest="run_folder")
    add(parser, "KEY", "a pair's id, or the beginning of a key", nargs="?")
    side = "the better answer, in the pair's frame; none takes yours back, for which a note tells why"
    add(parser, "--label", side, choices=("A", "B", "tie", _NO_SIDE))
    add(parser, "--judge-wrong", "the judge is wrong, for its verdict or its reasons")
    add(parser, "--judge-right", "the judge is right")
    add(parser, "--note TEXT", "what else there is to say")
    add(parser, "--blind", "you had seen neither the verdict nor another label")
    add(parser, "--who NAME", "whose label it is (default: your user name)")
    add(
        parser,
        "--from FILE",
        "take the labels of a file: JSON lines, CSV, ..., or what Label Studio exports as JSON",
        dest="source",
    )
    add(parser, "--list", "print the labels, of KEY or of all")
    add(parser, "--json", "JSON on standard output")


def run(arguments: Namespace) -> int:
    folder = Path(arguments.run_folder)
    if not is_pool(folder) and (kind := find_kind(folder)) != "run":
        raise ConfigError(f"{folder}: holds no judgments (it was made by rmr1 {kind})")
    said = [f"--{name.replace('_', '-')}" for name in _SAID if getattr(arguments, name) not in (None, False)]
    ways = ["--list"] * arguments.list + ["--from"] * (arguments.source is not None)
    if len([*ways, *said[:1]]) > 1:
        raise ConfigError(f"{' and '.join([*ways, *said[:1]])}: choose one")
    if arguments.list:
        return _list(arguments, folder)
    if arguments.source is not None:
        if arguments.key is not None:
            raise ConfigError(f"KEY {arguments.key} and --from: the rows of the file name their judgments")
        return _take_file(arguments, folder)
    if arguments.judge_wrong and arguments.judge_right:
        raise ConfigError("--judge-wrong and --judge-right: choose one")
    if arguments.key is None:
        raise ConfigError("nothing to label; name a judgment by KEY, or pass --from FILE or --list")
    if not set(said) - {"--blind"}:
        raise ConfigError("a label that says nothing; pass --label, --judge-wrong, --judge-right or --note")
    label = _make_label(arguments, _find(folder, arguments.key), list(read_labels(folder)))
    append_label(folder, label)
    return _tell(arguments, folder, [label])


def _make_label(arguments: Namespace, key: str, known: Sequence[HumanLabel]) -> HumanLabel:
    """The new label, with what the person had said of the item and does not say anew."""
    label = begin_label(known, key, _name_person(arguments))
    if arguments.label is not None:
        side = None if arguments.label == _NO_SIDE else arguments.label
        label = replace(label, label=side, is_blind=False)
    if arguments.blind:
        label = replace(label, is_blind=True)
    if arguments.judge_wrong or arguments.judge_right:
        label = replace(label, is_judge_wrong=bool(arguments.judge_wrong))
    return label if arguments.note is None else replace(label, note=arguments.note)


def _list(arguments: Namespace, folder: Path) -> int:
    labels = list(read_labels(folder))
    if arguments.key is not None:
        key = _find(folder, arguments.key)
        labels = [one for one in labels if one.key == key]
    if not labels:
        print(
            f"rmr1: {folder}: nobody has labelled {'it' if arguments.key is None else 'this one'}",
            file=sys.stderr,
        )
        return 1
    return _tell(arguments, folder, labels)


def _tell(arguments: Namespace, folder: Path, labels: list[HumanLabel]) -> int:
    """The labels of these items, and what people agree on."""
    keys = {one.key for one in labels}
    items = summarize_labels(
        [one for one in read_labels(folder) if one.key in keys], tell_ids(_find_judged(folder), keys)
    )
    if arguments.json:
        print_json([one.describe() for one in items])
    else:
        Console().print(format_labels(items), soft_wrap=True)
    return 0


def _take_file(arguments: Namespace, folder: Path) -> int:
    when = now()
    found = read_labels_of(arguments.source, _find_judged(folder), who=_name_person(arguments), when=when)
    new = leave_known(found.labels, list(read_labels(folder)), when=when)
    if new:
        append_labels(folder, new)
    if arguments.json:
        bad = [{"line": one.line, "reason": one.message} for one in found.errors]
        print_json({"added": len(new), "known": len(found.labels) - len(new), "bad_rows": bad})
    else:
        _tell_file(arguments.source, folder, found, len(new))
    return 1 if found.errors else 0


def _tell_file(source: str, folder: Path, found: LabelFile, num_new: int) -> None:
    for error in found.errors[:_SHOWN_ERRORS]:
        print(f"rmr1: {error}", file=sys.stderr)
    if found.errors:
        print(f"rmr1: {source}: {len(found.errors)} rows passed over (--json lists all)", file=sys.stderr)
    known = len(found.labels) - num_new
    print(f"{folder}: {num_new} labels added" + (f", {known} were there already" if known else ""))


def _find(folder: Path, name: str) -> str:
    judged = _find_judged(folder)
    return choose_named(judged, name, find_named(judged, [name])[name])


def _find_judged(folder: Path) -> Path:
    """The run whose judgments are labelled: of a pool the first of its runs, which are all of the same pairs."""
    return next(list_rubric_folders(folder, 1)) if is_pool(folder) else folder


def _name_person(arguments: Namespace) -> str:
    if arguments.who is not None:
        return str(arguments.who)
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise ConfigError("your user name is not known here; pass --who NAME") from None
