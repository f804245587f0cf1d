"""The `rmr1` command: parse, call, print. One module per verb, imported when the verb is called.

Results go to standard output, progress and complaints to standard error. Exit codes: 0 done (failed items of
judge and bench are counted in summary.json), 1 done but the answer is no (nothing to show, a run in which
everything failed, a gate or a probe not passed, a distillation with failed or open answers, a training whose loss
is no number any more, a run that this machine has no room for), 2 a user's mistake (one line says which; those of a
recipe are listed), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import suppress

from rmr1.cli.failing import report
from rmr1.cli.parser import Parser
from rmr1.errors import ConfigError, RMR1Error, StoppedError, TrainingError
from rmr1.faces import speaking
from rmr1.screen import guarded, print, show_crash
from rmr1.version import __version__

VERBS = {
    "judge": "judge pairs and say why",
    "rank": "put several answers to a question in order",
    "show": "read judgments, or what a training folder holds",
    "view": "read judgments in a browser",
    "mark": "say which answer is better, or that the judge is wrong",
    "export": "write judgments for other programs",
    "report": "sum a run up: an HTML page, Markdown or JSON",
    "audit": "ask whether a judge is to be trusted, and which labels are wrong",
    "rubrics": "list the criteria of judgments, and which decide",
    "calibrate": "fit a judge's probabilities to labels",
    "attack": "try to talk a judge into the wrong answer",
    "serve": "serve the judge over HTTP, as a reward too",
    "bench": "score a judge on benchmarks",
    "probe": "find leaks and bias in preference data",
    "curate": "build training data: filter, decontaminate, mix, balance, split",
    "distill": "write training judgments with two teachers",
    "train": "all stages, from raw preferences to a measured judge",
    "sft": "fine-tune a judge, or train one from nothing",
    "grpo": "reinforce a judge on labelled pairs (GRPO)",
    "scalar": "train a scalar reward model on pairs",
    "merge": "add a LoRA adapter to its base model",
    "world": "draw labelled pairs from the synthetic world",
    "prompts": "list, show and import prompt families",
    "doctor": "check the set-up, and whether a model can judge",
    "demo": "see the bundled judge at work, offline",
}


def build_parser() -> Parser:
    """The whole command line; imports nothing heavy."""
    parser = Parser(
        prog="rmr1",
        description="Reward models that think before they judge.",
        epilog="rmr1 VERB --help tells more. Errors are one line; --debug before the verb adds the traceback.",
    )
    parser.add_argument("--version", action="version", version=f"rmr1 {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        module = f"rmr1.cli.{name}"
        verbs.add_parser(name, help=text, module=module, formatter_class=RawDescriptionHelpFormatter)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is None:
        sys.excepthook = show_crash
    with guarded():
        code = _run(argv)
    if argv is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End one of several processes at once: a thread of torch's that wants the interpreter while Python is ending it
    aborts the process, now and then, after all is done."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run(argv: Sequence[str] | None) -> int:
    if hasattr(sys.stdout, "reconfigure"):
        # A model's text may hold what the terminal's encoding cannot; standard error replaces it by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    is_debugging = False
    try:
        arguments = build_parser().parse_args(argv)
        arguments.words = list(sys.argv[1:] if argv is None else argv)
        is_debugging = arguments.debug
        is_recipe = hasattr(arguments, "recipe") or str(getattr(arguments, "source", "")).endswith(".toml")
        with speaking("recipe" if is_recipe else "command"):
            if getattr(arguments, "machine", None) is not None and not arguments.dry_run:
                raise ConfigError("--machine is for --dry-run; a run takes the machine at hand")
            return int(arguments.run(arguments))
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RMR1Error, KeyboardInterrupt, OSError) as error:
        if is_debugging:
            raise
        if isinstance(error, RMR1Error):
            lines = error.lines
            code = 1 if isinstance(error, StoppedError | TrainingError) else 2
        elif isinstance(error, KeyboardInterrupt):
            lines, code = ("interrupted; what is stored stays, the same command goes on from there",), 130
        else:
            place = f"{error.filename}: " if error.filename else ""
            lines, code = (f"{place}{error.strerror or error}",), 2
        if report(error, lines, code):
            return code
        for number, line in enumerate(lines):
            print(f"{'  ' if number else 'rmr1: '}{' '.join(line.split())}", file=sys.stderr)
        return code
    except Exception as error:
        told = f"{type(error).__name__}: {error} (rmr1 --debug shows the traceback)"
        if is_debugging or not report(error, [told], 1):
            raise
        return 1
