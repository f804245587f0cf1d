"""`rmr1 grpo`: rewards rise, and a run that was stopped ends like one that was not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch
from safetensors.torch import load_file

from rmr1.attention import shared_cache as shared
from rmr1.attention.shared_prompt import shared_prompt_attention
from rmr1.cli.main import main
from rmr1.errors import CheckpointError, ConfigError, DataError, RunError
from rmr1.train.checkpoints import restore_best, write_best
from rmr1.train.grpo.batches import build_minibatches, build_update_row
from rmr1.train.grpo.learn import Learner
from rmr1.train.grpo.plan import GrpoPlan, build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.run import Reinforcement, run_grpo
from rmr1.train.grpo.tasks import take_tasks
from rmr1.train.optim import Optimizers
from rmr1.train.processes import accelerated
from rmr1.train.recipe import Recipe
from rmr1.train.sft import run_sft

from ..training import make_rows, small_recipe, write_recipe, write_rows
from .runs import kill_when, write_pairs

torch.set_num_threads(1)

REWARD = """
def many_r(sample):
    return sample.text.count("r") / 8
"""


COUNTED = """
def counted(sample):
    with open({path!r}, "a") as file:
        file.write("called\\n")
    return sample.text.count("r") / 8
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge that has seen the form for a few steps, and hardly knows it."""
    rows = write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", make_rows(48))
    folder = tmp_path_factory.mktemp("base") / "model"
    run_sft(
        Recipe.from_values(small_recipe(rows, data={"max_tokens": 512}), "recipe.toml"), folder, quiet=True
    )
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "own.py").write_text(REWARD)
    path = folder / "pairs.jsonl"
    lines = []
    for row in make_rows(40, seed=5):
        content = row["messages"][-2]["content"]
        lines.append(
            {
                "prompt": content[-40:-20],
                "response_a": content[-20:-10],
                "response_b": content[-10:],
                "label": "AB"[len(lines) % 2],
                "subset": ("one", "two")[len(lines) % 3 == 0],
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def grpo_recipe(base: Path, pairs: Path, **sections: Any) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "device": "cpu",
        "model": {"base": str(base)},
        "data": {"train": str(pairs), "max_prompt_tokens": 450},
        "rollout": {"prompts": 4, "samples": 4, "max_new_tokens": 10, "rows": 16},
        "update": {"row_tokens": 512},
        "rewards": {f"{pairs.parent / 'own.py'}:many_r": 1.0},
        "objective": {"beta": 0.0},
        "optim": {"lr": 5e-3, "steps": 8, "epochs": 9, "weight_decay": 0.0},
        "checkpoint": {"every": 2},
    }
    for name, values in sections.items():
        recipe[name] = {**recipe.get(name, {}), **values}
    return recipe


def train(output: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    return run_grpo(GrpoRecipe.from_values(recipe, "recipe.toml"), output, quiet=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


TIMES = ("seconds", "tokens_per_second", "memory_gb")


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if not key.endswith(TIMES)}


@pytest.fixture(scope="module")
def whole(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    train(folder, killed_recipe(base, pairs))
    return folder


def killed_recipe(base: Path, pairs: Path) -> dict[str, Any]:
    return grpo_recipe(
        base,
        pairs,
        data={"held_out_share": 0.2},
        objective={"beta": 1e-3},
        update={"prompts": 2},
        evaluation={"every": 3, "keep": "last"},
    )


def test_a_reward_rises(base: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = grpo_recipe(base, pairs, rollout={"prompts": 8, "samples": 8}, optim={"steps": 12, "lr": 2e-2})
    summary = train(tmp_path / "model", recipe)
    lines = metrics(tmp_path / "model")
    rewards = [line["reward"] for line in lines]
    assert sum(rewards[-3:]) / 3 > 1.5 * sum(rewards[:3]) / 3
    first = lines[0]
    assert first["ratio"] == pytest.approx(1.0) and first["clipped_low"] == first["clipped_high"] == 0
    assert first["groups"] == 8 and 0 < first["live_groups"] <= 8
    assert {"entropy", "grad_norm", "length", "unparsed", "accuracy/one", "accuracy/two"} <= first.keys()
    assert summary["samples"] == 12 * 64 and summary["updates"] == 12


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.1)])
def test_what_is_trained_is_what_was_sampled(
    precision: str,
    tolerance: float,
    base: Path,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "_MIN_SPARED_BYTES", {"cpu": 0})
    recipe = grpo_recipe(base, pairs, model={"precision": precision})
    with plan_and_training(recipe, tmp_path) as (plan, training):
        tasks, _ = take_tasks(plan.source, 4, training.position)
        scored = training.score(tasks, training.sample(tasks))
        batch = build_minibatches(scored, plan.objective, prompts=4)[0]
        update = build_update_row(batch.groups, batch, plan.objective)
        with shared_prompt_attention(training.model), torch.no_grad():
            logprobs, _ = training.learner.loss.policy(update.row)
        assert torch.allclose(logprobs, update.sampler_logprobs, atol=tolerance)
        assert training.sample(tasks)[0][0].tokens == scored[0].samples[0].tokens


class plan_and_training:
    """A training that is not begun."""

    def __init__(self, recipe: dict[str, Any], place: Path):
        self._recipe = GrpoRecipe.from_values(recipe, "recipe.toml")
        self._place = place

    def __enter__(self) -> tuple[GrpoPlan, Reinforcement]:
        self._context = accelerated(
            device="cpu", is_mixed=self._recipe.model.precision == "bf16", report=self._recipe.report
        )
        accelerator = self._context.__enter__()
        plan = build_grpo_plan(self._recipe)
        return plan, Reinforcement(plan, accelerator, self._place, None, quiet=True)

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)


def test_flat_groups_have_no_gradient_and_are_skipped(base: Path, pairs: Path, tmp_path: Path) -> None:
    # No text of ten tokens ends in a whole answer tag: all rewards are -1.
    recipe = grpo_recipe(base, pairs, optim={"steps": 1})
    recipe["rewards"] = {"verdict": 1.0}
    summary = train(tmp_path / "model", recipe)
    line = metrics(tmp_path / "model")[0]
    assert line["reward"] == -1.0 and line["live_groups"] == 0 and line["unparsed"] > 0.5
    assert summary["updates"] == 0
    before, after = weights(base), weights(tmp_path / "model")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "sections",
    [{}, {"update": {"prompts": 3, "row_tokens": 512}, "objective": {"beta": 0.0, "importance": "mask"}}],
    ids=["on-policy", "corrected"],
)
def test_two_processes_have_the_gradient_of_one(
    base: Path, pairs: Path, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """And call a reward of the user's once for each sample."""
    calls = tmp_path / "calls"
    (tmp_path / "own.py").write_text(COUNTED.format(path=str(calls)))
    recipe = grpo_recipe(base, pairs, **{"rollout": {"prompts": 6}, "objective": {"beta": 1e-2}, **sections})
    recipe["rewards"] = {f"{tmp_path / 'own.py'}:counted": 1.0}
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    script = Path(__file__).with_name("grpo_gradients.py")
    found = []
    for processes in (1, 2):
        output = tmp_path / f"{processes}.safetensors"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes), str(script), str(path), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(load_file(output))
        assert len(calls.read_text().splitlines()) == 6 * 4
        calls.unlink()
    one, two = found
    assert len(one) > 10
    for name, gradient in one.items():
        difference = (two[name] - gradient).norm() / gradient.norm().clamp(min=1e-12)
        assert difference < 1e-6, name


def test_killed_runs_end_with_equal_weights(base: Path, pairs: Path, whole: Path, tmp_path: Path) -> None:
    # The first kill comes after the look before step 1, when there is no checkpoint yet.
    kill_and_resume(base, pairs, whole, tmp_path / "model", kills=2, seed=2)
    before = weights(base)
    moved = [
        (tensor - before[name]).norm() / before[name].norm()
        for name, tensor in weights(whole).items()
        if "norm" not in name and "bias" not in name
    ]
    assert min(moved) > 1e-3


@pytest.mark.soak
def test_ten_kills(base: Path, pairs: Path, whole: Path, tmp_path: Path, soak: bool) -> None:
    if not soak:
        pytest.skip("under make soak")
    for run in range(5):
        (tmp_path / str(run)).mkdir()
        kill_and_resume(base, pairs, whole, tmp_path / str(run) / "model", kills=2, seed=1 + run)


def kill_and_resume(base: Path, pairs: Path, wanted: Path, folder: Path, *, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    recipe = killed_recipe(base, pairs)
    path = write_recipe(folder.parent / "recipe.toml", recipe)
    command: list[object] = ["grpo", path, "-o", folder, "--quiet"]
    file, done = folder / "metrics.jsonl", 0
    for kill in range(kills):
        before = _count_lines(file)
        target = before + draw.randint(1, max(1, (8 - before) // (kills - kill)))
        done += kill_when(command, lambda target=target: _count_lines(file) >= target, most_seconds=240)
    assert done == kills, "the run ended before it could be killed"
    assert not (folder / "summary.json").exists()
    train(folder, recipe)
    found, other = weights(folder), weights(wanted)
    assert all(torch.equal(found[name], other[name]) for name in other)
    for line, wanted_line in zip(metrics(folder), metrics(wanted), strict=True):
        assert without_times(line) == without_times(wanted_line)


def _count_lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_later_minibatches_are_off_the_policy(whole: Path) -> None:
    lines = [line for line in metrics(whole) if "reward" in line]
    assert len(lines) == 8 and json.loads((whole / "summary.json").read_text())["updates"] == 16
    assert all(line["log_ratio"] > 0 for line in lines)
    assert lines[0]["kl"] < lines[-1]["kl"]
    looks = [line["step"] for line in metrics(whole) if "held_out_accuracy" in line]
    assert looks == [0, 3, 6, 8]


def test_importance_is_measured_against_the_trainers_own(base: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = grpo_recipe(
        base, pairs, update={"prompts": 2}, objective={"importance": "truncate"}, optim={"steps": 2}
    )
    train(tmp_path / "model", recipe)
    plain = {**recipe, "objective": {"beta": 0.0}}
    train(tmp_path / "plain", plain)
    # The sampler is the trainer here, so the correction is 1 and changes nothing.
    for line in metrics(tmp_path / "model"):
        assert line["importance"] == pytest.approx(1.0, abs=1e-4) and line["importance_cut"] == 0
    found, wanted = weights(tmp_path / "model"), weights(tmp_path / "plain")
    assert all(torch.allclose(found[name], wanted[name], atol=1e-4) for name in wanted)


def test_adapters_have_the_base_as_reference(
    base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = grpo_recipe(base, pairs, objective={"beta": 1e-3}, optim={"steps": 3, "lr": 2e-2})
    recipe["lora"] = {"r": 4, "alpha": 8}
    train(tmp_path / "lora", recipe)
    lines = metrics(tmp_path / "lora")
    assert lines[0]["kl"] == pytest.approx(0.0, abs=1e-9) and lines[-1]["kl"] > 1e-7
    assert (tmp_path / "lora" / "adapter_model.safetensors").exists()
    capsys.readouterr()
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    assert main(["grpo", str(path), "-o", str(tmp_path / "lora")]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"judge with it: rmr1 judge pairs.jsonl -m {base} --adapter {tmp_path / 'lora'}"
    command = said.partition("rmr1 ")[2].replace("pairs.jsonl", str(write_pairs(tmp_path / "judge.jsonl", 2)))
    assert main([*command.split(), "--max-new-tokens", "8", "-o", str(tmp_path / "run"), "--quiet"]) == 0


def test_both_orders_of_a_pair_go_together(base: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = grpo_recipe(base, pairs, data={"order": "both"}, optim={"steps": 2})
    recipe["rewards"] = {**recipe["rewards"], "consistency": 0.5, "format": 0.1}
    train(tmp_path / "model", recipe)
    line = metrics(tmp_path / "model")[0]
    assert {"reward/consistency", "reward/format"} <= line.keys()
    assert line["reward/consistency"] == -1.0
    with pytest.raises(ConfigError, match=r'set data.order = "both"'):
        GrpoRecipe.from_values({**recipe, "data": {**recipe["data"], "order": "given"}}, "r.toml")


def test_the_best_weights_are_kept(base: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = grpo_recipe(
        base,
        pairs,
        data={"held_out_share": 0.2},
        optim={"steps": 4, "lr": 1e-2},
        evaluation={"every": 2, "sampled": False},
    )
    summary = train(tmp_path / "model", recipe)
    # Nothing is ever right at ten tokens, so the weights from before are as good as any.
    assert summary["kept_step"] == 0 and summary["best_held_out_accuracy"] == 0.0
    before, after = weights(base), weights(tmp_path / "model")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert train(tmp_path / "model", recipe)["was_finished"]
    with pytest.raises(RunError, match=r"recipe.optim.lr was 0.01, now 0.02"):
        train(tmp_path / "model", {**recipe, "optim": {**recipe["optim"], "lr": 0.02}})


def test_a_reinforcement_without_gain_says_so_in_its_last_line(
    base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = grpo_recipe(
        base, pairs, data={"held_out_share": 0.2}, optim={"steps": 1}, evaluation={"sampled": False}
    )
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    assert main(["grpo", str(path), "-o", str(tmp_path / "gain")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == (
        f"NO GAIN: the weights are those of {base}, because after no rollout more of the held-out pairs were right than "
        f"before the first (0.0%); judge with it: rmr1 judge pairs.jsonl -m {tmp_path / 'gain'}"
    )
    assert not any(line.startswith("kept: ") for line in said)
    # Every judgment is wrong at ten tokens, so no group has anything to learn from.
    recipe = grpo_recipe(base, pairs, optim={"steps": 1})
    path = write_recipe(tmp_path / "flat.toml", {**recipe, "rewards": {"verdict": 1.0}})
    assert main(["grpo", str(path), "-o", str(tmp_path / "flat")]) == 0
    (*_, last) = capsys.readouterr().out.splitlines()
    assert last.startswith(
        f"NOTHING LEARNT: no group of judgments had a better and a worse one, so the weights are those of {base}; judge"
    )
    path = write_recipe(tmp_path / "last.toml", grpo_recipe(base, pairs, optim={"steps": 1}))
    assert main(["grpo", str(path), "-o", str(tmp_path / "last")]) == 0
    (*_, last) = capsys.readouterr().out.splitlines()
    assert last == f"judge with it: rmr1 judge pairs.jsonl -m {tmp_path / 'last'}"


@pytest.mark.parametrize("at", ["loss", "weights", "logits"])
def test_a_reinforcement_that_diverges(
    base: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    steps = []

    def blow_up(self: Any, factor: float, step: Any = Optimizers.step) -> None:
        step(self, factor)
        steps.append(factor)
        if len(steps) == 3:
            weight = self.parts[0].param_groups[0]["params"][0].data
            weight[0, 0] = float("nan") if at == "weights" else 3e38
            if at == "logits":
                weight.fill_(3e38)

    if at == "loss":
        backward = Learner.backward

        def fail(self: Any, *arguments: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
            steps.append(1)
            sums, apart = backward(self, *arguments, **named)
            return sums * (float("nan") if len(steps) == 4 else 1.0), apart

        monkeypatch.setattr(Learner, "backward", fail)
    else:
        monkeypatch.setattr(Optimizers, "step", blow_up)
    recipe = grpo_recipe(base, pairs, checkpoint={"every": 1})
    path, output = write_recipe(tmp_path / "recipe.toml", recipe), tmp_path / "model"
    assert main(["grpo", str(path), "-o", str(output), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    begun = {
        "loss": "rollout 4: loss nan, gradient ",
        "weights": "after rollout 3: 1 of",
        "logits": "after rollout 3: ",
    }
    assert (
        line.startswith(f"rmr1: {begun[at]}") and "diverged" in line and "the last good step had loss" in line
    )
    kept = {"loss": 3, "weights": 2, "logits": 3}[at]
    assert f"step-{kept:08d} stays" in line and not (output / "model.safetensors").exists()


def test_steps_that_round_away_are_refused(base: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = grpo_recipe(base, pairs, optim={"lr": 1e-6})
    recipe["model"]["precision"] = "bf16-pure"
    with pytest.raises(ConfigError, match=r"rate 1e-06 moves at most [\d.]+% of the trained weights"):
        train(tmp_path / "model", recipe)


def test_a_run_stopped_between_checkpoints_keeps_the_best_weights_all_the_same(
    base: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first look, in the next run's first look, and after a look that no checkpoint knows of."""
    recipe = grpo_recipe(
        base,
        pairs,
        data={"held_out_share": 0.2},
        optim={"steps": 4, "lr": 1e-2},
        evaluation={"every": 1, "sampled": False},
        checkpoint={"every": 2},
    )
    whole = train(tmp_path / "whole", recipe)
    folder = tmp_path / "model"
    for name, after, lines in (("step", 0, 1), ("evaluate", 0, 0), ("step", 3, 7)):
        with monkeypatch.context() as patched:
            patched.setattr(Reinforcement, name, stop_after(after, getattr(Reinforcement, name)))
            with pytest.raises(KeyboardInterrupt):
                train(folder, recipe)
        assert len(metrics(folder)) == lines and (folder / "best").exists()
    found = train(folder, recipe)
    for name in ("kept_step", "best_held_out_accuracy"):
        assert found[name] == whole[name]
    one, other = weights(folder), weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in other)


def stop_after(number: int, method: Any) -> Any:
    """The method, which ends the run when it has been called so often."""
    calls = iter(range(number))

    def call(*args: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return method(*args)

    return call


def test_best_weights_stay_while_a_checkpoint_names_them(tmp_path: Path) -> None:
    def steps() -> list[str]:
        return sorted(one.name for one in (tmp_path / "best").iterdir())

    model = torch.nn.Linear(1, 1, bias=False)
    for step, spared in ((0, None), (3, 0), (6, 0), (9, 6)):
        torch.nn.init.constant_(model.weight, float(step))
        write_best(tmp_path, model, step, spared=spared)
        expected = {step} if spared is None else {step, spared}
        assert steps() == [f"step-{one:08d}" for one in sorted(expected)]
    restore_best(tmp_path, model, 6)
    assert model.weight.item() == 6.0
    with pytest.raises(CheckpointError, match=r"step-00000003: the best weights cannot be read"):
        restore_best(tmp_path, model, 3)


def test_a_folder_of_something_else_is_refused(base: Path, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds 'notes.txt' but no training.json"):
        train(tmp_path, grpo_recipe(base, pairs))
    assert (tmp_path / "training.json").read_text() == "{}"


def test_a_dry_run_says_what_is_not_installed(
    base: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = grpo_recipe(base, pairs, rollout={"engine": "vllm"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    assert main(["grpo", str(path), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "cannot run here: the vllm engine needs vllm, which is not installed" in said
    assert "vLLM holds weights of its own in 32 bits" in said
    tracked = ["grpo", str(path), "--dry-run", "--set", "report.report_to=abacus"]
    assert main(tracked) == 2
    assert "report.report_to: 'abacus' is not a tracker that is installed" in capsys.readouterr().err
    # What is installed here says nothing of another machine.
    assert main([*tracked, "--machine", "2xH200"]) == 0
    said = capsys.readouterr().out
    assert "machine: 2 x H200, 141 GB each" in said and "installed" not in said


def test_the_command_line(
    base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path / "recipe.toml", grpo_recipe(base, pairs, optim={"steps": 2}))
    assert main(["grpo", str(path), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["pairs of an epoch"], plan["rollouts"], plan["prompts of a rollout"]) == (40, 2, 4)
    model = str(tmp_path / "model")
    assert main(["grpo", str(path), "-o", model]) == 0
    captured = capsys.readouterr()
    assert "2 rollouts, 32 judgments of 8 prompts" in captured.out
    assert "step 2/2 · reward" in captured.err
    judged = write_pairs(tmp_path / "judge.jsonl", 2)
    arguments = ["judge", str(judged), "-m", model, "-o", str(tmp_path / "run"), "--quiet", "--json"]
    assert main([*arguments, "--max-new-tokens", "8"]) == 0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rollout": {"sample": 4}}, "unknown key 'rollout.sample'; did you mean 'samples'?"),
        ({"rollout": {"prompts": 4}, "update": {"prompts": 3}}, "rollout.prompts must be a multiple of"),
        ({"model": {"from_scratch": {}}}, "name either base"),
        ({"objective": {"options": ["clip-hire"]}}, "objective: option 'clip-hire' is not known"),
        ({"objective": {"clip_low": 2.0}}, "objective.clip_low: input should be less than 1, got 2.0"),
        ({"optim": {"betas": [1.5, 0.9]}}, "optim.betas.0: input should be less than 1"),
        ({"optim": {"lr": float("inf")}}, "optim.lr: input should be a finite number"),
        ({"data": {"family": "rating"}}, "data.family: 'rating' asks about 1 answer(s)"),
        ({"rewards": {"verdikt": 1.0}}, "reward 'verdikt' is not known; did you mean 'verdict'?"),
    ],
)
def test_bad_recipes_are_one_line(base: Path, pairs: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build_grpo_plan(GrpoRecipe.from_values(grpo_recipe(base, pairs, **changes), "r.toml"))
    assert complaint in str(raised.value) and not any(
        "\n" in line for line in str(raised.value).split("\n  ")
    )


def test_nothing_to_train_on(base: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(REWARD)
    path = tmp_path / "ties.jsonl"
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "label": "tie"}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"nothing to train on: of 1 pairs 1 have no preferred answer"):
        build_grpo_plan(GrpoRecipe.from_values(grpo_recipe(base, path), "r.toml"))
    world = grpo_recipe(base, path)
    world["data"] = {"world": {"items": 20, "held_out": 0}, "max_prompt_tokens": 10}
    with pytest.raises(
        DataError, match=r"of 20 pairs 0 have no preferred answer and 20 have a prompt longer"
    ):
        build_grpo_plan(GrpoRecipe.from_values(world, "r.toml"))
    path.write_text(json.dumps({**row, "label": "A"}) + "\n")
    recipe = GrpoRecipe.from_values(grpo_recipe(base, path, optim={"epochs": 1}), "r.toml")
    with pytest.raises(ConfigError, match=r"not one rollout; lower rollout.prompts"):
        build_grpo_plan(recipe)
