"""What the world is made of, counted by code: templates and surface words."""

from __future__ import annotations

import re
from typing import NamedTuple

from rmr1.world import chat, lists, ordering, programs, safety, shopping, stories, style, times
from rmr1.world.draw import Templates, as_noun
from rmr1.world.words import COLORS, NAMES, WEEKDAYS, WORD_LISTS

_MODULES = (stories, shopping, lists, programs, ordering, times, chat, safety, style)


class Inventory(NamedTuple):
    """Sizes of the world."""

    num_templates: int
    num_held_out_templates: int
    num_words: int
    """Different lower-case words of templates and lists, plural forms included."""
    num_nouns: int
    """Nouns and names of the lists, one form each."""
    num_held_out_nouns: int


def list_templates() -> tuple[Templates, ...]:
    """Every group of templates."""
    return tuple(group for module in _MODULES for group in module.TEXTS.values())


def template_vocabulary(*, held_out: bool) -> set[str]:
    """Lower-case words of the held-out templates, or of the others."""
    texts = (text for group in list_templates() for text in (group.held_out if held_out else group.seen))
    return {word for text in texts for word in re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower())}


def count_world() -> Inventory:
    groups = list_templates()
    nouns = [word for words in WORD_LISTS for word in (*words.seen, *words.held_out)]
    words = template_vocabulary(held_out=False) | template_vocabulary(held_out=True)
    for one in WORD_LISTS:
        for word in (*one.seen, *one.held_out):
            words |= {word.lower()} if one is NAMES else {form.lower() for form in as_noun(word)}
    words |= {word.lower() for word in (*WEEKDAYS, *COLORS)}
    words |= {word for scale in ordering.SCALES for word in scale}
    return Inventory(
        num_templates=sum(len(group.seen) + len(group.held_out) for group in groups),
        num_held_out_templates=sum(len(group.held_out) for group in groups),
        num_words=len(words),
        num_nouns=len(nouns),
        num_held_out_nouns=sum(len(words.held_out) for words in WORD_LISTS),
    )
