"""The answer that a person sees first, drawn by lot, and what they say of it in the pair's frame.

A person sees answers 1 and 2. Which of them is the pair's A depends on a seed, the item and the person, so that neither a
file that has the better answer first nor a liking for the first place tilts the labels. A form does not say it openly: it
carries a seal, by which what was said is read in the frame in which it was shown, also after a restart with another seed.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from rmr1.records import Label, Side
from rmr1.store.keys import seed_for

Shown = Literal["1", "2", "tie"]
"""What a person says is better: the answer that they saw first, the one that they saw second, or neither."""


def draw_first(seed: int, key: str, who: str) -> Side:
    """The answer of an item that this person sees first."""
    return "B" if seed_for(seed, "shown first", key, who) % 2 else "A"


def name_side(said: Shown, first: Side) -> Label:
    """What was said of the answers as they were shown, in the pair's frame.

    >>> [name_side(said, "B") for said in ("1", "2", "tie")]
    ['B', 'A', 'tie']
    """
    if said == "tie":
        return "tie"
    return first if said == "1" else ("B" if first == "A" else "A")


def seal(key: str, first: Side) -> str:
    """Sixteen hex digits that stand for which answer of an item was shown first."""
    return hashlib.blake2b(f"{key} {first}".encode(errors="surrogatepass"), digest_size=8).hexdigest()


def unseal(key: str, sealed: str) -> Side | None:
    """The answer that was shown first; None if the seal is another item's, or none."""
    sides: tuple[Side, ...] = ("A", "B")
    return next((side for side in sides if seal(key, side) == sealed), None)
