"""Whether curation left enough for what follows."""

from __future__ import annotations

import json

import pytest

from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.run import run_curation
from rmr1.errors import ConfigError, RunError
from rmr1.pipeline.check import SplitNeed, require_splits
from rmr1.pipeline.own import plan_own
from rmr1.pipeline.recipe import build_pipeline

WORDS = ["apple", "brick", "cloud", "delta", "ember", "flint", "grape", "honey", "ivory", "jelly"]


def write_pairs(path, prompts):
    rows = [
        {"prompt": prompt, "response_a": f"no {number}", "response_b": f"yes {number}", "label": "B"}
        for number, prompt in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def curate(tmp_path, prompts, *, similar=0.7):
    data = write_pairs(tmp_path / "pairs.jsonl", prompts)
    values = {
        "sources": {"mine": {"data": str(data)}},
        "splits": {"held_out": 0.1, "looks": 0.1, "rl": "rest"},
        "duplicates": {"near": 0, "prompts": similar},
    }
    run_curation(CurateRecipe.from_values(values, "test"), tmp_path / "curate")
    return tmp_path / "curate"


NEEDS = (
    SplitNeed(split="looks", stage="grpo", prompts=2),
    SplitNeed(split="held_out", stage="bench", prompts=2),
    SplitNeed(split="rl", stage="grpo", pairs=40),
)


def test_few_prompts(tmp_path):
    """65 pairs over 5 prompts: pairs are many, and there is next to nothing to split."""
    folder = curate(tmp_path, [f"{WORDS[number % 5]} {WORDS[9 - number % 5]}?" for number in range(65)])
    with pytest.raises(ConfigError) as caught:
        require_splits(folder, needs=NEEDS)
    told = str(caught.value)
    assert "split looks has 13 pairs of 1 prompts, and stage grpo needs at least 2 prompts" in told
    assert "the 65 pairs have 5 distinct prompts, and prompts are what is split" in told
    assert "add pairs with other prompts, or give the split a larger share" in told
    assert "--set curate.splits.looks=SHARE" in told
    assert "duplicates" not in told


def test_prompts_of_one_template(tmp_path):
    text = " ".join(WORDS * 3)
    prompts = [f"{text} number {number}" for number in range(200)]
    with pytest.raises(ConfigError) as caught:
        require_splits(curate(tmp_path, prompts, similar=0.5), needs=NEEDS)
    assert "the 200 pairs have 200 distinct prompts in " in str(caught.value)
    assert "raise curate.duplicates.prompts, now 0.5, where prompts are alike only by" in str(caught.value)


def test_enough(tmp_path):
    folder = curate(tmp_path, [f"{one} {two}?" for one in WORDS for two in WORDS], similar=0)
    require_splits(folder, needs=NEEDS)
    with pytest.raises(
        ConfigError, match=r"stage grpo needs at least 100 pairs; .*; add pairs with other prompts$"
    ):
        require_splits(folder, needs=(SplitNeed(split="rl", stage="grpo", pairs=100),))
    (folder / "curate.json").write_text("{")
    with pytest.raises(RunError, match=r"curate\.json: cannot be read"):
        require_splits(folder, needs=NEEDS)


def test_what_stages_need(tmp_path):
    data = write_pairs(tmp_path / "own.jsonl", [f"{one} {two}?" for one in WORDS for two in WORDS])
    values = plan_own(str(data), "tiny", teacher="scripted:longer")
    check = build_pipeline(values, "p.toml").stages[0].check
    # Half of 50 pairs in each of two epochs.
    assert check.keywords["needs"] == (
        SplitNeed(split="distill", stage="distill"),
        SplitNeed(split="rl", stage="grpo", pairs=25),
        SplitNeed(split="looks", stage="grpo", prompts=2),
        SplitNeed(split="held_out", stage="bench", prompts=2),
    )
    assert build_pipeline({"curate": values["curate"]}, "p.toml").stages[0].check is None


def test_a_rollout_of_few_own_pairs(tmp_path):
    """50 pairs with a teacher leave 25 to reinforce on, fewer than the smallest rollout of a large model has else."""
    data = write_pairs(tmp_path / "own.jsonl", [f"{one} {two}?" for one in WORDS[:5] for two in WORDS])
    found = plan_own(str(data), "Qwen/Qwen2.5-7B-Instruct", teacher="scripted:longer")["grpo"]
    assert found["rollout"]["prompts"] == 12
    assert plan_own(str(data), "Qwen/Qwen2.5-7B-Instruct")["grpo"]["rollout"]["prompts"] == 20
