"""Labels of people -> what each said of an item, and what they agree on, for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from rmr1.screen import one_line
from rmr1.store.codec import dump_record
from rmr1.store.labels import HumanLabel, settle_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedItem:
    """An item and all that people have said of it."""

    key: str
    id: str | None
    """The pair's id; None if the run does not hold the item any more."""
    labels: tuple[HumanLabel, ...]
    settled: str | None
    """The label that people agree on."""
    is_disputed: bool

    @property
    def state(self) -> str:
        """`settled: B`, `disputed`, or `no side` if nobody named one."""
        if self.settled is not None:
            return f"settled: {self.settled}"
        return "disputed" if self.is_disputed else "no side"

    def describe(self) -> dict[str, Any]:
        """The item as JSON values."""
        labels = [
            {name: value for name, value in dump_record(one).items() if name != "key"} for one in self.labels
        ]
        return {
            "key": self.key,
            "id": self.id,
            "settled": self.settled,
            "is_disputed": self.is_disputed,
            "labels": labels,
        }


def summarize_labels(labels: Sequence[HumanLabel], ids: Mapping[str, str]) -> tuple[MarkedItem, ...]:
    """The labelled items, in the sequence of their first labels; `ids` are those of their pairs by key."""
    settled = settle_labels(labels)
    by_key: dict[str, list[HumanLabel]] = {}
    for one in labels:
        by_key.setdefault(one.key, []).append(one)
    return tuple(
        MarkedItem(
            key=key,
            id=ids.get(key),
            labels=tuple(found),
            settled=settled.labels.get(key),
            is_disputed=key in settled.disputed,
        )
        for key, found in by_key.items()
    )


def format_labels(items: Sequence[MarkedItem]) -> Text:
    """An item a line, below it what each person said and when; last a line that counts."""
    body = Text()
    for item in items:
        style = "green" if item.settled is not None else "yellow" if item.is_disputed else "dim"
        body.append(f"{one_line(item.key[:12])}  ").append(f"{item.state:<12}", style=style)
        body.append(f"  {'(not in the run)' if item.id is None else one_line(item.id)}\n")
        for one in item.labels:
            body.append(f"  {one_line(one.when)}  {one_line(one.who)}: {_say(one)}\n")
    people = {one.who for item in items for one in item.labels}
    num_settled = sum(item.settled is not None for item in items)
    num_disputed = sum(item.is_disputed for item in items)
    body.append(
        f"{len(items):,} labelled by {len(people):,}: {num_settled:,} settled, {num_disputed:,} disputed, "
        f"{len(items) - num_settled - num_disputed:,} without a side"
    )
    return body


def _say(label: HumanLabel) -> str:
    said = [one_line(label.label)] if label.label is not None else []
    said += ["skipped"] * label.is_skipped + ["taken back"] * label.is_undone
    if label.criterion is not None:
        said.append(f"by {one_line(label.criterion)}")
    if label.is_judge_wrong is not None:
        said.append("judge wrong" if label.is_judge_wrong else "judge right")
    if label.is_blind:
        said.append("blind")
    if label.note is not None:
        said.append(f'"{one_line(label.note)}"')
    return ", ".join(said)
