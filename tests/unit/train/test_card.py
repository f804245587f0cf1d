"""The model card of a training, out of what its folder holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from rmr1.train.card import format_card, format_merged, read_origin


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    front = "---\nlicense: apache-2.0\nbase_model: org/model\ntags:\n- x\n---\n"
    (folder / "README.md").write_text(f"{front}license: other\n")
    return folder


def write_training(folder: Path, recipe: dict[str, object], **summary: object) -> Path:
    folder.mkdir()
    described = {"recipe": recipe, "versions": {"rmr1": "9.9"}}
    (folder / "training.json").write_text(json.dumps(described))
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_card_tells_base_data_settings_and_figures(base: Path, tmp_path: Path) -> None:
    recipe = {
        "model": {"base": str(base), "revision": None},
        "data": {"train": ["pairs.jsonl"], "held_out_share": 0.02},
        "rollout": {"prompts": 4},
        "optim": {"lr": 1e-6},
    }
    folder = write_training(tmp_path / "judge", recipe, steps=3, best_held_out_accuracy=0.875, kept_step=2)
    (folder / "adapter_config.json").write_text("{}")
    card = format_card(folder)
    front = card.split("---\n")[1].splitlines()
    assert front[:4] == [
        "base_model: org/model",
        "license: apache-2.0",
        "library_name: peft",
        "pipeline_tag: text-generation",
    ]
    assert front[-2:] == ["- grpo", "- lora"]
    assert f"rmr1 judge pairs.jsonl -m {base} --adapter {folder}" in card
    assert "| held-out verdicts that are right, of the weights that were kept | 87.5% |" in card
    assert "- train: `pairs.jsonl`" in card and "- held out of the training rows: 2%" in card
    assert "prompts = 4" in card and "revision" not in card
    assert "Versions: rmr1 9.9." in card


def test_a_scalar_model_from_nothing(tmp_path: Path) -> None:
    recipe = {"model": {"base": None}, "data": {"world": {"items": 8}}, "optim": {"lr": [0.1]}}
    card = format_card(write_training(tmp_path / "scalar", recipe, steps=1))
    assert "pipeline_tag: text-classification" in card and "base_model" not in card
    assert ", from nothing, by rmr1 9.9." in card and '`{"items": 8}`' in card


def test_what_is_known_of_the_base_is_handed_on(base: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    merged.mkdir()
    (merged / "config.json").write_text("{}")
    (merged / "README.md").write_text(format_merged(str(base), tmp_path / "adapter"))
    assert read_origin(str(merged)) == {"base_model": "org/model", "license": "apache-2.0"}
    assert read_origin("org/other") == {"base_model": "org/other"}
    assert read_origin(None) == {}
