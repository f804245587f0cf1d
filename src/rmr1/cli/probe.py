"""Look at preference data before anything is trained on it.

  rmr1 probe leak pairs.jsonl        can the label be guessed from anything but what the answers say?
  rmr1 probe leak sft.jsonl          the same of training data: judge prompts as `messages` rows
  rmr1 probe bias pairs.jsonl        how far length, Markdown, position and the like predict it

DATA are files, folders or Hugging Face datasets, or patterns such as 'data/*.jsonl'. A leak is a fault and the exit code is then 1; bias is in all
data that people judged, and is only reported.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

from rmr1.cli.options import add, add_form_arguments, read_form
from rmr1.cli.probe_report import leak_lines, print_bias, print_json, print_leak
from rmr1.cli.session import list_sources
from rmr1.console import PairProgress
from rmr1.errors import ConfigError
from rmr1.probe import probe_bias, probe_leak
from rmr1.probe.leak import PERMUTATIONS


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    leak = actions.add_parser("leak", help="can the label be guessed from anything but the answers' text?")
    how_far = "how far length, Markdown, position and the like predict the label"
    for one in (leak, actions.add_parser("bias", help=how_far)):
        data = (
            "files, folders, datasets or patterns such as 'data/*.jsonl', looked at together; rows that cannot be "
            "read are counted"
        )
        add(one, "DATA", data, nargs="+")
        add_form_arguments(one)
        add(one, "--limit N", "only the first N pairs")
        add(one, "--seed N", "seed of folds and permutations (default 0)", default=0)
        add(one, "--json", "the report as JSON on standard output")
        add(one, "--quiet", "no progress")
    permutations = (
        "permutations of the labels that each AUC is held against (default 1999; drawn until it is clear)"
    )
    add(leak, "--permutations N", permutations, default=PERMUTATIONS)
    add(leak, "--ignore COLUMN", "pass over this column; repeatable", action="append", default=[])
    strict = "condemn in every field what is condemned in any: also models' names and white space"
    add(leak, "--strict", strict)


def run(arguments: Namespace) -> int:
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit {arguments.limit}: expected 1 or more")
    if arguments.seed < 0:
        raise ConfigError(f"--seed {arguments.seed}: expected 0 or more")
    asked = {
        **read_form(arguments),
        "limit": arguments.limit,
        "seed": arguments.seed,
    }
    with PairProgress(quiet=arguments.quiet) as progress:
        sources, step = list_sources(arguments.data), partial(progress.report, "reading")
        if arguments.action == "bias":
            bias = probe_bias(sources, **asked, step=step)
        else:
            leak = probe_leak(
                sources,
                **asked,
                ignored=arguments.ignore,
                strict=arguments.strict,
                permutations=arguments.permutations,
                step=step,
            )
    if arguments.action == "bias":
        print_json(bias) if arguments.json else print_bias(bias)
        return 0
    if arguments.json:
        print_json(leak, is_leak=leak.is_leak, summary=" ".join(leak_lines(leak)))
    else:
        print_leak(leak)
    return 1 if leak.is_leak else 0
