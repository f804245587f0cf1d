"""One vLLM engine on a tiny model, held against the transformers engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmr1.engines.base import Engine, Request, SamplingParams, derive_seed
from rmr1.errors import GenerationError
from rmr1.messages import ImagePart, Message, TextPart
from rmr1.records import JudgePrompt
from tests.engines.asking import GREEDY, VERDICT, ask, assert_alike, complain, gather
from tests.engines.conftest import ANSWERS, AT_VERDICT, HAS_VLLM
from tests.listening import Listening

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.vllm import VLLMEngine

LONG = "a long question of many words, told again and again " * 6


@pytest.fixture(scope="module")
def parrot(make_parrot: Callable[[str], Path]) -> Path:
    return make_parrot("letter")


@pytest.fixture(scope="module")
def engine(parrot: Path) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(str(parrot), kv_cache_gb=0.1, max_num_seqs=4, engine_args={"block_size": 32})
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def other(parrot: Path) -> TransformersEngine:
    return TransformersEngine(str(parrot), device="cpu")


def test_greedy_texts_are_those_of_the_transformers_engine(
    engine: VLLMEngine, other: TransformersEngine
) -> None:
    requests = [ask(text) for text in [*ANSWERS, LONG, "hi", "[[A]] or [[B]]", "x" * 40, "é 好 \U0001f600"]]
    found, wanted = gather(engine, requests, VERDICT), gather(other, requests, VERDICT)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert isinstance(engine, Engine)
    assert engine.special_tokens() == other.special_tokens()


def test_texts_end_where_the_model_ends_them_or_at_a_final_verdict(engine: VLLMEngine) -> None:
    found = gather(engine, [ask(text) for text in ANSWERS], GREEDY)
    assert {key: generations[0].text for key, generations in found.items()} == ANSWERS
    assert {generations[0].finish_reason for generations in found.values()} == {"stop"}
    ended = gather(engine, [ask(text) for text in ANSWERS], replace(GREEDY, stop_at_verdict=True))
    for key, text in AT_VERDICT.items():
        # The token that ends the line may hold a little more; nothing of it is cut off.
        assert ended[key][0].text.startswith(text) and len(ended[key][0].text) < len(text) + 4
        assert ended[key][0].finish_reason == "stop"
    cut = gather(engine, [ask("plain")], replace(GREEDY, max_new_tokens=5))["plain"][0]
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 5)
    assert ANSWERS["plain"].startswith(cut.text) and cut.text


def test_tokens_are_handed_over_one_by_one_only_if_they_are_watched(
    engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = engine._require_core().engine
    step, outputs = core.step, []
    monkeypatch.setattr(core, "step", lambda: outputs.extend(found := step()) or found)
    requests = [ask(text) for text in ANSWERS]
    plain = gather(engine, requests, GREEDY)
    assert len(outputs) == len(requests) and all(one.finished for one in outputs)
    outputs.clear()
    watched = gather(engine, requests, replace(GREEDY, stop=("no such text",)))
    assert watched == plain
    assert len(outputs) == sum(one.completion_tokens for (one,) in plain.values())


@pytest.mark.parametrize("params", [GREEDY, replace(GREEDY, stop=("]]",))], ids=["whole", "stopped"])
def test_who_listens_hears_the_texts_as_they_are_written_and_they_are_the_same(
    engine: VLLMEngine, params: SamplingParams
) -> None:
    silent = gather(engine, [ask(text) for text in ANSWERS], params)
    listening = {text: Listening() for text in ANSWERS}
    requests = [replace(ask(text), listener=listening[text]) for text in ANSWERS]
    assert gather(engine, requests, params) == silent
    for text, heard in listening.items():
        # The rest of the last token's text is told with the whole.
        assert silent[text][0].text.startswith(heard.texts[0]) and not heard.num_taken_back
        assert len(heard.texts[0]) > len(silent[text][0].text) / 2 and heard.num_pieces > 3


def test_verdict_logprobs_are_taken_before_the_temperature(engine: VLLMEngine) -> None:
    requests = [ask(text, f"{text}-{seed}", seed=seed) for text in ("plain", "quoted") for seed in range(6)]
    cold = gather(engine, [ask("plain"), ask("quoted")], VERDICT)
    # The same text now and then, and then the same log-probabilities.
    warm = gather(engine, requests, replace(VERDICT, temperature=0.6, top_p=0.95))
    same = 0
    for key, (generation,) in warm.items():
        greedy = cold[key.partition("-")[0]][0]
        if generation.text == greedy.text:
            assert dict(generation.verdict_logprobs or ()) == pytest.approx(
                dict(greedy.verdict_logprobs or ()), abs=1e-3
            )
            same += 1
    assert same >= 4


def test_samples_follow_from_their_seeds(engine: VLLMEngine) -> None:
    params = SamplingParams(temperature=2.0, top_p=0.95, top_k=50, max_new_tokens=12, num_samples=3)
    requests = [ask(text, seed=index) for index, text in enumerate(["plain", "hi", "bare", LONG])]
    found = gather(engine, requests, params)
    for index, request in enumerate(requests):
        generations = found[request.key]
        assert [generation.seed for generation in generations] == [
            derive_seed(index, sample) for sample in range(3)
        ]
        assert len({generation.text for generation in generations}) == 3
    assert gather(engine, requests[::-1], params) == found
    moved = gather(engine, [replace(request, seed=99) for request in requests], params)
    assert all(moved[key] != found[key] for key in found)


def test_more_samples_than_rows_fit_at_a_time(engine: VLLMEngine) -> None:
    params = SamplingParams(temperature=1.0, max_new_tokens=4, num_samples=11)
    found = gather(engine, [ask("hi"), ask("plain")], params)
    assert [len(generations) for generations in found.values()] == [11, 11]


def test_what_prompts_share_is_computed_once(engine: VLLMEngine) -> None:
    before = engine.num_prompt_tokens, engine.num_cached_tokens
    params = SamplingParams(temperature=1.0, max_new_tokens=4, num_samples=4)
    gather(engine, [ask(f"cached {LONG} {ending}") for ending in ("one", "two")], params)
    prompt, cached = engine.num_prompt_tokens - before[0], engine.num_cached_tokens - before[1]
    # Of eight rows the first computes its prompt; the others find nearly all of it.
    assert 0.7 < cached / prompt < 7 / 8


def test_a_bad_prompt_leaves_its_neighbours_alone(engine: VLLMEngine, other: TransformersEngine) -> None:
    picture = Message(role="user", content=(TextPart(text="see"), ImagePart(url="file:///a.png")))
    bad = [
        ask("plain", "tool", role="tool"),
        ask("x" * 5000, "long"),
        replace(
            ask("plain", "picture"),
            prompt=JudgePrompt(pair_id="p", family="own", order="given", messages=(picture,)),
        ),
    ]
    requests = [ask("plain"), bad[0], bad[1], ask("bare"), bad[2], ask("quoted")]
    params = replace(VERDICT, temperature=0.0)
    found, wanted = gather(engine, requests, params), gather(other, requests, params)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert [found[key][0].finish_reason for key in ("tool", "long", "picture")] == [
        "error",
        "skipped",
        "error",
    ]
    assert found["plain"][0].text == ANSWERS["plain"]


def test_an_endless_stream_is_pulled_as_far_as_needed(engine: VLLMEngine) -> None:
    pulled = 0

    def stream() -> Iterator[Request]:
        nonlocal pulled
        while True:
            pulled += 1
            yield ask(f"question {pulled}", str(pulled))

    results = engine.generate(stream(), SamplingParams(max_new_tokens=3))
    for finished in range(1, 41):
        next(results)
        # At most eight rows of four at a time, and one that was pulled to replace each finished one.
        assert pulled <= finished + 8
    results.close()  # type: ignore[attr-defined]
    assert not engine._listeners
    core = engine._require_core()
    assert not core.engine.has_unfinished_requests()
    assert gather(engine, [ask("bare")], GREEDY)["bare"][0].text == ANSWERS["bare"]


def test_two_streams_may_be_read_in_turns(engine: VLLMEngine) -> None:
    streams = [engine.generate([ask(text) for text in ANSWERS], GREEDY) for _ in range(2)]
    texts = [
        {request.key: generations[0].text for request, generations in pair}
        for pair in zip(*streams, strict=True)
    ]
    assert len(texts) == len(ANSWERS)
    assert all(ANSWERS[key] == text for pair in texts for key, text in pair.items())


def test_a_failing_source_takes_its_requests_along(engine: VLLMEngine) -> None:
    def stream() -> Iterator[Request]:
        yield ask("plain")
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        list(engine.generate(stream(), GREEDY))
    assert not engine._listeners and not engine._require_core().engine.has_unfinished_requests()


def test_a_request_that_vllm_refuses_is_an_error_of_its_own(
    engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = engine._require_core()
    add = core.engine.add_request

    def refuse(key: str, prompt: Any, *args: Any, **kwargs: Any) -> Any:
        if len(prompt["prompt_token_ids"]) > 100:
            raise ValueError("no such prompt\nplease")
        return add(key, prompt, *args, **kwargs)

    monkeypatch.setattr(core.engine, "add_request", refuse)
    found = gather(engine, [ask("plain"), ask(LONG, "long"), ask("bare")], VERDICT)
    assert found["long"][0].error == "vLLM refuses the prompt: no such prompt"
    assert found["long"][0].finish_reason == "error"
    assert found["bare"][0].text == ANSWERS["bare"]


def test_an_engine_that_fails_says_so(engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("out of luck\nin many lines")

    with monkeypatch.context() as patch:
        patch.setattr(engine._require_core().engine, "step", fail)
        text = complain(lambda: gather(engine, [ask("plain")], GREEDY), GenerationError)
    assert text == "vLLM has stopped: out of luck"


def test_fingerprint(engine: VLLMEngine, other: TransformersEngine) -> None:
    found, like = engine.fingerprint(), other.fingerprint()
    assert json.loads(json.dumps(found)) == found
    shared = like.keys() - {"engine"}
    assert {key: found[key] for key in shared} == {key: like[key] for key in shared}
    assert found["engine"] == "vllm" and found["vllm"] == "0.32.0"
