"""What the index finds is what the terminal's filters find; words are words, whatever is typed."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1.audit.filters import Filter, iterate_texts, list_criteria
from rmr1.errors import ConfigError
from rmr1.store.labels import HumanLabel, append_label
from rmr1.store.runs import read_judgments
from rmr1.viewer import search
from rmr1.viewer.index import Index
from rmr1.viewer.search import Found, Query
from rmr1.viewer.words import MOST_TERMS, spell, write_match

from .varied import ODD, SUBSETS, WORDS, key_of, write_run

NUM = 160


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = write_run(tmp_path_factory.mktemp("runs") / "varied", NUM)
    when = "2026-11-30T16:20:02Z"
    keys = [
        key for key, _ in read_judgments(folder)
    ]  # not all as they are stored: some are an earlier version's
    for number, (label, is_wrong) in {3: ("A", True), 5: (None, True), 8: ("B", False)}.items():
        said = HumanLabel(key=keys[number], who="ada", when=when, label=label, is_judge_wrong=is_wrong)  # type: ignore[arg-type]
        append_label(folder, said)
    with Index.open(folder) as opened:
        assert opened.refresh() == NUM
        yield opened


@pytest.fixture(scope="module")
def judgments(index: Index):  # type: ignore[no-untyped-def]
    return list(read_judgments(index.folder))


@pytest.fixture(params=[search.RARE, 3], ids=["rare words", "frequent words"])
def rare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Both ways of looking words up."""
    monkeypatch.setattr(search, "RARE", request.param)
    return int(request.param)


def numbers(index: Index, query: Query) -> list[int]:
    """All that is found, page by page."""
    found: list[int] = []
    while True:
        page = index.search(query, len(found), 7)
        assert page.start == len(found)
        found += [row.number for row in page.rows]
        if len(page.rows) < 7:
            assert page.total == len(found) and page.is_total_exact
            return found
        assert page.total >= len(found)


IDS = st.one_of(
    st.sampled_from([f"item-{number}" for number in range(0, NUM, 7)] + list(ODD)),
    st.builds(lambda number, length: key_of(number)[:length], st.integers(0, NUM), st.integers(3, 32)),
)
FILTERS = st.builds(
    lambda side, **more: Filter(right=side == "right", wrong=side == "wrong", **more),
    side=st.sampled_from(["right", "wrong", None, None]),
    id=st.one_of(st.none(), st.none(), IDS),
    unparsed=st.booleans(),
    failed=st.booleans(),
    flips=st.booleans(),
    unsure=st.one_of(st.none(), st.sampled_from([0.5, 0.55, 0.6, 1.0]), st.floats(0.01, 1)),
    invented=st.booleans(),
    subset=st.one_of(st.none(), st.sampled_from([*(one for one in SUBSETS if one is not None), "nowhere"])),
)


@settings(deadline=None)  # the machine may be busy
@given(wanted=FILTERS)
def test_every_condition_agrees_with_the_terminal(wanted: Filter, index: Index, judgments: list) -> None:  # type: ignore[type-arg]
    expected = [place for place, one in enumerate(judgments, 1) if wanted.matches(*one)]
    assert numbers(index, Query(wanted=wanted)) == expected


@pytest.mark.parametrize("name", ["right", "wrong", "unparsed", "failed", "flips", "invented"])
def test_each_condition_alone_holds_of_some(name: str, index: Index, judgments: list) -> None:  # type: ignore[type-arg]
    wanted = Filter(**{name: True})
    expected = [place for place, one in enumerate(judgments, 1) if wanted.matches(*one)]
    assert 0 < len(expected) < NUM
    assert numbers(index, Query(wanted=wanted)) == expected
    assert len(index.columns("winner", query=Query(wanted=wanted))) == len(expected)


def fold(text: str) -> list[str]:
    """The words of a text, as the index is to take them."""
    plain = unicodedata.normalize("NFD", spell(text).lower())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return "".join(char if char.isalnum() else " " for char in plain).split()


@pytest.mark.parametrize("word", [one for one in WORDS if any(char.isalnum() for char in one)])
def test_a_word_is_found_where_it_stands(word: str, rare: int, index: Index, judgments: list) -> None:  # type: ignore[type-arg]
    words = fold(word)
    if word == "\ud800":
        return

    def holds(texts: list[str]) -> bool:
        held = [one for text in texts for one in [*fold(text), "\n"]]
        return any(held[place : place + len(words)] == words for place in range(len(held)))

    quoted = '"{}"'.format(word.replace('"', " "))
    in_texts = [place for place, (_, one) in enumerate(judgments, 1) if holds(list(iterate_texts(one)))]
    in_rubric = [place for place, (_, one) in enumerate(judgments, 1) if holds(list(list_criteria(one)))]
    assert in_texts and numbers(index, Query(wanted=Filter(text=quoted))) == in_texts
    assert numbers(index, Query(wanted=Filter(rubric=quoted))) == in_rubric
    assert numbers(index, Query(words=quoted)) == sorted({*in_texts, *in_rubric})


def test_all_words_have_to_be_there_and_a_phrase_as_it_stands(
    rare: int, index: Index, judgments: list
) -> None:  # type: ignore[type-arg]
    texts = [" | ".join(" ".join(fold(text)) for text in iterate_texts(one)) for _, one in judgments]
    both = [
        place for place, text in enumerate(texts, 1) if "river" in text.split() and "stone" in text.split()
    ]
    assert numbers(index, Query(wanted=Filter(text="stone RIVER"))) == both
    phrase = [place for place, text in enumerate(texts, 1) if "river stone" in text]
    assert phrase and numbers(index, Query(wanted=Filter(text='"river stone"'))) == phrase
    begins = [
        place for place, text in enumerate(texts, 1) if any(one.startswith("rive") for one in text.split())
    ]
    assert numbers(index, Query(wanted=Filter(text="rive*"))) == begins
    assert numbers(index, Query(wanted=Filter(text="rive"))) == []
    marks = Query(wanted=Filter(text="river", wrong=True), sort="confidence", is_descending=True)
    expected = {place for place, (key, one) in enumerate(judgments, 1)
        if Filter(wrong=True).matches(key, one) and "river" in texts[place - 1].split()}  # fmt: skip
    assert set(numbers(index, marks)) == expected and expected


@settings(deadline=None)  # the machine may be busy
@given(
    text=st.one_of(
        st.text(max_size=30), st.lists(st.sampled_from([*ODD, "*", '""', "(", "river"])).map(" ".join)
    )
)
def test_nothing_that_is_typed_is_an_operator_or_fails(text: str, index: Index) -> None:
    with suppress(ConfigError):
        query = Query(words=text)
        found = set(numbers(index, query))
        assert found <= set(numbers(index, Query()))


def test_what_holds_no_word_is_refused() -> None:
    for text in ("", "+ - *", '""', "\x00", "🙂", "\u0301"):
        with pytest.raises(ConfigError, match="no word in it"):
            Query(words=text)
    with pytest.raises(ConfigError, match="expected at most 64"):
        write_match("a " * (MOST_TERMS + 1))
    with pytest.raises(ConfigError, match="sort 'colour' is not one of place, confidence"):
        Query(sort="colour")


def rank(sort: str, row) -> object:  # type: ignore[no-untyped-def]
    facts = row.facts
    return {
        "place": row.number,
        "confidence": facts.confidence,
        "tokens": facts.completion_tokens,
        "invented": facts.quotes_invented,
        "id": facts.id.encode(),
        "length": facts.length_a - facts.length_b,
    }[sort]


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("sort", search.SORTS)
def test_sequences_and_neighbours(sort: str, is_descending: bool, rare: int, index: Index) -> None:
    for words, wanted in (
        (None, Filter()),
        (None, Filter(wrong=True)),
        ("river", Filter()),
        ("river", Filter(wrong=True)),
    ):
        query = Query(sort=sort, is_descending=is_descending, words=words, wanted=wanted)
        found = numbers(index, query)
        assert sorted(found) == numbers(index, Query(words=words, wanted=wanted)) and len(found) > 5
        ranks = [rank(sort, index.row(number)) for number in found]
        told = [one for one in ranks if one is not None]
        assert ranks == told + [None] * (len(ranks) - len(told))  # what is missing is last
        assert told == sorted(told, reverse=is_descending)  # type: ignore[type-var]
        for place, number in enumerate(found):
            before = found[place - 1] if place else None
            behind = found[place + 1] if place + 1 < len(found) else None
            assert index.neighbours(query, number) == (before, behind)


def test_neighbours_of_a_judgment_that_is_not_among_those_found(index: Index) -> None:
    query = Query(wanted=Filter(wrong=True))
    found = numbers(index, query)
    other = next(number for number in range(found[0], NUM) if number not in found)
    before, behind = index.neighbours(query, other)
    assert before == max(one for one in found if one < other) and behind == min(
        one for one in found if one > other
    )
    assert index.neighbours(query, NUM + 1) == (None, None)


def test_what_people_have_said_can_be_looked_for(index: Index) -> None:
    assert numbers(index, Query(is_marked=True)) == [4, 6, 9]
    assert numbers(index, Query(is_called_wrong=True)) == [4, 6]
    mark = index.row(4).mark
    assert mark is not None and (mark.label, mark.is_judge_wrong, mark.num_people) == ("A", True, 1)
    assert index.row(1).mark is None


@pytest.mark.parametrize("words", [None, "river"])
def test_what_is_too_much_to_count_is_told_as_the_least(
    words: str | None, rare: int, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(words=words, wanted=Filter(wrong=True), sort="tokens")
    found = index.search(query, 0, 4)
    assert found.total > 5 and found.is_total_exact
    monkeypatch.setattr(search, "MOST_COUNTED", 5)
    capped = index.search(query, 0, 4)
    assert (capped.total, capped.is_total_exact, capped.rows) == (5, False, found.rows)


def test_what_takes_long_is_shown_in_the_sequence_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once putting in sequence is interrupted: rows of the run's sequence, not counted, and said to be unsorted."""
    with Index.open(write_run(tmp_path / "x", 120)) as index:
        index.refresh()
        query = Query(sort="tokens", is_descending=True)
        sorted_rows = index.search(query, limit=7)
        assert sorted_rows.is_sorted and sorted_rows.is_total_exact
        calls = []

        def interrupt_first(*arguments: object) -> Found:
            calls.append(arguments)
            error = sqlite3.OperationalError("interrupted")
            error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT  # type: ignore[attr-defined]
            raise error

        monkeypatch.setattr(search, "_find_page", interrupt_first)
        found = index.search(query, start=7, limit=7)
        assert calls and not found.is_sorted and not found.is_total_exact
        assert [row.number for row in found.rows] == list(range(8, 15)) and found.total == 15


def test_a_query_is_really_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PATIENCE", -1.0)
    connection = sqlite3.connect(":memory:")
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    with pytest.raises(sqlite3.OperationalError) as raised, search._bounded(connection):
        connection.execute(endless).fetchone()
    assert search._is_interrupted(raised.value)
    assert connection.execute("select 1").fetchone() == (1,)
