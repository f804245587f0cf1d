"""Draw labelled pairs from the synthetic preference world.

  rmr1 world sample -n 3 --family Chat --trace        items to read, with the ideal judgment
  rmr1 world export train.jsonl -n 100000             labelled pairs, for judge, scalar or anything else
  rmr1 world export sft.jsonl -n 100000 --format messages --teacher fallible
                                                      judge prompts with judgments, for sft
  rmr1 world info                                     how many templates and words it is made of

The same seed draws the same items on every machine. Splits: train; test (new questions); test_templates
(also templates that no training item uses); test_words (also nouns and names that no training item uses).
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from rmr1.cli.options import add
from rmr1.console import Console
from rmr1.errors import ConfigError
from rmr1.report.terminal import print_panel
from rmr1.screen import print
from rmr1.store.codec import dumps
from rmr1.store.replace import replacing
from rmr1.world import fallible_trace, sample_pairs, teacher_trace
from rmr1.world.export import export_rows
from rmr1.world.inventory import count_world
from rmr1.world.items import WorldItem


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    sample = actions.add_parser("sample", help="print items for reading")
    export = actions.add_parser("export", help="write items as JSON lines")
    actions.add_parser("info", help="count templates and words")
    add(export, "OUT", "JSONL file; - for standard output", dest="output")
    splits = ("train", "test", "test_templates", "test_words")
    families = ("Reasoning", "Chat", "Safety")
    fancy = (
        "how often the better answer is the fancy one: biased is the default of train, balanced of the others"
    )
    teacher = (
        "who judges: always right (default); right in about three of four; that one with its wrong "
        "verdicts written anew; or right but for a habit of preferring the first answer to a long problem"
    )
    teachers = ("oracle", "fallible", "corrected", "anchored")
    for one, number in ((sample, 5), (export, 1000)):
        add(one, "-n --number N", f"how many items (default {number})", default=number)
        add(one, "--seed N", "seed of the world (default 0)", default=0)
        add(one, "--start N", "index of the first item (default 0)", default=0)
        add(one, "--split", "which part (default train)", choices=splits, default="train")
        add(one, "--family", "only this family (default: all, mixed)", choices=families)
        add(one, "--distribution", fancy, choices=("biased", "balanced"))
        add(one, "--teacher", teacher, choices=teachers, default="oracle")
    add(sample, "--trace", "print the teacher's judgment too")
    form = "labelled pairs (default), or judge prompts of the family rubric with the teacher's judgment"
    add(export, "--format", form, choices=("pairs", "messages"), default="pairs")
    add(export, "--force", "replace OUT if it exists")


def run(arguments: Namespace) -> int:
    if arguments.action == "info":
        found = count_world()
        print(f"{found.num_templates} templates, {found.num_held_out_templates} of them held out of training")
        print(f"{found.num_nouns} nouns and names, {found.num_held_out_nouns} of them held out of training")
        print(f"{found.num_words} different words")
        return 0
    if arguments.number < 1:
        raise ConfigError(f"--number {arguments.number}: expected 1 or more")
    items = sample_pairs(
        arguments.seed,
        arguments.number,
        split=arguments.split,
        distribution=arguments.distribution or ("biased" if arguments.split == "train" else "balanced"),
        family=arguments.family,
        start=arguments.start,
    )
    if arguments.action == "export":
        return _export(arguments, items)
    console = Console()
    for item in items:
        _print_item(console, item, arguments)
    return 0


def _print_item(console: Console, item: WorldItem, arguments: Namespace) -> None:
    pair, facts = item.pair, item.facts
    console.rule(Text.assemble((pair.id, "bold cyan"), f"  {pair.subset}  steps {facts.steps}"), align="left")
    question = pair.prompt[0].text
    if len(pair.prompt) > 1:
        question = "\n\n".join(f"{message.role}: {message.text}" for message in pair.prompt)
    print_panel(console, "Question", question)
    for side, response, style in zip("AB", (pair.response_a, pair.response_b), facts.styles, strict=True):
        is_better = pair.label == side
        title = f"Answer {side}, {style}" + (", better" if is_better else "")
        print_panel(console, title, response[0].text, style="green" if is_better else "dim")
    if arguments.trace:
        title = f"{arguments.teacher.capitalize()} teacher"
        if arguments.teacher != "oracle":
            judgment = fallible_trace(item, arguments.seed)
            is_right = judgment.winner == pair.label
            outcome = "right" if is_right else "wrong" if arguments.teacher == "fallible" else "written anew"
            title += f": {judgment.flaw or 'no flaw'}, {outcome}"
        text = teacher_trace(item, arguments.teacher, arguments.seed)
        print_panel(console, title, text)
    console.print()


def _export(arguments: Namespace, items: Iterator[WorldItem]) -> int:
    rows = export_rows(items, arguments.format, teacher=arguments.teacher, seed=arguments.seed)
    if arguments.output == "-":
        for row in rows:
            sys.stdout.buffer.write(dumps(row) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    path = Path(arguments.output)
    if path.exists() and not arguments.force:
        raise ConfigError(f"{path} exists; choose another name or pass --force")
    with replacing(path) as part, part.open("wb") as file:
        for row in rows:
            file.write(dumps(row) + b"\n")
    what = f"labelled pairs of split {arguments.split}"
    if arguments.format != "pairs":
        what = f"judgments of the {arguments.teacher} teacher, split {arguments.split},"
    print(f"wrote {arguments.number} {what} to {path}")
    return 0
