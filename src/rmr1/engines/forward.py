"""A model in the middle of decoding: its cache, its mask, its positions, the rows that go on.

The first pass takes prompts, padded on the left; from then on there are rows, each of one prompt. Either the
prompts' keys and values are repeated for their rows, or they stay as they are and the rows of a prompt
attend to them together (`rmr1.engines.shared`), where the model allows it and enough is spared.

Shapes: `B` prompts, `R` rows, `T` tokens, `V` vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from rmr1.engines.attention import is_grouped
from rmr1.engines.cache import build_cache
from rmr1.engines.shared import SharedPrompts


class Forward:
    """One batch, from its prompts to its last token."""

    def __init__(self, model: PreTrainedModel):
        self._model = model
        self._cache = build_cache(model)
        self._extra: dict[str, Any] = dict(keep_logits(model, 1))
        self._shared: SharedPrompts | None = None

    def prefill(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, *, may_share: bool) -> torch.Tensor:
        """The logits `[B, V]` after each prompt. `may_share`: some prompt will have several rows."""
        positions = (mask_BT.cumsum(dim=-1) - 1).clamp(min=0)
        self._next = positions[:, -1:] + 1
        self._length = mask_BT.shape[1]
        # Without padding no mask is needed, and attention may use its faster kernels.
        self._mask = None if bool(mask_BT.all()) else mask_BT
        prompts = SharedPrompts(self._cache, mask_BT) if may_share and _hands_on(self._model) else None
        logits = self._run(ids_BT, self._mask, positions, prompts)
        self._prompts = prompts
        return logits

    def repeat(self, source: Sequence[int]) -> None:
        """Go on with a row for each of `source`, the index of its prompt; rows of a prompt stand together."""
        prompts = self._prompts
        if prompts is None or not prompts.is_worth_sharing(source):
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
        mask = self._mask
        if mask is not None:
            if mask.shape[1] < self._length:
                room = mask.new_ones((mask.shape[0], max(128, self._length // 4)))
                mask = self._mask = torch.cat([mask, room], dim=1)
            mask = mask[:, : self._length]
        logits = self._run(tokens_R[:, None], mask, self._next, self._shared)
        self._next = self._next + 1
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows; unless prompts are shared, a row may occur several times."""
        kept = _index(rows, self._next.device)
        self._cache.reorder_cache(kept)
        self._next = self._next.index_select(0, kept)
        if self._mask is not None:
            self._mask = self._mask.index_select(0, kept)
        if self._shared is not None:
            self._shared.select(rows)

    def _run(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor,
        prompts: SharedPrompts | None,
    ) -> torch.Tensor:
        extra = self._extra if prompts is None else {**self._extra, "shared_prompts": prompts}
        outputs = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            **extra,
        )
        return outputs.logits[:, -1].float()


def keep_logits(model: PreTrainedModel, count: int) -> dict[str, int]:
    """The argument that limits the output layer to the last positions, where the model has it."""
    has_it = "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": count} if has_it else {}


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
