"""A few random texts, what a model says of each alone, and how much that varies by itself.

Every way of computing several texts at once is compared with a text alone without a cache. How far two right ways
may lie apart is measured on the same model: each text in a batch of another shape, and with its embeddings off by as
little as rounding changes them. Ten times that is a fault, if it shows with three probes: one rounding may send a
token to another expert.

Shapes: `B` texts, `T` tokens, `W` numbers per token: a hidden state, or the logits of the vocabulary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel

from rmr1.attention.proof.selecting import Choices, choosing_few
from rmr1.errors import ConfigError, reason_of

FAULT = 10.0
"""How many times the noise a difference may be."""

GROUPS = ((19, (5, 3)), (11, (4,)), (4, (5,)))
"""Tokens of each prompt of the probe, and of each text that goes on from it."""

_OWN = "rmr1_"
"""What the names of this package's attention functions begin with."""

LONG = 72
"""Tokens of a text whose beginnings are compared with it; sparse attention shows in no shorter one."""
_CUTS = (29, 41, 59)

FAR = 1 << 20
"""Tokens, or a distance of keys, that stand for any."""

NUDGED_ROWS = 3
"""Rows of the batches by which the noise is measured."""
_CONFIRMED = 3
"""Probes that a fault has to show with."""

Read = Callable[[torch.Tensor], torch.Tensor]
"""`[B, T]` token ids of texts of one length -> `[B, T, W]`, each as if it were alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a model says of a text alone, or of some of its tokens."""

    numbers: torch.Tensor
    """`[T, W]`, float32."""
    size: float
    """Root mean square of the numbers of the whole text."""
    noise: torch.Tensor
    """`[T]`: how much each token's numbers vary by themselves, as shares of the size."""

    def part(self, part: slice) -> Truth:
        """The truth of some of the tokens."""
        return Truth(numbers=self.numbers[part], size=self.size, noise=self.noise[part])


Pairs = Iterator[tuple[torch.Tensor, Truth]]
"""Numbers `[T, W]`, and what they should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One way of computing several texts, compared with a text alone."""

    path: str
    """The way's name for people."""
    difference: float
    """Root mean square difference of a token's numbers, as a share of all tokens', where it is most times the noise."""
    noise: float
    """The difference of that token's numbers between two right ways."""
    against: str = "texts alone"
    """What it was compared with."""
    reason: str = ""
    """Why it cannot be right, if that was known without numbers."""

    @property
    def is_fault(self) -> bool:
        return not self.difference <= FAULT * self.noise

    def describe(self) -> str:
        """`packed rows differ from texts alone by 0.31 (noise 1.2e-06)`."""
        if self.reason:
            return f"{self.path}: {self.reason}"
        return f"{self.path} differ from {self.against} by {self.difference:.2g} (noise {self.noise:.2g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeGroup:
    """Random tokens of a prompt, and of texts that go on from it."""

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]


class Probe:
    """Random texts, and what `read` gives for each of them alone."""

    def __init__(
        self, model: PreTrainedModel, read: Read, *, seed: int = 0, most: int | None = None, stretch: int = 1
    ):
        """Call inside `undisturbed`, whose choices tell `stretch`. `most` is the longest text whose positions are turned as
        those of a short one; None: any."""
        draw = random.Random(seed)
        tokens = _list_tokens(model)
        self.groups = [
            ProbeGroup(
                prompt=tuple(draw.choices(tokens, k=num_prompt * stretch)),
                completions=tuple(tuple(draw.choices(tokens, k=length)) for length in lengths),
            )
            for num_prompt, lengths in GROUPS
        ]
        self.long = tuple(draw.choices(tokens, k=min(LONG * stretch, most or FAR)))
        self.cuts = [cut * stretch for cut in _CUTS if cut * stretch < len(self.long)]
        self.device = model.device
        self._model = model
        self._read = read
        self._known: dict[tuple[int, ...], Truth] = {}

    @property
    def texts(self) -> list[tuple[int, ...]]:
        """Each prompt with each of its completions."""
        return [(*group.prompt, *one) for group in self.groups for one in group.completions]

    def read(self, text: Sequence[int]) -> torch.Tensor:
        """The model's numbers `[T, W]` of any text alone, float32."""
        return self._read(torch.tensor([list(text)], device=self.device))[0].float()

    def alone(self, text: Sequence[int]) -> Truth:
        """The truth of this text, one of `texts` or the long one."""
        if not self._known:
            self._read_all()
        return self._known[tuple(text)]

    @cached_property
    def noise(self) -> float:
        """The noise of the middle token of all."""
        for text in self.texts:
            self.alone(text)
        return float(torch.cat([truth.noise for truth in self._known.values()]).median())

    def _read_all(self) -> None:
        with by_library(self._model):
            self._measure()

    def _measure(self) -> None:
        least = least_noise(self._model)
        found = {}
        for text in (*self.texts, self.long):
            numbers_TW = self.read(text)
            size = measure_size(numbers_TW)
            with nudged(self._model):
                rows_BTW = self._read(torch.tensor([text] * NUDGED_ROWS, device=self.device))
            noise_T = torch.stack([differ(row_TW, numbers_TW, size) for row_TW in rows_BTW]).amax(dim=0)
            # What is not a number says nothing about noise; whoever samples from it complains.
            noise_T = noise_T.where(noise_T.isfinite(), least)
            found[text] = Truth(numbers=numbers_TW, size=size, noise=noise_T)
        middle = float(torch.cat([truth.noise for truth in found.values()]).median())
        for text, truth in found.items():
            self._known[text] = replace(truth, noise=truth.noise.clamp(min=max(least, middle)))


class Probes:
    """Probes of one model, made as they are needed."""

    def __init__(self, model: PreTrainedModel, read: Read, *, most: int | None = None, stretch: int = 1):
        self._most = most
        self._stretch = stretch
        self._model = model
        self._read = read
        self._made: list[Probe] = []

    @property
    def first(self) -> Probe:
        return self._get(0)

    def forget(self) -> None:
        """Drop what was read: the model computes otherwise from now on."""
        self._made.clear()

    def judge(self, check: Callable[[Probe], Finding]) -> Finding:
        """What `check` finds; a fault only if it finds one with every probe."""
        for number in range(_CONFIRMED):
            finding = check(self._get(number))
            if not finding.is_fault or finding.reason:
                break
        return finding

    def check_causal(self) -> None:
        """Raises ConfigError unless a text's beginning is read the same whatever comes after it."""

        def read(probe: Probe) -> Pairs:
            for cut in probe.cuts:
                yield probe.read(probe.long[:cut]), probe.alone(probe.long).part(slice(cut))

        finding = self.judge(lambda probe: judge_numbers("beginnings of texts", probe.noise, read(probe)))
        if finding.is_fault:
            raise ConfigError(
                f"{type(self._model).__name__}: {finding.describe()}: what it says of a token depends on later ones, so "
                "it can neither write nor be trained token by token; choose another model"
            )

    def _get(self, number: int) -> Probe:
        while len(self._made) <= number:
            seed = len(self._made)
            probe = Probe(self._model, self._read, seed=seed, most=self._most, stretch=self._stretch)
            self._made.append(probe)
        return self._made[number]


@contextmanager
def nudged(model: PreTrainedModel) -> Iterator[None]:
    """A block in which every number of the embeddings is larger or smaller by one rounding, at random; but for the
    first row of a batch, which shows what the batch's shape alone does."""
    share = torch.finfo(_wanted_dtype(model)).eps
    draw = torch.Generator().manual_seed(0)

    def nudge(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        signs = torch.randint(2, output.shape, generator=draw, dtype=torch.int8) * 2 - 1
        signs[0] = 0
        return output + output * (signs.to(output.device, output.dtype) * share)

    hook = model.get_input_embeddings().register_forward_hook(nudge)
    try:
        yield
    finally:
        hook.remove()


def judge_numbers(path: str, noise: float, found: Pairs, *, against: str = "texts alone") -> Finding:
    """Compare what `found` yields while the model runs; whatever its code raises is a fault with a reason."""
    worst = Finding(path=path, difference=0.0, noise=noise, against=against)
    try:
        for numbers_TW, truth in found:
            differences_T = differ(numbers_TW, truth.numbers, truth.size)
            place = int((differences_T / truth.noise).argmax())
            here = replace(worst, difference=float(differences_T[place]), noise=float(truth.noise[place]))
            worst = max(worst, here, key=lambda one: one.difference / one.noise)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return Finding(path=path, difference=math.inf, noise=noise, reason=reason_of(error))
    return worst


def measure_size(numbers: torch.Tensor) -> float:
    """Root mean square, what is not finite counted as 0."""
    return float(numbers.where(numbers.isfinite(), 0.0).square().mean().sqrt())


def differ(found_TW: torch.Tensor, wanted_TW: torch.Tensor, size: float) -> torch.Tensor:
    """Root mean square differences `[T]` of each token's numbers, as shares of `size`; infinite for a token of which
    only one has a number."""
    one, other = found_TW.float(), wanted_TW.float()
    # Logits of tokens that cannot be written may be minus infinity in both, and a model may be broken.
    is_same = (one == other) | (one.isnan() & other.isnan())
    change_T = torch.where(is_same, 0.0, one - other).square().mean(dim=-1).sqrt()
    share_T = torch.where(change_T == 0, 0.0, change_T / max(size, 1e-30))
    return share_T.nan_to_num(nan=math.inf, posinf=math.inf)


def least_noise(model: PreTrainedModel) -> float:
    """Rounding of one number, below which a batch may happen to be equal to the last bit."""
    return max(1e-6, torch.finfo(_wanted_dtype(model)).eps / 4)


def _wanted_dtype(model: PreTrainedModel) -> torch.dtype:
    """The number format that the model computes in now: autocast's, or its own."""
    device = model.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else model.dtype


def attention_of(model: PreTrainedModel) -> str | None:
    """The name of the function that the layers of its language model attend by."""
    return getattr(model.config.get_text_config(), "_attn_implementation", None)


def longest_text(model: PreTrainedModel) -> int:
    """Most tokens of a text that the model's configuration names; `FAR` if it names none."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or FAR


@contextmanager
def by_library(model: PreTrainedModel) -> Iterator[None]:
    """A block in which the model attends by a function of its library, if it attends by one of this package's."""
    attention = str(attention_of(model))
    if not attention.startswith(_OWN):
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(attention)


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[Choices]:
    """A block in which the model computes without dropout and gradients, by its library's attention, and, if it chooses
    among the tokens of long texts, does so in short ones; afterwards all is as before, random states too. Gives what
    is known of the choices, whose `stretch` a `Probe` takes."""
    modes = [(module, module.training) for module in model.modules()]
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), by_library(model):
        model.eval()
        try:
            with choosing_few(model, _list_tokens(model), longest_text(model)) as choices:
                yield choices
        finally:
            for module, was_training in modes:
                module.training = was_training


def _list_tokens(model: PreTrainedModel) -> list[int]:
    """Tokens that the model's configuration does not name."""
    table: Any = model.get_input_embeddings()
    named: set[int] = set()
    for config in (model.config, model.config.get_text_config()):
        for name, value in vars(config).items():
            if "token" in name and ("id" in name or "index" in name):
                named.update(
                    one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)
                )
    return [token for token in range(table.weight.shape[0]) if token not in named] or [0]
