"""A model in the middle of decoding: its cache, its mask, its positions, the rows that go on.

The first pass takes prompts, or what is left to read of them if their beginnings were kept (`rmr1.attention.kept`);
from then on there are rows, each of one prompt. Either the prompts' keys and
values are repeated for their rows, or they stay as they are and the rows of a prompt attend to them together
(`rmr1.attention.shared_cache`), if the model allows it and enough is spared.

Prompts of a batch are padded in the fastest way that is right for the model (`rmr1.attention.proof.judging`). Without a
mask the stock kernels are up to three times as fast; only the steps after the first pass have to know the gaps then.

Shapes: `B` prompts, `R` rows, `T` tokens, `V` vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rmr1.attention.decode import is_grouped
from rmr1.attention.kept import Kept, Piece, Room, keep_piece
from rmr1.attention.proof.ask import Paths
from rmr1.attention.shared_cache import GrowingLayer, SharedPrompts, build_cache


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
        self._prompts: SharedPrompts | None = None
        """What may be shared; once rows go on, what is."""
        self._texts_RT: torch.Tensor | None = None
        """All tokens of the rows, if they may have to be read again."""
        self._begun: Sequence[Kept] = ()
        """What was kept of each prompt before the first pass."""
        self._fresh: list[slice] = []
        """The places in the cache of what the first pass read of each prompt."""
        self._first = 0
        """The place in the cache of the first token that the rows write."""

    @property
    def can_go_on(self) -> bool:
        """Whether texts can be kept, and can begin with what was kept."""
        return self._paths.continues and self._paths.turning is None

    def prefill(
        self, prompts: Sequence[Sequence[int]], *, may_share: bool, begun: Sequence[Kept] = ()
    ) -> torch.Tensor:
        """The logits `[B, V]` after each prompt.

        Args:
            may_share: some prompt will have several rows.
            begun: what is kept of each prompt, fewer tokens than it has, if there is something of all of them.
        """
        if begun:
            assert self.can_go_on, "nothing kept can be used"
            return self._go_on(prompts, begun, may_share)
        device, paths = self._model.device, self._paths
        assert paths.padding != "none" or len(prompts) == 1, "one prompt at a time"
        pads_right = paths.padding == "right"
        texts = [torch.tensor(prompt, dtype=torch.long) for prompt in prompts]
        ids_BT, mask_BT = (
            pad_sequence(rows, batch_first=True, padding_side="right" if pads_right else "left").to(device)
            for rows in (texts, [torch.ones_like(text) for text in texts])
        )
        lengths_B = mask_BT.sum(dim=-1)
        self._length = self._first = mask_BT.shape[1]
        starts = [0 if pads_right else self._length - len(text) for text in texts]
        self._fresh = [slice(start, start + len(text)) for start, text in zip(starts, texts, strict=True)]
        self._next_R1 = lengths_B[:, None]
        # Without padding no mask is needed, and attention may use its faster kernels.
        self._mask_RT = None if bool(mask_BT.all()) else mask_BT
        if paths.turning is not None or not paths.caches:
            self._texts_RT = ids_BT
            return self._read_again()
        if may_share and paths.shares and self._hands_on():
            self._prompts = SharedPrompts(self._cache, mask_BT, pads_right=pads_right)
        positions_BT = (mask_BT.cumsum(dim=-1) - 1).clamp(min=0)
        if not pads_right:
            keep = keep_logits(self._model, 1)
            return self._run(ids_BT, self._mask_RT, positions_BT, keep)[:, -1].float()
        ends, end_of_B = (lengths_B - 1).unique(return_inverse=True)
        keep = keep_logits(self._model, ends)
        logits = self._run(ids_BT, None, positions_BT, keep)
        # A model that cannot be told which places are wanted gives all of them.
        return logits[torch.arange(len(prompts), device=device), end_of_B if keep else lengths_B - 1].float()

    def _go_on(
        self, prompts: Sequence[Sequence[int]], begun: Sequence[Kept], may_share: bool
    ) -> torch.Tensor:
        """The logits after each prompt: what is kept stands in front, what is left to read at the end, and the gap
        between is masked."""
        device = self._model.device
        pasts = [kept.num_tokens for kept in begun]
        rests = [
            torch.tensor(prompt[past:], dtype=torch.long) for prompt, past in zip(prompts, pasts, strict=True)
        ]
        ids_BT, fresh_BT = (
            pad_sequence(rows, batch_first=True, padding_side="left").to(device)
            for rows in (rests, [torch.ones_like(rest) for rest in rests])
        )
        width = max(pasts)
        past_BT = torch.arange(width, device=device) < torch.tensor(pasts, device=device)[:, None]
        mask_BT = torch.cat([past_BT.to(fresh_BT.dtype), fresh_BT], dim=1)
        self._begun = begun
        self._length = self._first = mask_BT.shape[1]
        self._fresh = [slice(self._length - len(rest), self._length) for rest in rests]
        self._next_R1 = mask_BT.sum(dim=-1)[:, None]
        self._mask_RT = None if bool(mask_BT.all()) else mask_BT
        for place, layer in enumerate(self._cache.layers):
            assert isinstance(layer, GrowingLayer)
            layer.restore(begun, place, width, fresh_BT.shape[1])
        if may_share and self._paths.shares and self._hands_on():
            self._prompts = SharedPrompts(self._cache, mask_BT)
        positions_BT = (mask_BT.cumsum(dim=-1) - 1)[:, width:]
        keep = keep_logits(self._model, 1)
        return self._run(ids_BT, self._mask_RT, positions_BT, keep)[:, -1].float()

    def keep_prompt(self, index: int, room: Room) -> Kept | None:
        """What was read of a prompt, to be asked for before rows go on; without room what was kept before, or None."""
        before = self._begun[index] if self._begun else None
        piece = self._keep(index, self._fresh[index], room)
        return before if piece is None else (before or Kept()).extend(piece)

    def keep_row(self, row: int, num_tokens: int, before: Kept, room: Room) -> Kept:
        """The same of a row: its prompt's, `before`, and the first `num_tokens` that it wrote, if there is room."""
        if not num_tokens:
            return before
        piece = self._keep(row, slice(self._first, self._first + num_tokens), room)
        return before if piece is None else before.extend(piece)

    def _keep(self, row: int, places: slice, room: Room) -> Piece | None:
        layers: list[Any] = self._cache.layers
        return keep_piece([(one.keys[row, :, places], one.values[row, :, places]) for one in layers], room)

    def repeat(self, source: Sequence[int]) -> None:
        """Go on with a row for each of `source`, the index of its prompt; rows of a prompt stand together."""
        prompts, self._prompts = self._prompts, None
        if prompts is None or not prompts.is_worth_sharing(source, whatever_it_spares=self._shares_any):
            self.select(source)
            return
        prompts.share(source)
        self._prompts = prompts
        self._first = 0
        # What a row writes itself has no padding.
        self._mask_RT = None
        self._next_R1 = self._next_R1[list(source)]

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        """The logits `[R, V]` after one more token per row."""
        self._length += 1
        next_R1, self._next_R1 = self._next_R1, self._next_R1 + 1
        if self._texts_RT is not None:
            self._texts_RT = torch.cat([self._texts_RT, tokens_R[:, None]], dim=1)
            turning = self._paths.turning
            if not self._paths.caches or turning is None or turning.is_changed(self._length):
                return self._read_again()
            turning.reset()
        mask_RT = self._mask_RT
        if mask_RT is not None:
            if mask_RT.shape[1] < self._length:
                room = mask_RT.new_ones((mask_RT.shape[0], max(128, self._length // 4)))
                mask_RT = self._mask_RT = torch.cat([mask_RT, room], dim=1)
            mask_RT = mask_RT[:, : self._length]
        return self._run(tokens_R[:, None], mask_RT, next_R1, {})[:, -1].float()

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows; unless prompts are shared, a row may occur several times."""
        kept = cast(torch.LongTensor, torch.tensor(rows, dtype=torch.long, device=self._next_R1.device))
        if self._paths.caches:
            self._cache.reorder_cache(kept)
        self._next_R1 = self._next_R1[kept]
        if self._mask_RT is not None:
            self._mask_RT = self._mask_RT[kept]
        if self._texts_RT is not None:
            self._texts_RT = self._texts_RT[kept]
        if self._prompts is not None:
            self._prompts.select(rows)

    def _run(
        self,
        ids_RT: torch.Tensor,
        mask_RT: torch.Tensor | None,
        positions_RT: torch.Tensor,
        extra: dict[str, Any],
    ) -> torch.Tensor:
        if self._prompts is not None:
            extra = {**extra, "shared_prompts": self._prompts}
        # Models whose state is no keys and values call it otherwise.
        is_state = "cache_params" in self._takes and "past_key_values" not in self._takes
        extra = {**extra, "cache_params" if is_state else "past_key_values": self._cache}
        logits_RTV: torch.Tensor = self._model(
            input_ids=ids_RT, attention_mask=mask_RT, position_ids=positions_RT, use_cache=True, **extra
        ).logits
        return logits_RTV

    def _read_again(self) -> torch.Tensor:
        """The logits `[R, V]` after the rows' whole texts, which are equally long."""
        texts_RT = self._texts_RT
        assert texts_RT is not None
        keep = keep_logits(self._model, 1)
        if self._paths.turning is not None:
            self._paths.turning.reset()
        if not self._paths.caches:
            logits_RTV: torch.Tensor = self._model(input_ids=texts_RT, use_cache=False, **keep).logits
        else:
            self._cache = build_cache(self._model)
            positions_RT = torch.arange(texts_RT.shape[1], device=texts_RT.device).expand(texts_RT.shape)
            logits_RTV = self._run(texts_RT, None, positions_RT, keep)
        return logits_RTV[:, -1].float()

    def _hands_on(self) -> bool:
        """Whether the model attends through our function and takes keywords that it may hand on to it."""
        return (
            is_grouped(self._model)
            and bool(getattr(self._model, "_supports_attention_backend", False))
            and any(parameter.kind is parameter.VAR_KEYWORD for parameter in self._takes.values())
        )


def keep_logits(model: PreTrainedModel, places: int | torch.Tensor) -> dict[str, Any]:
    """The argument that limits the output layer to the last so many places, or to those in a tensor; empty if the
    model does not have it."""
    has_it = "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": places} if has_it else {}
