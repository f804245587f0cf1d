"""Whole judging runs: the vLLM engine and the transformers engine come to the same judgments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from rmr1.engines.base import Engine, SamplingParams
from rmr1.judge.run import run_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import load_family
from rmr1.records import Judgment, PreferencePair
from tests.engines.conftest import HAS_VLLM

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

from rmr1.engines.transformers import TransformersEngine
from rmr1.engines.vllm import VLLMEngine
from tests.checkpoint.corpus import make_pair

pytestmark = pytest.mark.engine

NUM_PAIRS = 24
CONTEXT = 4096


@pytest.fixture(scope="module")
def pairs() -> list[PreferencePair]:
    draw = Random(7)
    return [make_pair(draw) for _ in range(NUM_PAIRS)]


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


def judge(engine: Engine, pairs: list[PreferencePair], sampling: SamplingParams) -> dict[str, Judgment]:
    settings = JudgeSettings(order="both", sampling=sampling)
    return dict(run_judge(iter(pairs), engine, load_family("rubric"), settings))


def test_greedy_judgments_are_the_same(
    checkpoint: Path, engine: VLLMEngine, pairs: list[PreferencePair]
) -> None:
    sampling = SamplingParams(max_new_tokens=400, verdict_logprobs=True)
    other = TransformersEngine(str(checkpoint), device="cpu", max_model_len=CONTEXT)
    found, wanted = judge(engine, pairs, sampling), judge(other, pairs, sampling)
    assert found.keys() == wanted.keys() and len(found) == NUM_PAIRS
    num_verdicts = 0
    for key, judgment in wanted.items():
        assert found[key].winner == judgment.winner
        for vote, like in zip(found[key].votes, judgment.votes, strict=True):
            assert vote.generation.text == like.generation.text
            assert vote.verdict == like.verdict
            assert vote.generation.finish_reason == like.generation.finish_reason
            assert vote.generation.completion_tokens == like.generation.completion_tokens
            if like.generation.verdict_logprobs is None:
                assert vote.generation.verdict_logprobs is None
                continue
            num_verdicts += 1
            assert dict(vote.generation.verdict_logprobs or ()) == pytest.approx(
                dict(like.generation.verdict_logprobs), abs=1e-3
            )
            assert vote.generation.verdict_mass == pytest.approx(like.generation.verdict_mass, abs=1e-3)
    assert num_verdicts > NUM_PAIRS


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
