"""Texts as words and as hashes of words, for equality, overlap and similarity.

A word is a run of letters and digits in any case; of scripts without spaces (Chinese, Japanese) each character is
one. Legend: `W` words of a text, `N` its n-grams.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rmr1.messages import Messages
from rmr1.records import PreferencePair

Hashes = NDArray[np.uint64]

_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def split_words(text: str) -> list[str]:
    """
    >>> split_words("It's 2 o'clock, isn_t it?")
    ['it', 's', '2', 'o', 'clock', 'isn', 't', 'it']
    """
    return _WORD.findall(text.casefold())


def digest_text(text: str) -> bytes:
    """16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def normalise(text: str) -> str:
    """Its words with single spaces; a text without words is itself, without the white space around it."""
    return " ".join(split_words(text)) or text.strip()


def digest_messages(messages: Messages) -> bytes:
    """16 bytes that are the same for messages that differ in case, punctuation and white space only."""
    return digest_text("\0".join(f"{one.role}\0{normalise(one.text)}" for one in messages))


def find_later_turns(pair: PreferencePair) -> Messages:
    """What the user asks in the responses, of conversations that part before their last question."""
    found = (one for side in (pair.response_a, pair.response_b) for one in side if one.role == "user")
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1 << 17)
def _hash_word(word: str) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def hash_words(words: list[str]) -> Hashes:
    """One number per word: [W]."""
    return np.fromiter(map(_hash_word, words), dtype=np.uint64, count=len(words))


def hash_ngrams(words_W: Hashes, length: int) -> Hashes:
    """One number for every `length` words in a row: [N], N = W - length + 1; none where there are fewer words."""
    number = len(words_W) - length + 1
    if number < 1:
        return np.empty(0, dtype=np.uint64)
    mixed = np.zeros(number, dtype=np.uint64)
    for place in range(length):
        mixed = (mixed ^ words_W[place : place + number]) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    return mixed


def hash_shingles(text: str, length: int) -> Hashes:
    """The text's n-grams without repeats; the whole of a shorter text is its only one."""
    words = split_words(text)
    if not words:
        return hash_words([text.strip()])
    hashes = hash_words(words)
    return np.unique(hash_ngrams(hashes, min(length, len(words))))
