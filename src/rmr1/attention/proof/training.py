"""The self-check before a model is trained: which ways of computing a row are right for it.

Rows of several documents and rows of groups are compared with texts alone, hidden state by hidden state; the
product with the output matrix with the model's own logits. If they are not right, every text is computed alone by the
model's own forward, which is slower and takes more memory.

Shapes: `B` texts, `T` tokens, `V` vocabulary, `W` numbers per token: a hidden state, or the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.attention.proof.ask import Turning, ask_layers, find_trunk, find_turning, judge_head
from rmr1.attention.proof.attending import choose_attention
from rmr1.attention.proof.judging import read_alone
from rmr1.attention.proof.probe import (
    Finding,
    Pairs,
    Probe,
    Probes,
    judge_numbers,
    longest_text,
    measure_size,
    undisturbed,
)
from rmr1.attention.proof.selecting import HIDDEN, Choices
from rmr1.errors import ConfigError, reason_of

_LEAST_NATS = 1e-5
"""Rounding of log-probabilities that is never complained of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A way of putting several texts into one row."""

    name: str
    """The layout's name for people: "packed rows"."""
    attention: Callable[[PreTrainedModel], AbstractContextManager[None]]
    read: Callable[[Probe, Callable[..., torch.Tensor]], Pairs]
    """The probe's texts in a row, compared; the second argument is `read_states` of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPaths:
    """How rows of a model are computed; the default is right for every model."""

    joins: bool = False
    """Texts of a row go through the model together; else each alone."""
    by_matrix: bool = False
    """Logits are hidden states times the output matrix, a chunk at a time; else the model's own, all at once."""
    turning: Turning | None = None
    """Rotations that depend on a text's length: beyond its border texts go alone."""
    noise: float = 0.0
    """Rounding of a log-probability in nats, as `rmr1.attention.proof.probe` measures it."""
    notes: tuple[str, ...] = ()
    """What differs, and what is done instead; a line each."""

    def joins_within(self, longest: int) -> bool:
        """Whether a row whose longest text has so many tokens goes through the model as one."""
        return self.joins and (self.turning is None or longest <= self.turning.border)

    def describe(self) -> dict[str, Any]:
        """The paths as a run's summary has them."""
        return {
            "joins_texts": self.joins,
            "by_matrix": self.by_matrix,
            **({} if self.turning is None else {"exact_to": self.turning.border}),
            "noise": self.noise,
            "notes": list(self.notes),
        }


def read_states(model: PreTrainedModel, by_matrix: bool, **inputs: Any) -> torch.Tensor:
    """Last hidden states `[B, T, W]`, or the model's own logits if those are not got from them."""
    if by_matrix:
        states_BTW: torch.Tensor = find_trunk(model)(**inputs, use_cache=False)[0]
    else:
        states_BTW = model(**inputs, use_cache=False).logits
    return states_BTW


def prove_rows(model: PreTrainedModel, layout: Layout | None) -> RowPaths:
    """Check the model, as it stands, and set the attention that is right for it; `layout` is None for texts that go
    alone anyway."""
    name = type(model).__name__
    with undisturbed(model) as choices:
        turning = find_turning(model)
        most = None if turning is None else turning.border
        probes = Probes(
            model,
            lambda ids: read_states(model, by_matrix, input_ids=ids),
            most=most,
            stretch=choices.stretch,
        )
        text = probes.first.texts[0]
        head = judge_head(model, text)
        by_matrix = not head.is_fault
        _, notes = choose_attention(model, probes)
        if head.is_fault:
            notes.append(f"{name}: {head.describe()}; its own logits are taken, which needs more memory")
        probes.check_causal()
        _check_learns(model, probes.first)
        joins = False
        if layout is not None:
            finding = _judge_layout(model, probes, layout, by_matrix, choices)
            joins = not finding.is_fault
            if not joins:
                notes.append(
                    f"{name}: {finding.describe()}; texts go through it one at a time, which is slower"
                )
        if joins and turning is not None and turning.border < longest_text(model):
            notes.append(
                f"{name}: positions are turned otherwise in texts of more than {turning.border} tokens; rows with "
                "longer ones go through it one text at a time"
            )
        logits_BTV = read_alone(model, torch.tensor([text], device=model.device)).float()
        return RowPaths(
            joins=joins,
            by_matrix=by_matrix,
            turning=turning,
            noise=max(_LEAST_NATS, probes.first.noise * measure_size(logits_BTV)),
            notes=tuple(notes),
        )


def _check_learns(model: PreTrainedModel, probe: Probe) -> None:
    """Raises ConfigError unless a text goes through the model in training mode, and gradients back."""
    weight = next((one for one in model.parameters() if one.requires_grad), None)
    if weight is None:
        return
    text = probe.long[:-1]  # of 71 tokens, which no chunks but of one fill
    model.train()
    try:
        with torch.enable_grad():
            ids = torch.tensor([text], device=probe.device)
            loss = model(input_ids=ids, use_cache=False).logits.float().logsumexp(dim=-1).sum()
            torch.autograd.grad(loss, weight, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the code of a model may raise anything
        raise ConfigError(
            f"{type(model).__name__}: a text of {len(text)} tokens cannot be trained on: {reason_of(error)}; choose "
            "another model"
        ) from error
    finally:
        model.eval()


def _judge_layout(
    model: PreTrainedModel, probes: Probes, layout: Layout, by_matrix: bool, choices: Choices
) -> Finding:
    layers = ask_layers(model, probes.first.texts[0])
    if choices.is_hidden or not layers.is_asked or not layers.tell_windows(longest_text(model)):
        reason = "its layers do not attend by functions that can be replaced"
        if choices.is_hidden:
            reason = HIDDEN
        elif layers.is_asked:
            reason = "its masks hide tokens that its layers' attention is not told of"
        noise = probes.first.noise
        return Finding(path=layout.name, difference=float("inf"), noise=noise, reason=reason)

    def run(probe: Probe) -> Pairs:
        with layout.attention(model):
            yield from layout.read(probe, lambda **inputs: read_states(model, by_matrix, **inputs)[0].float())

    return probes.judge(lambda probe: judge_numbers(layout.name, probe.noise, run(probe)))
