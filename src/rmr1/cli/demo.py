"""Replay a handful of hand-written example judgments through parser, run folder and reader.

Needs no model, no network and no optional library.
"""

from __future__ import annotations

import argparse

HELP = "replay hand-written examples, offline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", metavar="RUN", default="runs/demo", help="run folder (default runs/demo)"
    )


def run(arguments: argparse.Namespace) -> int:
    import sys
    from importlib import resources

    from rmr1.cli import main

    print(
        "These are hand-written examples, not a model's output: they show what a judgment holds.\n",
        flush=True,
    )
    with resources.as_file(resources.files("rmr1.demo")) as folder:
        code = main.main(
            [
                "judge",
                str(folder / "pairs.jsonl"),
                "--model",
                f"replay:{folder / 'outputs.jsonl'}",
                "--seed",
                str(DEMO_SEED),
                "--output",
                arguments.output,
                "--quiet",
            ]
        )
    if code:
        return code
    print(flush=True)
    sys.stdout.flush()
    return main.main(["show", arguments.output])


DEMO_SEED = 162
"""The placement that the recorded examples were written for."""
