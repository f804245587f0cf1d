"""The key/value cache of the decode loop, and prompts whose keys and values are kept once for all their rows.

The library's layer copies the whole cache per token; `GrowingLayer` writes into a buffer that is enlarged now and then.
Layers of other kinds (sliding window, linear attention) stay as the library makes them.

While decoding, the queries of a prompt's rows stand side by side and meet its keys in one product; what a row has
written itself is attended to apart. The two are put together by their log-sum-exps, which is the softmax over both.

Only the first pass can tell whether a model allows this: each of its layers must hand its cache's own keys
and values to our attention, with nothing added to the scores, and see the prompt as a whole.

Shapes: `B` prompts (or rows), `R` rows, `H` query heads, `K` key heads, `G` = H / K, `Q` queries, `T` tokens, `D`
head size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from rmr1.attention.kept import Kept
from rmr1.devices import of_device

_MIN_SPARED_BYTES = {"cpu": 2**20, "gpu": 2**28}
"""Keys and values of one layer that need not be read again at each step, per prompt, from which on sharing
pays for its further calls: on the CPU measured (`benchmarks/rollout.py`), on a GPU reckoned as a dozen launches
against the memory's bandwidth."""

_MIN_ROOM = 128
"""Least free places after an enlargement, in tokens."""

_UNKNOWN = ("softcap", "s_aux", "position_bias", "sliding_window")
"""Keywords of attention that changes the scores, or what is seen."""

_flash_for_cpu: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
"""The kernel behind the stock function on the CPU, which gives the log-sum-exps too."""

Part = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one prompt in one layer, `[1, K, T, D]` each."""


class GrowingLayer(DynamicLayer):
    """Keys and values `[R, K, T, D]` as views of larger buffers."""

    # The library registers subclasses by this name; ours must not take the stock layer's place.
    _layer_type = None

    _key_buffer: torch.Tensor | None = None
    _value_buffer: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Under autocast rotated keys come in float32 beside values in 16 bits, which attention computes in.
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

    def restore(self, rows: Sequence[Kept], place: int, num_tokens: int, more: int) -> None:
        """Begin with what is kept of each row in the layer `place`: it stands at the front, zeros behind it up to
        `num_tokens`. `more`: how many tokens are read next."""
        keys, values = next(rows[0].list_parts(place))
        self.lazy_initialization(keys[None], values[None])
        room = num_tokens + more + max(_MIN_ROOM, num_tokens // 4)
        # What a mask hides has to be a number all the same.
        buffers = [one.new_zeros((len(rows), one.shape[0], room, one.shape[2])) for one in (keys, values)]
        for row, kept in enumerate(rows):
            start = 0
            for part in kept.list_parts(place):
                end = start + part[0].shape[1]
                for buffer, one in zip(buffers, part, strict=True):
                    buffer[row, :, start:end] = one
                start = end
        self._key_buffer, self._value_buffer = buffers
        self.keys, self.values = (buffer[..., :num_tokens, :] for buffer in buffers)

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


def _find_span(mask_T: torch.Tensor) -> slice | torch.Tensor:
    """The places of a prompt's tokens: a slice unless padding stands between them."""
    places_T = mask_T.nonzero()[:, 0]
    first, last = int(places_T[0]), int(places_T[-1])
    return slice(first, last + 1) if last + 1 - first == len(places_T) else places_T


class SharedPrompts:
    """The keyword `shared_prompts` of the model, which hands it on to every layer's attention."""

    def __init__(self, cache: DynamicCache, mask_BT: torch.Tensor, *, pads_right: bool = False):
        """`cache` holds nothing yet, or beginnings of the prompts; `mask_BT` is 1 for their tokens, 0 for padding."""
        self._cache = cache
        self._mask_BT = mask_BT.bool()
        self._lengths: list[int] = mask_BT.sum(dim=-1).tolist()
        self._pads_right = pads_right
        self._fitting: set[int] = set()
        self._layers: list[list[Part]] = []
        self._prompt_of_row: list[int] = []
        self._present: list[tuple[int, int]] = []

    @property
    def is_shared(self) -> bool:
        """Whether rows decode; before that the prompts themselves are computed."""
        return bool(self._layers)

    def check_layer(
        self,
        module: torch.nn.Module,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float,
        others: Mapping[str, Any],
    ) -> None:
        """Note whether this layer, called with the prompts, can decode with them shared."""
        place = getattr(module, "layer_idx", None)
        if not isinstance(place, int) or not 0 <= place < len(self._cache.layers):
            return
        layer: Any = self._cache.layers[place]
        if (
            type(layer) is GrowingLayer
            and key is layer.keys
            and value is layer.values
            and not dropout
            and all(others.get(name) is None for name in _UNKNOWN)
            and self._is_seen_whole(attention_mask)
        ):
            self._fitting.add(place)

    def is_worth_sharing(self, source: Sequence[int], *, whatever_it_spares: bool = False) -> bool:
        """Whether the model allows it, and enough is spared by it. `source` is each row's prompt."""
        layers: list[Any] = self._cache.layers
        if len(self._fitting) < len(layers):
            return False
        if whatever_it_spares:
            return True
        keys, values = layers[0].keys, layers[0].values
        least = of_device(_MIN_SPARED_BYTES, keys.device)
        lengths = self._lengths
        spared = sum(lengths[prompt] for prompt in source) - sum(lengths)
        token_bytes = keys.shape[1] * (keys.shape[3] + values.shape[3]) * keys.element_size()
        return bool(spared * token_bytes >= least * len(lengths))

    def share(self, source: Sequence[int]) -> None:
        """Take the prompts out of the cache, which then holds what the rows write."""
        spans = [_find_span(mask_T) for mask_T in self._mask_BT]
        layers: list[Any] = self._cache.layers
        for place, layer in enumerate(layers):
            both = layer.keys, layer.values
            parts = [tuple(one[index][None, :, span] for one in both) for index, span in enumerate(spans)]
            self._layers.append(cast(list[Part], parts))
            layers[place] = GrowingLayer()  # type: ignore[no-untyped-call]
        self._set_rows(list(source))

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in ascending order."""
        self._set_rows([self._prompt_of_row[row] for row in rows])

    def attend(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
    ) -> torch.Tensor:
        """What `attend_shared` gives in this layer."""
        place: Any = module.layer_idx
        parts = [(self._layers[place][prompt], count) for prompt, count in self._present]
        return attend_shared(query, key, value, parts, scaling)

    def _set_rows(self, prompt_of_row: list[int]) -> None:
        self._prompt_of_row = prompt_of_row
        self._present = [(prompt, len(list(rows))) for prompt, rows in groupby(prompt_of_row)]

    def _is_seen_whole(self, mask: torch.Tensor | None) -> bool:
        """Whether the last token of each prompt sees all of it, and no padding."""
        if mask is None:
            # Padding on the right stands behind all that a causal layer sees.
            return self._pads_right or bool(self._mask_BT.all())
        if mask.dtype != torch.bool or mask.shape[1] != 1 or mask.shape[-1] != self._mask_BT.shape[-1]:
            return False
        return bool((mask[:, 0, -1] == self._mask_BT).all())


def attend_shared(
    query_RH1D: torch.Tensor,
    key_RKTD: torch.Tensor,
    value_RKTD: torch.Tensor,
    parts: Sequence[tuple[Part, int]],
    scaling: float | None,
) -> torch.Tensor:
    """Attention `[R, 1, H, D]` of rows over their prompt and their own keys and values, in whose type it is computed.

    `parts` are the prompts in the order of the rows, each with the number of its rows.
    """
    rows, heads, _, size = query_RH1D.shape
    key_heads = key_RKTD.shape[1]
    groups = heads // key_heads
    scale = size**-0.5 if scaling is None else scaling
    query_RKGD = query_RH1D.to(value_RKTD.dtype).reshape(rows, key_heads, groups, size)
    own_RKGD, own_total_RKG = _attend_part(query_RKGD, key_RKTD, value_RKTD, scale)
    query_1KQD = query_RKGD.transpose(0, 1).reshape(1, key_heads, rows * groups, size)
    queries = query_1KQD.split([count * groups for _, count in parts], dim=2)
    found = [_attend_part(query, *part, scale) for query, (part, _) in zip(queries, parts, strict=True)]
    common_1KQD, total_1KQ = (
        found[0] if len(found) == 1 else (torch.cat(pieces, 2) for pieces in zip(*found, strict=True))
    )
    common_RKGD = common_1KQD.reshape(key_heads, rows, groups, -1).transpose(0, 1)
    total_RKG = total_1KQ.reshape(key_heads, rows, groups).transpose(0, 1)
    share_RKG1 = (own_total_RKG - total_RKG).sigmoid()[..., None]
    attended_RKGD = torch.lerp(common_RKGD.float(), own_RKGD.float(), share_RKG1).to(query_RH1D.dtype)
    return attended_RKGD.reshape(rows, 1, heads, -1)


def _attend_part(
    query_BKQD: torch.Tensor, key_BKTD: torch.Tensor, value_BKTD: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`[B, K, Q, D]` attended, and `[B, K, Q]` the log-sum-exps of the scores, float32."""
    is_cpu = query_BKQD.device.type == "cpu"
    if _flash_for_cpu is not None and is_cpu and query_BKQD.shape[-1] == value_BKTD.shape[-1]:
        attended_BKQD, total_BKQ = _flash_for_cpu(query_BKQD, key_BKTD, value_BKTD, scale=scale)
        return attended_BKQD, total_BKQ
    scores_BKQT = ((query_BKQD * scale) @ key_BKTD.transpose(2, 3)).float()
    total_BKQ = scores_BKQT.logsumexp(dim=-1)
    return (scores_BKQT - total_BKQ[..., None]).exp().to(value_BKTD.dtype) @ value_BKTD, total_BKQ
