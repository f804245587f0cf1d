"""Pairs that are not of the bundled judge's world."""

from __future__ import annotations

import pytest

from rmr1.data.objects import as_pair
from rmr1.errors import ConfigError
from rmr1.models import words
from rmr1.models.words import measure_foreignness, refuse_foreign


def test_pairs_of_other_words_are_refused() -> None:
    pair = as_pair("What is the capital of France?", "Paris is the capital.", "It is Lyon.")
    with pytest.raises(ConfigError, match=r"which lacks \d\d% of the words of these pairs; name one"):
        refuse_foreign([pair])


def test_of_an_endless_word_only_the_beginning_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(words, "read_spelling", lambda path: lambda word: bool(seen.append(word)) or True)
    found = measure_foreignness([as_pair("x" * 100_000, "y" * 100_000, "z" * 30)])
    assert found.num_foreign == 1 and [len(word) for word in seen] == [40, 40, 30]
