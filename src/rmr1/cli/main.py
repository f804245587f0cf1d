"""The `rmr1` command: parse, call, print. One module per verb.

Results go to standard output, progress and complaints to standard error. Exit codes: 0 done (failed items of
judge and bench are counted in summary.json), 1 done but the answer is no (nothing to show, a run in which
everything failed, a gate or a probe not passed, a distillation with failed or open answers, a training whose loss
is no number any more, a run that this machine has no room for), 2 a user's mistake (one line says which; those of a
recipe are listed), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from rmr1.cli.parser import Parser
from rmr1.faces import speaking
from rmr1.screen import guarded, print, show_crash

VERBS = (
    "judge",
    "show",
    "calibrate",
    "bench",
    "probe",
    "curate",
    "distill",
    "train",
    "sft",
    "grpo",
    "scalar",
    "merge",
    "world",
    "prompts",
    "doctor",
    "demo",
)


def build_parser() -> Parser:
    """The whole command line; imports nothing heavy."""
    from rmr1.version import __version__

    parser = Parser(
        prog="rmr1",
        description="Reward models that think before they judge.",
        epilog="rmr1 VERB --help tells more. Errors are one line; --debug before the verb adds the traceback.",
    )
    parser.add_argument("--version", action="version", version=f"rmr1 {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        module = import_module(f"rmr1.cli.{name}")
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is None:
        sys.excepthook = show_crash
    with guarded():
        arguments = build_parser().parse_args(argv)
        is_recipe = hasattr(arguments, "recipe") or str(getattr(arguments, "source", "")).endswith(".toml")
        with speaking("recipe" if is_recipe else "command"):
            return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from rmr1.errors import ConfigError, RMR1Error, StoppedError, TrainingError

    if hasattr(sys.stdout, "reconfigure"):
        # What a model or a file says may hold what the terminal's encoding cannot; standard error does so by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if getattr(arguments, "machine", None) is not None and not arguments.dry_run:
            raise ConfigError("--machine is for --dry-run; a run takes the machine at hand")
        return int(arguments.run(arguments))
    except RMR1Error as error:
        if arguments.debug:
            raise
        for number, line in enumerate(error.lines):
            print(f"{'  ' if number else 'rmr1: '}{' '.join(line.split())}", file=sys.stderr)
        return 1 if isinstance(error, StoppedError | TrainingError) else 2
    except KeyboardInterrupt:
        if arguments.debug:
            raise
        print(
            "rmr1: interrupted; what is stored stays, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if arguments.debug:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"rmr1: {place}{error.strerror or error}", file=sys.stderr)
        return 2
