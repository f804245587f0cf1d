"""Write a run's judgments for other programs.

rmr1 export runs/x --to csv -o judgments.csv         a row for each judgment; parquet has the same columns
rmr1 export runs/x --to trl -o dpo.jsonl             prompt, chosen, rejected by the judge's verdict
rmr1 export runs/x --to trl --labels                 by people's labels if there are any, to standard output
rmr1 export runs/x --to pairs --labels -o gold.jsonl what people have labelled, as pairs
rmr1 export runs/x --to labelstudio --flips -o tasks.json
                                                     pairwise tasks for Label Studio, the verdict as the prediction
rmr1 export runs/x --to labelstudio-blind -o blind.json
                                                     without verdicts; rmr1 mark RUN --from takes the results back
rmr1 export runs/x --to trl --labels --labelled      preferences of people alone
rmr1 export runs/x --to inspect -o log.json          a log that inspect view opens

docs/reading.md lists the columns.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rmr1.cli.filters import add_filter_arguments, read_filter
from rmr1.cli.options import add
from rmr1.errors import ConfigError
from rmr1.report.exports import FORMS, LeftOut
from rmr1.report.selection import Selection
from rmr1.screen import print
from rmr1.store.replace import replacing, writing


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folder of a judging run", dest="run_folder")
    add(parser, "--to FORM", f"one of {', '.join(FORMS)}", choices=tuple(FORMS), required=True)
    add(parser, "-o --output FILE", "file to write (default: standard output)")
    add(parser, "--force", "replace FILE if it exists")
    add(parser, "--labels", "people's labels (labels.jsonl of the run) win over the data's and the judge's")
    add(parser, "--labelled", "only judgments that people have labelled; with --labels")
    add_filter_arguments(parser)


def run(arguments: Namespace) -> int:
    if arguments.labelled and not arguments.labels:
        raise ConfigError("--labelled is for people's labels; pass --labels too")
    selection = Selection(
        Path(arguments.run_folder),
        read_filter(arguments),
        with_labels=arguments.labels,
        only_labelled=arguments.labelled,
    )
    write = FORMS[arguments.to]
    if arguments.output is None:
        if arguments.to == "parquet":
            raise ConfigError("--to parquet: a terminal cannot show it; name a file with -o")
        sys.stdout.flush()
        _tell(write(selection, sys.stdout.buffer), selection)
        return 0
    path = Path(arguments.output)
    if path.exists() and not arguments.force:
        raise ConfigError(f"-o {path}: exists; choose another name or pass --force")
    with writing(path, "choose another place"), replacing(path) as part, part.open("wb") as file:
        left = write(selection, file)
    _tell(left, selection)
    return 0


def _tell(left: LeftOut, selection: Selection) -> None:
    if left:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left.most_common())
        print(f"rmr1: left out: {reasons}", file=sys.stderr)
    if disputed := len(selection.settled.disputed):
        print(f"rmr1: people disagree about {disputed:,} items, which have no label here", file=sys.stderr)
