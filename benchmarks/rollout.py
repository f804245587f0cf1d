"""Rollouts for GRPO: sampled tokens per CPU second, samples that share their prompt beside other ways.

    .venv/bin/python benchmarks/rollout.py [--only 512/128/8] [--shape 50m] [--prompts 1] [--repeats 3] [--threads 1]

A case P/R/G is a prompt of P tokens and G samples of R tokens each, temperature 1, random weights that never
end a text. All ways use one model in float32 on the CPU; `decode` also gives the log-probability of each token,
which `generate` is spared. Process CPU time, so that what else runs on the machine counts for little; the best
of the repeats, which go round the ways in turn. A ratio above 1 favours `reordered`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import platform
import random
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from unittest import mock

import torch
import transformers
from transformers import Qwen2Config, Qwen2ForCausalLM

from rmr1.attention import shared_cache as shared
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode
from rmr1.engines.hf.reordered import reordered_weights

SHAPES: dict[str, dict[str, Any]] = {
    name: {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    }
    for name, vocabulary, hidden, layers in (("small", 4096, 256, 4), ("50m", 8192, 512, 12))
}
CASES = ((512, 128, 8), (1024, 256, 8), (2048, 256, 8), (2048, 512, 7), (256, 512, 8))
SAMPLING = SamplingParams(temperature=1.0)

Prompts = Sequence[Sequence[int]]


def build_model(shape: str) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        **SHAPES[shape],
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return Qwen2ForCausalLM(config).eval()


def run_shared(model: Any, prompts: Prompts, length: int, samples: int) -> int:
    """`decode` as it is."""
    requests = [
        PromptRequest(
            tokens=tokens,
            max_new_tokens=length,
            rows=[RowRequest(seed=samples * index + sample) for sample in range(samples)],
        )
        for index, tokens in enumerate(prompts)
    ]
    found = decode(model, requests, SAMPLING, end_tokens=(), with_logprobs=True)
    return sum(len(row.logprobs) for rows in found for row in rows)


def run_reordered(model: Any, prompts: Prompts, length: int, samples: int) -> int:
    """As GRPO's rollouts decode on the CPU: with the matrices in oneDNN's order, which is made each time."""
    with reordered_weights(model) as count:
        assert count, "this machine's torch gives other products in oneDNN's order, or has none"
        return run_shared(model, prompts, length, samples)


def run_copied(model: Any, prompts: Prompts, length: int, samples: int) -> int:
    """`decode` where nothing is worth sharing: the prompt is computed once and copied to its samples."""
    with mock.patch.object(shared, "_MIN_SPARED_BYTES", {"cpu": 1 << 62, "gpu": 1 << 62}):
        return run_shared(model, prompts, length, samples)


def run_apart(model: Any, prompts: Prompts, length: int, samples: int) -> int:
    """`decode` with a prompt of its own for every sample."""
    return run_shared(model, [tokens for tokens in prompts for _ in range(samples)], length, 1)


def run_generate(model: Any, prompts: Prompts, length: int, samples: int) -> int:
    """The library's `generate` with `num_return_sequences`."""
    ids = torch.tensor([list(tokens) for tokens in prompts])
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=samples,
            max_new_tokens=length,
            pad_token_id=0,
        )
    return int(output.shape[0] * (output.shape[1] - ids.shape[1]))


WAYS: dict[str, Callable[[Any, Prompts, int, int], int]] = {
    "reordered": run_reordered,
    "shared": run_shared,
    "copied": run_copied,
    "apart": run_apart,
    "generate": run_generate,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Rollouts: shared prompts beside other ways.")
    parser.add_argument("--only", help="one case, as 512/128/8")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small")
    parser.add_argument("--prompts", type=int, default=1, help="prompts of a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    cases = [tuple(map(int, options.only.split("/")))] if options.only else CASES
    model = build_model(options.shape)
    print(
        f"{date.today()}  {platform.processor() or platform.machine()}, {options.threads} thread(s), fp32, "
        f"torch {torch.__version__}, transformers {transformers.__version__}"
    )
    print(f"{SHAPES[options.shape]}; {options.prompts} prompt(s) a batch; best of {options.repeats}")
    print("sampled tokens per CPU second (CPU seconds); the first against the others")
    draw = random.Random(0)
    for prompt_tokens, length, samples in cases:
        prompts = [[draw.randrange(4096) for _ in range(prompt_tokens)] for _ in range(options.prompts)]
        best = dict.fromkeys(WAYS, float("inf"))
        for _ in range(options.repeats):
            for name, run in WAYS.items():
                began = time.process_time()
                count = run(model, prompts, length, samples)
                best[name] = min(best[name], time.process_time() - began)
                assert count == options.prompts * length * samples, (name, count)
        total = options.prompts * length * samples
        ways = "  ".join(f"{name} {total / seconds:6.0f} ({seconds:5.2f})" for name, seconds in best.items())
        ratios = "  ".join(f"{name} x{best[name] / best['reordered']:.2f}" for name in list(WAYS)[1:])
        print(f"{prompt_tokens:4}/{length:3}/{samples}  {ways}  |  {ratios}", flush=True)


if __name__ == "__main__":
    main()
