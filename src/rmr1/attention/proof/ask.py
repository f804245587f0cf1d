"""Questions that short texts cannot answer, put to the modules themselves.

A window of 4,096 tokens, a cap on scores that only large ones reach, frequencies that change from the 4,097th
position on: none of them shows in a few dozen tokens. But each is decided in one place that can be called with what it
would meet far out: a mask function with far keys, a layer's attention (written out, and fast) with large scores, the
module that turns positions into cosines with far positions, the output layer with large hidden states.

Shapes: `B` texts, `H` query heads, `K` key heads, `Q` queries, `T` tokens, `D` head size, `W` numbers per token.
"""

from __future__ import annotations

import copy
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rmr1.attention.proof.probe import FAR, Finding, attention_of, differ, least_noise
from rmr1.errors import reason_of

_NAME = "rmr1_asked"
_STOCK = "sdpa"
_LOUD_SCORES = 30.0
"""Standard deviation of scores that every known cap changes."""
_LOUD_LOGITS = 50.0
LOUD_NOISE = 1e-3
"""More than float32 loses of a softmax over such scores; a dropped cap changes it by tenths."""


@dataclass(slots=True, kw_only=True)
class Layers:
    """What the attention layers of a model do."""

    is_asked: bool = False
    """They attend through transformers' interface."""
    windows: set[tuple[Callable[..., Any] | None, int | None]] = field(default_factory=set)
    """Each layer's mask function, None for a mask from elsewhere, and the window that it tells its attention."""
    dropped: float = 0.0
    """Largest difference between attention written out and the fast one, on large scores."""
    masks: list[tuple[torch.Tensor, Callable[..., Any]]] = field(default_factory=list)

    def see_all(self, reach: int) -> bool:
        """Whether every layer's mask shows every earlier token up to this distance."""
        return all(_is_window(mask, None, reach) for mask, _ in self.windows)

    def tell_windows(self, reach: int) -> bool:
        """Whether every layer tells its attention the window that its mask has, if one is below `reach`."""
        return all(_is_window(mask, window, reach) for mask, window in self.windows)


_ASKED: ContextVar[Layers] = ContextVar("layers")


def ask_layers(model: PreTrainedModel, ids: Sequence[int]) -> Layers:
    """What each layer is asked to do when these tokens run through the model. Call inside `undisturbed`."""
    found = Layers()
    before = attention_of(model)
    if not getattr(model, "_supports_attention_backend", False):
        return found
    token = _ASKED.set(found)
    try:
        model.set_attn_implementation(_NAME)
        model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
        found.is_asked = bool(found.windows)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # the code of a model may raise anything; then it is not asked
        return Layers()
    finally:
        model.set_attn_implementation(before or _STOCK)
        _ASKED.reset(token)
        found.masks.clear()
    if before != _STOCK:
        found.dropped = 0.0
    return found


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    asked = _ASKED.get()
    mask = None
    if attention_mask is not None:
        same = (one for known, one in asked.masks if known.data_ptr() == attention_mask.data_ptr())
        mask = next(same, None)
    window = kwargs.get("sliding_window")
    asked.windows.add((mask, window if isinstance(window, int) else None))
    # Distribution-free: whatever the layer's own settings do to scores, they do to large ones.
    size = query.shape[-1] ** -0.5 if scaling is None else scaling
    key_BHTD = key.float().repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores_BHQT = query.float() @ key_BHTD.transpose(2, 3) * size
    loud_BHQD = query.float() * (_LOUD_SCORES / scores_BHQT.std().clamp(min=1e-12))
    written = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if written is not None and attention_mask is not None and attention_mask.dtype == torch.bool:
        least = torch.finfo(torch.float32).min
        added = torch.zeros(attention_mask.shape, device=query.device).masked_fill(~attention_mask, least)
        parts = (module, loud_BHQD, key.float(), value.float())
        wanted, _ = written(*parts, added, dropout=0.0, scaling=scaling, **kwargs)
        found, _ = sdpa_attention_forward(*parts, attention_mask, dropout=0.0, scaling=scaling, **kwargs)
        asked.dropped = max(asked.dropped, _differ_most(found, wanted))
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )


def _write_mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    mask: torch.Tensor | None = AttentionMaskInterface()[_STOCK](
        *args, **{**kwargs, "allow_is_causal_skip": False}
    )
    function = kwargs.get("mask_function")
    if mask is not None and function is not None:
        _ASKED.get().masks.append((mask, function))
    return mask


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _write_mask)


def _is_window(mask: Callable[..., Any] | None, window: int | None, reach: int) -> bool:
    """Whether the mask shows a query the keys at less than `window` before it, and no others."""
    if mask is None:
        return False
    far = max(1, reach - 1)
    distances = {0, *(1 << power for power in range(far.bit_length())), far}
    if window is not None:
        distances |= {window - 1, window, window + 1}
    asked = torch.tensor(sorted(one for one in distances if 0 <= one <= far))
    first, query = torch.tensor(0), torch.tensor(far)
    try:
        seen = [bool(mask(first, first, query, query - distance)) for distance in asked]
    except Exception:  # a function of the library's inner parts, or of a model's own code
        return False
    return seen == [window is None or int(distance) < window for distance in asked]


class Turning:
    """Rotations whose frequencies depend on how long a text is: dynamic and long rope."""

    def __init__(self, modules: Sequence[tuple[torch.nn.Module, dict[str, Any]]], border: int):
        self._modules = modules
        self.border = border
        """Tokens of the longest text whose frequencies are those of a short one."""

    def reset(self) -> None:
        """Forget the texts before: some modules keep the frequencies of the longest."""
        for module, kwargs in self._modules:
            _turn(module, kwargs, 1)

    def is_changed(self, length: int) -> bool:
        """Whether a text of `length` tokens has other frequencies than one of a token less."""
        return any(
            not torch.equal(_turn(module, kwargs, length - 1), _turn(module, kwargs, length))
            for module, kwargs in self._modules
        )


Padding = Literal["right", "left", "bare", "masked", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """How a batch may be computed when a model writes or scores; the default is right for every model."""

    padding: Padding = "none"
    """Prompts are padded on the `right` without a mask, since causal attention alone looks back only, or on the `left`
    under one; conversations on the right, `bare` of a mask or `masked`. `none`: each goes alone."""
    groups: bool = False
    """Its layers may attend by `rmr1.attention.decode` instead of the library's function."""
    shares: bool = False
    """Rows of a prompt may attend to its keys and values together."""
    caches: bool = False
    """Keys, values and states of what was read are kept; else everything is read again for each token."""
    continues: bool = False
    """Keys and values of a text may be kept and read on from in another batch."""
    turning: Turning | None = None
    """Rotations that depend on a text's length: nothing but `none` is right beyond its border."""
    notes: tuple[str, ...] = ()
    """What differs, and what is done instead; a line each."""

    def within(self, length: int) -> Paths:
        """The paths for texts of at most so many tokens: `turning` is set only if it matters."""
        if self.turning is None:
            return self
        if length <= self.turning.border:
            return replace(self, turning=None)
        return replace(self, padding="none", shares=False, continues=False)


def find_turning(model: PreTrainedModel, most: int | None = None) -> Turning | None:
    """Modules whose frequencies change within `most` tokens, by default any number; None if there are none."""
    far = most or FAR
    modules = [
        (module, kwargs)
        for module in model.modules()
        for kwargs in _list_types(model, module)
        if _differs(module, kwargs, far)
    ]
    if not modules:
        return None
    low, high = 2, far  # the same as a short text, and not
    while high - low > 1:
        middle = (low + high) // 2
        if any(_differs(module, kwargs, middle) for module, kwargs in modules):
            high = middle
        else:
            low = middle
    return Turning(modules, low)


def _list_types(model: PreTrainedModel, module: torch.nn.Module) -> list[dict[str, Any]]:
    """The keywords to ask the module with, if it turns positions into cosines."""
    parameters = inspect.signature(module.forward).parameters
    if "position_ids" not in parameters or any(True for _ in module.parameters()):
        return []
    if "layer_type" not in parameters:
        return [{}]
    config = getattr(module, "config", None) or model.config.get_text_config()
    return [{"layer_type": kind} for kind in dict.fromkeys(getattr(config, "layer_types", None) or ())]


def _differs(module: torch.nn.Module, kwargs: dict[str, Any], length: int) -> bool:
    """Whether early positions are turned otherwise than in a short text."""
    try:
        fresh = copy.deepcopy(module)
        return not torch.equal(_turn(fresh, kwargs, 2), _turn(fresh, kwargs, length))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # not a module of this kind, or of another layer type
        return False


def _turn(module: torch.nn.Module, kwargs: dict[str, Any], length: int) -> torch.Tensor:
    """The second position's rotation in a text of `length` tokens."""
    device = next((one.device for one in module.buffers()), torch.device("cpu"))
    sample = torch.zeros((1, 2, 1), device=device)
    module(sample, position_ids=torch.tensor([[0, 0]], device=device), **kwargs)
    found = module(sample, position_ids=torch.tensor([[1, length - 1]], device=device), **kwargs)
    parts = found if isinstance(found, tuple) else (found,)
    return torch.cat([one[0, 0].flatten().float() for one in parts])


def find_trunk(model: PreTrainedModel) -> torch.nn.Module:
    """The part of a model that makes its hidden states: the decoder that transformers names, or, if that is the whole
    model (Llama 4's text model), the part that the tokens enter by."""
    decoder: torch.nn.Module = model.get_decoder()
    if decoder is not model:
        return decoder
    table = model.get_input_embeddings()
    holding = (part for part in model.children() if any(one is table for one in part.modules()))
    return next(holding, model)


def judge_head(model: PreTrainedModel, ids: Sequence[int]) -> Finding:
    """Whether the model's logits are its last hidden states times its output matrix, also if those are made larger."""
    path, against = "hidden states times the output matrix", "the model's own logits"
    noise = least_noise(model)
    head: Any = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None:
        what = "a bias" if getattr(head, "bias", None) is not None else f"a {type(head).__name__}"
        return Finding(path=path, difference=math.inf, noise=noise, reason=f"the output layer has {what}")
    factor, worst = 1.0, 0.0
    kept_TW: torch.Tensor

    def enlarge(module: torch.nn.Module, args: Any, output: Any) -> Any:
        nonlocal kept_TW
        hidden = output[0] * factor
        kept_TW = hidden[0]
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        output["last_hidden_state"] = hidden
        return output

    try:
        hook = find_trunk(model).register_forward_hook(enlarge)
        try:
            for _ in range(2):
                ids_BT = torch.tensor([list(ids)], device=model.device)
                logits_TW = model(input_ids=ids_BT, use_cache=False).logits[0]
                wanted_TW = torch.nn.functional.linear(kept_TW, head.weight)
                worst = max(worst, _differ_most(logits_TW, wanted_TW))
                factor = _LOUD_LOGITS / max(1e-12, float(wanted_TW.float().std()))
        finally:
            hook.remove()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the code of a model may raise anything
        return Finding(path=path, difference=math.inf, noise=noise, reason=reason_of(error))
    return Finding(path=path, against=against, difference=worst, noise=noise)


def _differ_most(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference of any token, of `[..., T, W]`."""
    size = float(wanted.float().square().mean().sqrt())
    return float(differ(found, wanted, size).max())
