"""Flags that say which judgments of a run are wanted, for every verb that reads one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import fields
from functools import partial

from rmr1.audit.filters import Filter
from rmr1.cli.options import add


def add_filter_arguments(parser: ArgumentParser) -> None:
    """Every condition of a `Filter` but the id, by its own name."""
    one = partial(add, parser.add_argument_group("filters", "judgments that fulfil all of them"))
    one("--right", "only judgments whose verdict is the label")
    one("--wrong", "only labelled pairs whose verdict is not the label")
    one("--unparsed", "only judgments without a verdict")
    one(
        "--failed",
        "only judgments in which the engine gave an error (--retry-failed judges them again)",
    )
    one("--flips", "only pairs whose two orders name different winners")
    one("--unsure P", "only judgments whose confidence in the winner is less than P, from 0 to 1")
    one("--invented", "only judgments that quote what does not stand in the answer")
    one("--rubric TEXT", "only judgments with a criterion that holds TEXT")
    one("--subset S", "only this subset")
    one("--text TEXT", "only judgments whose question, answers or reasons hold TEXT")


def read_filter(arguments: Namespace) -> Filter:
    """The conditions that a command line sets."""
    given = vars(arguments)
    return Filter(**{one.name: given[one.name] for one in fields(Filter) if one.name in given})
