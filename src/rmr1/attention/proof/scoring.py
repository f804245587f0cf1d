"""The self-check before a model scores: which way of padding a batch of conversations is right for it.

Ways are tried from the fastest on; the first whose scores are those of the conversations alone is taken.

Shapes: `B` conversations, `N` times that each is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

import torch
from transformers import PreTrainedModel

from rmr1.attention.proof.ask import Padding, Paths, find_turning
from rmr1.attention.proof.attending import choose_attention
from rmr1.attention.proof.probe import (
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
from rmr1.attention.proof.selecting import HIDDEN

Score = Callable[[Sequence[Sequence[int]], bool], torch.Tensor]
"""Rows of tokens, and whether the padding is masked -> `[B]` scores, float32."""


def prove_scoring(model: PreTrainedModel, score: Score, *, may_be_bare: bool) -> Paths:
    """Check the model, and set the attention that is right for it.

    `score` computes rows as they are, padded as its second argument says.
    """
    name = type(model).__name__
    with undisturbed(model) as choices:
        probe = Probe(model, lambda ids: score(ids.tolist(), False)[:, None, None], stretch=choices.stretch)
        turning = find_turning(model)
        most = None if turning is None else turning.border
        states = Probes(
            model, lambda ids: model.base_model(input_ids=ids)[0], most=most, stretch=choices.stretch
        )
        _, notes = choose_attention(model, states)
        wanted_B1 = torch.cat([score([text], False) for text in probe.texts])[:, None]
        # One number is little to measure noise by, so that of all texts is taken together.
        with nudged(model):
            again_BN = torch.stack([score([text] * NUDGED_ROWS, False) for text in probe.texts])
        size = measure_size(wanted_B1)
        found = differ(again_BN[..., None], wanted_B1[:, None], size).flatten().tolist()
        noise = max(least_noise(model), *filter(isfinite, found))
        truth = Truth(numbers=wanted_B1, size=size, noise=torch.full_like(wanted_B1[:, 0], noise))
        padding: Padding = "none"
        ways: list[Padding] = ["bare", "masked"] if may_be_bare else ["masked"]
        if choices.is_hidden:
            notes.append(f"{name}: {HIDDEN}; each conversation is computed alone")
            return Paths(turning=turning, notes=tuple(notes))
        for way in ways:
            path = f"scores of conversations padded {'under' if way == 'masked' else 'without'} a mask"
            finding = judge_numbers(path, noise, _score_together(score, probe, way == "masked", truth))
            if not finding.is_fault:
                padding = way
                break
        else:
            notes.append(f"{name}: {finding.describe()}; each is computed alone")
        return Paths(padding=padding, turning=turning, notes=tuple(notes))


def _score_together(score: Score, probe: Probe, is_masked: bool, truth: Truth) -> Pairs:
    yield score(probe.texts, is_masked)[:, None], truth
