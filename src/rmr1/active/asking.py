"""What a person is asked next: the seam between those who choose questions and the page that asks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rmr1.records import PreferencePair, RubricItem
from rmr1.store.labels import HumanLabel

Question = Literal["label", "criterion"]
"""What a person is asked of a pair.

label       which answer is better
criterion   that, and which criterion decides: one of those that are shown, or one in the person's own words
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question to a person."""

    key: str
    """The item's key, under which its label is stored."""
    pair: PreferencePair
    ask: Question = "label"
    criteria: tuple[RubricItem, ...] = ()
    """What to choose from if `ask` is criterion."""
    reason: str = ""
    """Why it is asked, in a sentence that tells nothing of a verdict."""


class Asker(Protocol):
    """Chooses what is asked next; what it knows of the answers is the file of labels alone, so that a killed one goes on."""

    folder: Path
    """Holds labels.jsonl."""
    total: int
    """Questions that each person is asked at most."""

    def choose(self, labels: Sequence[HumanLabel], who: str) -> Task | None:
        """The person's next question, given all labels so far; None if there is no more."""
        ...

    def find(self, key: str) -> Task | None:
        """The question about an item, as it is shown again after an undo; None if the item is not asked about."""
        ...
