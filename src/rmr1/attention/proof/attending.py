"""The attention that is right for a loaded model: the fast one that it came with, or the library's written-out one.

The written-out one is the reference: what caps scores or adds to them is in its code, and a fast one may leave it
out. Two comparisons find that: a layer's own scores made large, since caps do not show in small ones
(`rmr1.attention.proof.ask`), and what the whole model says of texts by either.

The reference itself is wrong in one case: if it adds to the scores what its mask adds already (transformers' Falcon
adds ALiBi by both). That is so if, without what the mask adds, it says the same as the fast one does with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from rmr1.attention.proof.ask import LOUD_NOISE, ask_layers
from rmr1.attention.proof.probe import (
    Finding,
    Pairs,
    Probe,
    Probes,
    attention_of,
    judge_numbers,
    longest_text,
)

_WRITTEN = "eager"
_FAST = "sdpa"


def choose_attention(model: PreTrainedModel, probes: Probes) -> tuple[bool, list[str]]:
    """Set the attention that is right; whether every layer sees all earlier tokens, and notes on what was changed.

    `probes` forget what they know if the attention changes. Call inside `undisturbed`.
    """
    layers = ask_layers(model, probes.first.texts[0])
    finding = Finding(
        path=f"attention by '{_FAST}'",
        against="attention written out",
        difference=layers.dropped,
        noise=LOUD_NOISE,
    )
    if finding.is_fault:
        _change(model, probes, _WRITTEN)
        note = (
            f"{finding.describe()} where scores are large, since it drops what caps them; '{_WRITTEN}' attention "
            "is taken, which is slower"
        )
    else:
        note = _compare_whole(model, probes)
    notes = [f"{type(model).__name__}: {note}"] if note else []
    return layers.is_asked and layers.see_all(longest_text(model)), notes


def set_attention(model: PreTrainedModel, name: str) -> None:
    """Let the whole model attend by this function: also a kind that transformers does not let change."""
    for config in _list_configs(model):
        config._attn_implementation = name


def _compare_whole(model: PreTrainedModel, probes: Probes) -> str:
    """Set the attention by which the model says what is right, the fast one or the written-out one; a note on it."""
    loaded = attention_of(model)
    if loaded is None or (loaded == _WRITTEN and not getattr(model, "_supports_sdpa", False)):
        return ""
    fast = _FAST if loaded == _WRITTEN else loaded
    _change(model, probes, fast)
    finding = _compare(model, probes)
    if not finding.is_fault or finding.reason:  # what cannot be computed is no reference
        _change(model, probes, loaded)
        return ""
    if not _compare(model, probes, unbiased=True).is_fault:
        if loaded == fast:
            return ""
        return f"attention written out adds twice what its mask adds to scores; '{fast}' attention is taken"
    _change(model, probes, _WRITTEN)
    return "" if loaded == _WRITTEN else f"{finding.describe()}; '{_WRITTEN}' is taken, which is slower"


def _compare(model: PreTrainedModel, probes: Probes, *, unbiased: bool = False) -> Finding:
    """The attention that is set against the written-out one, `unbiased` without what masks add."""

    def read(probe: Probe) -> Pairs:
        texts = (*probe.texts, probe.long)
        wanted = [probe.alone(text) for text in texts]
        with _attending(model, _WRITTEN), _unbiased(model) if unbiased else ExitStack():
            for text, truth in zip(texts, wanted, strict=True):
                yield probe.read(text), truth

    path, against = f"texts by '{attention_of(model)}' attention", "those by attention written out"
    return probes.judge(lambda probe: judge_numbers(path, probe.noise, read(probe), against=against))


def _change(model: PreTrainedModel, probes: Probes, name: str) -> None:
    if attention_of(model) != name:
        set_attention(model, name)
        probes.forget()


@contextmanager
def _attending(model: PreTrainedModel, name: str) -> Iterator[None]:
    before = [(config, config._attn_implementation) for config in _list_configs(model)]
    set_attention(model, name)
    try:
        yield
    finally:
        for config, attention in before:
            config._attn_implementation = attention


def _list_configs(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """Those of the model and its parts, outer ones first, which set the inner ones too."""
    every = (getattr(module, "config", None) for module in model.modules())
    return list({id(one): one for one in every if isinstance(one, PreTrainedConfig)}.values())


@contextmanager
def _unbiased(model: PreTrainedModel) -> Iterator[None]:
    """Inside, masks hide what they hide and add nothing to other scores."""

    def clear(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        mask = kwargs.get("attention_mask")
        if isinstance(mask, torch.Tensor) and mask.dim() == 4 and mask.is_floating_point():
            adds = mask > torch.finfo(mask.dtype).min / 2
            kwargs = {**kwargs, "attention_mask": mask.masked_fill(adds, 0.0)}
        return args, kwargs

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(clear, with_kwargs=True).remove)
        yield
