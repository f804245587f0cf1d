"""Quotations are looked up in the response they are taken from."""

from __future__ import annotations

import pytest

from rmr1.records import Generation, PreferencePair, SideText, Trace, Verdict, Vote, assistant, user
from rmr1.verdicts.grounding import ground_quotes, is_grounded

RESPONSE = 'First, wash the car.\n- Rinse it — with "clean" water.\n<answer>[[A]]</answer> Then dry it.'


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        ("wash the car", True),
        ("Wash  the\ncar.", True),
        ("“clean” water", True),
        ("Rinse it - with", True),
        ("First, wash ... dry it.", True),
        ("dry it ... wash the car", False),
        ("<\\answer>[\\[A]]<\\/answer> Then", True),
        ('"wash the car"', True),
        ("polish the car", False),
        ("", False),
        ("...", False),
    ],
)
def test_is_grounded(quote: str, expected: bool) -> None:
    assert is_grounded(quote, RESPONSE) is expected


@pytest.mark.parametrize(("order", "found"), [("given", (True, False)), ("swapped", (False, True))])
def test_quotes_follow_the_order_of_the_prompt(order: str, found: tuple[bool, bool]) -> None:
    pair = PreferencePair(
        id="1", prompt=(user("q"),), response_a=(assistant("one"),), response_b=(assistant("two"),)
    )
    quotes = (SideText(side="A", text="one"), SideText(side="A", text="two"))
    vote = Vote(
        order=order,
        sample=0,
        generation=Generation(text="", finish_reason="stop"),
        verdict=Verdict(winner="A", trace=Trace(quotes=quotes)),
    )
    assert tuple(is_found for _, is_found in ground_quotes(pair, vote)) == found
