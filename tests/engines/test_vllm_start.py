"""vLLM engines as they are started with all kinds of settings, and closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch

from rmr1.engines import SamplingParams, load_engine
from rmr1.errors import CheckpointError, ConfigError, GenerationError
from tests.engines.asking import GREEDY, VERDICT, ask, assert_alike, complain, gather
from tests.engines.conftest import ANSWERS, HAS_VLLM
from tests.tiny_models import BEGIN, END, build_model, build_tokenizer, save_model

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.vllm import VLLMEngine


@pytest.fixture(scope="module")
def parrot(make_parrot: Callable[[str], Path]) -> Path:
    return make_parrot("letter")


@pytest.fixture
def start() -> Iterator[Callable[..., VLLMEngine]]:
    """Starts an engine that is closed after the test."""
    engines: list[VLLMEngine] = []

    def start_engine(model: Path, **options: Any) -> VLLMEngine:
        engine = load_engine(f"vllm:{model}", {"kv_cache_gb": 0.1, "max_num_seqs": 4, **options})
        assert isinstance(engine, VLLMEngine)
        engines.append(engine)
        return engine

    yield start_engine
    for engine in engines:
        engine.close()


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


def test_the_context_ends_a_text(parrot: Path, start: Callable[..., VLLMEngine]) -> None:
    options: dict[str, Any] = {"max_model_len": 64}
    requests = [ask("plain"), *(ask("x" * length, str(length)) for length in range(40, 60))]
    wanted = gather(TransformersEngine(str(parrot), device="cpu", **options), requests, VERDICT)
    found = gather(start(parrot, **options), requests, VERDICT)
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
    assert {found[key][0].finish_reason for key in found} == {"stop", "length", "skipped"}
    assert {found[key][0].completion_tokens for key in found} >= {0, 1}


def test_prompts_that_fill_a_step_keep_their_seeds(parrot: Path, start: Callable[..., VLLMEngine]) -> None:
    engine = start(parrot, max_num_seqs=16, engine_args={"max_num_batched_tokens": 1024})
    params = SamplingParams(temperature=1.0, max_new_tokens=4, num_samples=2)
    requests = [ask(f"{index} " + "x" * 600, str(index), seed=index) for index in range(6)]
    found = gather(engine, requests, params)
    assert {generations[0].finish_reason for generations in found.values()} <= {"stop", "length"}
    assert gather(engine, requests[::-1], params) == found


def test_an_overlong_prompt_may_end_the_run(parrot: Path, start: Callable[..., VLLMEngine]) -> None:
    strict = start(parrot, on_overlong="fail", max_model_len=128)
    text = complain(lambda: gather(strict, [ask("bare"), ask("x" * 200, "over")], GREEDY), GenerationError)
    assert text.startswith("pair 'pair-over': prompt of ")
    assert gather(strict, [ask("bare")], GREEDY)["bare"][0].text == ANSWERS["bare"]


def test_an_adapter_is_applied(parrot: Path, tmp_path: Path, start: Callable[..., VLLMEngine]) -> None:
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
    plain = gather(TransformersEngine(str(parrot), device="cpu"), requests, params)
    engine = start(parrot, lora_adapter=tmp_path / "adapter")
    found = gather(engine, requests, params)
    texts = {key: generations[0].text for key, generations in found.items()}
    assert texts == {key: generations[0].text for key, generations in wanted.items()}
    assert texts != {key: generations[0].text for key, generations in plain.items()}
    assert engine.fingerprint()["lora_adapter"]


def test_the_templates_end_token_ends_a_text(
    parrot: Path, tmp_path: Path, start: Callable[..., VLLMEngine]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(parrot, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(parrot)
    # Nothing but the template says that a turn ends there.
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    tokenizer.eos_token = BEGIN
    folder = save_model(tmp_path / "model", model, tokenizer)
    params = SamplingParams(max_new_tokens=60, stop=())
    requests = [ask("silent"), ask("plain")]
    wanted = gather(TransformersEngine(str(folder), device="cpu"), requests, params)
    engine = start(folder)
    found = gather(engine, requests, params)
    assert {key: one[0].text for key, one in found.items()} == {key: ANSWERS[key] for key in found}
    for key in wanted:
        assert_alike(found[key][0], wanted[key][0])
        assert found[key][0].finish_reason == "stop"
    assert engine.fingerprint()["template_end_token"] == END


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


def test_a_closed_engine_leaves_the_process_as_it_was(parrot: Path) -> None:
    code = f"""
import gc, multiprocessing, os, threading, warnings, weakref
import torch
torch.set_num_threads(2)
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.vllm import VLLMEngine
from rmr1.messages import user
from rmr1.records import JudgePrompt
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
        assert "is closed" in str(error)
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
        ({"dtype": "float8"}, "dtype: input should be 'auto'"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size: input should be greater"),
        ({"max_num_seqs": -1}, "max_num_seqs: input should be greater"),
        ({"max_model_len": 5000}, "beyond the model's context of 1024"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization: input should be less than or equal to 1"),
        ({"kv_cache_gb": 0}, "kv_cache_gb: input should be greater than 0"),
        ({"on_overlong": "cut"}, "on_overlong: input should be 'skip' or 'fail'"),
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
    # Nothing of the failed attempts is in the way of the next, but a second engine would be.
    engine = VLLMEngine(str(parrot), kv_cache_gb=0.1, max_num_seqs=2)
    try:
        second = complain(lambda: VLLMEngine(str(parrot), kv_cache_gb=0.1), ConfigError)
        assert second.startswith("a vLLM engine runs in this process already")
        assert gather(engine, [ask("bare")], GREEDY)["bare"][0].text == ANSWERS["bare"]
    finally:
        engine.close()
