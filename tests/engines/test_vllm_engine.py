"""The vLLM engine on real engines and tiny models, held against the transformers engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import pytest

from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.errors import CheckpointError, ConfigError, GenerationError
from rmr1.records import Generation, ImagePart, JudgePrompt, Message, TextPart
from tests.engines.conftest import ANSWERS, HAS_VLLM, STOPPED
from tests.tiny_models import build_model, build_tokenizer, save_model

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

from rmr1.engines import transformers as transformers_engine
from rmr1.engines.chat import derive_seed
from rmr1.engines.transformers import TransformersEngine
from rmr1.engines.vllm import VLLMEngine

GREEDY = SamplingParams(max_new_tokens=80)
VERDICT = replace(GREEDY, verdict_logprobs=True)
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


def ask(text: str, key: str | None = None, *, seed: int = 0, role: Any = "user") -> Request:
    messages = (Message(role=role, content=text),)
    name = text if key is None else key
    prompt = JudgePrompt(pair_id=f"pair-{name}", family="own", order="given", messages=messages)
    return Request(key=name, prompt=prompt, seed=seed)


def gather(
    engine: Engine, requests: list[Request], params: SamplingParams
) -> dict[str, tuple[Generation, ...]]:
    found = {request.key: generations for request, generations in engine.generate(iter(requests), params)}
    assert found.keys() == {request.key for request in requests}
    return found


def complain(call: Callable[[], Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    return text


def assert_alike(found: Generation, wanted: Generation) -> None:
    """Equal but for log-probabilities, which may differ by a thousandth."""
    if wanted.verdict_logprobs is not None:
        assert found.verdict_logprobs is not None
        assert dict(found.verdict_logprobs) == pytest.approx(dict(wanted.verdict_logprobs), abs=1e-3)
        assert found.verdict_mass == pytest.approx(wanted.verdict_mass, abs=1e-3)
    assert replace(found, verdict_logprobs=None, verdict_mass=None) == replace(
        wanted, verdict_logprobs=None, verdict_mass=None
    )


def test_greedy_texts_are_those_of_the_transformers_engine(
    engine: VLLMEngine, other: TransformersEngine
) -> None:
    requests = [ask(text) for text in [*ANSWERS, LONG, "hi", "[[A]] or [[B]]", "x" * 40, "é 好 \U0001f600"]]
    found, wanted = gather(engine, requests, VERDICT), gather(other, requests, VERDICT)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert isinstance(engine, Engine)
    assert engine.special_tokens() == other.special_tokens()


def test_texts_end_at_the_judges_own_verdict(engine: VLLMEngine) -> None:
    found = gather(engine, [ask(text) for text in ANSWERS], GREEDY)
    assert {key: generations[0].text for key, generations in found.items()} == STOPPED
    assert {generations[0].finish_reason for generations in found.values()} == {"stop"}
    # Without stop strings the parrot says all that it has learnt, up to its own end.
    on = gather(engine, [ask(text) for text in ANSWERS], replace(GREEDY, stop=()))
    assert {key: generations[0].text for key, generations in on.items()} == ANSWERS
    cut = gather(engine, [ask("plain")], replace(GREEDY, max_new_tokens=5))["plain"][0]
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 5)
    assert STOPPED["plain"].startswith(cut.text) and cut.text


@pytest.mark.parametrize("style", ["left", "lopsided", "split"])
def test_verdict_logprobs_agree_however_a_verdict_is_split_into_tokens(
    make_parrot: Callable[[str], Path], start: Callable[..., VLLMEngine], style: str
) -> None:
    folder = make_parrot(style)
    requests = [ask(text) for text in ANSWERS]
    wanted = gather(TransformersEngine(str(folder), device="cpu"), requests, VERDICT)
    found = gather(start(folder), requests, VERDICT)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert found["silent"][0].verdict_logprobs is None
    logprobs = dict(found["plain"][0].verdict_logprobs or ())
    assert -0.7 < logprobs["A"] < 0 and logprobs["B"] < logprobs["A"]
    assert found["plain"][0].verdict_mass == pytest.approx(sum(map(exp, logprobs.values())))


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
    assert derive_seed(5, 1) == transformers_engine.derive_seed(5, 1)


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
    assert found["plain"][0].text == STOPPED["plain"]


def test_the_context_ends_a_text(parrot: Path, start: Callable[..., VLLMEngine]) -> None:
    options: dict[str, Any] = {"max_model_len": 64}
    requests = [ask("plain"), ask("x" * 47, "edge"), ask("x" * 48, "over")]
    wanted = gather(TransformersEngine(str(parrot), device="cpu", **options), requests, VERDICT)
    engine = start(parrot, **options)
    found = gather(engine, requests, VERDICT)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert found["plain"][0].finish_reason == "length"
    strict = start(parrot, on_overlong="fail", **options)
    text = complain(lambda: gather(strict, [ask("x" * 200, "over")], GREEDY), GenerationError)
    assert text.startswith("pair 'pair-over': prompt of ")
    assert gather(strict, [ask("bare")], GREEDY)["bare"][0].finish_reason == "stop"


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
    assert gather(engine, [ask("bare")], GREEDY)["bare"][0].text == STOPPED["bare"]


def test_two_streams_may_be_read_in_turns(engine: VLLMEngine) -> None:
    streams = [engine.generate([ask(text) for text in ANSWERS], GREEDY) for _ in range(2)]
    texts = [
        {request.key: generations[0].text for request, generations in pair}
        for pair in zip(*streams, strict=True)
    ]
    assert len(texts) == len(ANSWERS)
    assert all(STOPPED[key] == text for pair in texts for key, text in pair.items())


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
    assert found["bare"][0].text == STOPPED["bare"]


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


def test_an_adapter_is_applied(
    parrot: Path, tmp_path: Path, start: Callable[..., VLLMEngine], other: TransformersEngine
) -> None:
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(parrot, dtype=torch.float32)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(base, config)
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer: Any = AutoTokenizer.from_pretrained(parrot)
    merged = save_model(tmp_path / "merged", adapted.merge_and_unload(), tokenizer)
    requests = [ask(text) for text in [*ANSWERS, "hi"]]
    params = SamplingParams(max_new_tokens=10)
    wanted = gather(TransformersEngine(str(merged), device="cpu"), requests, params)
    plain = gather(other, requests, params)
    engine = start(parrot, lora_adapter=tmp_path / "adapter")
    found = gather(engine, requests, params)
    texts = {key: generations[0].text for key, generations in found.items()}
    assert texts == {key: generations[0].text for key, generations in wanted.items()}
    assert texts != {key: generations[0].text for key, generations in plain.items()}
    assert engine.fingerprint()["lora_adapter"]


def test_a_closed_engine_leaves_the_process_as_it_was(parrot: Path) -> None:
    code = f"""
import gc, multiprocessing, os, threading, warnings, weakref
import torch
torch.set_num_threads(2)
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.vllm import VLLMEngine
from rmr1.records import JudgePrompt, user
for _ in range(2):
    engine = VLLMEngine({str(parrot)!r}, kv_cache_gb=0.1, max_num_seqs=2)
    assert torch.get_num_threads() == 2
    prompt = JudgePrompt(pair_id="p", family="own", order="given", messages=(user("bare"),))
    ((_, (generation,)),) = engine.generate([Request(key="k", prompt=prompt)], SamplingParams())
    assert generation.text.startswith("So it is [[B]]"), generation
    running = weakref.ref(engine._core.engine)
    engine.close()
    engine.close()
    gc.collect()
    assert running() is None
    try:
        list(engine.generate([Request(key="k", prompt=prompt)], SamplingParams()))
    except Exception as error:
        assert "closed" in str(error)
    else:
        raise AssertionError
assert not torch.distributed.is_initialized()
assert not multiprocessing.active_children()
assert "LD_PRELOAD" not in os.environ and "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ
torch.set_num_threads(1)
assert torch.get_num_threads() == 1
"""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == ""
    assert "INFO" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float8"}, "dtype 'float8' is not known"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0"),
        ({"max_num_seqs": -1}, "max_num_seqs is -1"),
        ({"max_model_len": 5000}, "beyond the model's context of 1024"),
        ({"gpu_memory_utilization": 1.5}, "expected a share in (0, 1]"),
        ({"kv_cache_gb": 0}, "kv_cache_gb is 0"),
        ({"on_overlong": "cut"}, "on_overlong is 'cut'"),
        ({"chat_template_kwargs": {"tokenize": True}}, "may not set 'tokenize'"),
        ({"engine_args": {"max_num_seq": 4}}, "engine_args has 'max_num_seq', which vLLM does not know"),
        ({"engine_args": {"dtype": "half"}}, "engine_args may not set 'dtype'"),
    ],
)
def test_wrong_settings_are_told_in_a_line(parrot: Path, options: dict[str, Any], words: str) -> None:
    assert words in complain(lambda: VLLMEngine(str(parrot), **options), ConfigError)


def test_models_that_cannot_run_are_told_in_a_line(parrot: Path, tmp_path: Path) -> None:
    assert "no such folder" in complain(lambda: VLLMEngine("./missing"), CheckpointError)
    assert "no adapter_config.json" in complain(
        lambda: VLLMEngine(str(parrot), lora_adapter=tmp_path), CheckpointError
    )
    small = complain(lambda: VLLMEngine(str(parrot), kv_cache_gb=1e-5, max_model_len=1024), CheckpointError)
    assert "kv_cache_gb" in small
    # Heads of a size that vLLM's CPU attention does not compute.
    odd = save_model(tmp_path / "odd", build_model(), build_tokenizer())
    assert "vLLM cannot run model" in complain(lambda: VLLMEngine(str(odd), kv_cache_gb=0.1), CheckpointError)
    # Nothing of the failed attempts is in the way of the next.
    engine = VLLMEngine(str(parrot), kv_cache_gb=0.1, max_num_seqs=2)
    try:
        assert gather(engine, [ask("bare")], GREEDY)["bare"][0].text == STOPPED["bare"]
    finally:
        engine.close()


def test_thinking_that_the_template_opened_stands_in_the_text(
    parrot: Path, start: Callable[..., VLLMEngine]
) -> None:
    requests = [ask(text) for text in ANSWERS]
    options: dict[str, Any] = {"chat_template_kwargs": {"think": True}}
    wanted = gather(TransformersEngine(str(parrot), device="cpu", **options), requests, VERDICT)
    found = gather(start(parrot, **options), requests, VERDICT)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert all(generations[0].text.startswith("<think>") for generations in found.values())
