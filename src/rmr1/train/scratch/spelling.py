"""Words spelt in bytes on purpose, so that a judge learns to read and copy words it has no token for.

A word-level tokenizer gives every word of its training text a token, and then bytes would never occur while it is
trained. So in each example some of the prompt's words lose their tokens, wherever they stand in it, in the
judge's turn as well: whether a word is spelt can always be seen from the prompt.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from transformers import PreTrainedTokenizerBase

from rmr1.train.row import Example

_WORD = re.compile(r"Ġ?([A-Za-z]{2,})")
"""A piece that is one word, in the byte-level spelling."""


class Speller:
    """Spells words of a tokenizer of `rmr1.train.scratch.tokenizer`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, share: float):
        self._share = share
        self._words: dict[int, str] = {}
        self._bytes: dict[int, list[int]] = {}
        added = set(tokenizer.get_added_vocab())
        vocabulary = tokenizer.get_vocab()
        for piece, token in vocabulary.items():
            match = None if piece in added else _WORD.fullmatch(piece)
            if match is not None:
                self._words[token] = match[1].lower()
                self._bytes[token] = [vocabulary[char] for char in piece]

    def spell(self, example: Example, draw: Random) -> Example:
        """The same text, in which each word of the prompt is spelt with the speller's probability."""
        prompt = example.tokens[: example.num_prompt]
        words = dict.fromkeys(self._words[token] for token in prompt if token in self._words)
        chosen = {word for word in words if draw.random() < self._share}
        if not chosen:
            return example
        before = self._replace(prompt, chosen)
        after = self._replace(example.tokens[example.num_prompt :], chosen)
        return replace(example, tokens=array("i", [*before, *after]), num_prompt=len(before))

    def _replace(self, tokens: Iterable[int], chosen: set[str]) -> list[int]:
        found: list[int] = []
        for token in tokens:
            if self._words.get(token) in chosen:
                found += self._bytes[token]
            else:
                found.append(token)
        return found
