"""The self-check before a model scores: which way of padding a batch of conversations is right for it.

    bare     padded on the right, without a mask: causal attention alone never looks there
    masked   padded on the right, under a mask
    none     one conversation at a time

The first whose scores are those of the conversations alone is taken.

Shapes: `B` conversations, `N` times that each is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import torch
from transformers import PreTrainedModel

from rmr1.attention.proof.ask import Turning, find_turning
from rmr1.attention.proof.attending import choose_attention
from rmr1.attention.proof.probe import (
    LONG,
    NUDGED_ROWS,
    Pairs,
    Probe,
    Probes,
    Truth,
    differ,
    judge_numbers,
    least_noise,
    measure_size,
    nudged,
    undisturbed,
)

Score = Callable[[Sequence[Sequence[int]], bool], torch.Tensor]
"""Rows of tokens, and whether the padding is masked -> `[B]` scores, float32."""

_NAMES: dict[str, str] = {
    "bare": "scores of conversations padded without a mask",
    "masked": "scores of conversations padded under a mask",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How conversations of a batch are put together."""

    padding: Literal["bare", "masked", "none"]
    turning: Turning | None = None
    """Rotations that depend on a text's length: beyond its border conversations go alone."""
    notes: tuple[str, ...] = ()
    """What differs, and what is done instead; a line each."""

    def within(self, length: int) -> Scoring:
        """The way for conversations of at most so many tokens."""
        if self.turning is None or length <= self.turning.border:
            return replace(self, turning=None)
        return replace(self, padding="none")


def prove_scoring(model: PreTrainedModel, score: Score, *, may_be_bare: bool) -> Scoring:
    """Check the model, and set the attention that is right for it.

    `score` computes rows as they are, padded as its second argument says.
    """
    name = type(model).__name__
    with undisturbed(model):
        probe = Probe(model, lambda ids: score(ids.tolist(), False)[:, None, None])
        turning = find_turning(model)
        most = LONG if turning is None else turning.border
        states = Probes(model, lambda ids: model.base_model(input_ids=ids)[0], most=most)
        _, note = choose_attention(model, states)
        notes = [note] if note else []
        wanted_B1 = torch.cat([score([text], False) for text in probe.texts])[:, None]
        # One number is little to measure noise by, so that of all texts is taken together.
        with nudged(model):
            again_BN = torch.stack([score([text] * NUDGED_ROWS, False) for text in probe.texts])
        size = measure_size(wanted_B1)
        found = differ(again_BN[..., None], wanted_B1[:, None], size).flatten().tolist()
        noise = max(least_noise(model), *filter(isfinite, found))
        truth = Truth(numbers=wanted_B1, size=size, noise=torch.full_like(wanted_B1[:, 0], noise))
        padding: Literal["bare", "masked", "none"] = "none"
        for way in ("bare", "masked") if may_be_bare else ("masked",):
            finding = judge_numbers(_NAMES[way], noise, _score_together(score, probe, way == "masked", truth))
            if not finding.is_fault:
                padding = way
                break
        else:
            notes.append(f"{name}: {finding.describe()}; each is computed alone")
        return Scoring(padding=padding, turning=turning, notes=tuple(notes))


def _score_together(score: Score, probe: Probe, is_masked: bool, truth: Truth) -> Pairs:
    yield score(probe.texts, is_masked)[:, None], truth
