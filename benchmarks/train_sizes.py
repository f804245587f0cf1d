"""`rmr1 train` with models of real sizes: SmolLM2-135M, or random weights in the shape of a 0.5B model.

    .venv/bin/python benchmarks/train_sizes.py --base FOLDER                 whole weights of that model
    .venv/bin/python benchmarks/train_sizes.py --random --adapters           LoRA on 494M random weights
    .venv/bin/python benchmarks/train_sizes.py --random --processes 2        divided over two processes
    .venv/bin/python benchmarks/train_sizes.py --base FOLDER --killed        SIGKILL once in each training

The chain fine-tunes on a few judgments of the synthetic world, reinforces on a few of its pairs and measures on others.
What is shown is that every stage ends, and with which memory; nothing is learnt in so few steps. FOLDER is what
`scripts/make_smollm2.py` makes. A random model takes the bundled judge's tokenizer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import tomli_w
from train_chain import RMR1, ROOT, count_lines

from rmr1.models import find_bundled
from rmr1.world import sample_pairs

HALF_BILLION = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
"""The sizes of Qwen2.5-0.5B."""


def make_random(folder: Path, sizes: dict[str, Any]) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(find_bundled())
    torch.manual_seed(0)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": None}
    config = LlamaConfig(**sizes, **ends, max_position_embeddings=8192, attention_bias=True)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_recipe(path: Path, *, base: str, pairs: Path, adapters: bool) -> None:
    lora = {"lora": {"r": 8}} if adapters else {}
    model = {"base": base, "precision": "fp32", "checkpointing": True}
    steps = {"device": "cpu", "checkpoint": {"every": 1}, **lora}
    recipe = {
        "seed": 0,
        "sft": {
            "model": model,
            "data": {"world": {"items": 64, "held_out": 2}, "max_tokens": 4096},
            "batch": {"examples": 2, "row_tokens": 2048},
            "optim": {"steps": 3, "lr": 1e-5},
            **steps,
        },
        "grpo": {
            "model": {key: value for key, value in model.items() if key != "base"},
            "data": {"world": {"items": 64, "start": 100, "held_out": 2}},
            "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 24, "rows": 4},
            "update": {"row_tokens": 4096},
            "optim": {"steps": 2, "lr": 1e-6},
            "evaluation": {"sampled": False},
            **steps,
        },
        "bench": {"data": {"pairs": str(pairs)}, "judge": {"sampling": {"max_new_tokens": 24}}},
    }
    path.write_text(tomli_w.dumps(recipe))


def run(command: list[str], output: Path, *, killed: bool) -> int:
    for stage in ("sft", "grpo") if killed else ():
        process = subprocess.Popen(command)
        while process.poll() is None and count_lines(output / stage / "metrics.jsonl") < 2:
            time.sleep(0.05)
        if process.poll() is None:
            process.kill()
            print(f"--- killed in {stage}", flush=True)
        process.wait()
    return subprocess.run(command, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--small", action="store_true", help="with --random: 10M parameters, to see it work")
    parser.add_argument("--adapters", action="store_true")
    parser.add_argument("--killed", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/train_sizes")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    base = arguments.base
    if arguments.random:
        sizes = dict(HALF_BILLION)
        if arguments.small:
            sizes |= {
                "hidden_size": 256,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "intermediate_size": 768,
            }
            sizes |= {"vocab_size": 3072}
        base = str(folder / ("small" if arguments.small else "random"))
        if not Path(base, "config.json").exists():
            make_random(Path(base), sizes)
    if base is None:
        parser.error("name --base FOLDER or --random")
    pairs, recipe, output = folder / "pairs.jsonl", folder / "chain.toml", folder / "chain"
    with pairs.open("w", encoding="utf-8") as file:
        for item in sample_pairs(0, 4, split="test", distribution="balanced"):
            texts = (
                ("prompt", item.pair.prompt),
                ("response_a", item.pair.response_a),
                ("response_b", item.pair.response_b),
            )
            row = {name: turns[-1].text for name, turns in texts}
            file.write(json.dumps({**row, "label": item.pair.label}) + "\n")
    write_recipe(recipe, base=base, pairs=pairs, adapters=arguments.adapters)
    began = time.monotonic()
    command = [*RMR1, "train", str(recipe), "-o", str(output), "--processes", str(arguments.processes)]
    code = run(command, output, killed=arguments.killed)
    print(f"--- exit code {code}, {time.monotonic() - began:.0f} s")
    for stage in ("sft", "grpo"):
        lines = [json.loads(line) for line in (output / stage / "metrics.jsonl").open()]
        peak = max(line.get("memory_gb", 0) for line in lines)
        summary = json.loads((output / stage / "summary.json").read_text())
        told = f"{summary['parameters'] / 1e6:.0f}M parameters, {summary['trained_parameters'] / 1e6:.1f}M trained"
        print(f"--- {stage}: {told}, {summary['processes']} processes, {peak:.2f} GB of the first one")


if __name__ == "__main__":
    main()
