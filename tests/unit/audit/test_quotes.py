"""Quotations of all votes, with their places, in the pair's frame."""

from __future__ import annotations

import pytest

from rmr1.audit.quotes import answer_text, count_matches, has_invented, link_quotes, list_starts
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, Side, Vote
from rmr1.verdicts import parse_verdict

PAIR = PreferencePair(
    id="1",
    prompt=(user("How?"),),
    response_a=(assistant("Wash it first."), user("And then?"), assistant("Dry it.")),
    response_b=(assistant("Paint it green."),),
    others=(),
)
TEXT = (
    "<think><quote_A>Wash it first.</quote_A></think><eval><quote_A>{0}</quote_A> then <quote_B>{1}</quote_B>"
    "</eval><answer>[[A]]</answer>"
)


def vote(first: str, second: str, order: Order = "given", side: Side | None = None) -> Vote:
    text = TEXT.format(first, second)
    said = Generation(text=text, finish_reason="stop")
    return Vote(order=order, sample=0, generation=said, verdict=parse_verdict(text), side=side)


def judge(*votes: Vote, pair: PreferencePair = PAIR) -> Judgment:
    return Judgment(pair=pair, family="rubric", rule="tagged", winner="A", votes=votes)


def test_every_vote_is_read_in_the_frame_of_the_pair() -> None:
    judgment = judge(vote("wash  it", "Paint it"), vote("Paint it green", "Wash it well", order="swapped"))
    found = [(one.vote, one.number, one.said_side, one.side, one.match) for one in link_quotes(judgment)]
    assert found == [
        (0, 0, "A", "A", "levelled"),
        (0, 1, "B", "B", "exact"),
        (1, 0, "A", "B", "exact"),
        (1, 1, "B", "A", "none"),
    ]
    assert count_matches(judgment) == {"exact": 2, "levelled": 1, "none": 1}
    assert has_invented(judgment) and not has_invented(judge(judgment.votes[0]))


def test_a_quotation_from_the_other_answer_is_not_found() -> None:
    assert [one.match for one in link_quotes(judge(vote("Paint it", "Wash it")))] == ["none", "none"]


def test_places_are_those_of_the_words_in_both_texts() -> None:
    judgment = judge(vote("And then? ... dry it", "PAINT it"))
    text, answers = judgment.votes[0].generation.text, [answer_text(one) for one in PAIR.responses]
    first, second = link_quotes(judgment)
    assert [answers[0][slice(*span)] for span in first.spans] == ["And then?", "Dry it"]
    assert [answers[1][slice(*span)] for span in second.spans] == ["Paint it"]
    for one in (first, second):
        assert one.place is not None and text[slice(*one.place)] == one.text
    starts = list_starts(PAIR.response_a)
    assert [answers[0][start:].partition("\n")[0] for start in starts] == [
        one.text for one in PAIR.response_a
    ]


def test_what_the_judge_only_thought_is_no_quotation() -> None:
    assert len(link_quotes(judge(vote("Dry it.", "Paint")))) == 2


def test_an_answer_rated_alone_is_the_one_it_is_about() -> None:
    (first, _) = link_quotes(judge(vote("Paint it green", "x", side="B")))
    assert (first.said_side, first.side, first.match) == ("A", "B", "exact")


@pytest.mark.parametrize("order", ["given", "swapped", "swapped_c", "swapped_d"])
def test_four_answers(order: Order) -> None:
    four = PreferencePair(
        id="1",
        prompt=(user("q"),),
        response_a=(assistant("alpha"),),
        response_b=(assistant("beta"),),
        others=((assistant("gamma"),), (assistant("delta"),)),
    )
    words = {"A": "alpha", "B": "beta", "C": "gamma", "D": "delta"}
    place = {"given": "A", "swapped": "B", "swapped_c": "C", "swapped_d": "D"}[order]
    words["A"], words[place] = words[place], words["A"]
    text = (
        "".join(f"<quote_{name}>{word}</quote_{name}>" for name, word in words.items())
        + "<answer>[[A]]</answer>"
    )
    said = Generation(text=text, finish_reason="stop")
    read = parse_verdict(text, labels=("A", "B", "C", "D"))
    judgment = judge(Vote(order=order, sample=0, generation=said, verdict=read), pair=four)
    assert [one.match for one in link_quotes(judgment)] == ["exact"] * 4


def test_a_text_that_is_read_otherwise_now_has_no_places_of_its_own() -> None:
    one = vote("Wash it", "Paint it")
    changed = Vote(
        order="given",
        sample=0,
        generation=Generation(text="<answer>[[A]]</answer>", finish_reason="stop"),
        verdict=one.verdict,
    )
    found = link_quotes(judge(changed))
    assert [quote.match for quote in found] == ["exact", "exact"]
    assert [quote.place for quote in found] == [None, None]


def test_a_trace_in_the_pairs_frame_names_the_same_answers() -> None:
    for one in (vote("x", "y"), vote("x", "y", order="swapped"), vote("x", "y", side="B")):
        assert [quote.side for quote in one.trace.quotes] == [quote.side for quote in link_quotes(judge(one))]
