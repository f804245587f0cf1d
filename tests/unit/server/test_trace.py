"""Texts that are read while they are written: what a reader has folded is in the end what is stored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rmr1.engines.base import Continuation, Request
from rmr1.records import Generation, JudgePrompt, Verdict, Vote
from rmr1.server.trace import Ear, Piece, Place, Reader, Trace, hear_whole

PLACE = Place("given", None, 0)
PROMPT = JudgePrompt(pair_id="p", family="f", order="given", messages=())


def fold(texts: dict[Place, str], pieces: list[Piece]) -> None:
    """What a client does with `text` events."""
    for place, start, delta in pieces:
        texts[place] = texts.get(place, "")[:start] + delta


def make_vote(text: str, sample: int = 0) -> Vote:
    generation = Generation(text=text, finish_reason="stop")
    return Vote(order="given", sample=sample, generation=generation, verdict=Verdict(winner="A"))


def open_trace() -> tuple[Trace, Reader, list[int]]:
    trace, woken = Trace(), []
    reader = Reader(lambda: woken.append(1))
    trace.join(reader)
    return trace, reader, woken


def test_a_reader_takes_what_is_new_and_a_slow_one_takes_it_together() -> None:
    trace, reader, woken = open_trace()
    trace.hear(PLACE, 0, "ab")
    assert reader.take() == [Piece(PLACE, 0, "ab")] and reader.take() == []
    trace.hear(PLACE, 2, "c")
    trace.hear(PLACE, 3, "de")
    assert reader.take() == [Piece(PLACE, 2, "cde")]
    assert len(woken) == 4  # by joining, too


def test_what_is_taken_back_is_told_by_where_the_next_piece_starts() -> None:
    trace, reader, _ = open_trace()
    trace.hear(PLACE, 0, "abcdef")
    reader.take()
    trace.hear(PLACE, 0, "abX")
    trace.hear(PLACE, 3, "Y")
    assert reader.take() == [Piece(PLACE, 2, "XY")]
    trace.hear(PLACE, 0, "ab")
    assert reader.take() == [Piece(PLACE, 2, "")]


def test_who_joins_late_reads_from_the_beginning_and_who_left_hears_no_more() -> None:
    trace, first, _ = open_trace()
    trace.hear(PLACE, 0, "abc")
    late = Reader(lambda: None)
    trace.join(late)
    trace.hear(PLACE, 3, "d")
    assert late.take() == first.take() == [Piece(PLACE, 0, "abcd")]
    first.leave()
    assert trace.is_there
    late.leave()
    assert not trace.is_there
    trace.hear(PLACE, 4, "e")
    assert late.take() == []


def test_what_begins_behind_all_that_is_known_waits_for_the_whole_text() -> None:
    trace, reader, _ = open_trace()
    trace.hear(PLACE, 5, "late")
    assert reader.take() == []
    assert reader.finish([make_vote("It is late.")]) == [Piece(PLACE, 0, "It is late.")]


def test_the_end_corrects_what_was_read_of_each_text() -> None:
    trace, reader, _ = open_trace()
    trace.hear(PLACE, 0, "abc")
    trace.hear(Place("given", None, 1), 0, "xyz")
    reader.take()
    votes = [make_vote("abcd"), make_vote("xyz", 1), make_vote("new", 2), make_vote("", 3)]
    assert reader.finish(votes) == [Piece(PLACE, 3, "d"), Piece(Place("given", None, 2), 0, "new")]
    assert Reader(lambda: None).finish(votes[:1]) == [
        Piece(PLACE, 0, "abcd")
    ]  # of a cache: nothing was written


def test_a_text_that_goes_on_has_its_beginning_in_front() -> None:
    trace, reader, _ = open_trace()
    Ear(trace, Request(key="k", prompt=PROMPT)).hear(0, 0, "<type>Chat, pro")
    going_on = Continuation(start="<type>Chat</type>\n\n")
    ear = Ear(trace, Request(key="k", prompt=PROMPT, going_on=going_on))
    ear.hear(0, 0, "<rub")
    ear.hear(0, 4, "ric>")
    texts: dict[Place, str] = {}
    fold(texts, reader.take())
    assert texts == {PLACE: "<type>Chat</type>\n\n<rubric>"}


def test_whole_texts_are_told_by_the_numbers_of_their_samples() -> None:
    trace, reader, _ = open_trace()
    request = Request(key="k", prompt=PROMPT, samples=range(4, 6))
    generations = [Generation(text=text, finish_reason="stop") for text in ("four", "five")]
    hear_whole(request, generations)  # nobody listens
    assert reader.take() == []
    hear_whole(
        Request(key="k", prompt=PROMPT, samples=range(4, 6), listener=Ear(trace, request)), generations
    )
    assert reader.take() == [
        Piece(Place("given", None, 4), 0, "four"),
        Piece(Place("given", None, 5), 0, "five"),
    ]


PIECES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.text("ab🙂", max_size=4), st.booleans()))


@given(PIECES, st.text("ab🙂", max_size=6))
def test_whatever_is_told_the_reader_has_in_the_end_what_is_stored(
    told: list[tuple[int, int, str, bool]], stored: str
) -> None:
    trace, reader, _ = open_trace()
    known, read = {0: "", 1: ""}, {Place("given", None, 0): "", Place("given", None, 1): ""}
    for sample, start, delta, is_taken in told:
        trace.hear(Place("given", None, sample), start, delta)
        if start <= len(known[sample]):
            known[sample] = known[sample][:start] + delta
        if is_taken:
            pieces = reader.take()
            assert all(piece.start <= len(read[piece.place]) for piece in pieces)
            fold(read, pieces)
            assert list(read.values()) == [known[0], known[1]]
    fold(read, reader.take())
    assert list(read.values()) == [known[0], known[1]]
    fold(read, reader.finish([make_vote(stored), make_vote(known[1], 1)]))
    assert list(read.values()) == [stored, known[1]]
