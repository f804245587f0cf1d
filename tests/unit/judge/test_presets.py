"""The released checkpoints are asked as they were trained, or the user is told how."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from rmr1.cli.main import main
from rmr1.cli.options import build_config
from rmr1.errors import ConfigError
from rmr1.judge.load import choose_family
from rmr1.judge.presets import PRESETS, find_preset
from rmr1.prompts import load_family
from rmr1.prompts.families import PUBLISHED

INSTRUCT = "gaotang/RM-R1-Qwen2.5-Instruct-7B"
REASONING = "gaotang/RM-R1-DeepSeek-Distilled-Qwen-32B"


@pytest.fixture(autouse=True)
def _own_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMR1_PROMPTS", str(tmp_path / "prompts"))


def test_there_are_six_of_two_kinds() -> None:
    assert len(PRESETS) == 6
    assert {name: preset.family for name, preset in PRESETS.items()} == {
        f"gaotang/RM-R1-{base}-{size}B": family
        for base, family in (
            ("Qwen2.5-Instruct", "rm-r1-rubric"),
            ("DeepSeek-Distilled-Qwen", "rm-r1-reasoning"),
        )
        for size in (7, 14, 32)
    }


@pytest.mark.parametrize(
    "name", [INSTRUCT, f"vllm:{INSTRUCT}", f"openai:{INSTRUCT}@http://127.0.0.1:8000/v1"]
)
def test_an_engine_in_front_changes_nothing(name: str) -> None:
    assert find_preset(name) is PRESETS[INSTRUCT]


@pytest.mark.parametrize(
    "name",
    [
        "RM-R1-Qwen2.5-Instruct-7B",
        f"copies/{INSTRUCT}",
        f"{INSTRUCT}-quantized",
        f"replay:{INSTRUCT}",
        "",
    ],
)
def test_parts_of_a_name_say_nothing(name: str) -> None:
    assert find_preset(name) is None


@pytest.mark.parametrize(("name", "stand_in"), [(INSTRUCT, "rubric"), (REASONING, "reasoning")])
def test_the_wording_is_asked_for_until_it_is_there(name: str, stand_in: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    with pytest.raises(
        ConfigError, match=f"rmr1 prompts import {PUBLISHED[preset.family][1]} --name {preset.family}"
    ) as seen:
        choose_family(name, None)
    assert f"pass family='{stand_in}' to use ours" in str(seen.value) and "exact wording" in str(seen.value)
    assert choose_family(name, stand_in).digest == load_family(stand_in).digest

    user = (
        "Judge these.\n\n[Client Question]\nq\n\n[The Start of Chatbot A's Response]\na\n[The End of Chatbot A's Response]"
        "\n\n[The Start of Chatbot B's Response]\nb\n[The End of Chatbot B's Response]"
    )
    rows = tmp_path / "rows.jsonl"
    messages = [{"role": "system", "content": "The wording."}, {"role": "user", "content": user}]
    rows.write_text(json.dumps({"context_messages": messages, "winner": "model_a"}) + "\n")
    assert main(["prompts", "import", str(rows), "--name", preset.family]) == 0
    assert choose_family(name, None).system == "The wording."


def test_the_command_asks_before_it_loads_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", "-m", INSTRUCT, "--question", "q", "--a", "x", "--b", "y"]) != 0
    said = capsys.readouterr().err
    assert said.startswith(f"rmr1: {INSTRUCT} was trained") and said.count("\n") == 1
    assert "rmr1 prompts import gaotang/RM-R1-Entire-RLVR-Train --name rm-r1-rubric" in said


def test_what_is_said_goes_before_the_preset() -> None:
    plain = build_config(argparse.Namespace(model=INSTRUCT))
    assert plain.sampling.max_new_tokens == PRESETS[INSTRUCT].sampling.max_new_tokens == 8192
    assert plain.sampling.temperature == 0
    said = build_config(argparse.Namespace(**{"model": INSTRUCT, "sampling.max_new_tokens": 300}))
    assert said.sampling.max_new_tokens == 300
