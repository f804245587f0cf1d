"""Numbers of quotations, in the judge's text and in the answers."""

from __future__ import annotations

import pytest

from rmr1.audit.quotes import link_quotes
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import Messages, assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair
from rmr1.report.numbered import Numbers, format_turns
from rmr1.report.pieces import mark_reasons, mark_turns


def judge(answer: Messages, *evaluations: str, other: str = "no") -> Judgment:
    """A judgment of one vote for each evaluation; every second one saw B first."""
    pair = PreferencePair(id="1", prompt=(user("?"),), response_a=answer, response_b=(assistant(other),))
    votes = []
    for number, text in enumerate(evaluations):
        said = Generation(text=f"<eval>{text}</eval><answer>[[A]]</answer>", finish_reason="stop")
        order: Order = "swapped" if number % 2 else "given"
        votes.append(cast_vote(said, order=order, sample=0, rule="tagged"))
    return conclude(pair, votes, family="rubric", rule="tagged")


@pytest.mark.parametrize(
    ("evaluation", "answer"),
    [
        ("<quote_A>one two</quote_A>", "[1]«one two» three four five"),
        (
            "<quote_A>two three</quote_A><quote_A>one</quote_A>",
            "[2]«one» [1]«two three» four five",
        ),
        # One inside another, one across the end of another, and two at the same place.
        ("<quote_A>one two three</quote_A><quote_A>two</quote_A>", "[1]«one »[2]«two three» four five"),
        ("<quote_A>one two</quote_A><quote_A>two three</quote_A>", "[1]«one »[2]«two three» four five"),
        ("<quote_A>one two</quote_A><quote_A>one</quote_A>", "[1][2]«one two» three four five"),
        # A shortened one has its number at each piece; an invented one has no place.
        ("<quote_A>one ... four</quote_A>", "[1]«one» two three [1]«four» five"),
        ("<quote_A>six</quote_A>", "one two three four five"),
    ],
)
def test_a_number_stands_at_the_place(evaluation: str, answer: str) -> None:
    judgment = judge((assistant("one two three four five"),), evaluation)
    quotes = link_quotes(judgment)
    turns = mark_turns(judgment.pair.response_a, quotes)
    assert format_turns(turns, Numbers(quotes)).plain == answer


def test_the_judges_words_tell_the_answer_of_the_pair() -> None:
    judgment = judge(
        (assistant("one two"),),
        "<quote_A>one</quote_A> and <quote_B>no</quote_B>, <quote_B>two</quote_B>",
        "<quote_A>no</quote_A> and <quote_B>two</quote_B>",
    )
    quotes = link_quotes(judgment)
    numbers = Numbers(quotes)
    told = [
        format_turns(
            [mark_reasons(vote, [one for one in quotes if one.vote == number])], numbers, has_sides=True
        ).plain
        for number, vote in enumerate(judgment.votes)
    ]
    # The same words of the same answer have one number in both texts; "two" is not in B, and another quotation of A.
    assert told == ["[1 A]«one» and [2 B]«no», [3 not in B]«two»", "[2 B]«no» and [4 A]«two»"]


def test_turns_keep_their_roles_and_foreign_text_is_inert() -> None:
    answer = (assistant("one\x1b]8;;http://evil\x07"), user("\u202etwo"))
    judgment = judge(answer, "<quote_A>one</quote_A>")
    quotes = link_quotes(judgment)
    text = format_turns(mark_turns(answer, quotes), Numbers(quotes))
    assert text.plain == "assistant: [1]«one»\\x1b]8;;http://evil\\x07\nuser: \\u202etwo"
