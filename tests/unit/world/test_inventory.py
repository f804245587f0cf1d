"""How large the world is, and that what is held out can be understood from the rest."""

from __future__ import annotations

import pytest

from rmr1.world.draw import Words, a, as_noun
from rmr1.world.inventory import count_world, list_templates, template_vocabulary
from rmr1.world.words import HELD_OUT_WORDS, WORD_LISTS


def test_the_world_is_large_enough() -> None:
    found = count_world()
    print(found)
    assert found.num_templates >= 100 and found.num_words >= 800
    assert 0.19 < found.num_held_out_templates / found.num_templates < 0.22
    assert 0.19 < found.num_held_out_nouns / found.num_nouns < 0.22


@pytest.mark.parametrize("words", WORD_LISTS, ids=lambda words: words.name)
def test_a_fifth_of_each_word_list_is_held_out(words: Words) -> None:
    assert set(words.seen).isdisjoint(words.held_out)
    assert len(set(words.seen)) == len(words.seen) and len(set(words.held_out)) == len(words.held_out)
    assert 0.19 < len(words.held_out) / (len(words.seen) + len(words.held_out)) < 0.21


def test_every_template_is_told_apart_and_has_its_name() -> None:
    groups = list_templates()
    names = [group.name for group in groups]
    assert len(names) == len(set(names))
    for group in groups:
        texts = (*group.seen, *group.held_out)
        assert len(texts) == len(set(texts)) and group.held_out, group.name


def test_held_out_templates_use_known_words() -> None:
    """They are new sentences, not new vocabulary: what is new there is tested by the held-out words."""
    seen = template_vocabulary(held_out=False)
    assert template_vocabulary(held_out=True) <= seen
    held_out = {word.lower() for word in HELD_OUT_WORDS}
    assert held_out.isdisjoint(seen)


def test_forms_of_nouns() -> None:
    assert as_noun("cherry") == ("cherry", "cherries") and as_noun("key").many == "keys"
    assert as_noun("brush").many == "brushes" and as_noun("pear").counted(1) == "pear"
    assert as_noun("box").counted(0) == "boxes"
    assert a("orange") == "an orange" and a("pear") == "a pear"
