"""Splits by prompt and sides, on tables filled by hand."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rmr1.curate.filters import measure
from rmr1.curate.table import PairTable
from rmr1.curate.write import place_sides, split_prompts
from rmr1.messages import Messages, assistant, user
from rmr1.records import Label, PreferencePair

from .making import recipe_of, sentence


def table_of(
    prompts: list[Messages], labels: list[Label | None] | None = None, num_sources: int = 1
) -> PairTable:
    table = PairTable(recipe_of({"a": "a.jsonl"}, duplicates={"near": 0, "permutations": 64}))
    for place, prompt in enumerate(prompts):
        pair = PreferencePair(
            id=str(place),
            prompt=prompt,
            response_a=(assistant(f"a{place}"),),
            response_b=(assistant(f"b{place}"),),
            label="A" if labels is None else labels[place],
        )
        table.add(place % num_sources, place, pair, measure(pair, len), None)
    return table


def test_splits_have_their_shares_and_stay_when_data_are_added() -> None:
    draw = random.Random(0)
    prompts: list[Messages] = [(user(sentence(draw, 12)),) for _ in range(2000)]
    shares = {"distill": 0.12, "held_out": 0.05, "rl": 0.83}
    few, many = table_of(prompts[:500]), table_of(prompts)
    found = split_prompts(bytes(many.prompts), many.group_prompts(0), shares, seed=3)
    counts = Counter(found)
    # Three standard deviations of 2,000 draws.
    for number, share in enumerate(shares.values()):
        assert counts[number] == pytest.approx(2000 * share, abs=3 * (2000 * share * (1 - share)) ** 0.5)
    assert split_prompts(bytes(few.prompts), few.group_prompts(0), shares, seed=3) == found[:500]
    assert split_prompts(bytes(few.prompts), few.group_prompts(0), shares, seed=4) != found[:500]


def test_prompts_that_differ_in_case_are_one() -> None:
    table = table_of([(user("Name a prime."),), (user("name a  PRIME"),), (user("Name two"),)])
    assert table.num_prompts == 2
    assert table.columns().prompt.tolist() == [0, 0, 1]


def test_conversations_that_begin_alike_belong_together() -> None:
    start = (user("Who wrote Faust?"), assistant("Goethe."))
    table = table_of(
        [
            (user("Who wrote Faust?"),),
            (*start, user("When?")),
            (*start, user("Where was he born?")),
            (user("Hi"), assistant("Hello!"), user("Sing.")),
            (user("Hi"), assistant("Good day."), user("Dance.")),
        ]
    )
    # The last two share an opening that is no prompt of its own, and part at the answer.
    assert table.group_prompts(0).roots() == [0, 0, 0, 3, 4]


def test_similar_prompts_belong_together() -> None:
    draw = random.Random(5)
    text = sentence(draw, 40)
    table = table_of([(user(text),), (user(sentence(draw, 40)),), (user(f"{text} please"),)])
    assert table.group_prompts(0.7).roots() == [0, 1, 0]
    assert table.group_prompts(0).roots() == [0, 1, 2]


def test_balanced_sides_are_half_and_half_everywhere() -> None:
    draw = random.Random(7)
    labels: list[Label | None] = draw.choices(["A", "B"], weights=[9, 1], k=401)
    table = table_of([(user(sentence(draw, 12)),) for _ in range(401)], labels, num_sources=3)
    columns = table.columns()
    splits = [number % 2 for number in range(table.num_prompts)]
    recipe = recipe_of({"x": "x"})
    swapped = place_sides(recipe, table, columns, range(401), splits)
    first = {item: (labels[item] == "A") != swapped[item] for item in range(401)}
    assert abs(sum(first.values()) - 200.5) == 0.5
    for split in (0, 1):
        for source in (0, 1, 2):
            mine = [first[item] for item in range(401) if splits[item] == split and item % 3 == source]
            assert abs(2 * sum(mine) - len(mine)) <= 1
    assert swapped == place_sides(recipe, table, columns, range(401), splits)
    assert swapped != place_sides(recipe_of({"x": "x"}, seed=1), table, columns, range(401), splits)


def test_alternating_sides_run_over_all_pairs_and_ties_do_not_count() -> None:
    labels: list[Label | None] = ["A", "B", "tie", "B", "A", None]
    table = table_of([(user(str(place)),) for place in range(6)], labels)
    swapped = place_sides(
        recipe_of({"x": "x"}, sides="alternate"), table, table.columns(), [4, 0, 2, 1, 3, 5], [0] * 6
    )
    # In this order the preferred one stands A, B, (tie), A, B.
    assert {item: swapped[item] for item in (4, 0, 1, 3)} == {4: False, 0: True, 1: True, 3: False}
    as_read = place_sides(recipe_of({"x": "x"}, sides="as-read"), table, table.columns(), [0, 1], [0] * 6)
    assert as_read == {0: False, 1: False}
