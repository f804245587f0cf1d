"""Options of engines, read from their constructors' source, are those of the constructors."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args, get_type_hints

import pytest
from pydantic.fields import FieldInfo

from rmr1.engines import list_option_faults
from rmr1.engines.options import DTYPE_NAMES, EngineKind, check_options, read_options
from rmr1.errors import ConfigError


def load(kind: EngineKind) -> type:
    if kind == "transformers":
        from rmr1.engines.hf.engine import TransformersEngine

        return TransformersEngine
    if kind == "scalar":
        from rmr1.engines.hf.scorer import ScalarModel

        return ScalarModel
    if kind == "vllm":
        from rmr1.engines.vllm import VLLMEngine

        return VLLMEngine
    from rmr1.engines.openai import OpenAIEngine

    return OpenAIEngine


def rebuild(field: FieldInfo) -> tuple[Any, Any]:
    """Type and default, as the constructor has them: pydantic takes what is annotated apart."""
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return kind, field.default


def test_a_decision_endpoint_takes_the_options_of_a_server_but_those_of_texts() -> None:
    own, server = (set(read_options(kind).model_fields) for kind in ("decisions", "openai"))  # type: ignore[arg-type]
    assert own - server == {"least_label_mass"} and server - own == {"use_max_completion_tokens"}


@pytest.mark.parametrize("kind", [kind for kind in get_args(EngineKind) if kind != "decisions"])
def test_what_is_read_is_what_the_constructor_takes(kind: EngineKind) -> None:
    engine = load(kind)
    hints = get_type_hints(engine.__init__, include_extras=True)  # type: ignore[misc]
    expected = {
        name: (hints[name], parameter.default)
        for name, parameter in inspect.signature(engine).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    fields = read_options(kind).model_fields
    assert {name: rebuild(field) for name, field in fields.items()} == expected


def test_the_number_formats_are_those_that_are_loaded() -> None:
    from rmr1.engines.hf.loading import DTYPES

    assert ("auto", *DTYPES) == DTYPE_NAMES


def test_values_are_checked() -> None:
    assert check_options("transformers", {"batch_size": "4", "device": "cuda:1"}) == {
        "batch_size": 4,
        "device": "cuda:1",
    }
    for options, told in (
        ({"device": "gpu"}, "engine.device: 'gpu' is not known; expected 'auto', 'cpu', 'cuda' or 'mps'"),
        ({"on_overlong": "cut"}, "engine.on_overlong: input should be 'skip' or 'fail', got 'cut'"),
        ({"max_model_len": -1}, "engine.max_model_len: input should be greater than or equal to 1, got -1"),
    ):
        with pytest.raises(ConfigError) as raised:
            check_options("transformers", options)
        assert str(raised.value) == told


@pytest.mark.parametrize(
    ("model", "options", "wrong"),
    [
        ("tiny", {"head": "armorm"}, []),
        ("tiny", {"lora_adapter": "x", "dtipe": "auto"}, ["dtipe"]),
        ("tiny-scalar", {"lora_adapter": "x", "batch_size": 0}, ["lora_adapter", "batch_size"]),
        # Of the hub it is not known which kind it is: what either takes may be right.
        ("org/name", {"lora_adapter": "x", "head": "y"}, ["lora_adapter"]),
        ("org/name", {"lora_adapter": "x", "devise": "cpu"}, ["devise"]),
        ("vllm:org/name", {"device": "cpu", "max_num_seqs": 4}, ["device"]),
        ("openai:a@http://127.0.0.1:1/v1", {"concurrency": "many"}, ["concurrency"]),
        ("scripted:longer", {"a": 1, "b": 2}, ["a"]),
        ("nosuch:x", {"a": 1}, []),
    ],
)
def test_the_engine_is_the_one_of_the_model(model: str, options: dict[str, object], wrong: list[str]) -> None:
    assert [name for name, _ in list_option_faults(model, options)] == wrong
