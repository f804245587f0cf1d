"""What is estimated of a training's memory, against what autograd and optimizers keep of small models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rmr1.attention.groups import Group, build_group_row  # noqa: E402
from rmr1.attention.shared_cache import build_cache  # noqa: E402
from rmr1.attention.shared_prompt import shared_prompt_attention  # noqa: E402
from rmr1.forecast.memory import count_layer_bytes, list_parts  # noqa: E402
from rmr1.forecast.numbers import RunNumbers  # noqa: E402
from rmr1.forecast.shape import ModelShape  # noqa: E402
from rmr1.train.optim import build_optimizers  # noqa: E402
from rmr1.train.row import Example, RowLoss, build_row, prove_packing  # noqa: E402
from tests.unit.forecast.test_training import ROUND, SMALL, build_numbers  # noqa: E402


def build_model(sizes: ModelShape, layers: int, dtype: Any, rank: int | None) -> Any:
    config = transformers.Qwen2Config(
        hidden_size=sizes.hidden,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=layers,
        vocab_size=sizes.vocabulary,
    )
    model = transformers.Qwen2ForCausalLM(config).to(dtype)
    if rank is not None:
        peft = pytest.importorskip("peft")
        peft.get_peft_model(
            model, peft.LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear")
        )
    return model.train()


def count_saved(model: Any, prompt: int, new: int, *, is_mixed: bool) -> int:
    """Bytes that autograd keeps of a group of two, parameters left out."""
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    row = build_group_row([Group(prompt=[1] * prompt, completions=[[2] * new] * 2)])
    mixed = torch.autocast("cpu", torch.bfloat16) if is_mixed else contextlib.nullcontext()
    with (
        shared_prompt_attention(model),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one),
        mixed,
    ):
        model.get_decoder()(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            use_cache=False,
            group_layout=row.layout,
        )
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_those_that_autograd_keeps(
    precision: str, rank: int | None, checkpointing: bool
) -> None:
    sizes = ModelShape(
        layers=1, hidden=40, heads=4, kv_heads=2, head_dim=16, intermediate=56, vocabulary=8, biased=True
    )
    is_bf16 = precision == "bf16"
    dtype = torch.bfloat16 if is_bf16 and rank is not None else torch.float32
    kept = []
    for layers in (1, 2):
        model = build_model(sizes, layers, dtype, rank)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        is_mixed = is_bf16 and rank is None
        first, second = (count_saved(model, 10 * n, 5 * n, is_mixed=is_mixed) for n in (1, 2))
        kept.append((second - first) / 20)
    found = kept[1] - kept[0]
    if checkpointing:
        assert found == (2 if dtype == torch.bfloat16 else 4) * sizes.hidden
    else:
        assert found == count_layer_bytes(sizes, build_numbers(precision=precision, lora_rank=rank))


def train_once(model: Any, optimizer: Any, run: Callable[[], Any], *, is_mixed: bool) -> dict[str, int]:
    """Bytes that two steps keep: parameters, gradients, optimizer state, and what autograd keeps of the second."""
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    mixed = torch.autocast("cpu", torch.bfloat16) if is_mixed else contextlib.nullcontext()
    for _ in range(2):
        kept.clear()
        optimizer.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one), mixed:
            loss = run()
        found = sum(storage.nbytes() for storage in kept.values())
        loss.backward()
        optimizer.step(1.0)
    trained = [one for one in model.parameters() if one.requires_grad]
    states = [state for part in optimizer.parts for state in part.state.values()]
    return {
        "weights": sum(one.nbytes for one in model.parameters()),
        "gradients": sum(one.grad.nbytes for one in trained),
        "optimizer": sum(one.nbytes for state in states for name, one in state.items() if name != "step"),
        "activations": found,
    }


FORMATS = {"fp32": torch.float32, "bf16": torch.float32, "bf16-pure": torch.bfloat16}


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("training", ["sft", "scalar"])
@pytest.mark.parametrize("precision", FORMATS)
def test_fine_tuning_keeps_what_is_estimated(precision: Any, training: str, name: Any) -> None:
    """Weights, gradients and optimizer state to the byte, activations of a token of a layer too."""
    shape = ModelShape(
        layers=1,
        hidden=40,
        heads=4,
        kv_heads=2,
        head_dim=16,
        intermediate=56,
        vocabulary=8,
        biased=True,
        has_head=training == "sft",
    )
    kept: dict[tuple[int, int], dict[str, int]] = {}
    for layers in (1, 2):
        model: Any = build_model(shape, layers, FORMATS[precision], None)
        if training == "scalar":
            config = transformers.Qwen2Config(**{**model.config.to_dict(), "pad_token_id": 0}, num_labels=1)
            model = transformers.Qwen2ForSequenceClassification(config).to(FORMATS[precision])
        optimizer = build_optimizers(
            model, name=name, lr=1e-4, muon_lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0
        )
        for size in (1, 2):
            if training == "sft":
                loss = RowLoss(model, prove_packing(model))
                row = build_row([Example(tokens=[1] * 8 * size, num_prompt=4 * size)] * 2)

                def run(loss: Any = loss, row: Any = row) -> Any:
                    with loss.attention():
                        return loss(row)
            else:
                ids = torch.ones(2, 8 * size, dtype=torch.long)

                def run(model: Any = model, ids: Any = ids) -> Any:
                    return model(input_ids=ids, use_cache=False).logits.sum()

            kept[layers, size] = train_once(model, optimizer, run, is_mixed=precision == "bf16")
    numbers = RunNumbers(
        prompts=2,
        prompt_tokens=4,
        new_tokens=4 if training == "sft" else 0,
        row_tokens=32,
        has_reference=False,
        precision=precision,
        optimizer=name,
        is_packed=training == "sft",
        engine=None,
    )
    # A scalar model's head is one number for each unit of width, which no estimate counts.
    width = 0 if training == "sft" else shape.hidden * FORMATS[precision].itemsize
    for layers in (1, 2):
        found = {
            part.name: part.num_bytes
            for part in list_parts(
                replace(shape, layers=layers), numbers, ROUND, new_tokens=numbers.new_tokens
            )
        }
        assert kept[layers, 1]["weights"] == found["weights"] + width
        assert kept[layers, 1]["gradients"] == found["gradients"] + width
        # Muon, too, leaves the head to AdamW, which keeps two averages.
        assert kept[layers, 1]["optimizer"] == found["optimizer"] + 2 * width
    first, second = ((kept[n, 2]["activations"] - kept[n, 1]["activations"]) / 16 for n in (1, 2))
    assert second - first == count_layer_bytes(shape, numbers)


def test_keys_of_mixed_precision_are_kept_in_16_bits() -> None:
    sizes = replace(SMALL, vocabulary=20)
    model = build_model(sizes, 2, torch.float32, None).eval()
    cache: Any = build_cache(model)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=torch.tensor([[1, 2, 3]]), past_key_values=cache, use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 3 * 2 * sizes.cache_width
