"""A model in the middle of decoding: its cache, its mask, its positions, the rows that go on.

The first pass takes prompts; from then on there are rows, each of one prompt. Either the prompts' keys and
values are repeated for their rows, or they stay as they are and the rows of a prompt attend to them together
(`rmr1.attention.shared_cache`), where the model allows it and enough is spared.

How prompts of a batch are put together is said by `rmr1.attention.proof.paths`. Where nothing but causal attention
is at work, padding stands on the right, where no token looks, and the pass needs no mask: the stock kernels are
up to three times as fast then. Only the steps after it have to be told of the gaps. Other models are padded on the
left and masked, or get one prompt at a time.

Shapes: `B` prompts, `R` rows, `T` tokens, `V` vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from rmr1.attention.cache import build_cache
from rmr1.attention.decode import is_grouped
from rmr1.attention.proof.paths import Paths
from rmr1.attention.shared_cache import SharedPrompts


class Forward:
    """One batch, from its prompts to its last token."""

    def __init__(self, model: PreTrainedModel, paths: Paths, *, shares_any: bool = False):
        """`paths` are those for the longest text that comes (`Paths.within`). `shares_any`: prompts are shared
        however little that spares."""
        self._model = model
        self._paths = paths
        self._shares_any = shares_any
        self._takes = inspect.signature(model.forward).parameters
        self._cache = build_cache(model)
        self._shared: SharedPrompts | None = None
        self._pads_right = paths.padding == "right"
        self._texts: torch.Tensor | None = None
        """`[R, T]`: all tokens of the rows, where they may have to be read again."""

    def prefill(self, prompts: Sequence[Sequence[int]], *, may_share: bool) -> torch.Tensor:
        """The logits `[B, V]` after each prompt. `may_share`: some prompt will have several rows."""
        device, paths = self._model.device, self._paths
        assert paths.padding != "none" or len(prompts) == 1, "one prompt at a time"
        ids_BT, mask_BT = pad(prompts, on_right=self._pads_right)
        ids_BT, mask_BT = ids_BT.to(device), mask_BT.to(device)
        lengths = mask_BT.sum(dim=-1)
        self._length = mask_BT.shape[1]
        self._next = lengths[:, None]
        # Without padding no mask is needed, and attention may use its faster kernels.
        self._mask = None if bool(mask_BT.all()) else mask_BT
        self._prompts = None
        if paths.turning is not None or not paths.caches:
            self._texts = ids_BT
            return self._read_again()
        shared = None
        if may_share and paths.shares and _hands_on(self._model):
            shared = SharedPrompts(self._cache, mask_BT, pads_right=self._pads_right)
        positions = (mask_BT.cumsum(dim=-1) - 1).clamp(min=0)
        self._prompts = shared
        if not self._pads_right:
            return self._run(ids_BT, self._mask, positions, shared, keep_logits(self._model, 1))[
                :, -1
            ].float()
        ends, end_of = (lengths - 1).unique(return_inverse=True)
        keep = keep_logits(self._model, ends)
        logits = self._run(ids_BT, None, positions, shared, keep)
        # A model that cannot be told which places are wanted gives all of them.
        return logits[torch.arange(len(prompts), device=device), end_of if keep else lengths - 1].float()

    def repeat(self, source: Sequence[int]) -> None:
        """Go on with a row for each of `source`, the index of its prompt; rows of a prompt stand together."""
        prompts = self._prompts
        if prompts is None or not prompts.is_worth_sharing(source, whatever_it_spares=self._shares_any):
            self.select(source)
            return
        prompts.share(source)
        self._shared = prompts
        # What a row writes itself has no padding.
        self._mask = None
        self._next = self._next.index_select(0, _index(source, self._next.device))

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        """The logits `[R, V]` after one more token per row."""
        self._length += 1
        if self._texts is not None:
            self._texts = torch.cat([self._texts, tokens_R[:, None]], dim=1)
            turning = self._paths.turning
            if not self._paths.caches or turning is None or turning.is_changed(self._length):
                self._next = self._next + 1
                return self._read_again()
            turning.reset()
        mask = self._mask
        if mask is not None:
            if mask.shape[1] < self._length:
                room = mask.new_ones((mask.shape[0], max(128, self._length // 4)))
                mask = self._mask = torch.cat([mask, room], dim=1)
            mask = mask[:, : self._length]
        logits = self._run(tokens_R[:, None], mask, self._next, self._shared, {})
        self._next = self._next + 1
        return logits[:, -1].float()

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows; unless prompts are shared, a row may occur several times."""
        kept = _index(rows, self._next.device)
        if self._paths.caches:
            self._cache.reorder_cache(kept)
        self._next = self._next.index_select(0, kept)
        if self._mask is not None:
            self._mask = self._mask.index_select(0, kept)
        if self._texts is not None:
            self._texts = self._texts.index_select(0, kept)
        if self._shared is not None:
            self._shared.select(rows)

    def _run(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor,
        prompts: SharedPrompts | None,
        extra: dict[str, Any],
    ) -> torch.Tensor:
        if prompts is not None:
            extra = {**extra, "shared_prompts": prompts}
        # Models whose state is no keys and values call it otherwise.
        is_state = "cache_params" in self._takes and "past_key_values" not in self._takes
        cache = "cache_params" if is_state else "past_key_values"
        outputs = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            **{cache: self._cache},
            **extra,
        )
        logits: torch.Tensor = outputs.logits
        return logits

    def _read_again(self) -> torch.Tensor:
        """The logits `[R, V]` after the rows' whole texts, which are equally long."""
        texts = self._texts
        assert texts is not None
        keep = keep_logits(self._model, 1)
        if self._paths.turning is not None:
            self._paths.turning.reset()
        if not self._paths.caches:
            logits: torch.Tensor = self._model(input_ids=texts, use_cache=False, **keep).logits
        else:
            self._cache = build_cache(self._model)
            positions = torch.arange(texts.shape[1], device=texts.device).expand(texts.shape)
            logits = self._run(texts, None, positions, None, keep)
        return logits[:, -1].float()


def pad(prompts: Sequence[Sequence[int]], *, on_right: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens `[B, T]`, and 1 where they are not padding."""
    longest = max(map(len, prompts))
    ids, mask = [], []
    for tokens in prompts:
        gap = [0] * (longest - len(tokens))
        ones = [1] * len(tokens)
        ids.append([*tokens, *gap] if on_right else [*gap, *tokens])
        mask.append([*ones, *gap] if on_right else [*gap, *ones])
    return torch.tensor(ids), torch.tensor(mask)


def keep_logits(model: PreTrainedModel, places: int | torch.Tensor) -> dict[str, int | torch.Tensor]:
    """The argument that limits the output layer to the last so many places, or to those in a tensor; empty where
    the model does not have it."""
    has_it = "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": places} if has_it else {}


def _hands_on(model: PreTrainedModel) -> bool:
    """Whether the model attends through our function and takes keywords that it may hand on to it."""
    parameters = inspect.signature(model.forward).parameters.values()
    return (
        is_grouped(model)
        and bool(getattr(model, "_supports_attention_backend", False))
        and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    )


def _index(places: Sequence[int], device: torch.device) -> torch.LongTensor:
    return cast(torch.LongTensor, torch.tensor(places, dtype=torch.long, device=device))
