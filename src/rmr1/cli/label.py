"""Ask people which answer is better, in the browser: to see whether a judge is right, or only where it pays.

  rmr1 label runs/x --blind                        people see the pairs of a run and nothing that the judge says
  rmr1 label runs/x --blind --number 60 -o c.json  then agreement, kappa, confusion, and a calibration on their labels
  rmr1 label runs/x --blind --report               the figures again, of what was labelled so far

  rmr1 label pairs.jsonl -m MODEL -o pool          judge pairs under several rubrics, ask about those that tell most
  rmr1 label pool                                  ask further
  rmr1 label pool --outcome -m MODEL               a guideline, a calibration and training pairs of the answers

The command prints a link and ends with Ctrl-C; it goes on where it was, and several people may answer at the same page.
Answers are lines of labels.jsonl of the run or the pool. rmr1 mark RUN --from takes labels from files and Label Studio,
rmr1 export writes them for others. docs/labels.md tells more.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rmr1.active.blind import NUMBER, BlindRun
from rmr1.active.people import LEAST_LABELS, Labelled, fit_on_people, measure_people, read_blind
from rmr1.cli.asking import add_asking_arguments, ask_people
from rmr1.cli.label_pool import add_pool_arguments, go_on, is_about_pool, make_pool
from rmr1.cli.options import add, add_judging_arguments
from rmr1.cli.session import tell
from rmr1.errors import ConfigError, DataError
from rmr1.judge.calibrate import write_calibration
from rmr1.report.people import format_people, make_confusion
from rmr1.report.tables import print_table
from rmr1.screen import print, print_json
from rmr1.store.kinds import find_kind, is_pool
from rmr1.store.labels import read_labels
from rmr1.store.runs import RUN_FILE, read_description


def add_arguments(parser: ArgumentParser) -> None:
    sources = "a run (with --blind), the folder of a pool, or files of pairs that are to become one"
    add(parser, "RUN_OR_PAIRS", sources, nargs="+", dest="sources")
    output = f"of pairs: the pool's folder; with --blind: a calibration to write in the end, on {LEAST_LABELS} labels or more"
    add(parser, "-o --output DIR_OR_FILE", output)
    add(parser, "--json", "figures as JSON on standard output")
    add(parser, "--quiet", "no progress")
    add_asking_arguments(parser)
    blind = parser.add_argument_group("run", "pairs that were judged, to see whether the judge is right")
    add(blind, "--blind", "ask about the run's pairs, and show no verdict, label or reason")
    add(blind, "--report", "no page: print the figures of what was labelled so far")
    method = "of the calibration: one number (default), or a monotone step function, for some hundred labels or more"
    add(blind, "--method", method, choices=("temperature", "isotonic"), default="temperature")
    skill = (
        "settle what people dispute by how well each of them does (Dawid and Skene), of three people or more"
    )
    add(blind, "--by-skill", skill)
    add(blind, "--force", "replace the calibration if it exists")
    add_pool_arguments(parser)
    add_judging_arguments(parser, about="how the pairs of a pool are read")


def run(arguments: Namespace) -> int:
    folder = Path(arguments.sources[0])
    if arguments.blind or arguments.report:
        if not arguments.blind:
            raise ConfigError("--report is of blind labels; pass --blind too")
        if is_about_pool(arguments):
            raise ConfigError("--blind is of a run, and the other options are of a pool; choose one")
        if len(arguments.sources) > 1:
            raise ConfigError(f"--blind asks about one run, {len(arguments.sources)} were named")
        return _ask_blind(arguments, folder)
    if not (folder / RUN_FILE).is_file():
        return make_pool(arguments)
    if not is_pool(folder):
        kind = find_kind(folder)
        told = "ask about its pairs with --blind" if kind == "run" else f"it was made by rmr1 {kind}"
        raise ConfigError(f"{folder}: a run, and no pool; {told}")
    if len(arguments.sources) > 1:
        raise ConfigError(f"{folder}: a pool is labelled alone; {arguments.sources[1]} was named too")
    if arguments.output is not None:
        raise ConfigError(
            f"-o {arguments.output}: {folder} is a pool already, and is labelled where it is; leave it out"
        )
    return go_on(arguments, folder)


def _ask_blind(arguments: Namespace, folder: Path) -> int:
    if arguments.output is not None:  # what would fail once the labels are given is refused now
        if Path(arguments.output).exists() and not arguments.force:
            raise ConfigError(f"-o {arguments.output}: exists; choose another name or pass --force")
        if "cascade" in read_description(folder).get("settings", {}):
            raise ConfigError(
                "-o: the thresholds of a cascade are fitted by rmr1 calibrate --labels --risk P"
            )
    if not arguments.report:
        seed = arguments.seed or 0
        number = NUMBER if arguments.number is None else arguments.number
        asker = BlindRun(folder, seed=seed, number=number, people=arguments.people)
        for why, count in asker.left_out.items():
            tell(f"not asked about: {count:,} {why}")
        report = f"rmr1 label {folder} --blind --report"
        ask_people(arguments, asker, seed=seed, then=[report, f"{report} -o calibration.json"])
    return _report(arguments, folder)


def _report(arguments: Namespace, folder: Path) -> int:
    labelled = read_blind(folder, list(read_labels(folder)), by_skill=arguments.by_skill)
    if arguments.by_skill and not labelled.skills:
        tell(
            f"labels of {labelled.annotators} people: fewer than three have no skill to tell, so disputes stay disputes"
        )
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
    described = read_description(folder)
    fitted = fit_on_people(labelled, described, method=arguments.method, seed=arguments.seed or 0)
    write_calibration(arguments.output, fitted)
    before, after = fitted.before, fitted.held_out
    tell(
        f"calibration: {arguments.output}; ECE {before['ece']:.3f} as it came, {after['ece']:.3f} held out; Brier "
        f"{before['brier']:.3f}, {after['brier']:.3f}; use it with --calibration, ask for it with --least-labels"
    )
