"""Whether pairs are of the bundled judge's world: by the words that its tokenizer spells out letter by letter.

Of the world's own pairs these are 0% of the words, 4% to 16% (medians) where its held-out nouns and names occur; of
real preferences 30% to 100% (medians of 55 files; docs/engines.md). Only the tokenizer is read.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.models import find_bundled
from rmr1.records import PreferencePair

MOST_UNKNOWN = 0.2
"""A pair with a larger share of unknown words is foreign."""
LOOKED_AT = 200
"""Pairs that are looked at, from the beginning."""

_MOST_LETTERS = 40
"""A longer word may be a line of base64."""

_WORD = re.compile(r"[^\W\d_]{2,}")


class Foreignness(NamedTuple):
    """What is found of some pairs."""

    num_pairs: int
    num_foreign: int
    share: float
    """Share of all their words that the bundled judge does not know; 0 if they have none."""


def refuse_foreign(pairs: Iterable[PreferencePair]) -> str | None:
    """Refuse pairs most of which are foreign to the bundled judge; a note if some are, else None."""
    found = measure_foreignness(pairs)
    if 2 * found.num_foreign > found.num_pairs:
        raise ConfigError(
            "no judge was named, and the bundled one knows only its own synthetic world (rmr1 demo), which lacks "
            f"{found.share:.0%} of the words of these pairs; name one with {name_option('model')}: a Hugging Face "
            "model ORG/NAME, any OpenAI-compatible server such as a local Ollama or llama.cpp "
            "openai:NAME@http://127.0.0.1:11434/v1, or vLLM vllm:ORG/NAME; "
            f"{name_option('model', 'tiny')} asks the bundled one all the same"
        )
    if not found.num_foreign:
        return None
    return (
        f"{found.num_foreign} of the first {found.num_pairs} pairs use words that the bundled judge does not know; "
        "what it says of them means nothing"
    )


def measure_foreignness(pairs: Iterable[PreferencePair]) -> Foreignness:
    """Look at the first `LOOKED_AT` pairs."""
    is_spelled = read_spelling(find_bundled() / "tokenizer.json")
    num_pairs = num_foreign = num_words = num_unknown = 0
    for pair in itertools.islice(pairs, LOOKED_AT):
        texts = [message.text for messages in (pair.prompt, *pair.responses) for message in messages]
        words = [word[0][:_MOST_LETTERS] for text in texts for word in _WORD.finditer(text)]
        unknown = sum(map(is_spelled, words))
        num_pairs, num_words, num_unknown = num_pairs + 1, num_words + len(words), num_unknown + unknown
        num_foreign += unknown > MOST_UNKNOWN * len(words)
    share = num_unknown / num_words if num_words else 0.0
    return Foreignness(num_pairs, num_foreign, share)


def read_spelling(path: Path) -> Callable[[str], bool]:
    """Whether no token of a tokenizer holds more than a letter of a word, be it behind a space or not."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))

    @functools.cache
    def is_spelled(word: str) -> bool:
        texts = (word, f" {word}")
        return min(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts) >= len(word)

    return is_spelled
