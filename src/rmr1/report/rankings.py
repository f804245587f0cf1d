"""Rankings as tables for people, and the figures of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rmr1.judge.ranking.record import Ranking
from rmr1.messages import Messages
from rmr1.report.tables import Cell, Name, make_table, print_table
from rmr1.screen import one_line, print

_MOST_LETTERS = 60
"""Letters of an answer that are shown."""


def print_ranking(ranking: Ranking) -> None:
    """The question, and its answers in order; each is called by its place in the list, from 0."""
    candidates, spent = ranking.candidates, ranking.spent
    about = f"{ranking.method}, {_count(spent.comparisons, 'comparison')}"
    print(f"{one_line(candidates.id)}: {_begin(candidates.prompt[-1:])} ({about})")
    rows = [
        (str(number), place, ranking)
        for number, group in zip(number_places(ranking), ranking.order, strict=True)
        for place in group
    ]
    rows += [("-", place, ranking) for place in ranking.unranked]
    header = ("Place", "Answer", "Strength", "Error", "Text")
    print_table(make_table(header, (_row(*one) for one in rows), has_notes=True))
    if candidates.best is not None:
        print("* labelled best")
    for line in describe_doubts(ranking):
        print(line)
    print()


def number_places(ranking: Ranking) -> Iterator[int]:
    """Those who share a place are counted: 1, 1, 3."""
    number = 1
    for group in ranking.order:
        yield number
        number += len(group)


def _row(number: str, place: int, ranking: Ranking) -> tuple[Cell, ...]:
    strength, error = ranking.strengths[place], ranking.errors[place]
    return (
        number,
        f"{place}{' *' if ranking.candidates.best == place else ''}",
        "-" if strength is None else f"{round(strength, 2) + 0.0:+.2f}",
        "-" if error is None else f"{error:.2f}",
        Name(_begin(ranking.candidates.responses[place]), most=_MOST_LETTERS),
    )


def _begin(messages: Messages) -> str:
    text = " ".join(" ".join(message.text for message in messages).split())
    return one_line(text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "...")


def describe_doubts(ranking: Ranking) -> list[str]:
    """Lines about ties, contradictions and missing verdicts of one ranking; none if there are none."""
    lines = list(_describe_counts(ranking.ties, ranking.splits, ranking.without_verdict))
    if ranking.cycles:
        told = "; ".join(", ".join(map(str, group)) for group in ranking.cycles)
        lines.append(f"answers that beat one another in a circle: {told}")
    return lines


def _describe_counts(ties: int, splits: int, without: Mapping[str, int]) -> Iterator[str]:
    if ties or splits:
        told = [_count(ties, "tie")] if ties else []
        if splits:
            told.append(f"{splits} whose votes or orders contradict each other, taken as ties")
        yield f"not told apart: {', '.join(told)}"
    if without:
        reasons = ", ".join(f"{name} {count}" for name, count in without.items())
        yield f"without verdict: {_count(sum(without.values()), 'comparison')} ({reasons}), which are only counted"


def describe_rankings(counts: Mapping[str, Any]) -> list[str]:
    """The figures of the section `ranking` of a summary."""
    questions, spent = counts["questions"], counts["spent"]
    if not questions:
        return ["no question is ranked"]
    lines = [
        f"{_count(questions, 'question')} ranked by {counts['method']}: {_count(spent['comparisons'], 'comparison')} "
        f"({spent['comparisons'] / questions:.1f} each), {_count(spent['texts'], 'text or score', 'texts or scores')}"
    ]
    if counts["labelled"]:
        share = 100 * counts["right"] / counts["labelled"]
        lines.append(
            f"right: the labelled best answer is alone in front in {counts['right']} of {counts['labelled']} "
            f"({share:.2f}%)"
        )
    lines += _describe_counts(counts["ties"], counts["splits"], counts["without_verdict"])
    if counts["with_cycles"]:
        lines.append(f"answers beat one another in a circle in {_count(counts['with_cycles'], 'question')}")
    if counts["not_told_apart"]:
        lines.append(
            f"no best and worst: no two answers of {_count(counts['not_told_apart'], 'question')} are told apart"
        )
    if counts["unranked"]:
        lines.append(
            f"without a place: {_count(counts['unranked'], 'answer')}, about which no comparison has a verdict"
        )
    return lines


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
