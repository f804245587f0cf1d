"""Words, n-grams and digests of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.curate.texts import digest_messages, hash_ngrams, hash_shingles, hash_words, normalise, split_words
from rmr1.messages import assistant, user


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP, isn_t it?", ["don", "t", "stop", "isn", "t", "it"]),
        ("x = -1.5", ["x", "1", "5"]),
        ("你好, World 世界", ["你", "好", "world", "世", "界"]),
        ("Straße", ["strasse"]),
        ("... !?", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(2, 5))
def test_equal_ngrams_are_equal_words(words: list[str], length: int) -> None:
    hashes = hash_ngrams(hash_words(words), length).tolist()
    grams = [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]
    assert len(hashes) == len(grams)
    for one, gram in zip(hashes, grams, strict=True):
        for other, same in zip(hashes, grams, strict=True):
            assert (one == other) == (gram == same)


def test_order_counts_in_an_ngram() -> None:
    first = hash_ngrams(hash_words(["a", "b"]), 2)
    assert first != hash_ngrams(hash_words(["b", "a"]), 2)


def test_a_short_text_is_one_shingle() -> None:
    assert len(hash_shingles("one two", 5)) == 1
    assert len(hash_shingles("a b a b a b", 2)) == 2
    assert hash_shingles("!!", 5) != hash_shingles("??", 5)


def test_digests_pass_over_case_and_punctuation_but_not_roles() -> None:
    assert digest_messages((user("Hello, world!"),)) == digest_messages((user(" hello  world"),))
    assert digest_messages((user("hello"),)) != digest_messages((assistant("hello"),))
    assert digest_messages((user("a b"),)) != digest_messages((user("a"), user("b")))
    assert digest_messages((user("😀"),)) != digest_messages((user("😡"),))
    assert normalise("?!") == "?!"
