"""Machines by name, at hand, and measured."""

from __future__ import annotations

from functools import partial

import pytest

torch = pytest.importorskip("torch")

from rmr1.errors import ConfigError  # noqa: E402
from rmr1.forecast.machine import (  # noqa: E402
    Gpu,
    build_machine,
    find_machine,
    measure_machine,
    parse_machine,
    see_machine,
)


def test_cards_are_known_by_part_of_their_name() -> None:
    assert build_machine("NVIDIA H200").bytes_per_second == 4.8e12
    assert build_machine("NVIDIA H100 80GB HBM3").flops_per_second == 989e12
    assert build_machine("NVIDIA H100 PCIe").flops_per_second == 756e12
    assert build_machine("NVIDIA A100-SXM4-40GB", memory_bytes=40 * 10**9).memory_bytes == 40 * 10**9
    other = build_machine("NVIDIA Odd", memory_bytes=10**10)
    assert other.flops_per_second == 362e12
    assert "unknown" in other.source
    with pytest.raises(ConfigError, match="'NVIDIA Odd' is not known here; expected one of H200, "):
        build_machine("NVIDIA Odd")


def see(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, memory: int | None = 10**10) -> None:
    for name, value in (("find_gpus", gpus), ("read_memory", memory), ("count_cores", 4)):
        monkeypatch.setattr(f"rmr1.forecast.machine.{name}", partial(lambda value: value, value))


def test_seeing_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    found = see_machine()
    assert (found.kind, found.num_devices, found.memory_bytes) == ("cpu", 1, 10**10)
    assert found.flops_per_second == 6e11
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert see_machine("cpu").memory_bytes == 5 * 10**9
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        see_machine("cuda")
    see(monkeypatch, memory=None)
    with pytest.raises(ConfigError, match="how much memory"):
        see_machine()


def test_seeing_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    see(
        monkeypatch,
        Gpu("NVIDIA H200", 150, 100),
        Gpu("NVIDIA H200", 140, 100),
    )
    monkeypatch.setenv("WORLD_SIZE", "x")
    found = see_machine()
    assert (found.kind, found.name, found.num_devices, found.memory_bytes) == ("cuda", "NVIDIA H200", 1, 140)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert see_machine("cuda").num_devices == 2
    assert see_machine("cpu").kind == "cpu"


@pytest.mark.parametrize(
    ("name", "card", "number", "memory"),
    [
        ("8xH100", "H100", 8, 80e9),
        ("h200", "H200", 1, 141e9),
        ("2 x h100 pcie", "H100 PCIe", 2, 80e9),
        ("4090", "4090", 1, 24e9),
    ],
)
def test_machines_by_name(name: str, card: str, number: int, memory: float) -> None:
    found = parse_machine(name)
    assert (found.name, found.num_devices, found.memory_bytes) == (card, number, memory)
    assert find_machine(name, "cpu") == found


@pytest.mark.parametrize("name", ["8xH1", "0xH100", "x", "", "8x"])
def test_other_names_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="is not known; expected one of H200, H100"):
        parse_machine(name)


def test_a_machine_is_measured() -> None:
    found = measure_machine(torch.device("cpu"), torch.float32)
    assert (found.name, found.kind, found.num_devices) == ("cpu", "cpu", 1)
    assert 1e6 < found.flops_per_second < 1e16 and 1e6 < found.bytes_per_second < 1e15
    assert 0 < found.call_seconds < 0.1
    # Half of its arithmetic, or all of its bandwidth.
    assert found.compute_seconds(found.flops_per_second) == 2.0
    assert found.compute_seconds(0, 3 * found.bytes_per_second) == pytest.approx(3.0)
    assert found.join(4).compute_seconds(found.flops_per_second) == 0.5
