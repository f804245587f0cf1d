"""Plans of comparisons: who wins, what is asked, what ties and missing verdicts do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1.judge.ranking.methods import METHODS, Comparison, Outcome, Places
from rmr1.judge.ranking.record import find_cycles

Played = list[tuple[Comparison, Outcome]]


def play(method: str, number: int, say: Callable[[Comparison], Outcome]) -> tuple[Places, Played, int]:
    """The places, every comparison with its outcome, and the number of rounds."""
    plan, played, rounds = METHODS[method](number), [], 1
    wanted = next(plan)
    while True:
        outcomes = [say(one) for one in wanted]
        played += zip(wanted, outcomes, strict=True)
        try:
            wanted = plan.send(outcomes)
            rounds += 1
        except StopIteration as end:
            return end.value, played, rounds


def strongest(comparison: Comparison) -> Outcome:
    """A perfect judge of answers of which the last is best."""
    return Outcome(winner=max(comparison))


def levels(places: Places) -> dict[float, list[int]]:
    found: dict[float, list[int]] = {}
    for one in sorted(range(len(places.levels)), key=lambda one: places.levels[one]):
        found.setdefault(places.levels[one], []).append(one)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [2, 3, 4, 5, 7, 8, 13, 16])
def test_no_two_comparisons_are_of_the_same_answers(method: str, number: int) -> None:
    _, played, rounds = play(method, number, strongest)
    asked = [comparison for comparison, _ in played]
    assert len({frozenset(one) for one in asked}) == len(asked)
    assert all(tuple(sorted(one)) == one for one in asked)
    expected = {
        "round_robin": number * (number - 1) // 2,
        "knockout": number - 1,
        "swiss": None,
        "pivot": None,
        "listwise": None,
    }[method]
    assert expected is None or len(asked) == expected
    if method == "swiss":
        assert rounds == min(ceil(log2(number)) + 1, number - (number % 2 == 0))
        assert len(asked) <= rounds * (number // 2)
    if method == "knockout":
        assert rounds == ceil(log2(number))
    if method == "listwise":
        assert {len(one) for one in asked} <= {2, 4} and len(asked) <= ceil(number / 2)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_who_beats_all_others_is_first_by_every_method(data: st.DataObject) -> None:
    """However the others do against one another: ties and cycles among them."""
    number = data.draw(st.integers(2, 17))
    champion = data.draw(st.integers(0, number - 1))
    table: Mapping[Comparison, int | None] = {
        pair: champion if champion in pair else data.draw(st.sampled_from((*pair, None)))
        for pair in combinations(range(number), 2)
    }

    def say(comparison: Comparison) -> Outcome:
        if champion in comparison:
            return Outcome(winner=champion)
        return Outcome(winner=table[comparison] if len(comparison) == 2 else min(comparison))

    for method in METHODS:
        places, played, _ = play(method, number, say)
        wins = sum(outcome.winner == champion for _, outcome in played)
        best = levels(places)[min(places.levels)]
        if method == "round_robin":  # by strength, which follows the wins of complete rounds
            assert wins == number - 1
            assert all(
                sum(outcome.winner == one for _, outcome in played) < wins
                for one in range(number)
                if one != champion
            )
        else:
            assert best == [champion], method


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(9)))
def test_a_perfect_judge_gives_the_whole_order_by_pivot(order: list[int]) -> None:
    places, played, _ = play("pivot", 9, lambda pair: Outcome(winner=max(pair, key=order.__getitem__)))
    assert [one for group in levels(places).values() for one in group] == sorted(
        range(9), key=lambda one: -order[one]
    )
    assert len(played) <= 36


def test_rounds_of_a_knockout() -> None:
    places, played, _ = play("knockout", 5, strongest)
    # 4 sits out and is first in the next round
    assert [one for one, _ in played] == [(0, 1), (2, 3), (1, 4), (3, 4)]
    assert list(levels(places).values()) == [[4], [3], [1], [0, 2]]


@pytest.mark.parametrize("problem", [None, "split_vote", "truncated"])
def test_what_is_not_told_apart_shares_a_place(problem: str | None) -> None:
    """0 and 1 are not told apart, both beat 2 and 3, and 3 beats 2."""

    def say(comparison: Comparison) -> Outcome:
        if comparison == (0, 1):
            return Outcome(problem=problem)  # type: ignore[arg-type]
        return Outcome(winner=next((one for one in (0, 1, 3) if one in comparison), None))

    for method in ("knockout", "pivot"):
        places, _, _ = play(method, 4, say)
        assert places.levels[0] == places.levels[1] < places.levels[3] <= places.levels[2]
    places, _, _ = play("swiss", 4, say)
    assert places.levels == (0.0,) * 4  # none has won all: the strengths decide


def test_a_choice_without_winner_lets_the_first_go_on_and_the_others_share() -> None:
    places, played, _ = play(
        "listwise", 5, lambda one: Outcome(problem="no_verdict") if len(one) == 4 else Outcome(winner=4)
    )
    assert [one for one, _ in played] == [(0, 1, 2, 3), (0, 4)]
    assert list(levels(places).values()) == [[4], [0, 1, 2, 3]]


def test_the_last_two_of_a_swiss_round_change_partners() -> None:
    """Six answers in four rounds: nobody sits out who could play."""
    for number in (4, 6, 8, 10):
        _, played, rounds = play("swiss", number, strongest)
        assert len(played) >= rounds * (number // 2) - 1


def test_circles_are_found_whatever_their_length() -> None:
    def won(*pairs: tuple[int, int]) -> Played:
        return [(tuple(sorted(pair)), Outcome(winner=pair[0])) for pair in pairs]

    assert find_cycles(4, won((0, 1), (1, 2), (2, 3), (0, 3))) == []
    assert find_cycles(4, won((0, 1), (1, 2), (2, 3), (3, 0))) == [[0, 1, 2, 3]]
    two = won((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3))
    assert find_cycles(6, two) == [[0, 1, 2], [3, 4, 5]]
    assert find_cycles(3, [((0, 1), Outcome()), *won((1, 2), (2, 0))]) == []  # a tie closes no circle
    choice: Played = [((0, 1, 2, 3), Outcome(winner=0)), ((0, 3), Outcome(winner=3))]
    assert find_cycles(4, choice) == [[0, 3]]
