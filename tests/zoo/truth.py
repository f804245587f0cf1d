"""What a model of the zoo computes by itself: its own forward and logits, one text at a time, nothing of rmr1's.

No padding, no mask, no cache; attention as the library writes it out, where the kind has that. Modules that remember
the longest text (rotations that depend on length) begin every text anew.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tests.zoo.configs import FIRST_TOKEN, VOCABULARY, Case, build_model

EXACT = 1e-4
"""Largest difference of a log-probability from the truth, as a share of what log-probabilities are in size."""
EXACT_GRADIENT = 5e-3
"""Length of the difference of two gradients, as a share of the gradient's. A rounding at the kink of an activation makes
1e-3; a fault makes 1e-2 and more."""
REFERENCES = {"falcon": "sdpa"}
"""Whose attention as the library writes it out is wrong: it adds ALiBi twice (tests/unit/test_attending.py)."""
_NOISE = 20.0
"""How many times the model's own noise a difference may be, if that is more; but never above `_MOST`."""
_MOST = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Tokens that go on from a prompt."""

    prompt: tuple[int, ...]
    own: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        return (*self.prompt, *self.own)


def make_texts(shapes: Sequence[tuple[int, int]], seed: int = 0) -> list[Text]:
    """Random texts of so many tokens of prompt and of its continuation."""
    draw = random.Random(seed)

    def tokens(number: int) -> tuple[int, ...]:
        return tuple(draw.randrange(FIRST_TOKEN, VOCABULARY) for _ in range(number))

    return [Text(prompt=tokens(prompt), own=tokens(own)) for prompt, own in shapes]


class Truth:
    """The oracle of one case."""

    def __init__(self, case: Case):
        try:
            self.model = build_model(case, attention=REFERENCES.get(case.kind, "eager"))
        except (ValueError, ImportError):  # the kind has one way to attend, under no name
            self.model = build_model(case)
        self._states = [
            (module, copy.deepcopy(module.__dict__))
            for module in self.model.modules()
            if any("max_seq_len_cached" in name for name in vars(module))
        ]
        self.noise = self._measure_noise()
        self.tolerance = min(_MOST, max(EXACT, _NOISE * self.noise))

    def logprobs(self, text: Text) -> torch.Tensor:
        """Of the tokens of the text's own part, `[N]`."""
        return self._all(text)[range(len(text.own)), list(text.own)]

    @torch.no_grad()
    def drawn(self, text: Text) -> tuple[torch.Tensor, float]:
        """Of each own token as it was drawn, from the text before it: its log-probability, `[N]`; and by how many nats
        one is less likely than the likeliest there, at most."""
        every = self._all(text)
        if self._states:  # what is made of a token depends on the length of the text
            tokens, start = text.tokens, len(text.prompt)
            every = torch.stack([self._read(tokens[:place])[-1] for place in range(start, len(tokens))])
        own = every[range(len(text.own)), list(text.own)]
        return own, float((every.max(dim=-1).values - own).max())

    def gradient(self, texts: Sequence[Text], weights: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of the sum of the texts' log-probabilities, each token's times its weight."""
        self.model.zero_grad(set_to_none=True)
        for text, weight in zip(texts, weights, strict=True):
            (self.logprobs(text) * weight).sum().backward()
        return read_gradient(self.model)

    @torch.no_grad()
    def is_causal(self) -> bool:
        """Whether what is said of a token does not depend on later ones."""
        (text,) = make_texts([(20, 20)], seed=5)
        before = self._all(Text(prompt=text.prompt[:1], own=(*text.prompt[1:], *text.own)))
        after = self._all(Text(prompt=text.prompt[:1], own=(*text.prompt[1:], *text.own[::-1])))
        return differ(before[:15], after[:15]) <= self.tolerance

    def _all(self, text: Text) -> torch.Tensor:
        """Log-probabilities `[N, V]` at the places of its own part."""
        return self._read(text.tokens)[len(text.prompt) - 1 : -1]

    def _read(self, tokens: Sequence[int]) -> torch.Tensor:
        """Log-probabilities `[T, V]` behind each token of a text that is read afresh."""
        for module, state in self._states:
            module.__dict__.update(copy.deepcopy(state))
        logits = self.model(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0].float()
        return logits.log_softmax(dim=-1)

    @torch.no_grad()
    def _measure_noise(self) -> float:
        """How far the same text's numbers lie apart in a batch of another shape."""
        ids = torch.tensor([text.tokens for text in make_texts([(25, 25)] * 3, seed=9)])
        single = torch.cat([self.model(input_ids=row[None], use_cache=False).logits for row in ids])
        if not single.isfinite().all():
            raise ValueError("its logits are not numbers")
        together = self.model(input_ids=ids, use_cache=False).logits
        return differ(together.log_softmax(-1), single.log_softmax(-1))


def read_gradient(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """By the parameters' names; those without one are left out."""
    return {name: one.grad.detach().clone() for name, one in model.named_parameters() if one.grad is not None}


def differ(found: Any, wanted: Any) -> float:
    """Largest difference, as a share of the wanted numbers' root mean square, or of 1 where that is less."""
    found, wanted = torch.as_tensor(found).float(), torch.as_tensor(wanted).float()
    if not found.isfinite().all():
        return float("inf")
    size = max(1.0, float(wanted.square().mean().sqrt()))
    return float((found - wanted).abs().max()) / size


def differ_gradient(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Length of the difference, as a share of the wanted gradient's length."""
    names = found.keys() | wanted.keys()
    apart = size = 0.0
    for name in names:
        own, true = found.get(name), wanted.get(name)
        if own is None or true is None:
            own = torch.zeros_like(true) if own is None else own
            true = torch.zeros_like(own) if true is None else true
        apart += float((own - true).double().square().sum())
        size += float(true.double().square().sum())
    if apart != apart:
        return float("inf")
    return (apart / max(size, 1e-30)) ** 0.5
