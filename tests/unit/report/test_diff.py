"""Two texts word by word: nothing is lost, what both have is found, and long ones take bounded time."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.errors import DataError
from rmr1.report import diff
from rmr1.report.diff import diff_words

TEXTS = st.text("ab cé.\n\r\x00\u2028\ud800字語", max_size=60)


def tell(a: str, b: str) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in diff_words(a, b).pieces]


@pytest.mark.parametrize(
    ("a", "b", "pieces"),
    [
        ("", "", []),
        ("same text", "same text", [("same", "same text")]),
        ("", "new", [("b", "new")]),
        ("It is 34.", "It is 33.", [("same", "It is"), ("a", " 34"), ("b", " 33"), ("same", ".")]),
        ("one two four", "one two three four", [("same", "one two"), ("b", " three"), ("same", " four")]),
        ("答案是三。", "答案是四。", [("same", "答案是"), ("a", "三"), ("b", "四"), ("same", "。")]),
        # A word that both happen to have is no longer than the changes around it.
        ("red apples of Rome", "blue pears of Paris",
         [("a", "red apples of Rome"), ("b", "blue pears of Paris")]),
    ],
)  # fmt: skip
def test_pieces_by_hand(a: str, b: str, pieces: list[tuple[str, str]]) -> None:
    assert tell(a, b) == pieces


@given(TEXTS, TEXTS)
def test_each_text_is_its_pieces(a: str, b: str) -> None:
    found = diff_words(a, b)
    assert "".join(one.text for one in found.side("a")) == a
    assert "".join(one.text for one in found.side("b")) == b
    kinds = [one.kind for one in found.pieces]
    assert all(one.text for one in found.pieces)
    assert not {("same", "same"), ("a", "a"), ("b", "b"), ("b", "a")} & set(pairwise(kinds))
    same = sum(len(one.text) for one in found.pieces if one.kind == "same")
    assert found.share == (2 * same / (len(a) + len(b)) if a or b else 1)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_what_is_common_is_a_longest_common_subsequence(a: list[str], b: list[str]) -> None:
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a, start=1):
        for j, other in enumerate(b, start=1):
            lengths[i][j] = (
                lengths[i - 1][j - 1] + 1 if one == other else max(lengths[i - 1][j], lengths[i][j - 1])
            )
    assert sum(one.kind == "same" for one in diff._compare(a, b)) == lengths[-1][-1]


def test_a_frequent_word_is_compared_like_any_other() -> None:
    """difflib takes a word that makes more than 1% of a long text for noise."""
    a = " ".join(f"the w{number}" for number in range(400))
    assert tell(a, a.replace("w200", "x")) == [
        ("same", a[: a.index(" w200")]),
        ("a", " w200"),
        ("b", " x"),
        ("same", a[a.index(" w200") + 5 :]),
    ]


def test_long_texts_are_compared_by_lines_and_between_them_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff, "MOST_CELLS", 30)
    a, b = "first line\nsecond line of A\nthird\n", "first line\nsecond line of B\nthird\n"
    assert diff_words(a, b).unit == "word"
    assert [one.text for one in diff_words(a, b).pieces if one.kind != "same"] == [" A", " B"]
    long = diff_words(f"same\n{'x ' * 9}\nend", f"same\n{'y ' * 9}\nend")
    assert long.unit == "line"
    assert [(one.kind, one.text) for one in long.pieces] == [
        ("same", "same\n"), ("a", "x " * 9 + "\n"), ("b", "y " * 9 + "\n"), ("same", "end"),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"have 6 and 7 lines: too many"):
        diff_words("a\n" * 6, "b\n" * 7)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (" ".join(f"w{n % 7}" for n in range(19_000)), " ".join(f"w{n % 11}" for n in range(19_000))),
        ("* " * 60_000, "* . " * 60_000),
        ("\n" * 15_000 + "a", "\n" * 15_001 + "b"),
    ],
)
def test_hostile_texts_take_bounded_time(a: str, b: str) -> None:
    start = time.process_time()
    found = diff_words(a, b)
    assert time.process_time() - start < 5
    assert "".join(one.text for one in found.side("a")) == a
