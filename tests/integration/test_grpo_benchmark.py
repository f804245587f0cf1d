"""`benchmarks/grpo_step.py`: its arms compute the same step, and its instruments measure what they say."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch

from ..training import alone

REPOSITORY = Path(__file__).parents[2]
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture(scope="module")
def benchmark() -> Any:
    with pytest.MonkeyPatch.context() as patch, alone():
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        import grpo_step

        patch.setitem(grpo_step.SHAPES, "tiny", SIZES)
        yield grpo_step
        for name in ("grpo_step", "grpo_arms", "grpo_meters"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def specs(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("model")
    benchmark.save_model("tiny", 64, folder)
    shared = {"folder": str(folder), "prompt": 12, "length": 5, "samples": 3, "beta": 1e-3}
    shared |= {"device": "cpu", "dtype": "fp32", "threads": 1}
    return {arm: benchmark.Spec(arm=arm, **shared) for arm in benchmark.ARMS}


def make_step(benchmark: Any, spec: Any) -> tuple[float, dict[str, float]]:
    """Length of the gradient, and seconds by phase."""
    arms = benchmark.grpo_arms
    clock = arms.Clock(arms.PHASES, "cpu")
    if spec.arm not in arms.OURS:
        arm = arms.RowWise(spec, 1 if spec.arm == "row" else spec.samples)
        return arm.step(clock, samples_too=True), clock.seconds
    report = arms.ReportRecipe()
    with (
        arms._chosen_attention(spec.arm),
        arms.accelerated(device="cpu", is_mixed=False, report=report) as accelerator,
    ):
        return arms.Ours(spec, accelerator).step(clock, samples_too=True), clock.seconds


def test_arms_compute_the_same_step(benchmark: Any, specs: dict[str, Any]) -> None:
    found = {arm: make_step(benchmark, specs[arm]) for arm in ("merged", "split", "row", "batch")}
    norms = [norm for norm, _ in found.values()]
    assert norms[0] > 1e-3 and norms == pytest.approx([norms[0]] * 4, rel=1e-4)
    for _, seconds in found.values():
        assert all(seconds[phase] > 0 for phase in ("rollout", "reference", "backward", "optimizer"))


def test_an_attention_that_the_device_lacks(benchmark: Any, specs: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="no such attention"):
        make_step(benchmark, specs["flex"])


def test_trl_computes_the_same_step(
    benchmark: Any, specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl")
    arms = benchmark.grpo_arms
    answers: list[dict[str, Any]] = []
    worker = arms.Worker.__new__(arms.Worker)
    worker._spec, worker._clock = specs["trl"], arms.Clock(arms.PHASES, "cpu")
    asked = iter(("step", "kept", None))
    monkeypatch.setattr(worker, "_next", lambda: next(asked))
    monkeypatch.setattr(worker, "_say", answers.append)
    with pytest.raises(SystemExit):
        worker._run_trl()
    ready, step, kept = answers
    assert not ready and step["norm"] == pytest.approx(make_step(benchmark, specs["row"])[0], rel=1e-4)
    assert step["kept_bytes"] == 0 < kept["kept_bytes"]
    assert all(step["seconds"][phase] > 0 for phase in arms.PHASES)


def test_what_autograd_keeps(benchmark: Any) -> None:
    layer = torch.nn.Linear(4, 4, bias=False)
    kept = benchmark.grpo_arms.Kept(layer)
    with kept:
        inputs = torch.ones(3, 4, requires_grad=True)
        hidden = layer(inputs)  # keeps its inputs, and weights that do not count
        (hidden * hidden).sum().backward()  # keeps what layer gave, twice, counted once
        assert kept.most == 2 * 3 * 4 * 4
        # Freed by backward, so the second time adds nothing to the most.
        gc.collect()
        layer(inputs).sum().backward()
    assert kept.most == 2 * 3 * 4 * 4


def test_phases_inside_others_count_for_themselves(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((1.0, 2.0, 5.0, 5.5))
    monkeypatch.setattr("time.process_time", lambda: next(times))
    clock = benchmark.grpo_arms.Clock(("outer", "inner"), "cpu")
    with clock.phase("outer"), clock.phase("inner"):
        pass
    assert clock.seconds == {"outer": 1.5, "inner": 3.0}


def test_ratios_and_goals(benchmark: Any) -> None:
    def arm(rollout: float, backward: float, kept: int) -> dict[str, Any]:
        seconds = {"rollout": rollout, "reference": 0.5, "backward": backward, "optimizer": 0.0, "other": 0.0}
        return {"seconds": seconds, "norm": 1.0, "peak_bytes": 0, "kept_bytes": kept}

    case = benchmark.Case(
        shape="small",
        folder="",
        beta=1e-3,
        prompt=2048,
        length=256,
        samples=8,
        flops=1.0,
        saving=4.0,
    )
    arms = {"merged": arm(1.0, 0.5, 100), "row": arm(2.0, 2.5, 80), "batch": arm(2.0, 3.5, 350)}
    outcome = benchmark.Outcome(case=case, arms={**arms, "trl": arm(3.0, 3.5, 350)})
    assert outcome.compare("trl") == {"step": 3.5, "rollout": 3.0, "update": 4.0, "kept": 3.5}
    assert outcome.compare("merged") == {}
    goals = benchmark.list_goals([outcome], "cpu")
    assert [(goal["least"], goal["found"]) for goal in goals] == [(4.0, 3.5), (0.85, 0.75), (3.0, 3.5)]
    assert not benchmark.list_goals([outcome], "cuda")

    arms["row"]["norm"] = 1.01
    with pytest.raises(SystemExit, match="different lengths"):
        outcome.check_gradients("fp32")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--only", "512/128"], "is not P/R/G"),
        (["--only", "512/128/1"], "at least 2 samples"),
        (["--arms", "merged,fast"], "'fast' is none of"),
        (["--repeats", "0"], "at least 1"),
    ],
)
def test_flags_that_do_not_fit(
    benchmark: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    complaint: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["grpo_step.py", *flags])
    with pytest.raises(SystemExit):
        benchmark.read_options()
    assert complaint in capsys.readouterr().err


def test_cases_go_from_small_to_large(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(only=["8/4/3", "4/2/2"], shape=["tiny"], beta=None)
    cases = benchmark.build_cases(options, tmp_path, sys.stdout)
    assert [case.name for case in cases] == [
        "tiny 4/2/2 beta 0.001",
        "tiny 4/2/2 beta 0",
        "tiny 8/4/3 beta 0.001",
        "tiny 8/4/3 beta 0",
    ]
    assert 1 < cases[0].saving < cases[2].saving < 3
    assert "tiny: " in capsys.readouterr().out
