"""`rmr1 scalar`: what is learnt is what the judge asks, the best rate is kept, a stopped run ends like one that was not."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemWriter
from transformers import AutoTokenizer

from rmr1.cli.main import main
from rmr1.data import read_pairs
from rmr1.errors import CheckpointError, DataError, RunError
from rmr1.judge import load_judge
from rmr1.train.loop import Training
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.scalar.run import run_scalar

from ..fixtures.make_runs import COMMANDS, RUNS
from ..tiny_models import build_model, build_scorer, build_tokenizer, save_model
from ..training import WORDS, write_recipe, write_rows
from .runs import kill_when, rmr1

torch.set_num_threads(1)

GOOD, BAD = WORDS[:5], WORDS[5:]


def make_pairs(number: int, *, first: int = 0) -> list[dict[str, Any]]:
    """The better answer has words of one half of the list: a scalar model learns it in a few steps."""
    rows = []
    for index in range(first, first + number):
        good = " ".join(GOOD[(index + shift) % 5] for shift in range(1 + index % 3))
        bad = " ".join(BAD[(index + shift) % 5] for shift in range(1 + index % 4))
        a, b = (good, bad) if index % 2 else (bad, good)
        label = "A" if index % 2 else "B"
        prompt = f"Say something, number {index}."
        rows.append({"id": str(index), "prompt": prompt, "response_a": a, "response_b": b, "label": label})
    return rows


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", make_pairs(48))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("pairs") / "held-out.jsonl", make_pairs(20, first=100))


def small_recipe(pairs: Path, **sections: Any) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "device": "cpu",
        "model": {
            "from_scratch": {
                "hidden_size": 32,
                "layers": 2,
                "intermediate_size": 48,
                "context": 128,
                "tokenizer": {"vocabulary": 450},
            }
        },
        "data": {"train": str(pairs), "max_tokens": 128},
        "batch": {"examples": 8, "examples_at_once": 4},
        "optim": {"name": "muon", "lr": 1e-2, "warmup": 2, "epochs": 2},
        "checkpoint": {"every": 2, "keep": 2},
    }
    for name, values in sections.items():
        recipe[name] = {**recipe.get(name, {}), **values}
    return recipe


def train(output: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    return run_scalar(ScalarRecipe.from_values(recipe, "recipe.toml"), output, quiet=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two_rates(pairs: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    recipe = small_recipe(
        pairs,
        data={"held_out": str(held_out)},
        optim={"lr": [1e-6, 1e-2]},
        evaluation={"every": 5},
    )
    train(folder, recipe)
    return folder


def test_it_learns_and_the_better_rate_is_kept(two_rates: Path) -> None:
    summary = json.loads((two_rates / "summary.json").read_text())
    assert summary["lr"] == 1e-2 and [one["lr"] for one in summary["tries"]] == [1e-6, 1e-2]
    assert summary["held_out_accuracy"] == 1.0 > summary["tries"][0]["held_out_accuracy"]
    assert (summary["steps"], summary["examples"], summary["train_pairs"]) == (12, 96, 48)
    lines = metrics(two_rates)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    # A model that has learnt nothing has a loss of ln 2.
    assert steps[0]["loss"] == pytest.approx(0.693, abs=0.05) and steps[-1]["loss"] < 0.2
    assert steps[0]["lr"] == pytest.approx(5e-3) and steps[1]["lr"] == pytest.approx(1e-2)
    assert steps[-1]["tokens"] == summary["tokens"] == 2 * 48 * summary["tokens"] / 96
    assert [line["step"] for line in lines if "held_out_loss" in line] == [5, 10, 12]
    assert lines[-1]["held_out_accuracy"] == 1.0
    left = {path.name for path in (two_rates / "tries" / "lr-0.01").iterdir()}
    assert left == {"training.json", "metrics.jsonl", "summary.json"}


def test_rates_are_chosen_by_short_tries_and_the_best_is_trained_in_full(
    pairs: Path, held_out: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(
        pairs,
        data={"held_out": str(held_out)},
        optim={"lr": [1e-6, 1e-2], "tokens": 1500, "try_tokens": 600},
    )
    folder = tmp_path / "model"
    summary = train(folder, recipe)
    short = [one["tokens"] for one in summary["tries"]]
    assert (
        summary["lr"] == 1e-2 and all(600 <= tokens < 1500 for tokens in short) and summary["tokens"] >= 1500
    )
    assert metrics(folder)[-1]["step"] == summary["steps"] > summary["tries"][1]["steps"]
    alone = small_recipe(pairs, data={"held_out": str(held_out)}, optim={"lr": 1e-2, "tokens": 1500})
    train(tmp_path / "alone", alone)
    ours, theirs = weights(folder), weights(tmp_path / "alone")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert train(folder, recipe)["was_finished"]


def test_what_was_trained_is_what_the_judge_asks(two_rates: Path, held_out: Path) -> None:
    judge = load_judge(str(two_rates), options={"device": "cpu"})
    judgments = [judgment for _, judgment in judge.run(read_pairs(held_out))]
    assert len(judgments) == 20 and all(judgment.correct for judgment in judgments)
    losses = []
    for judgment in judgments:
        assert judgment.scores is not None
        better, worse = judgment.scores if judgment.pair.label == "A" else judgment.scores[::-1]
        losses.append(torch.nn.functional.softplus(torch.tensor(worse - better)).item())
    figure = json.loads((two_rates / "summary.json").read_text())["held_out_loss"]
    assert sum(losses) / 20 == pytest.approx(figure, rel=1e-4)


def test_the_command_line_trains_and_judges(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path / "recipe.toml", small_recipe(pairs, optim={"epochs": 1}))
    assert main(["scalar", str(path), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["pairs"], plan["steps"], plan["rates"]) == (48, 6, 1)
    told = plan["estimate"]
    assert told["seconds_of_run"] == pytest.approx(6 * told["seconds_per_step"], rel=0.01)
    assert "output layer" not in {part["name"] for part in told["memory"]}
    assert main(["scalar", str(path), "--dry-run", "--machine", "A100"]) == 0
    assert "machine: 1 x A100, 80 GB each" in capsys.readouterr().out
    assert main(["scalar", str(path)]) == 2
    assert "pass -o DIR" in capsys.readouterr().err
    model = str(tmp_path / "model")
    assert main(["scalar", str(path), "-o", model]) == 0
    captured = capsys.readouterr()
    assert "48 pairs; a training has 6 steps, 48 examples" in captured.out
    assert "step 6/6" in captured.err
    assert main(["scalar", str(path), "-o", model, "--quiet"]) == 0
    assert "this training is finished" in capsys.readouterr().out
    assert main(["judge", str(pairs), "-m", model, "-o", str(tmp_path / "run"), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 48
    with pytest.raises(RunError, match=r"made in another way: recipe.optim.epochs was 1, now 2"):
        train(tmp_path / "model", small_recipe(pairs))


@pytest.mark.parametrize("after", [4, 10])
def test_a_stopped_run_ends_like_one_that_was_not(
    two_rates: Path, pairs: Path, held_out: Path, tmp_path: Path, after: int
) -> None:
    """Stopped in the first and in the second try, after the checkpoint of step `after`."""
    recipe = json.loads((two_rates / "training.json").read_text())["recipe"]
    steps = iter(range(after + 1 + (12 if after == 10 else 0)))
    original = Training.take_step

    def stop(training: Training) -> dict[str, Any]:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return original(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "take_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "model", recipe)
    train(tmp_path / "model", recipe)
    expect_same(tmp_path / "model", two_rates)


def expect_same(found: Path, wanted: Path) -> None:
    one, other = weights(found), weights(wanted)
    assert one.keys() == other.keys()
    for name, tensor in other.items():
        assert torch.equal(one[name], tensor), name
    timeless = ("seconds", "tokens_per_second", "memory_gb")
    for line, expected in zip(metrics(found), metrics(wanted), strict=True):
        assert {key: line[key] for key in line if key not in timeless} == {
            key: expected[key] for key in expected if key not in timeless
        }


def test_a_killed_run_ends_like_one_that_was_not(two_rates: Path, tmp_path: Path, pairs: Path) -> None:
    recipe = json.loads((two_rates / "training.json").read_text())["recipe"]
    path = write_recipe(tmp_path / "recipe.toml", _without_nothing(recipe))
    folder = tmp_path / "model"
    file = folder / "tries" / "lr-1e-06" / "metrics.jsonl"
    command: list[object] = ["scalar", path, "-o", folder, "--quiet"]
    assert kill_when(command, lambda: file.exists() and file.read_bytes().count(b"\n") >= 6, most_seconds=240)
    assert not (folder / "summary.json").exists()
    train(folder, recipe)
    expect_same(folder, two_rates)


def _without_nothing(values: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null."""
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def test_a_full_disk_at_a_checkpoint_loses_nothing(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(pairs)
    train(tmp_path / "whole", recipe)
    original, calls = FileSystemWriter.write_data, []

    def save(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemWriter, "write_data", save)
        with pytest.raises(
            CheckpointError, match=r"step-00000006: .*No space left.*step-00000004 stays: free space"
        ):
            train(tmp_path / "model", recipe)
    train(tmp_path / "model", recipe)
    expect_same(tmp_path / "model", tmp_path / "whole")


def test_a_run_that_trl_began_goes_on(tmp_path: Path) -> None:
    """The steps after the stored checkpoint are those of a run that was not stopped."""
    runs = shutil.copytree(RUNS, tmp_path / "runs")
    rmr1(*COMMANDS["scalar"], cwd=runs)
    whole = COMMANDS["scalar"][:-1]
    rmr1(*whole, "whole", cwd=runs)
    one, other = (weights(runs / name) for name in ("scalar", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)
    figures = [
        [(line["step"], line["loss"], line["grad_norm"], line["lr"], line["tokens"]) for line in lines]
        for lines in (
            map(json.loads, (runs / name / "metrics.jsonl").read_text().splitlines())
            for name in ("scalar", "whole")
        )
    ]
    assert figures[0] == figures[1] and len(figures[0]) == 48
    assert not list((runs / "scalar").rglob("checkpoint*"))


def test_half_written_checkpoints_of_trl_are_none(tmp_path: Path) -> None:
    runs = shutil.copytree(RUNS, tmp_path / "runs")
    folder = runs / "scalar" / "tries" / "lr-0.001" / "checkpoints"
    for step, content in ((4, '{"global'), (6, None)):
        place = shutil.copytree(folder / "checkpoint-2", folder / f"checkpoint-{step}")
        (place / "trainer_state.json").unlink()
        if content is not None:
            (place / "trainer_state.json").write_text(content)
    said = rmr1(*COMMANDS["scalar"], cwd=runs).stderr
    assert "going on after step 2" in said


def test_a_causal_model_lends_its_backbone(pairs: Path, tmp_path: Path) -> None:
    """As the result of `rmr1 sft` does; a rate that changes nothing shows what it starts from."""
    tokenizer = build_tokenizer()
    assert tokenizer.pad_token_id is None
    base = build_model(vocab_size=len(tokenizer), initializer_range=0.05)
    save_model(tmp_path / "base", base, tokenizer)
    recipe = small_recipe(pairs, optim={"name": "adamw", "lr": 1e-30, "epochs": 1})
    recipe["model"] = {"base": str(tmp_path / "base"), "max_stuck_share": 1}
    recipe["data"]["max_tokens"] = 256
    train(tmp_path / "model", recipe)
    found = weights(tmp_path / "model")
    for name, tensor in base.model.state_dict().items():
        assert torch.allclose(found[f"model.{name}"], tensor, rtol=0, atol=1e-20), name
    assert found["score.weight"].shape == (1, 32)
    # The padding token ends no conversation, and the stored tokenizer is the base's.
    pad = json.loads((tmp_path / "model" / "config.json").read_text())["pad_token_id"]
    assert pad is not None and pad != tokenizer.eos_token_id
    stored, given = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("model", "base"))
    assert stored.get_vocab() == given.get_vocab() and stored.pad_token_id == given.pad_token_id
    # And from there on with the scalar model itself.
    recipe["model"]["base"] = str(tmp_path / "model")
    train(tmp_path / "again", recipe)
    assert torch.equal(weights(tmp_path / "again")["score.weight"], found["score.weight"])


def test_the_world_and_the_judges_tokenizer(tmp_path: Path) -> None:
    from rmr1.train.plan import build_plan
    from rmr1.train.recipe import Recipe
    from rmr1.train.scalar.plan import build_scalar_plan

    scratch = {"hidden_size": 32, "context": 512, "tokenizer": {"vocabulary": 700, "examples": 40}}
    recipe = {
        "model": {"from_scratch": scratch},
        "data": {"world": {"items": 30, "held_out": 6, "seed": 3}, "max_tokens": 512},
        "batch": {"examples": 4},
        "optim": {"tokens": 2000},
    }
    ours = build_scalar_plan(ScalarRecipe.from_values(recipe, "r.toml"))
    assert (len(ours.train), len(ours.held_out)) == (30, 6)
    assert 2000 <= ours.course.tokens[-1] < 2000 + 4 * 2 * 512
    theirs = build_plan(Recipe.from_values({**recipe, "optim": {"steps": 2}}, "r.toml"))
    assert ours.base.tokenizer.get_vocab() == theirs.base.tokenizer.get_vocab()
    # A finished judge's tokenizer may be taken over instead.
    ours.base.tokenizer.save_pretrained(tmp_path / "judge")
    (tmp_path / "judge" / "config.json").write_text('{"model_type": "qwen3"}')
    recipe["model"] = {
        "from_scratch": {**scratch, "tokenizer": {"vocabulary": 500}},
        "tokenizer": str(tmp_path / "judge"),
    }
    taken = build_scalar_plan(ScalarRecipe.from_values(recipe, "r.toml"))
    assert taken.base.tokenizer.get_vocab() == ours.base.tokenizer.get_vocab()


def test_ties_and_long_pairs_are_left_out_and_counted(pairs: Path, tmp_path: Path) -> None:
    rows = make_pairs(10)
    rows[0]["label"] = "tie"
    rows[1]["label"] = None
    rows[2]["response_a"] = "stone " * 200
    path = write_rows(tmp_path / "mixed.jsonl", rows)
    summary = train(tmp_path / "model", small_recipe(path, optim={"epochs": 1}))
    assert (summary["train_pairs"], summary["undecided"], summary["overlong"]) == (7, 2, 1)
    failing = small_recipe(path, data={"on_overlong": "fail"})
    with pytest.raises(
        DataError, match=r"pair '2': conversation of \d+ tokens is longer than data.max_tokens 128"
    ):
        train(tmp_path / "other", failing)


def test_bad_input_is_one_line(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def complain(**sections: Any) -> str:
        path = write_recipe(tmp_path / "recipe.toml", small_recipe(pairs, **sections))
        assert main(["scalar", str(path), "-o", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists()
        complaint = capsys.readouterr().err
        assert complaint.startswith("rmr1: ") and complaint.count("\n") == 1
        return complaint

    ties = write_rows(tmp_path / "ties.jsonl", [{**row, "label": "tie"} for row in make_pairs(3)])
    assert "nothing to train on: of 3 pairs 3 have no preferred answer" in complain(data={"train": str(ties)})
    assert "no held-out pair is left" in complain(data={"held_out": str(ties)})
    assert "model's context 128" in complain(data={"max_tokens": 200})
    assert "no such" in complain(data={"train": str(tmp_path / "missing.jsonl")})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "accelerate", None)
        assert "needs accelerate, which is not installed; pip install 'rmr1[train]'" in complain()
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        assert "trains in one process" in complain()
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    bare = save_model(tmp_path / "bare", build_scorer(vocab_size=len(tokenizer)), tokenizer)
    recipe = {**small_recipe(pairs), "model": {"base": str(bare)}}
    with pytest.raises(CheckpointError, match="has no chat template"):
        train(tmp_path / "out", recipe)


def test_a_rate_that_diverges_does_not_take_the_others_along(
    pairs: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small_recipe(
        pairs,
        data={"held_out": str(held_out)},
        optim={"name": "adamw", "lr": [1e30, 1e-2], "warmup": 0, "epochs": 1},
    )
    summary = train(tmp_path / "model", recipe)
    assert summary["lr"] == 1e-2 and summary["tries"][0]["diverged"]
    assert not list(tmp_path.rglob("checkpoints"))
    recipe["optim"]["lr"] = 1e30
    recipe["checkpoint"] = {"every": 1}
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    assert main(["scalar", str(path), "-o", str(tmp_path / "other"), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"rmr1: rate 1e\+30, (after )?step \d+: .* diverged .*Lower optim\.lr", line)
    assert not (tmp_path / "other/model.safetensors").exists()


def test_steps_that_round_away_are_told(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small_recipe(pairs, optim={"name": "adamw", "lr": 1e-6, "epochs": 1})
    recipe["model"]["precision"] = "bf16-pure"
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    words = ["scalar", str(path), "-o", str(tmp_path / "model")]
    assert main([*words, "--quiet"]) == 2
    assert "rate 1e-06 moves at most " in capsys.readouterr().err
    assert main([*words, "--set", "model.max_stuck_share=1"]) == 0
    assert "rate 1e-06 moves at most " in capsys.readouterr().err


def test_bfloat16_runs(pairs: Path, tmp_path: Path) -> None:
    for precision in ("bf16", "bf16-pure"):
        recipe = small_recipe(pairs, optim={"epochs": 1})
        recipe["model"]["precision"] = precision
        train(tmp_path / precision, recipe)
        assert {tensor.dtype for tensor in weights(tmp_path / precision).values()} == {torch.bfloat16}
        shutil.rmtree(tmp_path / precision)
