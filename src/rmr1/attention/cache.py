"""The key/value cache of the decode loop: transformers' own, with room to grow.

The stock layer joins the old keys and the new one into a fresh tensor at every step, which copies the
whole cache per token. `GrowingLayer` writes into a buffer that is enlarged now and then. Layers of other kinds
(sliding window, linear attention) stay as the library makes them.

Shapes: `R` rows, `K` key heads, `T` tokens, `D` head size.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

_MIN_ROOM = 128
"""Least free places after an enlargement, in tokens."""


class GrowingLayer(DynamicLayer):
    """Keys and values `[R, K, T, D]` as views of larger buffers."""

    # The library registers subclasses by this name; ours must not take the stock layer's place.
    _layer_type = None

    _key_buffer: torch.Tensor | None = None
    _value_buffer: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Under autocast rotated keys come in float32 beside values in 16 bits, in which attention is computed anyway.
        key_states = key_states.to(value_states.dtype)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        self._key_buffer = _write(self._key_buffer, self.keys if start else None, key_states, end)
        self._value_buffer = _write(self._value_buffer, self.values if start else None, value_states, end)
        self.keys = self._key_buffer[..., :end, :]
        self.values = self._value_buffer[..., :end, :]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Keep the rows of `beam_idx`, in that order; a row may occur several times."""
        super().reorder_cache(beam_idx)
        self._key_buffer = self._value_buffer = None


def build_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache for `model`; `reorder_cache` selects and repeats rows on every kind of layer."""
    cache = DynamicCache(config=model.config)
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[place] = GrowingLayer()  # type: ignore[no-untyped-call]
    return cache


def _write(
    buffer: torch.Tensor | None, old: torch.Tensor | None, new: torch.Tensor, end: int
) -> torch.Tensor:
    """`new` placed before `end`, in `buffer` or in a larger one that takes over `old`."""
    if buffer is None or end > buffer.shape[-2]:
        room = end + max(_MIN_ROOM, end // 4)
        buffer = new.new_empty((*new.shape[:-2], room, new.shape[-1]))
        if old is not None:
            buffer[..., : old.shape[-2], :] = old
    buffer[..., end - new.shape[-2] : end, :] = new
    return buffer
