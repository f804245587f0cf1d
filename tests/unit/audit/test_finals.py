"""The answer that a text ends in, by its form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.audit.finals import has_options, read_finals


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"So \boxed{17} it is, not 18.", {"number": "17", "words": "17"}),
        (r"\boxed{\text{E}}", {"letter": "E"}),
        (r"\boxed{\frac{32}{3}}", {"words": r"frac{32}{3}"}),
        ("First 3.\n#### 1,200.50\nDone in 2 steps.", {"number": "1200.5", "words": "1,200.50"}),
        ("(A) or (B)? I say EEEEE.", {"letter": "E"}),
        ("The people:\n\n***yes, no, Yes***", {"words": "yes, no, yes"}),
        ("It costs $3.00, and 2 more is $5.00. Bye.", {"number": "5"}),
        ("From 10 to −007 degrees", {"number": "-7"}),
        ("x2 and y3 are names, v1.2 too", {}),
        ("nothing", {}),
        ("", {}),
    ],
)
def test_forms(text: str, found: dict[str, str]) -> None:
    assert dict(read_finals(text)) == found


def test_options_are_read_in_the_last_line_that_has_one_and_only_if_it_is_alone() -> None:
    assert dict(read_finals("I think (A).\nNo: it is (C), for 3 reasons.\nBye", with_options=True)) == {
        "letter": "C"
    }
    assert dict(read_finals("**B**", with_options=True)) == {"letter": "B"}
    assert read_finals("(A) is as good as (B)", with_options=True) == {}
    assert read_finals("The number is 17.", with_options=True) == {}  # no option


def test_strictly_only_what_is_marked_is_an_answer() -> None:
    assert read_finals("It divides into **2 parts**. Wait, 3.", is_loose=False) == {}
    assert read_finals("close to (G), but (J) is closer\n(J)", with_options=True, is_loose=False) == {}
    assert dict(read_finals("So:\n\n**2**", is_loose=False)) == {"number": "2", "words": "2"}
    assert dict(read_finals("It is JJJJJ then.", with_options=True, is_loose=False)) == {"letter": "J"}


def test_a_question_lists_options_line_by_line() -> None:
    assert has_options("Which?\n(A) One\n(B) Two") and has_options("Which?\nA. One\nB. Two")
    assert not has_options("A. Einstein was born when?") and not has_options("Is (A) or (B) right?")


@given(st.text(max_size=300), st.booleans(), st.booleans())
def test_any_text_is_read(text: str, with_options: bool, is_loose: bool) -> None:
    found = read_finals(text, with_options=with_options, is_loose=is_loose)
    assert all(value for value in found.values())


def test_hostile_texts_take_no_time() -> None:
    for piece in (r"\boxed{", "**", "(A", "{" * 9 + r"\boxed{{", "9,", "A" * 3 + "b"):
        read_finals(piece * 20_000)
        read_finals(piece * 20_000, with_options=True)
