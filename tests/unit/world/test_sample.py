"""Sampling: a function of seed and index, unbiased sides, splits that cannot mix."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from rmr1.errors import ConfigError
from rmr1.records import PreferencePair
from rmr1.store.keys import content_digest
from rmr1.world import FAMILIES, SPLITS, STYLE_CLASSES, Split, sample_candidates, sample_pair, sample_pairs
from rmr1.world.draw import is_test_question
from rmr1.world.sample import FAMILY_WEIGHTS
from rmr1.world.style import BALANCED, BIASED
from rmr1.world.words import HELD_OUT_WORDS


def question_of(pair: PreferencePair) -> str:
    return "\n".join(message.text for message in pair.prompt)


@pytest.mark.parametrize("split", SPLITS)
def test_an_item_depends_on_seed_and_index_alone(split: Split) -> None:
    forward = list(sample_pairs(4, 60, split=split))
    backward = [sample_pair(4, index, split=split) for index in reversed(range(60))]
    assert forward == backward[::-1]
    assert forward[10:] == list(sample_pairs(4, 50, split=split, start=10))
    assert forward != list(sample_pairs(5, 60, split=split))
    assert sample_candidates(4, 3) == sample_candidates(4, 3)


def test_the_same_seed_draws_the_same_texts_everywhere() -> None:
    digest = hashlib.sha256()
    for split in SPLITS:
        for item in sample_pairs(0, 50, split=split):
            digest.update(content_digest(item.pair))
    assert digest.hexdigest()[:16] == "fee0e44077f99698"


def test_sides_families_and_styles_have_their_shares() -> None:
    items = list(sample_pairs(1, 6000))
    # Four standard errors of a share of 6,000.
    assert abs(sum(item.pair.label == "A" for item in items) / 6000 - 0.5) < 0.026
    families = Counter(item.facts.family for item in items)
    for family, percent in zip(FAMILIES, FAMILY_WEIGHTS, strict=True):
        assert abs(families[family] / 6000 - percent / 100) < 0.026
        of_family = [item for item in items if item.facts.family == family]
        spread = 2 / len(of_family) ** 0.5
        assert abs(sum(item.pair.label == "A" for item in of_family) / len(of_family) - 0.5) < spread
    for distribution, shares in (("biased", BIASED), ("balanced", BALANCED)):
        drawn = items if distribution == "biased" else list(sample_pairs(1, 6000, distribution="balanced"))
        classes = Counter(item.facts.style_class for item in drawn)
        for name, share in zip(STYLE_CLASSES, shares, strict=True):
            assert abs(classes[name] / 6000 - share) < 0.026
    for item in items:
        fancy = [style != "concise" for style in item.facts.styles]
        better = fancy[item.facts.best], fancy[1 - item.facts.best]
        wanted = {"easy": {(True, False)}, "hard": {(False, True)}, "normal": {(True, True), (False, False)}}
        assert better in wanted[item.facts.style_class]
        assert item.pair.label == "AB"[item.facts.best]
        assert item.pair.subset == f"{item.facts.family}/{item.facts.skill}/{item.facts.style_class}"
    turns = Counter((item.facts.family, len(item.pair.prompt)) for item in items)
    assert turns["Chat", 3] > 200 and turns["Reasoning", 3] > 200 and turns["Safety", 3] == 0
    steps = Counter(item.facts.steps for item in items if item.facts.family == "Reasoning")
    assert set(steps) == {1, 2, 3, 4, 5} and min(steps.values()) > 250


def test_no_test_question_occurs_in_training(soak: bool) -> None:
    """The hash of the text decides, so it holds by construction; here it is counted as well."""
    number = 50_000 if soak else 5_000
    train = {question_of(item.pair) for item in sample_pairs(1, number)}
    assert not any(map(is_test_question, train))
    for split in SPLITS[1:]:
        test = [question_of(item.pair) for item in sample_pairs(1, number // 5, split=split)]
        assert all(map(is_test_question, test))
        assert not train.intersection(test)
    print(f"{len(train)} different questions in {number} training items")
    assert len(train) > 0.9 * number


def test_held_out_templates_and_words_never_occur_in_training() -> None:
    for split in SPLITS[:2]:
        for item in sample_pairs(2, 3000, split=split):
            assert not item.facts.has_held_out_templates and not item.facts.has_held_out_words
            assert not any("held" in name for name in item.facts.templates)
            words = set(re.findall("[A-Za-z]+", repr(item)))
            assert words.isdisjoint(HELD_OUT_WORDS)
    for item in sample_pairs(2, 1000, split="test_templates"):
        assert item.facts.has_held_out_templates and not item.facts.has_held_out_words
    for item in sample_pairs(2, 1000, split="test_words"):
        assert item.facts.has_held_out_words and not item.facts.has_held_out_templates
        assert not HELD_OUT_WORDS.isdisjoint(re.findall("[A-Za-z]+", question_of(item.pair)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"split": "dev"}, "'dev' is not known to the world; choose one of train, test"),
        ({"distribution": "flat"}, "choose one of biased, balanced"),
        ({"family": "Poetry"}, "choose one of Reasoning, Chat, Safety"),
    ],
)
def test_unknown_choices_are_refused(arguments: dict, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        sample_pair(0, 0, **arguments)


def test_lists_that_cannot_be_ordered_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected 2 to 5"):
        sample_candidates(0, 0, number=6)
    with pytest.raises(ConfigError, match="no best-of-N lists"):
        sample_candidates(0, 0, family="Safety")
