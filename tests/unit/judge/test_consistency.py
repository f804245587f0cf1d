"""Consistency and position bias of a judge that was asked in both orders."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import factorial

import pytest

from rmr1.cli.session import format_orders
from rmr1.judge.consistency import OrderCounts, difference_interval
from rmr1.judge.summary import Tally
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, Verdict, Vote, swap_label

PAIR = PreferencePair(
    id="p", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),), label="A"
)


def judge_both(given: str, swapped: str, *, pair: PreferencePair = PAIR) -> Judgment:
    """One letter for each sample: A, B, t for a tie, - for no verdict; all in the pair frame."""
    votes = []
    orders: tuple[tuple[Order, str], ...] = (("given", given), ("swapped", swapped))
    for order, letters in orders:
        for sample, letter in enumerate(letters):
            winner = {"t": "tie", "-": None}.get(letter, letter)
            votes.append(
                Vote(
                    order=order,
                    sample=sample,
                    generation=Generation(text="", finish_reason="stop"),
                    verdict=Verdict(
                        winner=swap_label(winner, order), problem=None if winner else "no_verdict"
                    ),
                )
            )
    return Judgment(pair=pair, family="rubric", rule="tagged", winner=None, votes=tuple(votes))


@pytest.mark.parametrize(
    ("given", "swapped", "expected"),
    [  # asked, decided, consistent, first, second
        ("A", "A", (1, 1, 1, 0, 0)),
        ("B", "B", (1, 1, 1, 0, 0)),
        ("t", "t", (1, 1, 1, 0, 0)),
        ("A", "B", (1, 1, 0, 1, 0)),
        ("B", "A", (1, 1, 0, 0, 1)),
        ("t", "B", (1, 1, 0, 0, 0)),
        ("-", "B", (1, 0, 0, 0, 0)),
        ("-", "-", (1, 0, 0, 0, 0)),
        ("AAB", "BAB", (1, 1, 0, 1, 0)),  # the majority of each order
        ("A--", "AAB", (1, 1, 1, 0, 0)),
        ("AB", "AA", (1, 0, 0, 0, 0)),  # no majority in one order
        ("A", "", (0, 0, 0, 0, 0)),
        ("AB", "", (0, 0, 0, 0, 0)),  # samples of one order
        ("", "B", (0, 0, 0, 0, 0)),
    ],
)
def test_counts(given: str, swapped: str, expected: tuple[int, ...]) -> None:
    counts = OrderCounts()
    counts.add(judge_both(given, swapped))
    assert tuple(counts.describe().values()) == expected


def test_swapping_the_pair_turns_nothing() -> None:
    """Whichever answer is called A, the first place stays the first place."""
    for given, swapped in itertools.product("ABt-", repeat=2):
        one, other = OrderCounts(), OrderCounts()
        one.add(judge_both(given, swapped))
        turned = {"A": "B", "B": "A"}
        other.add(judge_both(turned.get(swapped, swapped), turned.get(given, given), pair=PAIR.swap()))
        assert one == other


def test_answers_rated_alone_and_choices_among_four_have_no_two_orders() -> None:
    counts = OrderCounts()
    both = judge_both("A", "B")
    counts.add(replace(both, kind="rating", scores=(7.0, 8.0)))
    counts.add(replace(both, kind="score", scores=(0.1, 0.2)))
    counts.add(
        replace(both, kind="choice", pair=replace(PAIR, others=((assistant("c"),), (assistant("d"),))))
    )
    assert counts == OrderCounts()


def test_lines_name_shares_intervals_and_what_is_left_out() -> None:
    tally = Tally()
    for given, swapped, count in (("A", "A", 6), ("A", "B", 3), ("B", "A", 1), ("-", "A", 2)):
        for _ in range(count):
            tally.add(judge_both(given, swapped))
    assert format_orders(tally.summary()) == [
        "consistency: 6 of 10 pairs have the same verdict in both orders (60.0%, 95% interval 31.3 to 83.2); "
        "2 left out, without a verdict in one order or both",
        "position bias: +20.0% (95% interval -22.2 to +55.5): the first place wins both ways in 3 pairs, the second in 1",
    ]
    undecided = Tally()
    undecided.add(judge_both("-", "A"))
    assert format_orders(undecided.summary()) == [
        "consistency: not known, none of 1 pairs has a verdict in both orders"
    ]
    alone = Tally()
    alone.add(judge_both("A", ""))
    assert "orders" not in alone.summary() and format_orders(alone.summary()) == []


@pytest.mark.parametrize(("first", "second"), [(0.1, 0.1), (0.3, 0.1), (0.02, 0.05), (0.4, 0.05)])
def test_the_interval_of_the_difference_covers_it(first: float, second: float) -> None:
    """Exactly, over every outcome of 40 pairs."""
    total, covered = 40, 0.0
    for a in range(total + 1):
        for b in range(total + 1 - a):
            low, high = difference_interval(a, b, total)
            if low <= first - second <= high:
                ways = factorial(total) // (factorial(a) * factorial(b) * factorial(total - a - b))
                covered += ways * first**a * second**b * (1 - first - second) ** (total - a - b)
    assert 0.935 <= covered < (0.97 if min(first, second) >= 0.05 else 1)
    assert difference_interval(0, 0, total)[1] > 0 and difference_interval(total, 0, total)[1] == 1.0
