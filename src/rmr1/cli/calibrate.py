"""Fit a judge's probabilities to labels, so that they can be taken at their word.

  rmr1 judge labelled.jsonl -m MODEL --logprobs -o runs/x     a judge's probabilities on labelled pairs
  rmr1 calibrate runs/x -o calibration.json                   the map from them to shares that are right
  rmr1 judge new.jsonl -m MODEL --logprobs --calibration calibration.json -o runs/y

The file belongs to this judge: another model, prompt or setting is refused. What is told of the calibrated probabilities
is measured on pairs that the map was not fitted on (five folds).
"""

from __future__ import annotations

import argparse

from rmr1.screen import print

HELP = "fit a judge's probabilities to labels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", help="run folder of labelled pairs")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the calibration to write")
    parser.add_argument(
        "--method",
        choices=("temperature", "isotonic"),
        default="temperature",
        help="one number (default), or a monotone step function, for some hundred pairs or more",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the folds (default 0)")
    parser.add_argument("--plot", metavar="FILE", help="draw a reliability diagram (.png, .svg, .pdf)")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")


def run(arguments: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from rmr1.judge.calibrate import fit_calibration, write_calibration
    from rmr1.report.leaderboard_plot import check_plot
    from rmr1.report.tables import make_table, print_table
    from rmr1.store.runs import read_description, read_judgments

    if arguments.plot is not None:
        check_plot(Path(arguments.plot))
    description = read_description(arguments.folder)
    judgments = (judgment for _, judgment in read_judgments(arguments.folder))
    found = fit_calibration(judgments, description, method=arguments.method, seed=arguments.seed)
    write_calibration(arguments.output, found)
    series = (("as it came", found.before), ("calibrated, held out", found.held_out))
    if arguments.plot is not None:
        from rmr1.report.reliability_plot import draw_reliability

        draw_reliability(series, arguments.plot, f"{description['model_name']}, {found.pairs} pairs")
    if arguments.json:
        print(json.dumps(found.model_dump(mode="json"), ensure_ascii=False))
        return 0
    figures = ("ece", "brier", "auc", "aurc")
    rows = [(name, *(_format(values[figure]) for figure in figures)) for name, values in series]
    print_table(make_table((f"{found.pairs} pairs", "ECE", "Brier", "AUC", "AURC"), rows))
    print(f"calibration: {arguments.output}; use it with --calibration")
    return 0


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
