"""The self-check before a model writes: which way of computing a batch of prompts is right for it.

Ways are tried from the fastest on, each by the decode loop's own parts (`rmr1.attention.forward`). The first whose
logits are those of the texts alone is taken. One prompt at a time without a cache is right for every model.

Shapes: `B` texts, `R` rows, `T` tokens, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from rmr1.attention.decode import grouped_attention, is_causal, is_grouped
from rmr1.attention.forward import Forward
from rmr1.attention.kept import Kept, Room
from rmr1.attention.proof.ask import Padding, Paths, Turning, find_turning
from rmr1.attention.proof.attending import choose_attention
from rmr1.attention.proof.probe import (
    Finding,
    Pairs,
    Probe,
    Probes,
    Truth,
    judge_numbers,
    longest_text,
    undisturbed,
)
from rmr1.attention.proof.selecting import HIDDEN
from rmr1.attention.shared_cache import GrowingLayer, build_cache

_KNOWN: WeakKeyDictionary[PreTrainedModel, tuple[str | None, Paths]] = WeakKeyDictionary()
"""The attention that a model was checked with, and what was found."""

_PROBE_BYTES = 1 << 40
"""More than the probe's few tokens take of any model."""

_WAYS: dict[Padding, str] = {
    "right": "prompts padded without a mask",
    "left": "prompts padded under a mask",
    "none": "tokens that follow from a cache",
}


def judging_paths(model: PreTrainedModel) -> Paths:
    """How `model` may write; checked the first time, and again with other attention, which is set to what is right."""
    attention, paths = _KNOWN.get(model, ("", Paths()))
    if attention != model.config._attn_implementation:
        paths = _prove(model)
        _KNOWN[model] = model.config._attn_implementation, paths
    return paths


def read_alone(model: PreTrainedModel, ids_BT: torch.Tensor) -> torch.Tensor:
    """The model's own logits `[B, T, V]` of texts of one length: no padding, no mask, no cache."""
    logits_BTV: torch.Tensor = model(input_ids=ids_BT, use_cache=False).logits
    return logits_BTV


def _prove(model: PreTrainedModel) -> Paths:
    with undisturbed(model) as choices:
        turning = find_turning(model)
        most = None if turning is None else turning.border
        probes = Probes(model, lambda ids: read_alone(model, ids), most=most, stretch=choices.stretch)
        sees_all, notes = choose_attention(model, probes)
        probes.check_causal()
        if choices.is_hidden:
            notes.append(
                f"{type(model).__name__}: {HIDDEN}; prompts are computed one at a time, each token from the whole text, "
                "which is slow"
            )
            return Paths(turning=turning, notes=tuple(notes))
        with grouped_attention(model):
            finding = _judge_grouped(model, probes)
            if not finding.is_fault:
                return replace(_choose(model, probes, turning, sees_all, notes), groups=True)
        notes.append(f"{type(model).__name__}: {finding.describe()}; its library's is taken")
        return _choose(model, probes, turning, False, notes)


def _judge_grouped(model: PreTrainedModel, probes: Probes) -> Finding:
    """Whether the model says the same of texts alone by the attention that is set as by its library's."""

    def read(probe: Probe) -> Pairs:
        for text in (*probe.texts, probe.long):
            yield probe.read(text), probe.alone(text)

    path, against = "texts by attention for decoding", "those by its library's attention"
    return probes.judge(lambda probe: judge_numbers(path, probe.noise, read(probe), against=against))


def _choose(
    model: PreTrainedModel, probes: Probes, turning: Turning | None, sees_all: bool, notes: list[str]
) -> Paths:
    ways: list[Padding] = ["left", "none"]
    kept = {type(layer) for layer in build_cache(model).layers}
    if sees_all and is_grouped(model) and is_causal(model) and kept == {GrowingLayer}:
        ways.insert(0, "right")
    chosen, fault = Paths(), None
    for padding in ways:
        way = Paths(padding=padding, caches=True)
        finding = _try(model, probes, way, _WAYS[padding])
        if not finding.is_fault:
            chosen = way
            break
        fault = finding
    name = type(model).__name__
    if fault is not None:
        then = "padded under a mask instead" if chosen.padding == "left" else "computed one at a time"
        if not chosen.caches:
            then += ", each token from the whole text, which is slow"
        notes.append(f"{name}: {fault.describe()}; prompts are {then}")
    if chosen.caches and sees_all:
        shared = replace(chosen, shares=True)
        finding = _try(model, probes, shared, "rows that share their prompt")
        if not finding.is_fault:
            chosen = shared
        else:
            notes.append(f"{name}: {finding.describe()}; each row keeps its own")
    if chosen.caches and sees_all and kept == {GrowingLayer}:
        going_on = replace(chosen, continues=True)
        finding = _try(model, probes, going_on, "texts that go on from what was kept")
        if not finding.is_fault:
            chosen = going_on
        else:
            notes.append(f"{name}: {finding.describe()}; a text that goes on is read again")
    if turning is not None and turning.border < longest_text(model):
        notes.append(
            f"{name}: positions are turned otherwise in texts of more than {turning.border} tokens; where a prompt "
            "with its answer may be longer, prompts are computed one at a time"
        )
    return replace(chosen, turning=turning, notes=tuple(notes))


def _try(model: PreTrainedModel, probes: Probes, paths: Paths, name: str) -> Finding:

    def run(probe: Probe) -> Pairs:
        def wanted(prompt: tuple[int, ...], one: tuple[int, ...], step: int) -> Truth:
            place = len(prompt) + step - 1
            return probe.alone((*prompt, *one)).part(slice(place, place + 1))

        groups = probe.groups
        for batch in [groups] if paths.padding != "none" else [[group] for group in groups]:
            forward = Forward(model, paths, shares_any=True)
            prompts = [group.prompt for group in batch]
            begun = _keep_beginnings(model, paths, prompts) if paths.continues else []
            logits_RV = forward.prefill(prompts, may_share=paths.shares, begun=begun)
            rows = [(group.prompt, one) for group in batch for one in group.completions]
            source = [place for place, group in enumerate(batch) for _ in group.completions]
            yield from zip(
                (logits_RV[place : place + 1] for place in source),
                (wanted(prompt, one, 0) for prompt, one in rows),
                strict=True,
            )
            forward.repeat(source)
            step = 0
            while rows:
                logits_RV = forward.step(torch.tensor([one[step] for _, one in rows], device=model.device))
                step += 1
                for place, (prompt, one) in enumerate(rows):
                    yield logits_RV[place : place + 1], wanted(prompt, one, step)
                kept = [place for place, (_, one) in enumerate(rows) if len(one) > step]
                if not paths.shares:
                    kept.reverse()  # rows with a cache of their own may stand in any order
                if len(kept) < len(rows):
                    rows = [rows[place] for place in kept]
                    if rows:
                        forward.select(kept)

    return probes.judge(lambda probe: judge_numbers(name, probe.noise, run(probe)))


def _keep_beginnings(model: PreTrainedModel, paths: Paths, prompts: Sequence[Sequence[int]]) -> list[Kept]:
    """What is kept of the first half of each prompt, its last token read by a step."""
    cuts = [max(2, len(prompt) // 2) for prompt in prompts]
    forward, room = Forward(model, paths), Room(_PROBE_BYTES)
    forward.prefill([prompt[: cut - 1] for prompt, cut in zip(prompts, cuts, strict=True)], may_share=False)
    kept = [forward.keep_prompt(index, room) for index in range(len(prompts))]
    last = [prompt[cut - 1] for prompt, cut in zip(prompts, cuts, strict=True)]
    forward.step(torch.tensor(last, device=model.device))
    return [forward.keep_row(row, 1, one, room) for row, one in enumerate(kept) if one is not None]
