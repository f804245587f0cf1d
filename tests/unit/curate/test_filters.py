"""Each filter by the pair that just passes and the one that just does not."""

from __future__ import annotations

from typing import Any

import pytest

from rmr1.curate.filters import (
    ABOUT,
    REASONS,
    check_lengths,
    check_names,
    check_pair,
    measure,
)
from rmr1.curate.recipe import FilterRecipe
from rmr1.messages import assistant, user
from rmr1.records import PreferencePair


def pair(**values: Any) -> PreferencePair:
    texts = {"prompt": "12345", "response_a": "abc", "response_b": "defg", **values}
    return PreferencePair(
        id="x",
        prompt=(user(texts.pop("prompt")),),
        response_a=(assistant(texts.pop("response_a")),),
        response_b=(assistant(texts.pop("response_b")),),
        **{"label": "A", **texts},
    )


def reason(drop: Any) -> str | None:
    return None if drop is None else drop.reason


@pytest.mark.parametrize(
    ("values", "rules", "expected"),
    [
        ({}, {}, None),
        ({"label": "tie"}, {}, "tie"),
        ({"label": "tie"}, {"ties": "keep"}, None),
        ({"label": None}, {}, "unlabelled"),
        ({"label": None}, {"unlabelled": "keep"}, None),
        ({"response_b": " abc\n"}, {}, "identical"),
        ({"response_b": " abc\n"}, {"identical": "keep"}, None),
        ({"response_b": "Abc"}, {}, None),
        ({"response_b": "a<im_start>b"}, {"forbid": ["<im_start>"]}, "forbidden_text"),
        ({"prompt": "a<im_start>b"}, {"forbid": ["<im_start>"]}, None),
    ],
)
def test_labels_and_responses(values: dict[str, Any], rules: dict[str, Any], expected: str | None) -> None:
    assert reason(check_pair(pair(**values), FilterRecipe(**rules))) == expected


@pytest.mark.parametrize(
    ("source", "subset", "rules", "expected"),
    [
        ("magpie_ultra", None, {"drop_sources": ["magpie_ultra"]}, "source"),
        ("magpie_pro", None, {"drop_sources": ["magpie_ultra"]}, None),
        ("magpie_pro", None, {"drop_sources": ["magpie_*"]}, "source"),
        ("helpsteer2", None, {"keep_sources": ["magpie_*"]}, "source"),
        (None, None, {"keep_sources": ["magpie_*"]}, "source"),
        ("a", "math", {"keep_subsets": ["math"]}, None),
        ("a", "code", {"keep_subsets": ["math"]}, "subset"),
        ("a", "code", {"drop_subsets": ["code"]}, "subset"),
    ],
)
def test_names(source: str | None, subset: str | None, rules: dict[str, Any], expected: str | None) -> None:
    assert reason(check_names(pair(source=source, subset=subset), FilterRecipe(**rules))) == expected


@pytest.mark.parametrize(
    ("rules", "detail"),
    [
        ({"prompt_characters": {"min": 5, "max": 5}}, None),
        ({"prompt_characters": {"max": 4}}, "prompt has 5"),
        ({"response_characters": {"min": 3, "max": 4}}, None),
        ({"response_characters": {"min": 4}}, "response_a has 3"),
        ({"response_characters": {"max": 3}}, "response_b has 4"),
        ({"pair_characters": {"min": 12, "max": 12}}, None),
        ({"pair_characters": {"max": 11}}, "pair has 12"),
    ],
)
def test_lengths(rules: dict[str, Any], detail: str | None) -> None:
    drop = check_lengths("characters", measure(pair(), len), FilterRecipe(**rules))
    assert (None if drop is None else drop.detail) == detail
    named = {key.replace("characters", "tokens"): value for key, value in rules.items()}
    drop = check_lengths("tokens", measure(pair(), len), FilterRecipe(**named))
    assert (None if drop is None else (drop.reason, drop.detail)) == (
        None if detail is None else ("tokens", detail)
    )


def test_every_reason_is_explained() -> None:
    assert tuple(ABOUT) == REASONS
