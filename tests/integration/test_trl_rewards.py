"""TRL's own `GRPOTrainer` is rewarded by a server and by a judge in its process as the judge rewards groups directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from rmr1.errors import ConfigError
from rmr1.integrations.trl import JudgeReward
from rmr1.judge.judge import Judge
from tests.integration.served import Numbers, serving
from tests.integration.trl_rewards import PROMPTS, SIZE, WRITTEN, Recorded, take_step

from ..tiny_models import build_model, build_tokenizer, save_model
from ..training import alone


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    save_model(tmp_path / "base", build_model(), build_tokenizer())
    return tmp_path


def reward_directly(prompts: Sequence[str], completions: Sequence[str]) -> list[float | None]:
    """The rewards of groups of `SIZE`; completions that say nothing have none."""
    found: list[float | None] = []
    with Judge("scripted:longer") as judge:
        for start in range(0, len(prompts), SIZE):
            assert len(set(prompts[start : start + SIZE])) == 1
            group = completions[start : start + SIZE]
            said = [one for one in group if one.strip()]
            rewards = iter(judge.group_rewards(prompts[start], said).rewards if len(said) > 1 else [None])
            found += [next(rewards) if one.strip() else None for one in group]
    return found


@pytest.mark.parametrize("is_served", [True, False], ids=["a server", "in the process"])
def test_a_completion_without_a_reward_is_left_out_of_its_group(folder: Path, is_served: bool) -> None:
    with serving(Numbers()) as served, Judge(Numbers()) as judge, alone():
        reward = Recorded(served.url if is_served else judge, num_generations=SIZE)
        trainer = take_step(folder, [reward], per_device=2 * SIZE, is_written=True)
        (call,) = reward.calls
        wanted = {prompt: list(judge.group_rewards(prompt, WRITTEN[prompt]).rewards) for prompt in PROMPTS}
    assert call["completions"] == [text for prompt in call["prompts"][::SIZE] for text in WRITTEN[prompt]]
    assert call["rewards"] == [one for prompt in call["prompts"][::SIZE] for one in wanted[prompt]]
    assert wanted[PROMPTS[0]] == [-0.5, 0.5, None, 0.0]
    logged = trainer.state.log_history[0]
    known = [one for one in call["rewards"] if one is not None]
    assert logged["rewards/judge/mean"] == pytest.approx(sum(known) / len(known), abs=1e-6)
    assert logged["judge/without_reward"] == pytest.approx(1 / 8)
    assert logged["grad_norm"] > 0 and logged["loss"] == logged["loss"]


def run_processes(folder: Path, url: str, processes: int, per_device: int) -> list[Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "tests.integration.trl_rewards"]
    command += [str(folder), str(per_device), url]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.parametrize("per_device", [SIZE // 2, SIZE], ids=["a group over two processes", "a group each"])
def test_two_processes_get_the_rewards_of_whole_groups(folder: Path, per_device: int) -> None:
    with serving("scripted:longer") as served:
        ranks = run_processes(folder, served.url, 2, per_device)
    for calls in zip(*(served + direct for served, direct in ranks), strict=True):
        prompts, completions, rewards = (
            [one for call in calls for one in call[name]] for name in ("prompts", "completions", "rewards")
        )
        assert len(prompts) == 2 * per_device
        assert rewards == reward_directly(prompts, completions)
        assert len(set(completions)) > 1


def test_what_cannot_be_asked_ends_the_step_in_one_line() -> None:
    with Judge("scripted:longer") as judge:
        reward = JudgeReward(judge, num_generations=3)
        assert reward(["Q"] * 3, ["a", "bb", " "]) == [-0.5, 0.5, None]
        assert reward(["Q"] * 3, ["a", "", " "]) == [None] * 3
        with pytest.raises(ConfigError, match="num_generations=3, and 4 completions"):
            reward(["Q"] * 4, ["a", "bb", "ccc", "dddd"])
        with pytest.raises(ConfigError, match="seed of its own"):
            JudgeReward(judge, num_generations=3, seed=1)
        with serving("scripted:longer") as served:
            wrong = JudgeReward(served.url.replace("://", "://me:secret@") + "/v2", num_generations=2)
            with pytest.raises(ConfigError, match="HTTP 404") as raised:
                wrong(["Q"] * 2, ["a", "bb"])
            assert "secret" not in str(raised.value)
