"""A real pretrained model on real pairs: every engine writes the same texts, to the end of the turn.

Run with `-s` to see three of the texts and what each engine took.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmr1.data import read_pairs
from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.prompts import load_family, render_prompt
from rmr1.records import Generation, PreferencePair
from tests.engines.asking import gather
from tests.engines.conftest import HAS_VLLM

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.openai import OpenAIEngine
from rmr1.engines.vllm import VLLMEngine
from tests.engines.vllm_server import NAME, serve

CONTEXT = 2048
WHOLE = SamplingParams(max_new_tokens=256, stop=())
"""Greedy, to the end of the turn or to the limit."""
BRIEF = SamplingParams(max_new_tokens=48, stop=())
FAMILIES = ("rubric", "direct")
SOURCES = (
    "rewardbench/rewardbench_filtered_partial.jsonl.gz",
    "llmbar/llmbar_natural.jsonl.gz",
    "preference-train/alpaca_eval_gpt4_pairs.jsonl.gz",
)
PAIRS_PER_SOURCE = 4
NUM_CHARACTERS = range(200, 1201)
"""Of question and both answers together: prompts that a CPU reads in a few seconds."""
SEED = 0


@pytest.fixture(scope="module")
def pairs(shared: Path) -> list[PreferencePair]:
    """From each source four pairs of one turn, drawn by the seed among those of a fitting length."""
    chosen: list[PreferencePair] = []
    for source in SOURCES:
        fitting = [
            pair
            for pair in read_pairs(shared / "data" / source, on_error="skip")
            if len(pair.prompt) == 1 and count_characters(pair) in NUM_CHARACTERS
        ]
        chosen += random.Random(SEED).sample(fitting, PAIRS_PER_SOURCE)
    return chosen


def count_characters(pair: PreferencePair) -> int:
    return sum(len(message.text) for message in (*pair.prompt, *pair.response_a, *pair.response_b))


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="module")
def reference(smollm2: Path) -> TransformersEngine:
    return TransformersEngine(str(smollm2), device="cpu", dtype="float32", max_model_len=CONTEXT)


@pytest.fixture(scope="module")
def vllm(smollm2: Path) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(
        str(smollm2),
        dtype="float32",
        kv_cache_gb=1,
        max_num_seqs=16,
        max_model_len=CONTEXT,
        engine_args={"block_size": 32},
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def requests(reference: TransformersEngine, pairs: list[PreferencePair]) -> list[Request]:
    """Every pair, asked in both ways."""
    return [
        Request(
            key=f"{family}/{pair.id}",
            prompt=render_prompt(pair, load_family(family), special_tokens=reference.special_tokens()),
        )
        for family in FAMILIES
        for pair in pairs
    ]


@pytest.fixture(scope="module")
def wanted(reference: TransformersEngine, requests: list[Request]) -> dict[str, Generation]:
    return write("transformers", reference, requests, WHOLE)


def write(
    name: str, engine: Engine, requests: list[Request], params: SamplingParams
) -> dict[str, Generation]:
    started = time.monotonic()
    found = {key: generations[0] for key, generations in gather(engine, requests, params).items()}
    num_tokens = sum(generation.completion_tokens for generation in found.values())
    print(f"\n{name}: {len(found)} texts, {num_tokens} tokens in {time.monotonic() - started:.0f} s")
    return found


def assert_same(
    folder: Path,
    requests: list[Request],
    found: dict[str, Generation],
    wanted: dict[str, Generation],
) -> None:
    """Equal texts and ends. What is not equal is told with the place and what the model says there."""
    partings = [
        describe_parting(folder, request, found[request.key].text, wanted[request.key].text)
        for request in requests
        if found[request.key].text != wanted[request.key].text
    ]
    assert not partings, f"{len(partings)} of {len(wanted)} texts differ\n" + "\n".join(partings)
    for key, generation in wanted.items():
        other = found[key]
        assert (other.finish_reason, other.prompt_tokens, other.completion_tokens) == (
            generation.finish_reason,
            generation.prompt_tokens,
            generation.completion_tokens,
        ), key


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def describe_parting(folder: Path, request: Request, found: str, wanted: str) -> str:
    """Where the texts part, and the log-probabilities that the model gives either token there."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = [[*encode(tokenizer, text), tokenizer.eos_token_id] for text in (found, wanted)]
    shared = next(at for at, (one, other) in enumerate(zip(*texts, strict=False)) if one != other)
    turns = [{"role": message.role, "content": message.text} for message in request.prompt.messages]
    prompt = encode(
        tokenizer, tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    )
    logits = model(torch.tensor([prompt + texts[0][:shared]])).logits[0, -1]
    logprobs = logits.log_softmax(-1).tolist()
    mine, theirs = texts[0][shared], texts[1][shared]
    return (
        f"{request.key}: after {shared} tokens {tokenizer.decode([mine])!r} ({logprobs[mine]:.6f}) "
        f"for {tokenizer.decode([theirs])!r} ({logprobs[theirs]:.6f})"
    )


def test_the_tokenizer_reads_and_writes_as_the_model_learnt_it(tokenizer: PreTrainedTokenizerBase) -> None:
    # Ids as the published tokenizer gives them; each digit is a token, and so are three blanks before one.
    for text, tokens in {
        "Hello world": [19556, 905],
        "In 2024,   7": [788, 216, 34, 32, 34, 36, 28, 333, 39],
        "<|im_start|>user\nhi<|im_end|>\n": [1, 4093, 198, 6004, 2, 198],
    }.items():
        assert encode(tokenizer, text) == tokens
    for text in (
        "",
        "  a1b2\t\n\n",
        "it's 3½ don't",
        "你好 \U0001f600 é",
        "<|im_start|> <|im_end|> <|endoftext|>",
    ):
        assert tokenizer.decode(encode(tokenizer, text)) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.fixture(scope="module")
def few(requests: list[Request], pairs: list[PreferencePair]) -> list[Request]:
    """The four shortest."""
    shortest = {f"direct/{pair.id}" for pair in sorted(pairs, key=count_characters)[:4]}
    return [request for request in requests if request.key in shortest]


def test_a_few_short_pairs(
    smollm2: Path, reference: TransformersEngine, vllm: VLLMEngine, few: list[Request]
) -> None:
    found = write("transformers", reference, few, BRIEF)
    assert_same(smollm2, few, write("vllm", vllm, few, BRIEF), found)
    assert sum(generation.completion_tokens for generation in found.values()) > BRIEF.max_new_tokens


@pytest.mark.slow
def test_whole_texts_of_vllm(
    smollm2: Path, vllm: VLLMEngine, requests: list[Request], wanted: dict[str, Generation]
) -> None:
    assert len(wanted) == len(FAMILIES) * PAIRS_PER_SOURCE * len(SOURCES)
    long = [generation for generation in wanted.values() if generation.completion_tokens > 50]
    assert 2 * len(long) >= len(wanted)
    assert {generation.finish_reason for generation in wanted.values()} == {"stop", "length"}
    assert_same(smollm2, requests, write("vllm", vllm, requests, WHOLE), wanted)
    ended = [key for key, generation in wanted.items() if generation.finish_reason == "stop"]
    for key in sorted(ended, key=lambda key: -wanted[key].completion_tokens)[:3]:
        print(f"--- {key}: {wanted[key].completion_tokens} tokens\n{wanted[key].text}")


@pytest.mark.slow
def test_whole_texts_of_a_vllm_server(
    smollm2: Path, requests: list[Request], wanted: dict[str, Generation], tmp_path: Path
) -> None:
    with serve(smollm2, tmp_path / "server.log", max_model_len=CONTEXT) as url:
        client = OpenAIEngine(NAME, url)
        try:
            found = write("server", client, requests, WHOLE)
        finally:
            client.close()
    assert_same(smollm2, requests, found, wanted)


@pytest.mark.slow
def test_a_servers_own_sampling_shapes_no_greedy_text(
    smollm2: Path, reference: TransformersEngine, few: list[Request], tmp_path: Path
) -> None:
    """Many a published model's generation_config.json asks for a repetition penalty."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in smollm2.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((smollm2 / "generation_config.json").read_text())
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(
        json.dumps({**config, "do_sample": True, "temperature": 0.9, "top_k": 5, "repetition_penalty": 1.3})
    )
    with serve(folder, tmp_path / "server.log", max_model_len=CONTEXT, generation_config="auto") as url:
        client = OpenAIEngine(NAME, url)
        try:
            found = write("server", client, few, BRIEF)
        finally:
            client.close()
    assert_same(smollm2, few, found, write("transformers", reference, few, BRIEF))
