"""Four answers in one prompt: places and verdicts."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from rmr1.judge.placement import PLACES, orders_for
from rmr1.messages import assistant, user
from rmr1.prompts import load_family, render_prompt
from rmr1.records import PreferencePair, swap_label
from rmr1.verdicts.kinds import read_verdict

places_for = partial(orders_for, among=PLACES)

PAIR = PreferencePair(
    id="p",
    prompt=(user("Which?"),),
    response_a=(assistant("first"),),
    response_b=(assistant("second"),),
    others=((assistant("third"),), (assistant("fourth"),)),
)


def test_places_are_even_and_depend_on_seed_and_key_alone() -> None:
    drawn = [places_for("seeded", seed=3, key=f"key-{index}") for index in range(4000)]
    assert drawn == [places_for("seeded", seed=3, key=f"key-{index}") for index in range(4000)]
    assert drawn != [places_for("seeded", seed=4, key=f"key-{index}") for index in range(4000)]
    counts = Counter(order for (order,) in drawn)
    assert set(counts) == set(PLACES)
    # 1,000 expected, with a standard deviation of 27
    assert all(880 < count < 1120 for count in counts.values())


def test_other_placements() -> None:
    assert places_for("given", seed=0, key="k") == ("given",)
    first, second = places_for("both", seed=0, key="k")
    assert (first,) == places_for("seeded", seed=0, key="k")
    assert abs(PLACES.index(first) - PLACES.index(second)) == 2


@pytest.mark.parametrize(
    ("order", "texts"),
    [
        ("given", ["first", "second", "third", "fourth"]),
        ("swapped", ["second", "first", "third", "fourth"]),
        ("swapped_c", ["third", "second", "first", "fourth"]),
        ("swapped_d", ["fourth", "second", "third", "first"]),
    ],
)
def test_an_order_exchanges_a_with_one_other(order: str, texts: list[str]) -> None:
    prompt = render_prompt(PAIR, "four_way", order=order)  # type: ignore[arg-type]
    assert prompt.labels == ("A", "B", "C", "D")
    content = prompt.messages[-1].text
    blocks = [
        f"[The Start of Chatbot {label}'s Response]\n{text}\n[The End of Chatbot {label}'s Response]"
        for label, text in zip("ABCD", texts, strict=True)
    ]
    places = [content.index(block) for block in blocks]
    assert places == sorted(places)
    shown = dict(zip("ABCD", texts, strict=True))
    for label, text in zip("ABCD", ["first", "second", "third", "fourth"], strict=True):
        assert shown[swap_label(label, order)] == text  # type: ignore[arg-type]


def test_a_long_conversation_is_shown_four_times() -> None:
    pair = PreferencePair(
        id="p",
        prompt=(user("Hi"), assistant("Hello"), user("Which?")),
        response_a=PAIR.response_a,
        response_b=PAIR.response_b,
        others=PAIR.others,
    )
    content = render_prompt(pair, "four_way", order="swapped_d").messages[-1].text
    assert content.count("User: Which?") == 4
    assert "Chatbot D: first\n[The End of the Conversation between Chatbot D and the Client]" in content


def test_families_know_how_many_answers_they_show() -> None:
    names = ("rubric", "reasoning", "direct", "rating", "four_way")
    assert [load_family(name).num_answers for name in names] == [2, 2, 2, 1, 4]


@pytest.mark.parametrize(
    ("text", "ours", "published"),
    [
        ("<answer>[[C]]</answer>", "C", "C"),
        ("<answer>D</answer>", "D", None),
        ("[[B]] is best", "B", "B"),
        ("[[C]] not [[B]]", None, "B"),
        ("[[D]] over [[A]]: <answer>[[D]]</answer>", "D", "A"),
        ("<think>[[A]]?</think><answer>[[C]]</answer>", "C", "A"),
        ("<answer>[[E]]</answer>", None, None),
        ("[[a]]", None, None),
        ("", None, None),
    ],
)
def test_one_marker_only_or_the_first_of_four(text: str, ours: str | None, published: str | None) -> None:
    for rule, winner in (("tagged", ours), ("published", published)):
        verdict = read_verdict(text, "choice", rule)
        assert verdict.winner == winner
        assert (verdict.problem is None) == (winner is not None)
