"""Peaks of memory that a training reaches on this machine, beside those that are estimated.

    python -m tests.unit.forecast.peaks        a table, of every model, number format and kind of weights
    python -m tests.unit.forecast.peaks 2      the same of fine-tuning that two processes divide

What torch's allocator hands out is recorded by torch's profiler, so whatever a kernel takes for itself is counted too.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing
import transformers
from torch.profiler import ProfilerActivity, profile

from rmr1.attention.groups import Group, build_group_row
from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import list_parts, sum_bytes
from rmr1.forecast.numbers import PHASES, RunNumbers
from rmr1.forecast.shape import ModelShape, read_shape
from rmr1.train.grpo.logprobs import GroupLogprobs, prove_groups
from rmr1.train.optim import build_optimizers
from rmr1.train.row import Example, RowLoss, build_row, prove_packing
from rmr1.train.sharding import Held, fill, shard

CPU = Machine(
    name="this machine",
    kind="cpu",
    memory_bytes=10**12,
    flops_per_second=1,
    fp32_flops_per_second=1,
    bytes_per_second=1,
)
COMMON: dict[str, Any] = {"hidden_size": 256, "num_hidden_layers": 4}
CONFIGS: dict[str, Callable[[], Any]] = {
    "Qwen2": lambda: transformers.Qwen2Config(
        num_attention_heads=8, num_key_value_heads=4, intermediate_size=640, vocab_size=8192, **COMMON
    ),
    "Llama": lambda: transformers.LlamaConfig(
        num_attention_heads=8, num_key_value_heads=2, intermediate_size=704, vocab_size=4096, **COMMON
    ),
    "Qwen3": lambda: transformers.Qwen3Config(
        num_attention_heads=8, num_key_value_heads=4, head_dim=64, intermediate_size=640, vocab_size=8192,
        tie_word_embeddings=True, **COMMON,
    ),
    "Gemma3": lambda: transformers.Gemma3TextConfig(
        num_attention_heads=4, num_key_value_heads=1, head_dim=128, intermediate_size=1024, vocab_size=16384,
        **COMMON,
    ),
}  # fmt: skip
"""The estimate's constants were counted with a Qwen2 of another shape, and never with the others."""
TOKENS, LEARNT, DOCUMENTS, ROWS = 1024, 256, 4, 2


def find_dtype(numbers: RunNumbers) -> torch.dtype:
    is_half = numbers.precision == "bf16-pure" or (numbers.precision == "bf16" and numbers.lora_rank)
    return torch.bfloat16 if is_half else torch.float32


def build_model(name: str, numbers: RunNumbers, device: str = "cpu") -> Any:
    config = CONFIGS[name]()
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model = model.to(find_dtype(numbers))
    if numbers.lora_rank is not None:
        import peft

        lora = peft.LoraConfig(task_type="CAUSAL_LM", r=numbers.lora_rank, target_modules="all-linear")
        peft.get_peft_model(model, lora)
    if numbers.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def divide_model(name: str, numbers: RunNumbers, whole: Any) -> Held:
    """This process's part of a model with the weights of `whole`."""
    weights = dict(whole.named_parameters())
    is_mixed = numbers.precision == "bf16" and numbers.lora_rank is None
    device = torch.device("cpu")
    held = shard(build_model(name, numbers, "meta"), device=device, is_mixed=is_mixed, offload=False)
    fill(held, device=device, read=lambda name, start, stop: weights[name][start:stop].detach())
    for own, one in zip(held.model.buffers(), whole.buffers(), strict=True):
        own.copy_(one)
    return held


def train_twice(model: Any, numbers: RunNumbers, held: Held | None = None) -> None:
    """Two steps of some rows each, as the trainings take them."""
    held = held or Held(model)
    optimizer = build_optimizers(
        model, name="adamw", lr=1e-4, muon_lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0
    )
    is_mixed = numbers.precision == "bf16" and numbers.lora_rank is None

    def mixed() -> Any:
        return torch.autocast("cpu", torch.bfloat16) if is_mixed else contextlib.nullcontext()

    prompt, new = numbers.prompt_tokens, numbers.new_tokens
    with held.gathered(), mixed():
        paths = prove_packing(model) if numbers.engine is None else prove_groups(model)
    assert paths.joins
    if numbers.engine is None:
        loss: Any = RowLoss(model, paths)
        row: Any = build_row([Example(tokens=[1] * (prompt + new), num_prompt=prompt)] * DOCUMENTS)
    else:
        loss = GroupLogprobs(model, temperature=1.0, paths=paths)
        group = Group(prompt=[1] * prompt, completions=[[2] * new] * numbers.samples)
        row = build_group_row([group], torch.device("cpu"))
    for _ in range(2):
        optimizer.zero_grad()
        with loss.attention():
            for _ in range(ROWS):
                with mixed():
                    found = held(loss, row)
                (found if numbers.engine is None else -found[0].sum()).backward()
                del found
        optimizer.step(1.0)


def record_peak(run: Callable[[], None]) -> int:
    """Most bytes that tensors hold at a time while `run` runs, those that it makes."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    found, waiting = 0, list(recorded.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        if event.tag == torch._C._profiler._EventType.Allocation:
            found = max(found, event.extra_fields.total_allocated)
        waiting.extend(event.children)
    return found


def compare_divided(name: str, numbers: RunNumbers, processes: int) -> tuple[int, int]:
    """Peak bytes of one of so many processes that divide a training: measured, estimated."""
    with tempfile.TemporaryDirectory() as folder:
        context = torch.multiprocessing.spawn(
            _measure_divided, (name, numbers, processes, folder), nprocs=processes, join=False
        )
        assert context is not None
        while not context.join():
            pass
        measured = int(Path(folder, "peak").read_text())
    machine = replace(CPU, num_devices=processes)
    return measured, estimate_peak(read_shape(CONFIGS[name]()), numbers, machine)


def _measure_divided(rank: int, name: str, numbers: RunNumbers, processes: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes
    )
    whole = build_model(name, numbers)

    def run() -> None:
        held = divide_model(name, numbers, whole)
        train_twice(held.model, numbers, held)

    peak = record_peak(run)
    if rank == 0:
        Path(folder, "peak").write_text(str(peak))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def build_numbers(*, groups: bool = False, **others: Any) -> RunNumbers:
    common: dict[str, Any] = {"has_reference": False, "row_tokens": TOKENS, **others}
    if groups:
        prompt, samples = TOKENS - LEARNT, 4
        return RunNumbers(
            prompts=ROWS, prompt_tokens=prompt, new_tokens=LEARNT // samples, samples=samples, **common
        )
    return RunNumbers(
        prompts=ROWS * DOCUMENTS,
        prompt_tokens=(TOKENS - LEARNT) // DOCUMENTS,
        new_tokens=LEARNT // DOCUMENTS,
        is_packed=True,
        engine=None,
        **common,
    )


def estimate_peak(shape: ModelShape, numbers: RunNumbers, machine: Machine = CPU) -> int:
    """The fullest of the phases that `train_twice` goes through."""
    parts = list_parts(shape, numbers, machine, new_tokens=numbers.new_tokens)
    always = sum_bytes(parts, "always")
    return max(always + sum_bytes(parts, phase) for phase in PHASES if phase in ("loss", "backward", "step"))


def compare(name: str, numbers: RunNumbers) -> tuple[int, int]:
    """Peak bytes of a training of this model: measured, estimated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measured = record_peak(lambda: train_twice(build_model(name, numbers), numbers))
    return measured, estimate_peak(read_shape(CONFIGS[name]()), numbers)


def iterate_cases() -> Iterator[tuple[str, RunNumbers]]:
    for name in CONFIGS:
        for groups in (False, True):
            for precision in ("fp32", "bf16"):
                for rank in (None, 8):
                    for checkpointing in (False, True):
                        yield (
                            name,
                            build_numbers(
                                groups=groups,
                                precision=precision,
                                lora_rank=rank,
                                checkpointing=checkpointing,
                            ),
                        )


def describe(name: str, numbers: RunNumbers) -> str:
    kind = "sft" if numbers.engine is None else "grpo"
    weights = "full" if numbers.lora_rank is None else "LoRA"
    kept = "checkpointing" if numbers.checkpointing else ""
    return f"{name:7} {kind:4} {numbers.precision:5} {weights} {kept}"


def main() -> None:
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for name, numbers in iterate_cases():
        if processes == 1:
            measured, estimated = compare(name, numbers)
        elif numbers.engine is None:
            measured, estimated = compare_divided(name, numbers, processes)
        else:
            continue
        print(
            f"{describe(name, numbers):40} measured {measured / 1e6:6.1f} MB, estimated {estimated / 1e6:6.1f} MB, "
            f"{estimated / measured - 1:+.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
