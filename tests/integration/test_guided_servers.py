"""Guided judging through servers: those that go on with a begun text, that only fill a schema, that do neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.cli.main import main
from rmr1.engines import SamplingParams
from rmr1.engines.openai import OpenAIEngine
from rmr1.errors import ConfigError, GenerationError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Judgment, PreferencePair
from rmr1.store.runs import read_judgments
from tests.integration.faulty_server import FaultyServer, failure
from tests.integration.guidable_server import TEXT, Guidable

PAIRS = [
    PreferencePair(
        id=str(at), prompt=(user(f"2 + {at}?"),), response_a=(assistant("4"),), response_b=(assistant("5"),)
    )
    for at in range(3)
]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def judge(
    guidable: Guidable, guide: str = "protocol", family: str = "rubric", **more: Any
) -> tuple[list[Judgment], OpenAIEngine]:
    """All pairs, each judged through a server that has come and gone; its bill is that of the engine."""
    with FaultyServer(guidable) as server:
        engine = OpenAIEngine("judge", server.base_url, backoff_seconds=0.01)
        settings = JudgeSettings(guide=guide, order="given", **more)
        judgments = dict(GenerativeJudge(engine, load_family(family), settings).run(PAIRS))
    assert (engine.usage.prompt_tokens, engine.usage.completion_tokens) == tuple(
        map(sum, zip(*guidable.billed, strict=True))
    )
    found = sorted(judgments.values(), key=lambda one: one.pair.id)
    # Nothing that was asked for a judgment is missing from what it took.
    bills = [bill for body, bill in zip(guidable.bodies, guidable.billed, strict=True) if asks_pair(body)]
    assert (sum(one.prompt_tokens for one in found), sum(one.completion_tokens for one in found)) == (
        sum(prompt for prompt, _ in bills),
        sum(written for _, written in bills),
    )
    return found, engine


def asks_pair(body: dict[str, Any]) -> bool:
    return "Chatbot A" in json.dumps(body["messages"])


SERVERS: dict[str, dict[str, Any]] = {
    "vLLM": {"way": "continue_final_message"},
    "vLLM, strict": {"way": "continue_final_message", "is_strict": True},
    "DeepSeek": {"way": "prefix"},
    "DeepSeek, strict": {"way": "prefix", "is_strict": True},
    "Mistral": {"way": "prefix", "echoes": True},
    "llama.cpp": {"way": "last"},
    "llama.cpp, strict": {"way": "last", "is_strict": True},
    "a model that knows no words": {"way": "continue_final_message", "knows_words": False},
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_goes_on_is_guided_as_a_local_model(name: str) -> None:
    judgments, engine = judge(guidable := Guidable(**SERVERS[name]))
    for judgment in judgments:
        generation = judgment.votes[0].generation
        assert generation.text == TEXT and generation.is_forced and judgment.winner == "A"
        assert judgment.trace.solution == "4 is right" and judgment.trace.evaluation == "A says 4"
        if not guidable.echoes:
            assert judgment.votes[0].probability == pytest.approx(0.7 / 0.9)
    field = {"last": "a last message of the assistant"}.get(guidable.way, guidable.way)
    asked = "continue_final_message" if guidable.way == "last" and not guidable.is_strict else field
    (note,) = [note for note in engine.notes if note.startswith("guided")]
    assert f"it goes on with begun texts, asked by {asked} (found out by asking, which took" in note
    # A type, a solution, an evaluation, an answer: no request more.
    assert sum(map(asks_pair, guidable.bodies)) == 4 * len(PAIRS)


@pytest.mark.parametrize("is_strict", [False, True])
def test_without_log_probabilities_a_choice_is_what_the_server_writes(is_strict: bool) -> None:
    judgments, _ = judge(Guidable(has_logprobs=False, is_strict=is_strict))
    assert [one.votes[0].generation.text for one in judgments] == [TEXT] * len(PAIRS)
    assert {one.votes[0].generation.verdict_logprobs for one in judgments} == {None}


def test_a_model_that_names_no_choice_is_told_to() -> None:
    for constraint in ("structured_outputs", "guided_choice", "regex", "grammar"):
        judgments, engine = judge(guidable := Guidable(refuses_answers=True, constraint=constraint))
        assert [one.votes[0].generation.text for one in judgments] == [TEXT] * len(PAIRS)
        assert any(note.endswith(f"are asked for by {constraint}") for note in engine.notes)
        assert len(guidable.bodies) < 50
    judgments, _ = judge(Guidable(refuses_answers=True, is_strict=True))
    error = judgments[0].votes[0].generation.error or ""
    assert "goes on with 'neither' instead of 'A]]</answer>' or 'B]]</answer>', and refuses" in error
    assert {one.problem for one in judgments} == {"generation_failed"}


def test_a_letter_is_not_begun_behind_brackets_that_belong_to_its_token() -> None:
    judgments, _ = judge(Guidable(joins_letters=True))
    assert [one.winner for one in judgments] == ["A"] * len(PAIRS)
    assert judgments[0].votes[0].probability == pytest.approx(0.7 / 0.9)
    told = Guidable(joins_letters=True, refuses_answers=True, constraint="structured_outputs")
    judgments, _ = judge(told)
    assert [one.winner for one in judgments] == ["A"] * len(PAIRS)
    assert not any(asks_pair(body) and body["messages"][-1]["content"].endswith("[[") for body in told.bodies)


def test_a_model_that_thinks_does_so_first() -> None:
    judgments, _ = judge(guidable := Guidable(thinks=True))
    assert judgments[0].votes[0].generation.text == f"<think>\nLet me see\n</think>\n\n{TEXT}"
    assert any("<think>" in json.dumps(body["messages"][-1]) for body in guidable.bodies)
    judgments, _ = judge(Guidable(thinks=True, strips_thinking=True))
    assert judgments[0].votes[0].generation.text == f"<think>\nLet me see\n</think>\n\n{TEXT}"


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("has_logprobs", [False, True])
def test_a_server_that_only_fills_a_schema_gives_the_same_form(is_strict: bool, has_logprobs: bool) -> None:
    guidable = Guidable(way="", has_schema=True, is_strict=is_strict, has_logprobs=has_logprobs)
    judgments, engine = judge(guidable)
    for judgment in judgments:
        generation = judgment.votes[0].generation
        assert generation.text == TEXT.replace("A says 4", "A says") and generation.is_forced
        assert judgment.winner == "A" and judgment.trace.evaluation == "A says"
        assert (judgment.votes[0].probability is not None) == has_logprobs
    assert sum(map(asks_pair, guidable.bodies)) == len(PAIRS)
    assert any(note.startswith("guided by a JSON schema, for it does not go on") for note in engine.notes)


def test_a_schema_that_is_cut_is_asked_for_the_answer_alone() -> None:
    judgments, _ = judge(guidable := Guidable(way="", has_schema=True, is_cut=True))
    assert [one.winner for one in judgments] == ["A"] * len(PAIRS)
    assert judgments[0].votes[0].generation.text == TEXT.replace("A says 4", "A s")
    assert sum(map(asks_pair, guidable.bodies)) == 2 * len(PAIRS)


@pytest.mark.parametrize("kind", [{}, {"way": "", "has_schema": True}])
def test_a_verdict_is_forced_only_if_there_is_none(kind: dict[str, Any]) -> None:
    judgments, _ = judge(Guidable(**kind), "verdict")
    assert [one.votes[0].generation.is_forced for one in judgments] == [False] * len(PAIRS)
    brief = SamplingParams(max_new_tokens=20)
    judgments, _ = judge(Guidable(**kind), "verdict", sampling=brief)
    for judgment in judgments:
        text = judgment.votes[0].generation.text
        assert text.startswith(TEXT[:40]) and text.endswith("</solution>\n\n<answer>[[A]]</answer>")
        assert judgment.winner == "A" and judgment.votes[0].generation.is_forced


def test_a_family_without_parts() -> None:
    for kind in ({}, {"way": "", "has_schema": True}):
        judgments, _ = judge(Guidable(**kind), family="direct", part_tokens=0)
        assert judgments[0].votes[0].generation.text == "<answer>[[A]]</answer>"


@pytest.mark.parametrize("is_strict", [False, True])
def test_a_server_that_can_do_neither_is_refused_in_one_line(is_strict: bool) -> None:
    with pytest.raises(ConfigError) as refusal:
        judge(guidable := Guidable(way="", is_strict=is_strict))
    message = str(refusal.value)
    assert "\n" not in message and "cannot be guided: its server neither goes on with a begun text" in message
    assert (
        "'continue_final_message'" in message or "argument supplied: add_generation" in message
    ) == is_strict
    assert (
        "it answered anew, 'monday/tuesday/wednesday/thursday' behind '(7) monday/tuesday/wednes'" in message
    )
    assert "nor keeps to a JSON schema" in message
    assert not any(asks_pair(body) for body in guidable.bodies)


def test_a_server_in_trouble_is_not_called_unable() -> None:
    with FaultyServer(lambda call: failure(503, "busy")) as server:
        engine = OpenAIEngine("judge", server.base_url, max_retries=1, backoff_seconds=0.01)
        settings = JudgeSettings(guide="protocol")
        with pytest.raises(
            GenerationError, match="can be guided cannot be found out: HTTP 503 after 2 tries"
        ):
            list(GenerativeJudge(engine, load_family("rubric"), settings).run(PAIRS))


def test_the_command_keeps_what_was_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": str(at), "prompt": "2 + 2?", "chosen": f"4, {at}", "rejected": "5"} for at in range(2)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with FaultyServer(Guidable()) as server:
        command = ["judge", str(file), "-m", f"openai:judge@{server.base_url}", "--guide"]
        assert main([*command, "-o", str(tmp_path / "run")]) == 0
        num_asked = len(server.calls)
        assert main([*command, "--dry-run"]) == 0
        assert len(server.calls) == num_asked
    assert "every part of a guided text is a request of its own" in capsys.readouterr().out
    (note,) = json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    assert "guided: it goes on with begun texts, asked by continue_final_message" in note
    for judgment in dict(read_judgments(tmp_path / "run")).values():
        assert judgment.votes[0].generation.text == TEXT and judgment.votes[0].generation.is_forced
