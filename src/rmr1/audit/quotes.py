"""A judgment -> each quotation of each of its votes, with its place in the judge's text and in the answer it names.

Everything is in the pair's frame: a quotation that a judge took from "A" of a swapped prompt is looked for in the pair's
B. What is told of a quotation is where its words stand, not whether the judge used them fairly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rmr1.messages import Messages
from rmr1.records import Judgment, PreferencePair, Vote
from rmr1.verdicts.grounding import Match, find_quote
from rmr1.verdicts.mentions import Span
from rmr1.verdicts.trace import read_outline

LABELS = ("A", "B", "C", "D")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedQuote:
    """One quotation of a judge's text."""

    vote: int
    """Index of the vote among the judgment's, from 0."""
    number: int
    """Index of the quotation within its vote, from 0."""
    side: str
    """The pair's name of the answer that it is said to be from."""
    said_side: str
    """What the judge calls that answer."""
    text: str
    match: Match
    """How it was found: "exact", "levelled" (but for white space, case, marks or omissions), or "none"."""
    spans: tuple[Span, ...]
    """(start, end) in `answer_text` of that answer, one for each piece; empty if it was not found."""
    place: Span | None
    """(start, end) of its words in the vote's text; None if the text, read again, does not hold it so."""

    @property
    def is_found(self) -> bool:
        """Whether its words stand in the answer that it names."""
        return self.match != "none"


def answer_text(response: Messages) -> str:
    """The text in which quotations are looked up: that of all messages, a line each."""
    return "\n".join(message.text for message in response)


def list_starts(response: Messages) -> list[int]:
    """The place in its `answer_text` at which each message of a response begins."""
    starts, place = [], 0
    for message in response:
        starts.append(place)
        place += len(message.text) + 1
    return starts


def link_quotes(judgment: Judgment) -> tuple[LinkedQuote, ...]:
    """The quotations of all votes, vote by vote, in the sequence of each text."""
    texts = [answer_text(response) for response in judgment.pair.responses]
    return tuple(
        one for number, vote in enumerate(judgment.votes) for one in _link(judgment.pair, texts, vote, number)
    )


def has_invented(judgment: Judgment) -> bool:
    """Whether any vote quotes words that do not stand in the answer it names."""
    return "none" in _iterate_matches(judgment)


def count_matches(judgment: Judgment) -> dict[Match, int]:
    """How many quotations of all votes were found exactly, after levelling and not at all."""
    found = Counter(_iterate_matches(judgment))
    return {"exact": found["exact"], "levelled": found["levelled"], "none": found["none"]}


def _iterate_matches(judgment: Judgment) -> Iterator[Match]:
    """How each quotation was found: `link_quotes` without places, which cost a second reading of every text."""
    by_name: dict[str, str] | None = None
    for vote in judgment.votes:
        for quote in vote.verdict.trace.quotes:
            by_name = by_name or dict(zip(LABELS, map(answer_text, judgment.pair.responses), strict=False))
            yield find_quote(quote.text, by_name.get(vote.name_in_pair(quote.side), "")).match


def _link(pair: PreferencePair, texts: Sequence[str], vote: Vote, number: int) -> Iterator[LinkedQuote]:
    quotes = vote.verdict.trace.quotes
    if not quotes:
        return
    outline = read_outline(vote.generation.text, LABELS[: len(pair.responses)])
    places: Sequence[Span | None] = outline.quote_places
    if outline.quotes != quotes:  # read with marks of thinking of the user's own, or by an earlier version
        places = [None] * len(quotes)
    by_name = dict(zip(LABELS, texts, strict=False))
    for index, (quote, place) in enumerate(zip(quotes, places, strict=True)):
        side = vote.name_in_pair(quote.side)
        match, spans = find_quote(quote.text, by_name.get(side, ""))
        yield LinkedQuote(
            vote=number,
            number=index,
            side=side,
            said_side=quote.side,
            text=quote.text,
            match=match,
            spans=spans,
            place=place,
        )
