"""What one person has said so far, read from all labels: what stands, what was seen, what an undo takes back."""

from __future__ import annotations

from collections.abc import Iterable

from rmr1.store.labels import HumanLabel


def find_standing(labels: Iterable[HumanLabel], who: str) -> dict[str, HumanLabel]:
    """Item's key -> the person's last word on it, unless they took it back; in the sequence of these last words."""
    standing: dict[str, HumanLabel] = {}
    for one in labels:
        if one.who == who:
            standing.pop(one.key, None)
            if not one.is_undone:
                standing[one.key] = one
    return standing


def is_answer(label: HumanLabel) -> bool:
    """Whether the label is one of a person who was asked blind: a side, a criterion, or a skip."""
    return label.is_blind or label.is_skipped


def find_seen(labels: Iterable[HumanLabel], who: str) -> set[str]:
    """Keys of items of which the person has said something that was not blind; they know the judge's verdict, or another
    label, and an undo does not make them forget it."""
    return {one.key for one in labels if one.who == who and not is_answer(one) and not one.is_undone}
