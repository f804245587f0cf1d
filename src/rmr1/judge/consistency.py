"""What a judge that was asked in both orders says of itself: consistency and position bias.

Both measures are of pairs with a verdict in either order; if an order was sampled several times, the majority is its
verdict:

    consistency    share of pairs whose verdict is the same answer, or a tie, in both orders; in [0, 1]
    position bias  share of pairs whose first place wins in both orders, less that of those whose second place
                   does; in [-1, 1], positive for a judge that favours what it reads first

A pair that is a tie in one order only is inconsistent and says nothing of the place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt

from rmr1.records import Judgment
from rmr1.verdicts.votes import decide

_Z_95 = 1.959963984540054


@dataclass(slots=True, kw_only=True)
class OrderCounts:
    """Counts of pairs asked in both orders that grow judgment by judgment."""

    asked: int = 0
    decided: int = 0
    """Pairs asked in both orders with a verdict in either."""
    consistent: int = 0
    first: int = 0
    """Pairs whose first place won in both orders."""
    second: int = 0

    def add(self, judgment: Judgment) -> None:
        if (orders := read_orders(judgment)) is None:
            return
        given, swapped = orders
        self.asked += 1
        if given is None or swapped is None:
            return
        self.decided += 1
        self.consistent += given == swapped
        self.first += (given, swapped) == ("A", "B")
        self.second += (given, swapped) == ("B", "A")

    def describe(self) -> dict[str, int]:
        return asdict(self)


def read_orders(judgment: Judgment) -> tuple[str | None, str | None] | None:
    """The winners of the given and of the swapped order, by the majority of each; None unless a pair was asked in both."""
    if len(judgment.votes) < 2 or judgment.kind != "pair" or judgment.scores is not None:
        return None
    given, swapped = (
        [vote for vote in judgment.votes if vote.order == order] for order in ("given", "swapped")
    )
    if not given or not swapped:
        return None
    return decide(given, judgment.vote_by).winner, decide(swapped, judgment.vote_by).winner


def do_differ(orders: tuple[str | None, str | None] | None) -> bool:
    """Whether both orders have a verdict, and not the same one."""
    return orders is not None and None not in orders and orders[0] != orders[1]


def difference_interval(first: float, second: float, total: float) -> tuple[float, float]:
    """95% interval of the difference of two shares of the same `total` items, of which none is in both.

    The Wald interval of a paired difference after one item is added to either share and two to the total, so that it
    has a width also if both shares are 0.

    >>> [round(bound, 3) for bound in difference_interval(12, 3, 40)]
    [0.033, 0.395]
    """
    a, b = (first + 1) / (total + 2), (second + 1) / (total + 2)
    half = _Z_95 * sqrt((a + b - (a - b) ** 2) / (total + 2))
    return max(-1.0, a - b - half), min(1.0, a - b + half)
