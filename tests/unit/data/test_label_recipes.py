"""The mapping of labels reaches every recipe that reads pairs, and changes nothing where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.curate.run import identify, run_curation
from rmr1.data.read import read_pairs
from rmr1.distill.items import describe_data, read_items
from rmr1.distill.recipe import DistillRecipe
from rmr1.pipeline.forecast import measure_pairs
from rmr1.pipeline.own import plan_own
from rmr1.records import Label
from tests.unit.curate.making import recipe_of

LABELS: dict[str, Label] = {"1": "A", "2": "B", "0": "tie"}


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """Sixty pairs with the labels 1, 2 and 0 in turn."""
    rows = [
        {
            "prompt": f"question {number}",
            "response_a": f"a{number}",
            "response_b": f"b{number}",
            "label": label,
        }
        for number, label in enumerate([1, 2, 0] * 20)
    ]
    path = tmp_path / "coded.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_curation(tmp_path, coded):
    recipe = recipe_of(
        {"own": {"data": str(coded), "label": LABELS}}, filters={"ties": "keep"}, sides="as-read"
    )
    run_curation(recipe, tmp_path / "out")
    labels = [pair.label for pair in read_pairs(tmp_path / "out" / "pairs.jsonl")]
    assert {label: labels.count(label) for label in ("A", "B", "tie")} == {"A": 20, "B": 20, "tie": 20}
    description = json.loads((tmp_path / "out" / "curate.json").read_text())
    assert identify(description)["recipe"]["sources"]["own"]["label"] == LABELS


def test_a_curation_without_a_mapping_is_known_as_ever(coded):
    values = recipe_of({"own": coded}).model_dump(mode="json")
    before = json.loads(json.dumps(values))
    del before["sources"]["own"]["label"]
    assert identify({"recipe": values, "inputs": {}}) == identify({"recipe": before, "inputs": {}})


def test_distillation(coded):
    data = {"train": str(coded), "label": LABELS}
    recipe = DistillRecipe.from_values({"data": data, "pass1": {"teacher": "scripted:longer"}}, "recipe.toml")
    labels = [item.pair.label for item in read_items(recipe)]
    assert labels == ["A", "B", "tie"] * 20
    assert describe_data(recipe.data)["label"] == LABELS
    plain = DistillRecipe.from_values(
        {"data": {"train": str(coded)}, "pass1": {"teacher": "x"}}, "recipe.toml"
    )
    assert "label" not in describe_data(plain.data)


def test_reinforcement_and_scalar_models(coded):
    pytest.importorskip("torch")
    from rmr1.train.examples import read_labelled
    from rmr1.train.grpo.recipe import TaskDataRecipe
    from rmr1.train.scalar.recipe import PairDataRecipe

    for kind in (TaskDataRecipe, PairDataRecipe):
        pairs = read_labelled(str(coded), kind(train=str(coded), label=LABELS))
        assert [pair.label for _, pair in pairs] == ["A", "B", "tie"] * 20


def test_the_whole_way_from_own_pairs(tmp_path, coded):
    path = tmp_path / "more.jsonl"
    path.write_text(coded.read_text() * 2)
    values = plan_own(str(path), "tiny", labels=LABELS)
    assert values["curate"]["sources"]["pairs"]["label"] == LABELS
    sizes = measure_pairs(str(path), labels=LABELS)
    assert sizes is not None and (sizes.pairs, sizes.decided) == (120, 80)
