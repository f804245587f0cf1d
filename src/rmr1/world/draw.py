"""Random choices that know what is held out.

Every choice of a template or a word goes through the `Draw` of one item of one split. Held-out templates and words are lists of
their own (`Templates.held_out`, `Words.held_out`), which a training item has no way to reach.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple, TypeVar

T = TypeVar("T")

Split = Literal["train", "test", "test_templates", "test_words"]
SPLITS: tuple[Split, ...] = ("train", "test", "test_templates", "test_words")

HELD_OUT_SHARE = 0.5
"""In `test_templates`: how often a choice with held-out templates takes one of those."""

TEST_BUCKETS = 64
"""Hash buckets of questions, of 256, that belong to the test splits; the others belong to training."""


class Templates(NamedTuple):
    """Sentences of one meaning, with fields in braces."""

    name: str
    seen: tuple[str, ...]
    held_out: tuple[str, ...]
    """Never used by the splits `train`, `test` and `test_words`."""


def read_templates(table: str) -> dict[str, Templates]:
    r"""The groups of a table by name: each name begins a line, and indented lines hold its templates, set apart by
    " | ", held-out ones behind "* "; `\n` breaks a line.

    >>> read_templates("greeting\n    Hello {N}. | Good day.\n    * Hello and good day.")["greeting"].held_out
    ('Hello and good day.',)
    """
    groups = {}
    for block in re.split(r"\n(?=\S)", table.strip()):
        name, *lines = block.split("\n    ")
        texts: dict[bool, list[str]] = {False: [], True: []}
        for line in lines:
            texts[line.startswith("* ")] += line.removeprefix("* ").replace("\\n", "\n").split(" | ")
        groups[name] = Templates(name, tuple(texts[False]), tuple(texts[True]))
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Nouns or names of one kind."""

    name: str
    seen: tuple[str, ...]
    held_out: tuple[str, ...]
    """Used by the split `test_words` alone, and by that instead of `seen`."""


class Noun(NamedTuple):
    one: str
    many: str

    def counted(self, number: int) -> str:
        """The form that stands behind a number."""
        return self.one if number == 1 else self.many


class Draw:
    """The choices of one item; `templates` records which templates were taken."""

    def __init__(self, random: Random, split: Split):
        self.random = random
        self.split = split
        self.templates: list[str] = []
        """`group/number` of each template taken, `group/held-number` of a held-out one."""
        self._taken: set[str] = set()

    @property
    def has_held_out_template(self) -> bool:
        return any("/held-" in name for name in self.templates)

    def template(self, group: Templates, is_fit: Callable[[str], bool] | None = None) -> str:
        """One of the group's templates: one that fits, and that the item does not use yet if there is one."""
        held_out = self.split == "test_templates" and group.held_out
        is_held_out = bool(held_out) and self.random.random() < HELD_OUT_SHARE
        if is_held_out and is_fit is not None and not any(map(is_fit, group.held_out)):
            is_held_out = False
        texts, prefix = (group.held_out, "held-") if is_held_out else (group.seen, "")
        # The first try mostly fits; where it does not, all that fit are listed, so each stays as likely.
        number = int(self.random.random() * len(texts))
        if (
            is_fit is not None and not is_fit(texts[number])
        ) or f"{group.name}/{prefix}{number}" in self._taken:
            fit = [place for place, text in enumerate(texts) if is_fit is None or is_fit(text)]
            fresh = [place for place in fit if f"{group.name}/{prefix}{place}" not in self._taken]
            number = self.random.choice(fresh or fit)
        name = f"{group.name}/{prefix}{number}"
        self._taken.add(name)
        self.templates.append(name)
        return texts[number]

    def word(self, words: Words) -> str:
        return self.words(words, 1)[0]

    def words(self, words: Words, count: int) -> list[str]:
        """`count` different words."""
        return self.random.sample(words.held_out if self.split == "test_words" else words.seen, count)

    def noun(self, words: Words) -> Noun:
        return as_noun(self.word(words))

    def nouns(self, words: Words, count: int) -> list[Noun]:
        return [as_noun(word) for word in self.words(words, count)]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def choice(self, values: Sequence[T]) -> T:
        return self.random.choice(values)

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.random.randint(low, high)


def make_random(*parts: object) -> Random:
    """A generator that the parts alone decide, the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).digest()
    return Random(int.from_bytes(digest, "big"))


def is_test_question(question: str) -> bool:
    """Whether a question belongs to the test splits; its text alone decides."""
    return hashlib.blake2b(question.encode(), digest_size=1).digest()[0] < TEST_BUCKETS


def as_noun(word: str) -> Noun:
    """The singular with its plural, by the regular rules; the word lists hold regular nouns only."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return Noun(word, word + "es")
    if re.search(r"[^aeiou]y$", word):
        return Noun(word, word[:-1] + "ies")
    return Noun(word, word + "s")


def a(word: str) -> str:
    """The word with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]
