"""A decoder's sizes and arithmetic, against hand-worked numbers and real models."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rmr1.engines.hf.outline import measure_shape  # noqa: E402
from rmr1.errors import ConfigError  # noqa: E402
from rmr1.forecast.shape import (  # noqa: E402
    PUBLISHED,
    ModelShape,
    compute_saving,
    count_group_flops,
    count_row_flops,
    read_shape,
)
from rmr1.train.grpo.recipe import PRESETS  # noqa: E402
from tests.tiny_models import build_model  # noqa: E402

MEASURED = ModelShape(
    layers=4, hidden=256, heads=8, kv_heads=2, head_dim=32, intermediate=1024, vocabulary=4096
)
SMALL = ModelShape(layers=2, hidden=4, heads=2, kv_heads=1, head_dim=2, intermediate=8, vocabulary=10)


@pytest.mark.parametrize(
    ("name", "parameters", "adapters"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512, 40_370_176),
        ("Qwen/Qwen2.5-14B-Instruct", 14_770_033_664, 68_812_800),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", 32_763_876_352, 134_217_728),
    ],
)
def test_published_shapes_have_the_published_number_of_parameters(
    name: str, parameters: int, adapters: int
) -> None:
    assert PUBLISHED[name].parameters() == parameters
    assert PUBLISHED[name].adapter_parameters(16) == adapters


def test_every_base_that_a_preset_names_is_known() -> None:
    bases = {settings["model"].get("base") for settings in PRESETS.values()} - {None}
    assert bases and bases <= set(PUBLISHED)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["Qwen2", "Llama"])
def test_a_shape_counts_the_parameters_of_the_model(family: str, tied: bool) -> None:
    config = getattr(transformers, f"{family}Config")(
        hidden_size=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=10,
        intermediate_size=40,
        num_hidden_layers=3,
        vocab_size=50,
        tie_word_embeddings=tied,
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    shape = read_shape(config)
    assert shape.parameters() == sum(one.numel() for one in model.parameters())
    assert shape.tied is tied
    assert shape.biased is (family == "Qwen2")


def test_shapes_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ConfigError, match="mixture of experts"):
        read_shape(transformers.MixtralConfig())
    with pytest.raises(
        ConfigError, match="'odd' cannot be estimated: its configuration names no hidden_size"
    ):
        read_shape(SimpleNamespace(model_type="odd", num_hidden_layers=2))


def test_flops_of_a_group_by_hand() -> None:
    # A layer: 2 * 4 * (4 + 2) + 3 * 4 * 8 = 144 parameters, the output layer 40.
    rows = count_row_flops(SMALL, prompt=6, new=2, samples=3)
    assert rows.body == 2 * 288 * 24 + 3 * 4 * 2 * 4 * 8 * 4
    assert rows.head == 2 * 40 * 6
    group = count_group_flops(SMALL, prompt=6, new=2, samples=3)
    assert group.body == 2 * 288 * 12 + 4 * 2 * 4 * (6 * 3 + 3 * 2 * (6 + 1))
    assert group.head == rows.head
    one = count_group_flops(SMALL, prompt=6, new=2, samples=1)
    assert one.total == pytest.approx(count_row_flops(SMALL, prompt=6, new=2, samples=1).total)


@pytest.mark.parametrize(
    ("prompt", "new", "samples", "saving"),
    [(512, 128, 8, 2.85), (2048, 256, 8, 3.72), (2048, 512, 7, 2.56), (256, 512, 8, 1.29)],
)
def test_saving_of_the_shape_that_was_measured(prompt: int, new: int, samples: int, saving: float) -> None:
    found = compute_saving(MEASURED, prompt=prompt, new=new, samples=samples)
    assert found == pytest.approx(saving, abs=0.01)


def test_a_shape_is_read_without_weights() -> None:
    with torch.device("meta"):
        model = build_model()
    # A layer: 1024 + 512 + 512 + 1024 in attention, 3 * 32 * 64 in the feed-forward part; biases and norms beside that.
    body = 2 * (1024 + 512 + 512 + 1024 + 6144)
    shape = measure_shape(model)
    assert shape.layer_parameters == body
    assert shape.parameters() == body + 2 * (32 + 16 + 16 + 64) + 32 + 2 * 512 * 32
    assert shape.head_parameters == 512 * 32
    assert (shape.layers, shape.attention_width, shape.cache_width) == (2, 32, 2 * 2 * 2 * 8)
    # As the configuration alone has it.
    assert replace(shape, counted=None) == read_shape(model.config)
    assert read_shape(model.config).parameters() == shape.parameters()
    assert read_shape(model.config).layer_parameters == body


def test_shared_embeddings_are_counted_once_and_experts_in_part() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    with torch.device("meta"):
        tied = measure_shape(build_model(tie_word_embeddings=True))
        config = MixtralConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=8,
            num_experts_per_tok=2,
        )
        mixed = measure_shape(MixtralForCausalLM(config))
    norms = 2 * (32 + 16 + 16 + 64) + 32
    assert tied.parameters() == tied.layer_parameters + norms + 512 * 32
    experts = 8 * 3 * 32 * 48
    others = mixed.parameters() - experts - 2 * 64 * 32 - 3 * 32
    assert mixed.layer_parameters == others + experts // 4
