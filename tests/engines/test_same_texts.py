"""Whole judging runs: the transformers engine, vLLM in this process and vLLM's server say the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from rmr1.bench.tasks.rmb import read_rmb
from rmr1.engines.base import Engine, SamplingParams
from rmr1.judge import GenerativeJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import load_family
from rmr1.records import Judgment, PreferencePair
from tests.engines.conftest import HAS_VLLM

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.openai import OpenAIEngine
from rmr1.engines.openai.guiding import Finding
from rmr1.engines.vllm import VLLMEngine
from tests.engines.vllm_server import NAME, serve

pytestmark = pytest.mark.engine

CONTEXT = 4096
GREEDY = SamplingParams(max_new_tokens=400, verdict_logprobs=True)
TOLERANCE = 1e-3
"""Of a log-probability at the verdict."""
UNLIKELY = -9.0
"""A label below this need not be among the twenty likeliest tokens, all that a server names."""


@pytest.fixture(scope="module")
def pairs(shared: Path, soak: bool) -> list[PreferencePair]:
    """Real pairs, spread over all of RMB."""
    number = 300 if soak else 40
    return list(islice(read_rmb(shared / "data" / "rmb"), 0, 77 * number, 77))


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(
        str(checkpoint),
        kv_cache_gb=0.5,
        max_num_seqs=16,
        max_model_len=CONTEXT,
        engine_args={"block_size": 32},
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def wanted(checkpoint: Path, pairs: list[PreferencePair]) -> dict[str, Judgment]:
    """The embedded engine's judgments."""
    other = TransformersEngine(str(checkpoint), device="cpu", max_model_len=CONTEXT)
    return judge(other, pairs, GREEDY)


def judge(engine: Engine, pairs: list[PreferencePair], sampling: SamplingParams) -> dict[str, Judgment]:
    settings = JudgeSettings(order="both", sampling=sampling)
    return dict(GenerativeJudge(engine, load_family("rubric"), settings).run(iter(pairs)))


@pytest.fixture(scope="module")
def guided(checkpoint: Path, pairs: list[PreferencePair]) -> dict[str, Judgment]:
    """The embedded engine's guided judgments."""
    return judge_guided(TransformersEngine(str(checkpoint), device="cpu", max_model_len=CONTEXT), pairs)


def judge_guided(engine: Engine, pairs: list[PreferencePair]) -> dict[str, Judgment]:
    settings = JudgeSettings(guide="protocol", part_tokens=60, order="both", sampling=GREEDY)
    return dict(GenerativeJudge(engine, load_family("rubric"), settings).run(iter(pairs[:12])))


def judge_by_schema(engine: OpenAIEngine, pairs: list[PreferencePair]) -> dict[str, Judgment]:
    """As through a server that does not go on with begun texts."""
    engine._finding = Finding(manner=None, opening="", note="")
    return judge_guided(engine, pairs)


def test_guided_judgments_are_the_same(
    engine: VLLMEngine, pairs: list[PreferencePair], guided: dict[str, Judgment]
) -> None:
    found, wanted = judge_guided(engine, pairs), guided
    assert all(
        vote.winner is not None and vote.probability is not None
        for one in found.values()
        for vote in one.votes
    )
    compare("guided", found, wanted)


def compare(name: str, found: dict[str, Judgment], wanted: dict[str, Judgment]) -> None:
    """Every text, verdict and winner alike, the verdicts' log-probabilities within the tolerance."""
    assert found.keys() == wanted.keys()
    num_texts, gaps = 0, []
    for key, judgment in wanted.items():
        assert found[key].winner == judgment.winner
        for vote, like in zip(found[key].votes, judgment.votes, strict=True):
            num_texts += 1
            assert vote.generation.text == like.generation.text
            assert vote.verdict == like.verdict
            assert vote.generation.finish_reason == like.generation.finish_reason
            mine, theirs = vote.generation.verdict_logprobs, like.generation.verdict_logprobs
            assert (mine is None) == (theirs is None)
            for (label, one), (other_label, other) in zip(mine or (), theirs or (), strict=True):
                assert label == other_label
                if one > other and one < UNLIKELY:
                    continue  # not among the tokens that a server names: a bound stands in for it
                gaps.append(abs(one - other))
    assert len(gaps) >= num_texts / 2, "hardly any verdict to compare"
    assert max(gaps) < TOLERANCE
    print(
        f"{name}: {len(wanted)} pairs, {num_texts} texts equal; {len(gaps)} log-probabilities at "
        f"verdicts differ by at most {max(gaps):.1e}"
    )


def test_offline_vllm_judges_the_same(
    engine: VLLMEngine, pairs: list[PreferencePair], wanted: dict[str, Judgment]
) -> None:
    found = judge(engine, pairs, GREEDY)
    compare("vllm", found, wanted)
    for key, judgment in wanted.items():
        assert found[key].completion_tokens == judgment.completion_tokens
        assert found[key].prompt_tokens == judgment.prompt_tokens


def test_a_vllm_server_judges_the_same(
    checkpoint: Path,
    pairs: list[PreferencePair],
    wanted: dict[str, Judgment],
    guided: dict[str, Judgment],
    tmp_path: Path,
) -> None:
    with serve(checkpoint, tmp_path / "server.log", max_model_len=CONTEXT) as url:
        client = OpenAIEngine(NAME, url)
        try:
            found = judge(client, pairs, GREEDY)
            continued = judge_guided(client, pairs)
            notes = client.notes
            filled = judge_by_schema(client, pairs[:4])
        finally:
            client.close()
    compare("guided server", continued, guided)
    assert any("it goes on with begun texts, asked by continue_final_message" in note for note in notes)
    for one in filled.values():
        for vote in one.votes:
            assert vote.winner is not None and vote.probability is not None
            assert vote.generation.text.endswith(f"\n</eval>\n\n<answer>[[{vote.verdict.winner}]]</answer>")
    compare("server", found, wanted)
    for key, judgment in wanted.items():
        assert found[key].prompt_tokens == judgment.prompt_tokens


def test_votes_are_repeated_by_the_same_seeds(engine: VLLMEngine, pairs: list[PreferencePair]) -> None:
    sampling = SamplingParams(max_new_tokens=200, temperature=1.0, top_p=0.95, num_samples=4)
    cached = engine.num_cached_tokens
    first, second = judge(engine, pairs[:6], sampling), judge(engine, pairs[:6][::-1], sampling)
    assert engine.num_cached_tokens > cached
    for key, judgment in first.items():
        assert [vote.generation.text for vote in judgment.votes] == [
            vote.generation.text for vote in second[key].votes
        ]
        assert len(judgment.votes) == 8
