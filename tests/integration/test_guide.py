"""The guided protocol on real engines: the bundled judge, and models that know nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from rmr1 import Judge
from rmr1.attention.forward import Forward
from rmr1.attention.kept import Kept
from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.hf.continuing import KeptTexts
from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.hf.tokens import encode_text
from rmr1.engines.loops import cut_loop, is_loop
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.messages import user
from rmr1.models import resolve_model
from rmr1.prompts import load_family
from rmr1.records import JudgePrompt, Judgment, PreferencePair
from rmr1.world import sample_pairs
from tests.tiny_models import MERGES, build_model, build_tokenizer

PROMPT = JudgePrompt(pair_id="0", family="direct", order="given", messages=(user("which?"),))


def judge(pairs: list[PreferencePair], **settings: object) -> list[Judgment]:
    with Judge(
        "tiny", sampling=SamplingParams(max_new_tokens=1024, verdict_logprobs=True), **settings
    ) as tiny:
        return list(tiny.judge(pairs))


@pytest.fixture(scope="module")
def pairs() -> list[PreferencePair]:
    return [item.pair for item in sample_pairs(3, 60, split="test")]


def test_a_judge_that_keeps_the_protocol_writes_what_it_writes_alone(pairs: list[PreferencePair]) -> None:
    alone, guided = judge(pairs), judge(pairs, guide="protocol")
    alike = [
        one.reasoning == other.reasoning
        for one, other in zip(alone, guided, strict=True)
        if one.winner is not None
    ]
    assert sum(alike) >= 0.95 * len(alike)
    for one, other in zip(alone, guided, strict=True):
        if one.reasoning == other.reasoning:
            assert other.votes[0].probability == pytest.approx(one.votes[0].probability, abs=1e-4)


def test_a_budget_ends_in_a_verdict(pairs: list[PreferencePair]) -> None:
    forced = judge(pairs, guide="verdict")
    assert [one.reasoning for one in forced] == [one.reasoning for one in judge(pairs)]
    brief = [one for one in judge(pairs, guide="protocol", part_tokens=9) if one.winner is not None]
    assert len(brief) == len(pairs) and {one.votes[0].probability is None for one in brief} == {False}


@pytest.fixture(scope="module", params=sorted(MERGES))
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TransformersEngine]:
    """A model of random weights, by the way in which its tokenizer writes `[[A]]`."""
    folder = tmp_path_factory.mktemp("model")
    build_model(max_position_embeddings=4096).save_pretrained(folder)
    build_tokenizer(request.param).save_pretrained(folder)
    engine = TransformersEngine(str(folder), device="cpu")
    yield engine
    engine.close()


def test_choices_are_as_likely_as_a_full_pass_says(engine: TransformersEngine) -> None:
    choices = ("A]]</answer>", "B]]</answer>")
    going_on = Continuation(start="so <answer>[[", choices=choices)
    request = Request(key="0", prompt=PROMPT, going_on=going_on)
    ((_, (found,)),) = engine.generate([request], SamplingParams())
    told = dict(found.verdict_logprobs or ())
    assert found.text == max(told, key=told.__getitem__) and found.completion_tokens == 1
    spelt = [encode_text(engine._reader.tokenizer, "so <answer>[[" + choice) for choice in choices]
    prompt = engine._reader.encode(PROMPT.messages, "0")[1]
    before = next(at for at, column in enumerate(zip(*spelt, strict=False)) if len(set(column)) > 1)
    behind = next(
        at
        for at, column in enumerate(zip(*(one[: before - 1 : -1] for one in spelt), strict=False))
        if len(set(column)) > 1
    )
    for choice, tokens in zip(choices, spelt, strict=True):
        ids = torch.tensor([[*prompt, *tokens]])
        with torch.no_grad():
            scores = engine._model(ids).logits[0].log_softmax(-1)
        places = range(before, len(tokens) - behind)
        wanted = sum(float(scores[len(prompt) + at - 1, tokens[at]]) for at in places)
        assert told[choice] == pytest.approx(wanted, abs=1e-4) and places


def test_a_model_that_knows_nothing_gives_a_verdict_for_every_pair(
    engine: TransformersEngine, pairs: list[PreferencePair]
) -> None:
    settings = JudgeSettings(
        guide="protocol", part_tokens=24, order="both", sampling=SamplingParams(max_new_tokens=48)
    )
    guided = GenerativeJudge(engine, load_family("rubric"), settings)
    for _, one in guided.run(pairs[:3]):
        assert [vote.problem for vote in one.votes] == [None, None]
        assert all(vote.probability is not None for vote in one.votes)
        assert all(vote.generation.text.count("<answer>") == 1 for vote in one.votes)


def test_a_continuation_goes_on_behind_what_is_written(engine: TransformersEngine) -> None:
    params, start = SamplingParams(max_new_tokens=12), "so <answer> it"
    again = Request(key="0", prompt=PROMPT, going_on=Continuation(start=start))
    prepared = engine._reader.prepare(again, params)
    prompt = engine._reader.encode(PROMPT.messages, "0")[1]
    assert prepared.tokens == [*prompt, *encode_text(engine._reader.tokenizer, start)]
    ((_, (rest,)),) = engine.generate([again], params)
    assert rest.prompt_tokens == len(prompt) and rest.completion_tokens == 12
    alone = Request(key="0", prompt=PROMPT)
    answers = engine.generate([again, alone, again], params)  # together with others
    assert [one.text for request, (one,) in answers if request is again] == [rest.text] * 2


WAYS: dict[str, tuple[str, dict[str, object]]] = {
    "typed": ("rubric", {"guide": "protocol"}),
    "untyped": ("reasoning", {"guide": "protocol", "part_tokens": 70}),
    "at once": ("direct", {"guide": "protocol", "part_tokens": 0}),
    "forced": ("rubric", {"guide": "verdict"}),
}
DRAWN = SamplingParams(temperature=1.0, num_samples=3, verdict_logprobs=True)


@pytest.fixture(scope="module")
def bundled() -> Iterator[TransformersEngine]:
    engine = TransformersEngine(str(resolve_model("tiny")), device="cpu")
    yield engine
    engine.close()


def run_kept(
    engine: TransformersEngine, limit: float, way: str, pairs: list[PreferencePair], votes: int
) -> tuple[list[Judgment], int]:
    """The judgments with so many bytes for texts that go on, and the tokens that were not read again."""
    family, settings = WAYS[way]
    sampling = DRAWN if votes > 1 else SamplingParams(verdict_logprobs=True)
    sampling = replace(sampling, max_new_tokens=40 if way == "forced" else 1024)
    engine._texts = KeptTexts(int(limit))
    judge = GenerativeJudge(
        engine, load_family(family), JudgeSettings(order="both", sampling=sampling, **settings)
    )
    found = dict(judge.run(pairs))
    return [found[key] for key in sorted(found)], engine._texts.num_spared


def assert_alike(found: list[Judgment], wanted: list[Judgment]) -> None:
    for one, other in zip(found, wanted, strict=True):
        for vote, like in zip(one.votes, other.votes, strict=True):
            mine, theirs = vote.generation, like.generation
            assert (mine.text, mine.completion_tokens) == (theirs.text, theirs.completion_tokens)
            assert (mine.prompt_tokens, mine.seed) == (theirs.prompt_tokens, theirs.seed)
            assert (mine.verdict_logprobs is None) == (theirs.verdict_logprobs is None)
            assert dict(mine.verdict_logprobs or ()) == pytest.approx(
                dict(theirs.verdict_logprobs or ()), abs=1e-3
            )


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_texts_that_go_on_in_the_cache_are_those_that_are_read_again(
    bundled: TransformersEngine, pairs: list[PreferencePair], way: str, votes: int
) -> None:
    few = pairs[: 4 // votes + 2]
    wanted, spared = run_kept(bundled, 0, way, few, votes)
    assert spared == 0 and all(vote.generation.error is None for one in wanted for vote in one.votes)
    found, most = run_kept(bundled, 1 << 30, way, few, votes)
    assert_alike(found, wanted)
    assert (most > 0) == (way != "at once")
    if way == "typed":  # all of a prompt at each part after the first
        assert most > 3 * sum(vote.generation.prompt_tokens for one in wanted for vote in one.votes)
        found, some = run_kept(bundled, 600 * bundled._token_bytes, way, few, votes)
        assert_alike(found, wanted)
        assert 0 < some < most


def test_votes_of_a_prompt_are_begun_together(
    bundled: TransformersEngine, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    prefill = Forward.prefill

    def counted(self: Forward, prompts: list[list[int]], **more: object) -> torch.Tensor:
        begun = more.get("begun") or [Kept()] * len(prompts)
        read.extend(len(one) - kept.num_tokens for one, kept in zip(prompts, begun, strict=True))
        return prefill(self, prompts, **more)

    monkeypatch.setattr(Forward, "prefill", counted)
    found, _ = run_kept(bundled, 1 << 30, "typed", pairs[:4], 3)
    written = sum(one.completion_tokens for one in found)
    prompts = sum(vote.generation.prompt_tokens for one in found for vote in one.votes[::3])
    assert prompts < sum(read) < prompts + written


def test_a_run_that_stops_in_between_leaves_nothing_wrong(
    bundled: TransformersEngine, pairs: list[PreferencePair]
) -> None:
    wanted, _ = run_kept(bundled, 0, "typed", pairs[:3], 1)
    bundled._texts = KeptTexts(1 << 30)
    settings = JudgeSettings(guide="protocol", order="both", sampling=SamplingParams(verdict_logprobs=True))
    judge = GenerativeJudge(bundled, load_family("rubric"), settings)
    stopped = judge.run(pairs[:3])
    next(stopped)
    stopped.close()
    found = dict(judge.run(pairs[:3]))
    assert_alike([found[key] for key in sorted(found)], wanted)


def test_loops() -> None:
    assert not is_loop([1, 2, 3] * 31) and is_loop([1, 2, 3] * 32)
    assert not is_loop(list(range(1000))) and is_loop([*range(500), *[7] * 96])
    assert not is_loop([*range(200)] * 3) and is_loop([*range(190)] * 5)


def test_a_loop_is_cut_from_a_text_where_it_would_have_been_ended() -> None:
    plain = " ".join(f"word{number}, and {number * 7 % 101}." for number in range(400))
    assert cut_loop(plain) == plain and cut_loop("") == ""
    assert cut_loop("no " * 95) == "no " * 95
    looped = cut_loop(plain + " yes it is;" * 200 + " the end")
    assert looped.startswith(plain + " yes it is;") and looped.count("yes it is") in range(24, 33)
    assert cut_loop("a b c d e f g h i j. " * 3) == "a b c d e f g h i j. " * 3
