"""Options of engines, read from their constructors' source, are those of the constructors."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import pytest

from rmr1.engines import list_option_faults
from rmr1.engines.options import DTYPE_NAMES, Kind, check_options, read_options
from rmr1.errors import ConfigError


def load(kind: Kind) -> type:
    if kind == "transformers":
        from rmr1.engines.transformers import TransformersEngine

        return TransformersEngine
    if kind == "scalar":
        from rmr1.engines.scorer import ScalarModel

        return ScalarModel
    if kind == "vllm":
        from rmr1.engines.vllm import VLLMEngine

        return VLLMEngine
    from rmr1.engines.openai import OpenAIEngine

    return OpenAIEngine


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_is_read_is_what_the_constructor_takes(kind: Kind) -> None:
    engine = load(kind)
    hints = get_type_hints(engine.__init__, include_extras=True)  # type: ignore[misc]
    expected = {
        name: (hints[name], parameter.default)
        for name, parameter in inspect.signature(engine).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert {name: tuple(option) for name, option in read_options(kind).items()} == expected


def test_the_number_formats_are_those_that_are_loaded() -> None:
    from rmr1.engines.loading import DTYPES

    assert ("auto", *DTYPES) == DTYPE_NAMES


def test_values_are_checked() -> None:
    assert check_options("transformers", {"batch_size": "4", "device": "cuda:1"}) == {
        "batch_size": 4,
        "device": "cuda:1",
    }
    for options, told in (
        ({"device": "gpu"}, "engine.device 'gpu' is not known; expected 'auto', 'cpu', 'cuda' or 'mps'"),
        ({"on_overlong": "cut"}, "engine.on_overlong: input should be 'skip' or 'fail', got 'cut'"),
        ({"max_model_len": -1}, "engine.max_model_len is -1; expected a positive number"),
    ):
        with pytest.raises(ConfigError) as raised:
            check_options("transformers", options)
        assert str(raised.value) == told


@pytest.mark.parametrize(
    ("model", "options", "wrong"),
    [
        ("tiny", {"adapter": "armorm"}, []),
        ("tiny", {"lora_adapter": "x", "dtipe": "auto"}, ["dtipe"]),
        ("tiny-scalar", {"lora_adapter": "x", "batch_size": 0}, ["lora_adapter", "batch_size"]),
        # Of the hub it is not known which kind it is: what either takes may be right.
        ("org/name", {"lora_adapter": "x", "adapter": "y"}, ["lora_adapter"]),
        ("org/name", {"lora_adapter": "x", "devise": "cpu"}, ["devise"]),
        ("vllm:org/name", {"device": "cpu", "max_num_seqs": 4}, ["device"]),
        ("openai:a@http://127.0.0.1:1/v1", {"concurrency": "many"}, ["concurrency"]),
        ("scripted:longer", {"a": 1, "b": 2}, ["a"]),
        ("nosuch:x", {"a": 1}, []),
    ],
)
def test_the_engine_is_the_one_of_the_model(model: str, options: dict[str, object], wrong: list[str]) -> None:
    assert [name for name, _ in list_option_faults(model, options)] == wrong
