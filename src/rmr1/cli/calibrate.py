"""Fit a judge's probabilities to labels, so that they can be taken at their word.

  rmr1 judge labelled.jsonl -m MODEL --logprobs -o runs/x     a judge's probabilities on labelled pairs
  rmr1 calibrate runs/x -o calibration.json                   the map from them to shares that are right
  rmr1 judge new.jsonl -m MODEL --logprobs --calibration calibration.json -o runs/y

A cascade's thresholds are fitted in the same way, on a run that asked every stage about every pair:

  rmr1 judge labelled.jsonl -m MODEL --cascade direct,rubric,votes:8 -o runs/c
  rmr1 calibrate runs/c --risk 0.1 -o cascade.json
  rmr1 judge new.jsonl -m MODEL --cascade direct,rubric,votes:8 --calibration cascade.json -o runs/d

With --labels what people said of the run's judgments (rmr1 view, rmr1 mark) counts for more than the data's labels.

The file belongs to this judge: another model, prompt or setting is refused. What is told of the calibrated probabilities
is measured on pairs that the map was not fitted on (five folds).
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rmr1.cli.options import add
from rmr1.errors import ConfigError
from rmr1.judge.calibrate import fit_calibration, write_calibration
from rmr1.judge.cascade import fit_thresholds
from rmr1.records import Judgment
from rmr1.report.leaderboard_plot import check_plot
from rmr1.report.reliability_plot import draw_reliability
from rmr1.report.selection import Selection
from rmr1.report.tables import make_table, print_table
from rmr1.screen import print, print_json
from rmr1.store.runs import read_description


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "run folder of labelled pairs", dest="folder")
    add(parser, "-o --output FILE", "the calibration to write", required=True)
    method = "one number (default), or a monotone step function, for some hundred pairs or more"
    add(parser, "--method", method, choices=("temperature", "isotonic"), default="temperature")
    add(parser, "--seed N", "seed of the folds (default 0)", default=0)
    risk = "of a cascade: most of what a stage accepts that may be wrong, as a share"
    add(parser, "--risk P", risk)
    add(
        parser,
        "--delta P",
        "of a cascade: the chance that a stage breaks this promise (default 0.1)",
        default=0.1,
    )
    add(parser, "--labels", "people's labels (labels.jsonl of the run) win over the data's")
    add(parser, "--plot FILE", "draw a reliability diagram (.png, .svg, .pdf)")
    add(parser, "--json", "JSON on standard output")


def run(arguments: Namespace) -> int:
    if arguments.plot is not None:
        check_plot(Path(arguments.plot))
    description = read_description(arguments.folder)
    selection = Selection(Path(arguments.folder), with_labels=arguments.labels)
    judgments = (judgment for _, judgment in selection)
    if "cascade" in description["settings"]:
        return _fit_cascade(arguments, judgments, description)
    fitted = fit_calibration(judgments, description, method=arguments.method, seed=arguments.seed)
    write_calibration(arguments.output, fitted)
    series = (("as it came", fitted.before), ("calibrated, held out", fitted.held_out))
    if arguments.plot is not None:
        draw_reliability(series, arguments.plot, f"{description['model_name']}, {fitted.pairs} pairs")
    if arguments.json:
        print_json(fitted.describe())
        return 0
    figures = ("ece", "brier", "auc", "aurc")
    rows = [(name, *(_format(values[figure]) for figure in figures)) for name, values in series]
    print_table(make_table((f"{fitted.pairs} pairs", "ECE", "Brier", "AUC", "AURC"), rows))
    print(f"calibration: {arguments.output}; use it with --calibration")
    return 0


def _fit_cascade(arguments: Namespace, judgments: Iterable[Judgment], description: Mapping[str, Any]) -> int:
    if arguments.risk is None:
        raise ConfigError("thresholds of a cascade need --risk, the share of wrong verdicts that is allowed")
    fitted = fit_thresholds(judgments, description, risk=arguments.risk, delta=arguments.delta)
    write_calibration(arguments.output, fitted)
    if arguments.json:
        print_json(fitted.model_dump(mode="json"))
        return 0
    columns = (fitted.stages, fitted.thresholds, fitted.accepted, fitted.wrong)
    rows = [
        (name, "-" if least is None else f"{least:.4f}", accepted, wrong)
        for name, least, accepted, wrong in zip(*columns, strict=True)
    ]
    print_table(make_table(("Stage", "Least confidence", "Accepts", "Of them wrong"), rows))
    left = fitted.pairs - sum(fitted.accepted)
    print(f"left for a person: {left} of {fitted.pairs} pairs")
    print(f"thresholds: {arguments.output}; use them with --calibration")
    if not any(fitted.accepted):
        print("no threshold keeps the promise: every pair will be left for a person", file=sys.stderr)
    return 0 if any(fitted.accepted) else 1


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
