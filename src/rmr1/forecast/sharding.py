"""What torch's `fully_shard` gathers on a device while it computes with weights that several devices divide. Pure.

The tables (embedding, last norm, output layer) are one group, gathered from the first layer to the end of the backward
pass; each layer is a group, gathered when it is needed and the next one while it is computed with. Gradients come whole
and in the type that is computed in, and are summed over the devices in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

from rmr1.forecast.numbers import Phase, RunNumbers
from rmr1.forecast.shape import ModelShape

_FORWARD_LAYERS = 3
"""Layers' copies at a time: the one that is computed with, the next one as it arrives, and what it arrived in."""
_SUMMED = 4
"""Bytes of a gradient's number as it is summed over the devices."""


def list_gathered(shape: ModelShape, numbers: RunNumbers, devices: int) -> Iterator[tuple[str, Phase, float]]:
    """Name, phase and bytes of each copy."""
    size = 4 if numbers.is_fp32 else 2
    is_whole = numbers.lora_rank is None
    layers = shape.layers
    layer = shape.layer_parameters / layers
    tables = shape.parameters() - shape.layer_parameters
    stored = layer * size
    if numbers.quantize is not None:
        stored = layer * 0.52
    updating: tuple[Phase, ...] = ("loss", "backward", "step")
    for phase in updating:
        yield "tables, gathered", phase, size * tables
    for phase in updating[:2]:
        yield "layers, gathered", phase, min(_FORWARD_LAYERS, layers) * stored
    if is_whole:
        # What is summed comes back as a share beside the sum of earlier rows.
        summed = size + _SUMMED + _SUMMED / devices
        yield "a layer's gradients", "backward", summed * layer
        # The tables' come last, while the buffer in which the tables arrived is still there.
        yield "the tables' gradients", "step", (summed + size) * tables
    # A decoder computes with the whole weights.
    if numbers.engine == "transformers":
        yield "weights, gathered", "rollout", size * shape.parameters()
    if numbers.look_rows:
        yield "weights, gathered", "look", size * shape.parameters()
