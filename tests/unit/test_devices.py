"""Devices: a GPU of one make is chosen, sized and asked as one of another. There is none here; torch is told so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rmr1 import devices
from rmr1.attention.shared_cache import _MIN_SPARED_BYTES
from rmr1.devices import choose_device, free_memory, is_out_of_memory, of_device, widest_float
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import choose_tokens
from rmr1.engines.hf.loading import choose_dtype
from rmr1.errors import ConfigError
from rmr1.forecast.machine import _COPY_BYTES, _SIZE
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.loop import peak_memory_gb
from rmr1.train.recipe import Recipe
from rmr1.train.scalar.recipe import ScalarRecipe

MPS = torch.device("mps")


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10_000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 4_000)


def test_the_gpu_that_is_there_is_taken(mac: None) -> None:
    assert choose_device("auto") == choose_device("mps") == MPS
    assert choose_dtype("auto", MPS) == "auto"
    assert free_memory(MPS) == 6_000
    assert peak_memory_gb(MPS) == 4e-6


def test_one_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="'mps' is not there"):
        choose_device("mps")
    with pytest.raises(ConfigError, match="expected 'auto', 'cpu', 'cuda' or 'mps'"):
        choose_device("tpu")


def test_every_size_is_known_for_every_gpu() -> None:
    for sizes in (_SIZE, _COPY_BYTES, _MIN_SPARED_BYTES):
        assert of_device(sizes, MPS) == of_device(sizes, torch.device("cuda:1")) == sizes["gpu"]
        assert of_device(sizes, torch.device("cpu")) == sizes["cpu"]


def test_numbers_of_64_bits_are_not_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert widest_float(MPS) == torch.float32 and widest_float(torch.device("cpu")) == torch.float64
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    params = SamplingParams(temperature=1.0)
    wanted = choose_tokens(logits, params, [0.1, 0.5, 0.9])
    monkeypatch.setattr("rmr1.engines.hf.decode.widest_float", lambda device: torch.float32)
    assert torch.equal(choose_tokens(logits, params, [0.1, 0.5, 0.9]), wanted)


def test_its_memory_may_be_too_small() -> None:
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize("recipe", [Recipe, GrpoRecipe, ScalarRecipe])
def test_training_takes_it(recipe: Any) -> None:
    assert "mps" in recipe.model_fields["device"].annotation.__args__


def test_memory_is_released_where_there_is_any(monkeypatch: pytest.MonkeyPatch, mac: None) -> None:
    released = []
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: released.append("mps"))
    devices.release_memory()
    assert released == ["mps"]
