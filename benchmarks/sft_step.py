"""Supervised steps beside TRL's SFTTrainer: real tokens per CPU second, padded and packed.

    .venv/bin/python benchmarks/sft_step.py [--repeats 3] [--shape small|0.5b] [--dtype fp32]

One pass over the same documents with the same model, random weights, AdamW, loss on the answer only, one
thread, on the CPU. Process CPU time, so that what else runs on the machine counts for little; the best of the
repeats. TRL runs as it ships but for what is printed: no checkpoints, no logging to trackers, no gradient
checkpointing (its default is on), stock attention, since flash attention needs a GPU.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import platform
import random
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from rmr1.train.examples import StoredExamples, count_steps
from rmr1.train.plan import Plan
from rmr1.train.processes import accelerated
from rmr1.train.recipe import Recipe
from rmr1.train.rendering import Renderer
from rmr1.train.row import Example
from rmr1.train.scratch.tokenizer import learn_tokenizer
from rmr1.train.sft import FineTuning
from rmr1.train.start import Base

SHAPES: dict[str, dict[str, Any]] = {
    "small": {
        "vocab_size": 4096,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
    "0.5b": {
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
}
LONGEST = 4096
LR = 1e-4


def draw_documents(number: int, vocabulary: int) -> list[Example]:
    """Prompts of 300 to 1,500 tokens and answers of 100 to 500, drawn evenly."""
    draw = random.Random(0)
    documents = []
    for _ in range(number):
        prompt, own = draw.randint(300, 1500), draw.randint(100, 500)
        tokens = [draw.randrange(500, vocabulary) for _ in range(prompt + own)]
        documents.append(Example(tokens=tokens, num_prompt=prompt))
    return documents


def time_ours(
    folder: Path, tokenizer: Any, documents: list[Example], packing: bool
) -> Callable[[], tuple[float, int]]:
    recipe = Recipe.from_values(
        {
            "device": "cpu",
            "model": {"base": str(folder)},
            "data": {"train": "drawn", "max_tokens": LONGEST},
            "batch": {"examples": 4, "row_tokens": LONGEST, "packing": packing},
            "optim": {"lr": LR, "schedule": "constant", "warmup": 0},
            "checkpoint": {"every": 0},
        },
        "benchmark",
    )
    source = StoredExamples()
    for document in documents:
        source.add(document)

    def run() -> tuple[float, int]:
        plan = Plan(
            recipe=recipe,
            base=Base(tokenizer=tokenizer, context=LONGEST, identity={}, num_embeddings=len(tokenizer)),
            renderer=Renderer(tokenizer),
            source=source,
            held_out=[],
            steps=count_steps(source, recipe.batch, epochs=1, steps=None),
            warmup_steps=0,
            counts=source.counts,
        )
        with accelerated(device="cpu", is_mixed=False, report=recipe.report) as accelerator:
            training = FineTuning(plan, accelerator, folder / "none", None, quiet=True)
            began = time.process_time()
            for _ in range(plan.steps):
                training.take_step()
            return time.process_time() - began, plan.steps

    return run


def time_trl(
    folder: Path, tokenizer: Any, documents: list[Example], packing: bool
) -> Callable[[], tuple[float, int]]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_list(
        [
            {
                "input_ids": list(one.tokens),
                "completion_mask": [0] * one.num_prompt + [1] * one.num_judged,
            }
            for one in documents
        ]
    )

    def run() -> tuple[float, int]:
        arguments = SFTConfig(
            output_dir=str(folder / "trl"),
            per_device_train_batch_size=1 if packing else 4,
            packing=packing,
            max_length=LONGEST,
            num_train_epochs=1,
            completion_only_loss=True,
            learning_rate=LR,
            lr_scheduler_type="constant",
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataset_num_proc=None,
        )
        trainer = SFTTrainer(
            model=Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32),
            args=arguments,
            train_dataset=rows,
            processing_class=tokenizer,
        )
        began = time.process_time()
        trainer.train()
        return time.process_time() - began, int(trainer.state.global_step)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="Supervised steps beside TRL's SFTTrainer.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--documents", type=int, default=24)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    shape = SHAPES[options.shape]
    documents = draw_documents(options.documents, shape["vocab_size"])
    real = sum(len(one.tokens) for one in documents)
    judged = sum(one.num_judged for one in documents)
    print(
        f"{date.today()}  {platform.processor() or platform.machine()}, 1 thread, fp32, torch {torch.__version__}"
    )
    print(f"model {options.shape}: {shape}")
    print(
        f"{len(documents)} documents, {real:,} tokens, {judged:,} with a loss; longest row {LONGEST}; AdamW, lr {LR}"
    )
    tokenizer: PreTrainedTokenizerFast = learn_tokenizer([], vocabulary=500, context=LONGEST)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        config = Qwen2Config(
            **shape,
            max_position_embeddings=LONGEST,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        Qwen2ForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        runs = {
            "rmr1 packed, 4 documents a step": time_ours(folder, tokenizer, documents, True),
            "rmr1 one document at a time": time_ours(folder, tokenizer, documents, False),
        }
        try:
            from trl import __version__ as version
        except ImportError:
            print("TRL is not installed: pip install -c constraints.txt 'trl==1.16.*'")
        else:
            runs[f"TRL {version} padded, batch 4"] = time_trl(folder, tokenizer, documents, False)
            runs[f"TRL {version} packing (bfd)"] = time_trl(folder, tokenizer, documents, True)
        first = None
        for label, run in runs.items():
            seconds, steps = min(run() for _ in range(options.repeats))
            first = first or seconds
            print(
                f"{label:36} {steps:3} steps  {seconds:7.2f} CPU s  {real / seconds:7.0f} real tokens / CPU s  "
                f"x{seconds / first:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
