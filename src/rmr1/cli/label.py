"""Ask people which answer is better, in the browser, and see how the judge does beside them.

  rmr1 label runs/x --blind                        people see the pairs of a run and nothing that the judge says
  rmr1 label runs/x --blind --number 60 -o c.json  then agreement, kappa, confusion, and a calibration on their labels
  rmr1 label runs/x --blind --report               the figures again, of what was labelled so far

The command prints a link and ends with Ctrl-C; it goes on where it was, and several people may answer at the same page.
Answers are lines of labels.jsonl of the run. rmr1 mark RUN --from takes labels from files and Label Studio, rmr1 export
writes them for others. docs/labels.md tells more.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

from rmr1.active.asking import Asker
from rmr1.active.blind import NUMBER, BlindRun
from rmr1.active.people import LEAST_LABELS, Labelled, fit_on_people, measure_people, read_blind
from rmr1.cli.options import add
from rmr1.cli.pages import add_page_arguments, listen_or_free, serve_pages, warn_of_host
from rmr1.cli.session import tell
from rmr1.errors import ConfigError, DataError
from rmr1.judge.calibrate import write_calibration
from rmr1.plugins import require
from rmr1.report.people import format_people, make_confusion
from rmr1.report.tables import print_table
from rmr1.screen import print, print_json
from rmr1.store.labels import append_labels, read_labels
from rmr1.store.runs import read_description

PORT = 8410


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folder of a judging run", dest="run_folder")
    add(parser, "--blind", "ask about the run's pairs, and show no verdict, label or reason")
    add(
        parser, "--number N", f"questions to each person at most (default {NUMBER}; 0 is all)", default=NUMBER
    )
    add(parser, "--overlap N", "people who are asked about one pair at most (default: everybody)")
    add(parser, "--seed N", "seed of the sequence and of which answer stands first (default 0)", default=0)
    add(parser, "--who NAME", "who labels; the link has the name (default: the page asks)")
    add(parser, "--report", "no page: print the figures of what was labelled so far")
    calibration = f"calibration to write in the end, on {LEAST_LABELS} labels or more; for --calibration of judge and serve"
    add(parser, "-o --output FILE", calibration)
    add(parser, "--force", "replace FILE if it exists")
    method = "of the calibration: one number (default), or a monotone step function, for some hundred labels or more"
    add(parser, "--method", method, choices=("temperature", "isotonic"), default="temperature")
    add(parser, "--json", "the figures as JSON on standard output")
    add_page_arguments(parser, PORT)


def run(arguments: Namespace) -> int:
    folder = Path(arguments.run_folder)
    if not arguments.blind:
        raise ConfigError("say how to ask: --blind for the pairs of a run")
    _check_output(arguments, folder)
    if not arguments.report:
        asker = BlindRun(folder, seed=arguments.seed, number=arguments.number, overlap=arguments.overlap)
        for why, count in asker.left_out.items():
            tell(f"not asked about: {count:,} {why}")
        then = [
            f"rmr1 label {folder} --blind --report",
            f"rmr1 label {folder} --blind --report -o calibration.json",
        ]
        ask_people(arguments, asker, then)
    return _report(arguments, folder)


def ask_people(arguments: Namespace, asker: Asker, then: Sequence[str]) -> None:
    """The page, until it is ended; `then` are the commands that its end names."""
    with require("the page", "view"):
        from rmr1.viewer.answering import check_name
        from rmr1.viewer.label_app import make_label_app

    query = "" if arguments.who is None else f"&who={quote(check_name(arguments.who))}"
    append_labels(asker.folder, ())  # a folder that cannot be written is told now, not after the first answer
    listener = listen_or_free(arguments.host, arguments.port, PORT)
    warn_of_host(arguments.host, "label the pairs")
    tell(f"{asker.total:,} questions to each person")
    app = partial(
        make_label_app, asker, name=asker.folder.resolve().name, seed=arguments.seed, then=tuple(then)
    )
    with listener:
        serve_pages(app, listener, is_opened=arguments.open, query=query)


def _check_output(arguments: Namespace, folder: Path) -> None:
    """Refuse now what would fail once the labels are given."""
    if arguments.output is None:
        return
    if Path(arguments.output).exists() and not arguments.force:
        raise ConfigError(f"-o {arguments.output}: exists; choose another name or pass --force")
    if "cascade" in read_description(folder).get("settings", {}):
        raise ConfigError("-o: the thresholds of a cascade are fitted by rmr1 calibrate --labels --risk P")


def _report(arguments: Namespace, folder: Path) -> int:
    labelled = read_blind(folder, list(read_labels(folder)))
    try:
        report = measure_people(labelled)
    except DataError:
        if arguments.report or arguments.output is not None:
            raise
        tell("nobody has labelled anything yet")
        return 0
    if arguments.json:
        print_json(report.describe())
    else:
        print_table(make_confusion(report))
        for line in format_people(report):
            print(line)
    if arguments.output is not None:
        _calibrate(arguments, folder, labelled)
    return 0


def _calibrate(arguments: Namespace, folder: Path, labelled: Labelled) -> None:
    fitted = fit_on_people(labelled, read_description(folder), method=arguments.method, seed=arguments.seed)
    write_calibration(arguments.output, fitted)
    before, after = fitted.before, fitted.held_out
    tell(
        f"calibration: {arguments.output}; ECE {before['ece']:.3f} as it came, {after['ece']:.3f} held out; Brier "
        f"{before['brier']:.3f}, {after['brier']:.3f}; use it with --calibration, ask for it with --least-labels"
    )
