"""`rmr1 sft`: loss falls, the result judges, and a run that was stopped ends like one that was not."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import accelerate.tracking
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint import FileSystemWriter
from transformers import AutoModelForCausalLM, AutoTokenizer

from rmr1.cli.main import main
from rmr1.errors import CheckpointError, ConfigError, DataError, RunError, TrainingError
from rmr1.train import sft
from rmr1.train.optim import Optimizers
from rmr1.train.recipe import Recipe
from rmr1.train.sft import run_sft

from ..tiny_models import build_model, build_tokenizer, save_model
from ..training import make_rows, small_recipe, write_recipe, write_rows
from .runs import kill_when, read_tensors, write_pairs

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", make_rows(48))


@pytest.fixture(scope="module")
def short_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without the system prompt, which the base's tokenizer splits into thousands of tokens."""
    found = [{"messages": row["messages"][1:]} for row in make_rows(16)]
    return write_rows(tmp_path_factory.mktemp("short") / "rows.jsonl", found)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 4096
    model = build_model(
        vocab_size=len(tokenizer),
        initializer_range=0.05,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    return save_model(tmp_path_factory.mktemp("base"), model, tokenizer)


def train(output: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    return run_sft(Recipe.from_values(recipe, "recipe.toml"), output, quiet=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def expect_same_weights(one: Path, other: Path) -> None:
    found, wanted = weights(one), weights(other)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    train(
        folder,
        small_recipe(rows, evaluation={"verdicts": 4, "max_new_tokens": 40}, data={"held_out": str(rows)}),
    )
    return folder


def test_the_loss_falls_and_the_folder_loads(uninterrupted: Path) -> None:
    lines = metrics(uninterrupted)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert steps[-1]["loss"] < 0.9 * steps[0]["loss"]
    assert {"lr", "grad_norm", "tokens", "tokens_per_second", "memory_gb"} <= steps[0].keys()
    assert steps[0]["lr"] == pytest.approx(1.5e-3) and steps[1]["lr"] == pytest.approx(3e-3)
    summary = json.loads((uninterrupted / "summary.json").read_text())
    assert summary["examples"] == 96 and summary["held_out_verdicts"] == 4
    assert lines[-1]["held_out_loss"] == summary["held_out_loss"]
    model = AutoModelForCausalLM.from_pretrained(uninterrupted)
    tokenizer = AutoTokenizer.from_pretrained(uninterrupted)
    assert model.dtype == torch.float32 and model.config._attn_implementation == "sdpa"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.chat_template and tokenizer.model_max_length == 512
    assert (uninterrupted / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_result_judges(uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 3)
    arguments = ["judge", str(pairs), "-m", str(uninterrupted), "-o", str(tmp_path / "run"), "--quiet"]
    assert main([*arguments, "--max-new-tokens", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 3


def test_a_finished_run_is_left_as_it_is(uninterrupted: Path, rows: Path) -> None:
    before = (uninterrupted / "model.safetensors").stat().st_mtime_ns
    recipe = small_recipe(
        rows, evaluation={"verdicts": 4, "max_new_tokens": 40}, data={"held_out": str(rows)}
    )
    assert train(uninterrupted, recipe)["was_finished"]
    assert (uninterrupted / "model.safetensors").stat().st_mtime_ns == before
    recipe["optim"]["lr"] = 1e-3
    with pytest.raises(RunError, match=r"made in another way: recipe.optim.lr was 0.003, now 0.001"):
        train(uninterrupted, recipe)


def test_packing_accumulation_and_checkpointing_change_nothing(rows: Path, tmp_path: Path) -> None:
    def run(name: str, **sections: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
        sections["optim"] = {"name": "adamw", "lr": 1e-3, "steps": 3, "eps": 1e-3}
        train(tmp_path / name, small_recipe(rows, **sections))
        losses = [line["loss"] for line in metrics(tmp_path / name)]
        return losses, weights(tmp_path / name)

    wanted = run("packed")
    others = {
        "wide": {"batch": {"row_tokens": 2048}},
        "single": {"batch": {"packing": False}},
        "recomputed": {"model": {**small_recipe(rows)["model"], "checkpointing": True}},
    }
    for name, sections in others.items():
        found = run(name, **sections)
        assert found[0] == pytest.approx(wanted[0], rel=1e-5), name
        for key, tensor in wanted[1].items():
            assert torch.allclose(found[1][key], tensor, rtol=1e-4, atol=1e-6), (name, key)


def kill_and_resume(rows: Path, folder: Path, wanted: Path, *, kills: int, seed: int) -> None:
    """Kill at random steps, some of them while a checkpoint is written; then let it end."""
    draw = random.Random(seed)
    recipe = small_recipe(
        rows, evaluation={"verdicts": 4, "max_new_tokens": 40}, data={"held_out": str(rows)}
    )
    path = write_recipe(folder.parent / "recipe.toml", recipe)
    command: list[object] = ["sft", path, "-o", folder, "--quiet"]
    file, done = folder / "metrics.jsonl", 0
    for kill in range(kills):
        before = _count_steps(file)
        target = before + draw.randint(1, max(1, (11 - before) // (kills - kill)))
        in_write = draw.random() < 0.5

        def is_time(target: int = target, in_write: bool = in_write) -> bool:
            steps = _count_steps(file)
            if steps < target:
                return False
            return not in_write or steps > 10 or any((folder / "checkpoints").glob(".part-*"))

        done += kill_when(command, is_time, most_seconds=240)
    assert done == kills, "the run ended before it could be killed"
    assert not (folder / "summary.json").exists()
    train(folder, recipe)
    expect_same_weights(folder, wanted)
    timeless = ("seconds", "tokens_per_second", "memory_gb")
    for found, other in zip(metrics(folder), metrics(wanted), strict=True):
        assert {key: found[key] for key in found if key not in timeless} == {
            key: other[key] for key in other if key not in timeless
        }


def _count_steps(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_killed_runs_end_with_equal_weights_that_have_moved(
    rows: Path, uninterrupted: Path, tmp_path: Path, soak: bool
) -> None:
    kill_and_resume(rows, tmp_path / "model", uninterrupted, kills=2, seed=0)
    start = tmp_path / "start"
    still = {"lr": 1e-30, "muon_lr": 1e-30, "steps": 1}
    train(start, small_recipe(rows, model={"max_stuck_share": 1}, optim=still))
    for name, tensor in weights(start).items():
        if "norm" not in name and "bias" not in name:
            moved = (weights(uninterrupted)[name] - tensor).norm() / tensor.norm()
            assert moved > 1e-3, name


@pytest.mark.soak
def test_ten_kills(rows: Path, uninterrupted: Path, tmp_path: Path, soak: bool) -> None:
    if not soak:
        pytest.skip("under make soak")
    for run in range(5):
        (tmp_path / str(run)).mkdir()
        kill_and_resume(rows, tmp_path / str(run) / "model", uninterrupted, kills=2, seed=1 + run)


def test_two_processes_do_what_one_does(rows: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        rows,
        optim={"name": "adamw", "lr": 1e-3, "steps": 3, "eps": 1e-3},
        batch={"examples": 7, "row_tokens": 400},
        data={"held_out": str(rows)},
    )
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "rmr1", "sft", str(path), "-o", str(tmp_path / "two"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert summary["processes"] == 2
    one = train(tmp_path / "one", recipe)
    assert summary["held_out_loss"] == pytest.approx(one["held_out_loss"], rel=1e-5)
    pairs = zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True)
    for found, wanted in pairs:
        for key in ("loss", "grad_norm", "tokens", "judged_tokens", "held_out_loss"):
            if key in wanted:
                assert found[key] == pytest.approx(wanted[key], rel=1e-5), key
    found = weights(tmp_path / "two")
    for name, tensor in weights(tmp_path / "one").items():
        assert torch.allclose(found[name], tensor, rtol=1e-4, atol=1e-6), name


def lora_recipe(base: Path, rows: Path, **sections: Any) -> dict[str, Any]:
    recipe = small_recipe(rows, **sections)
    recipe["model"] = {"base": str(base), "checkpointing": True}
    recipe["lora"] = {"r": 4, "alpha": 8, "dropout": 0.1}
    recipe["data"] = {"train": str(rows), "max_tokens": 4096, "check_prompts": True}
    recipe["optim"] = {"lr": 1e-2, "steps": 6, "warmup": 0}
    recipe["batch"] = {"examples": 2, "row_tokens": 4096}
    return recipe


def test_adapters_are_trained_resumed_merged_and_judged_with(
    base: Path, short_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = lora_recipe(base, short_rows)
    train(tmp_path / "lora", recipe)
    losses = [line["loss"] for line in metrics(tmp_path / "lora")]
    assert losses[-1] < losses[0]
    assert {path.name for path in (tmp_path / "lora").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
    }
    # Dropout is drawn anew for each step and row.
    stop = {**recipe, "optim": {**recipe["optim"], "steps": 6}}
    part = tmp_path / "part"
    _stop_after(part, stop, step=4)
    train(part, stop)
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (tmp_path / "lora", part))
    assert all(torch.equal(one[name], other[name]) for name in one)

    assert main(["merge", str(base), str(tmp_path / "lora"), "-o", str(tmp_path / "merged")]) == 0
    merged, before = weights(tmp_path / "merged"), weights(base)
    assert merged.keys() == before.keys()
    assert not torch.equal(
        merged["model.layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"]
    )
    pairs = write_pairs(tmp_path / "pairs.jsonl", 2)
    capsys.readouterr()
    texts = []
    for model in (["-m", str(tmp_path / "merged")], ["-m", str(base), "--adapter", str(tmp_path / "lora")]):
        assert (
            main(["judge", str(pairs), *model, "--json", "--max-new-tokens", "12", "--family", "direct"]) == 0
        )
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        texts.append([line["votes"][0]["generation"]["text"] for line in lines])
    assert texts[0] == texts[1] and any(texts[0])


def _stop_after(folder: Path, recipe: dict[str, Any], *, step: int) -> None:
    """Run until the checkpoint of `step` is written."""
    from rmr1.train import loop

    original = loop.write_checkpoint

    def write(run: Path, module: Any, optimizers: Any, state: Any, *, keep: int) -> Path:
        place = original(run, module, optimizers, state, keep=keep)
        if state["step"] == step:
            raise KeyboardInterrupt
        return place

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "write_checkpoint", write)
        with pytest.raises(KeyboardInterrupt):
            train(folder, recipe)


def test_a_full_disk_at_a_checkpoint_loses_nothing(
    rows: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = FileSystemWriter.write_data, []

    def save(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return original(*arguments, **options)

    monkeypatch.setattr(FileSystemWriter, "write_data", save)
    recipe = small_recipe(
        rows, evaluation={"verdicts": 4, "max_new_tokens": 40}, data={"held_out": str(rows)}
    )
    with pytest.raises(CheckpointError, match=r"step-00000006: .*No space left.*step-00000004 stays"):
        train(tmp_path / "model", recipe)
    train(tmp_path / "model", recipe)
    expect_same_weights(tmp_path / "model", uninterrupted)


def test_a_full_disk_at_the_end_keeps_the_checkpoint(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rmr1.train import export

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    recipe = small_recipe(rows, optim={"steps": 2})
    with monkeypatch.context() as patch:
        patch.setattr(export, "save_model", fail)
        with pytest.raises(
            CheckpointError, match=r"the model cannot be written .No space left.*checkpoints stay"
        ):
            train(tmp_path / "model", recipe)
    assert train(tmp_path / "model", recipe)["steps"] == 2
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert not (tmp_path / "model" / ".export-part").exists()


def test_bad_bases_are_one_line(
    base: Path, short_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = short_rows
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer.chat_template = None
    bare = save_model(tmp_path / "bare", model, tokenizer)
    recipe = lora_recipe(bare, rows)
    with pytest.raises(CheckpointError, match="has no chat template"):
        train(tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"data.max_tokens is 8192, and the model's context 4096"):
        train(tmp_path / "out", {**lora_recipe(base, rows), "data": {"train": str(rows)}})
    with pytest.raises(ConfigError, match=r"lora.target_modules: .*nowhere"):
        train(tmp_path / "out2", {**lora_recipe(base, rows), "lora": {"target_modules": ["nowhere"]}})
    # Nothing was done in that folder, so another recipe may have it.
    train(tmp_path / "out2", {**lora_recipe(base, rows), "optim": {"lr": 1e-3, "steps": 1}})
    path = write_recipe(tmp_path / "r.toml", lora_recipe(tmp_path / "missing", rows))
    capsys.readouterr()
    assert main(["sft", str(path), "-o", str(tmp_path / "out3")]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("rmr1: ") and complaint.count("\n") == 1


def test_no_padding_token_is_no_hindrance(short_rows: Path, tmp_path: Path) -> None:
    rows = short_rows
    tokenizer = build_tokenizer()
    model = build_model(
        "llama", vocab_size=len(tokenizer), max_position_embeddings=4096, tie_word_embeddings=True
    )
    base = save_model(tmp_path / "base", model, tokenizer)
    assert AutoTokenizer.from_pretrained(base).pad_token_id is None
    recipe = {**lora_recipe(base, rows), "optim": {"lr": 1e-3, "steps": 1}}
    del recipe["lora"]  # the whole model, whose output layer is its embedding
    path = write_recipe(tmp_path / "r.toml", recipe)
    assert main(["sft", str(path), "-o", str(tmp_path / "out")]) == 0
    assert "lm_head.weight" not in weights(tmp_path / "out")


def test_empty_data_and_other_folders(rows: Path, tmp_path: Path) -> None:
    empty = write_rows(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError, match="nothing to train on"):
        train(tmp_path / "out", small_recipe(empty))
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match=r"but no training.json"):
        train(tmp_path, small_recipe(rows))


def test_a_loss_that_is_no_number_ends_the_run(rows: Path, tmp_path: Path) -> None:
    recipe = small_recipe(rows, optim={"name": "adamw", "lr": 1e30, "warmup": 0})
    with pytest.raises(TrainingError, match=r"step \d+: .* diverged .*Lower optim.lr"):
        train(tmp_path / "out", recipe)


def test_trackers_write_into_the_folder(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.tracking import GeneralTracker

    seen: dict[str, Any] = {}

    class Tracker(GeneralTracker):
        name = "tensorboard"
        requires_logging_directory = True

        def __init__(self, run_name: str, logging_dir: str, **kwargs: Any):
            super().__init__()
            seen.update(run_name=run_name, logging_dir=logging_dir, steps=[])

        @property
        def tracker(self) -> None:
            return None

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            seen["settings"] = values

        def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
            seen["steps"].append((step, values["loss"]))

        def finish(self) -> None:
            seen["is_finished"] = True

    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Tracker)
    available = [accelerate.tracking.LoggerType("tensorboard")]
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", available)
    recipe = small_recipe(rows, data={"max_tokens": 512}, report={"report_to": "tensorboard"})
    run_sft(Recipe.from_values(recipe, "recipe.toml"), tmp_path / "model", quiet=True)
    assert seen["logging_dir"] == str(tmp_path / "model/logs") and seen["run_name"] == "rmr1"
    assert seen["settings"]["seed"] == 0 and seen["is_finished"]
    lines = (tmp_path / "model/metrics.jsonl").read_text().splitlines()
    wanted = [(line["step"], line["loss"]) for line in map(json.loads, lines) if "loss" in line]
    assert seen["steps"] == wanted


def test_dry_run(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_recipe(tmp_path / "recipe.toml", small_recipe(rows))
    assert main(["sft", str(path), "--dry-run", "--set", "optim.epochs=3", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["examples of an epoch"] == 48 and plan["steps"] == 18
    told = plan["estimate"]
    assert told["seconds_of_run"] == pytest.approx(18 * told["seconds_per_step"], rel=0.01)
    assert told["obstacle"] is None and told["parameters"] == told["trained_parameters"] > 0
    assert main(["sft", str(path), "--dry-run", "--machine", "8xh100"]) == 0
    printed = capsys.readouterr().out
    assert "machine: 8 x H100, 80 GB each" in printed and "time of a step: about" in printed
    assert main(["sft", str(path), "--dry-run", "--machine", "8xH1"]) == 2
    assert "machine '8xH1' is not known; expected one of H200, " in capsys.readouterr().err
    assert main(["sft", str(path)]) == 2
    assert "pass -o DIR" in capsys.readouterr().err


def test_the_world_is_drawn_as_it_is_needed(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "none")
    recipe["data"] = {"world": {"items": 12, "held_out": 4, "spelled": 0.1}, "max_tokens": 512}
    recipe["model"]["from_scratch"]["tokenizer"] = {"vocabulary": 2000, "examples": 30}
    recipe["optim"]["steps"] = 4
    summary = train(tmp_path / "out", recipe)
    assert summary["examples"] == 24 and summary["held_out_loss"] > 0


@pytest.mark.parametrize("at", ["step", "weights"])
def test_a_loss_that_is_no_number_ends_the_training(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    """Found in the step's own figures, or in the weights that it leaves; the last checkpoint is one to go on from."""
    broken = 5
    if at == "step":
        backward = sft.FineTuning.backward

        def fail(self: Any, *arguments: Any) -> float:
            loss = backward(self, *arguments)
            return math.nan if self.state["step"] + 1 == broken else loss

        monkeypatch.setattr(sft.FineTuning, "backward", fail)
    else:
        step = Optimizers.step

        def blow_up(self: Any, factor: float) -> None:
            step(self, factor)
            blow_up.calls += 1
            if blow_up.calls == broken + 1:  # step 6 writes a checkpoint
                self.parts[0].param_groups[0]["params"][0].data[0, 0] = math.inf

        blow_up.calls = 0
        monkeypatch.setattr(Optimizers, "step", blow_up)
    path = write_recipe(tmp_path / "recipe.toml", small_recipe(rows))
    output = tmp_path / "model"
    assert main(["sft", str(path), "-o", str(output), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "rmr1: step 5: loss nan, gradient " if at == "step" else "rmr1: after step 6: 1 of the"
    )
    assert "the last good step had loss " in line and "Lower optim.lr" in line
    assert str(output / "checkpoints/step-00000004") + " stays" in line
    assert not (output / "model.safetensors").exists()
    kept = read_tensors(output / "checkpoints/step-00000004")
    assert all(one.isfinite().all() for one in kept.values())
    monkeypatch.undo()
    assert main(["sft", str(path), "-o", str(output), "--quiet"]) == 0


def test_weights_that_are_no_numbers_are_not_trained(rows: Path, tmp_path: Path) -> None:
    train(tmp_path / "base", small_recipe(rows, optim={"steps": 1}))
    found = load_file(tmp_path / "base/model.safetensors")
    name = sorted(found)[-1]
    found[name].view(-1)[0] = math.nan
    save_file(found, tmp_path / "base/model.safetensors", metadata={"format": "pt"})
    recipe = {**small_recipe(rows), "model": {"base": str(tmp_path / "base")}}
    with pytest.raises(CheckpointError, match="1 of its weights' tensors hold values that are no numbers"):
        train(tmp_path / "out", recipe)


def test_steps_that_round_away_are_told(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "base", small_recipe(rows, optim={"steps": 1}))
    recipe = small_recipe(rows, optim={"name": "adamw", "lr": 1e-6, "steps": 1, "warmup": 0})
    recipe["model"] = {"base": str(tmp_path / "base"), "precision": "bf16-pure"}
    words = ["sft", str(write_recipe(tmp_path / "recipe.toml", recipe)), "-o", str(tmp_path / "model")]
    assert main([*words, "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    share = float(re.search(r"rate 1e-06 moves at most ([\d.]+)% of the trained weights", line)[1])
    assert 0.1 < share < 10
    # It trains all the same if that is asked for, and no more weights move than was told.
    assert main([*words, "--set", "model.max_stuck_share=1"]) == 0
    assert f"moves at most {share:g}% of" in capsys.readouterr().err
    before, after = weights(tmp_path / "base"), weights(tmp_path / "model")
    moved = sum(int((one != before[name].bfloat16()).sum()) for name, one in after.items())
    number = sum(one.numel() for one in after.values())
    # Rows of tokens that no example holds have no gradient.
    assert 0.3 * share < 100 * moved / number < 1.02 * share


def test_what_a_library_raises_over_a_model_is_one_line(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As over Llama 4, whose backbone goes by another name than its class says."""

    def fail(self: Any, *arguments: Any) -> float:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (223x400 and 32x400)\nmore of it")

    monkeypatch.setattr(sft.FineTuning, "backward", fail)
    path = write_recipe(tmp_path / "recipe.toml", small_recipe(rows))
    assert main(["sft", str(path), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be trained here: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in line
    assert "more of it" not in line and "ForCausalLM" in line


def test_bfloat16_runs(rows: Path, tmp_path: Path) -> None:
    for precision in ("bf16", "bf16-pure"):
        recipe = small_recipe(rows, optim={"steps": 2})
        recipe["model"]["precision"] = precision
        train(tmp_path / precision, recipe)
        assert {tensor.dtype for tensor in weights(tmp_path / precision).values()} == {torch.bfloat16}
