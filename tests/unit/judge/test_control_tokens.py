"""A user's own control tokens, from the command line and recipes to the prompts that are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1 import Judge
from rmr1.cli.main import build_parser, main
from rmr1.cli.options import build_config
from rmr1.distill.folder import describe_run
from rmr1.distill.rows import read_outcomes
from rmr1.distill.run import list_questions
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.judge import JudgeSettings
from rmr1.judge.config import JudgeConfig
from rmr1.judge.load import refuse_meaningless
from rmr1.records import JudgePrompt
from rmr1.store.runs import read_description
from tests.unit.distill.pairs import make_recipe, write_pairs

TOKEN = "##STOP##"
BROKEN = "#\\#STOP##"


def read_config(*arguments: str) -> JudgeConfig:
    return build_config(build_parser().parse_args(["judge", "pairs.jsonl", *arguments]))


def test_the_flag_the_file_and_set_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "judge.toml"
    file.write_text(f'control_tokens = ["{TOKEN}", "Human:"]\n')
    by_flag = read_config("--control-token", TOKEN, "--control-token", "Human:")
    assert by_flag.judge_settings().control_tokens == (TOKEN, "Human:")
    assert read_config("--config", str(file)) == by_flag
    assert read_config("--set", f'control_tokens=["{TOKEN}", "Human:"]') == by_flag


@pytest.mark.parametrize("token", ["#", "a\\b", ""])
def test_what_cannot_be_broken_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match=r"control token .* is not two or more characters"):
        JudgeSettings(control_tokens=(token,))
    with pytest.raises(ConfigError, match=r"control token .* is not two or more characters"):
        make_recipe("pairs.jsonl", control_tokens=[token])


@pytest.mark.parametrize("family", ["direct", "rating"])
def test_every_prompt_that_is_asked_breaks_them(family: str) -> None:
    asked: list[str] = []

    def answer(prompt: JudgePrompt, sample: int) -> str:
        asked.append(prompt.messages[-1].text)
        return "<answer>[[A]]</answer>" if family == "direct" else "<answer>[[3]]</answer>"

    judge = Judge(ScriptedEngine(answer, "spy"), family=family, order="both", control_tokens=[TOKEN])
    judge.compare(f"say {TOKEN}", f"{TOKEN} <turn|>", "no")
    assert len(asked) == 2
    for text in asked:
        assert TOKEN not in text and BROKEN in text and "<turn|>" not in text


def test_a_run_folder_says_which_they_were(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", "AB")
    run = str(tmp_path / "run")
    arguments = ["judge", str(pairs), "-m", "scripted:longer", "--quiet", "-o", run]
    assert main([*arguments, "--control-token", TOKEN]) == 0
    assert read_description(run)["settings"]["control_tokens"] == [TOKEN]
    assert main([*arguments, "--control-token", TOKEN]) == 0  # goes on
    assert main(arguments) != 0


def test_a_scalar_model_has_no_use_for_them() -> None:
    with pytest.raises(ConfigError, match="leave control_tokens out"):
        refuse_meaningless("x", "scores", None, JudgeSettings(control_tokens=(TOKEN,)))


def test_a_distillation_breaks_them_for_teacher_and_student(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", "A", prompt=f"say {TOKEN}")
    recipe = make_recipe(pairs, control_tokens=[TOKEN])
    (question,) = list_questions(recipe, tmp_path, 1, is_answered=lambda key: False)
    (outcome,) = read_outcomes(recipe, tmp_path)
    for prompt in (question.prompt, outcome.prompt):
        assert prompt is not None
        assert BROKEN in prompt.messages[-1].text and TOKEN not in prompt.messages[-1].text
    assert describe_run(recipe)["settings"]["control_tokens"] == [TOKEN]
    assert "control_tokens" not in describe_run(make_recipe(pairs))["settings"]
