"""What a recipe may say, and how a wrong one is told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rmr1.curate.inputs import find_benchmarks, find_sources
from rmr1.curate.recipe import CurateRecipe, is_dataset, locate
from rmr1.errors import ConfigError, DataError

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
ONE = {"sources": {"chat": {"data": "a.jsonl"}}}


def refuse(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        CurateRecipe.from_values(values, "r.toml")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({**ONE, "sede": 1}, "r.toml: unknown key 'sede'; did you mean 'seed'?"),
        (
            {"sources": {"chat": {"data": "a", "tak": 5}}},
            "r.toml: unknown key 'sources.chat.tak'; did you mean 'take'?",
        ),
        ({**ONE, "filters": {"tie": "drop"}}, "r.toml: unknown key 'filters.tie'; did you mean 'ties'?"),
        (
            {"sources": {"chat": {"data": "a", "filters": {"langages": ["en"]}}}},
            "r.toml: unknown key 'sources.chat.filters.langages'; did you mean 'languages'?",
        ),
        ({**ONE, "duplicates": {"nera": 1}}, "r.toml: unknown key 'duplicates.nera'; did you mean 'near'?"),
        ({"sources": {"chat": {"take": 5}}}, "r.toml: 'sources.chat.data' is missing"),
        ({"seed": 1}, "r.toml: 'sources' is missing"),
        (
            {"sources": {"p": "a.jsonl"}},
            "r.toml: sources.p: expected a section of keys and values, got 'a.jsonl'",
        ),
        ({"sources": {"chat": {"data": "a", "take": 5, "weight": 1}}}, "name one of take, share and weight"),
        (
            {"sources": {"chat": {"data": "a", "format": "skywrk"}}},
            "no data format 'skywrk'; did you mean 'skywork'?",
        ),
        ({"sources": {"a/b": {"data": "a"}}}, "'a/b' is no name"),
        ({**ONE, "splits": {"dropped": 0.5, "rl": "rest"}}, "'dropped' is the name of another file"),
        ({**ONE, "splits": {"a": 0.5, "b": 0.4}}, "the shares add up to 0.9 with 0 of 'rest'"),
        ({**ONE, "splits": {"a": "rest", "b": "rest"}}, "the shares add up to 0 with 2 of 'rest'"),
        ({**ONE, "splits": {"a": 0, "b": "rest"}}, "splits.a: 0.0 is no share"),
        ({**ONE, "filters": {"pair_tokens": {"max": 9}}}, "sources.chat: limits in tokens need 'tokenizer'"),
        ({**ONE, "decontaminate": {"ngram": 13}}, "'decontaminate.benchmarks' is missing"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(values: dict[str, Any], told: str) -> None:
    assert told in refuse(values)


def test_filters_of_a_source_win_key_by_key() -> None:
    recipe = CurateRecipe.from_values(
        {
            "filters": {"ties": "keep", "languages": ["en"]},
            "sources": {"a": {"data": "a"}, "b": {"data": "b", "filters": {"languages": ["zh"]}}},
        },
        "r.toml",
    )
    assert recipe.sources["a"].filters.languages == ("en",)
    assert recipe.sources["b"].filters.languages == ("zh",)
    assert recipe.sources["b"].filters.ties == "keep"


def test_the_rest_is_what_is_left() -> None:
    recipe = CurateRecipe.from_values(
        {**ONE, "splits": {"distill": 0.12, "held_out": 0.05, "rl": "rest"}}, "r.toml"
    )
    assert recipe.shares == pytest.approx({"distill": 0.12, "held_out": 0.05, "rl": 0.83})
    assert CurateRecipe.from_values(ONE, "r.toml").shares == {"pairs": 1.0}


def test_paths_begin_at_the_root_and_datasets_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    monkeypatch.setenv("RMR1_TEST_DATA", str(tmp_path))
    recipe = CurateRecipe.from_values(
        {"root": "$RMR1_TEST_DATA", "sources": {"a": {"data": ["a.jsonl", "org/name@train"]}}}, "r"
    )
    (source,) = find_sources(recipe)
    assert source.paths == (str(tmp_path / "a.jsonl"), "org/name@train")
    assert [is_dataset(path) for path in source.paths] == [False, True]
    assert not source.is_local
    monkeypatch.delenv("RMR1_TEST_DATA")
    with pytest.raises(
        ConfigError, match=r"root: '\$RMR1_TEST_DATA' needs the environment variable RMR1_TEST_DATA"
    ):
        locate(recipe, "a.jsonl", "sources.a.data")


def test_a_missing_file_is_told_with_its_key(tmp_path: Path) -> None:
    recipe = CurateRecipe.from_values({"root": str(tmp_path), "sources": {"a": {"data": "gone.jsonl"}}}, "r")
    with pytest.raises(DataError, match=r"sources\.a\.data: no such file or folder: .*gone\.jsonl"):
        find_sources(recipe)
    values = {**ONE, "root": str(tmp_path), "decontaminate": {"benchmarks": {"own": "gone.jsonl"}}}
    with pytest.raises(DataError, match=r"decontaminate\.benchmarks\.own: no such file or folder"):
        find_benchmarks(CurateRecipe.from_values(values, "r"))


def test_the_papers_recipe_says_what_the_paper_says() -> None:
    values = tomllib.loads((RECIPES / "curate-rm-r1.toml").read_text())
    recipe = CurateRecipe.from_values(values, "curate-rm-r1.toml")
    assert list(recipe.sources) == ["math", "code", "skywork"]
    code, skywork = recipe.sources["code"], recipe.sources["skywork"]
    assert (code.take, code.sample, code.seed) == (8000, "shuffle", 42)
    assert skywork.filters.drop_sources == ("magpie_ultra",)
    assert recipe.sides == "alternate" and recipe.splits["distill"] == 0.12
    # Table 5: 29,682 + 8,504 + 7,221 + 6,709 + 2,030 pairs of Skywork.
    assert skywork.expected == 29682 + 8504 + 7221 + 6709 + 2030


def test_the_local_recipe_is_valid() -> None:
    recipe = CurateRecipe.from_values(
        tomllib.loads((RECIPES / "curate-local.toml").read_text()), "curate-local.toml"
    )
    assert len(recipe.sources) == 11 and recipe.decontaminate is not None
