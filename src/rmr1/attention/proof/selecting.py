"""Layers that attend to a chosen few of the tokens before them, made to choose in short texts.

Sparse attention takes the likeliest 2,048 tokens, say, or 16 blocks of 128, of those before. In a shorter text that is
all of them, so whatever goes wrong with the choice (a way of computing that leaves it out, ties that fall otherwise in
longer texts) shows in no text of a self-check. The choice is a call of `topk` over as many numbers as the text has
tokens or blocks. Such calls are found by running texts of several lengths; they are asked for a few, and texts are made
so long that there is something to choose from. Code that chooses only if a text is longer than what it keeps is known by
not having run; no check sees what it does.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

FEW = 2
"""How many are chosen, fewer than there are in most texts of the self-check."""
TEXT = 24
"""Tokens of a text with `FEW` and one to choose from, if tokens are chosen one by one or in blocks of up to 8."""
_LONGER = 41
_FAR = 1100
"""Tokens of a text that shows choices among large blocks; run only if something chooses from one or two."""
HIDDEN = "its layers choose among tokens in long texts only, where no check sees what comes of it"
"""What is said of a model whose choices are hidden."""
_FARTHEST = 4096
"""Tokens of the longest text that is tried, if there is code that has not run."""

Place = tuple[str, int]
"""File and line of a call."""

_TORCH = str(Path(torch.__file__).parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The places in a model's code that choose among the tokens of a text."""

    places: frozenset[Place] = frozenset()
    stretch: int = 1
    """How many times as long as `TEXT` a text has to be for `FEW` to be fewer than all."""
    is_hidden: bool = False
    """It chooses in long texts only, so that no text of a self-check shows what comes of it."""


@contextmanager
def choosing_few(model: PreTrainedModel, tokens: Sequence[int], most: int) -> Iterator[Choices]:
    """A block in which layers that choose among the tokens of a text choose `FEW`; gives what was found of them.

    `tokens` are any that the model reads, `most` is the longest text. Call without gradients.
    """
    choices = find_choices(model, tokens, most)
    with _Few(choices.places) if choices.places else nullcontext():
        yield choices


def find_choices(model: PreTrainedModel, tokens: Sequence[int], most: int) -> Choices:
    """The calls of `topk` in the model's code that choose among a text's tokens and can be asked for a few, and whether
    there are others."""

    def count(length: int) -> Mapping[Place, int]:
        counting = _Counting()
        with counting:
            _read(model, tokens, min(length, most))
        return counting.sizes

    try:
        counts = {TEXT: count(TEXT), _LONGER: count(_LONGER)}
        if any(size <= FEW for size in counts[TEXT].values()):
            counts[_FAR] = count(_FAR)
        places = frozenset(
            place
            for place in {place for sizes in counts.values() for place in sizes}
            if len({sizes.get(place) for sizes in counts.values()}) > 1
        )
        unseen = _list_unseen(model, counts[TEXT])
        is_hidden = bool(unseen) and (most > _FARTHEST or unseen != _list_unseen(model, count(_FARTHEST)))
        if places:
            with _Few(places):
                _read(model, tokens, min(TEXT, most))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # the code of a model may raise anything; whoever reads a text next is told
        return Choices()
    longest = max(counts)
    blocks = [min(longest, most) / counts[longest][place] for place in places if place in counts[longest]]
    stretch = max(1, math.ceil((FEW + 1) * max(blocks, default=1) / TEXT))
    return Choices(places=places, stretch=stretch, is_hidden=is_hidden)


def _list_unseen(model: PreTrainedModel, seen: Iterable[Place]) -> set[Place]:
    """The methods of the model's layers that call `topk` but at none of these places."""
    kinds = {type(module) for module in model.base_model.modules() if not isinstance(module, PreTrainedModel)}
    methods = (method for kind in kinds for base in kind.__mro__ for method in vars(base).values())
    codes = {inspect.unwrap(method).__code__ for method in methods if inspect.isfunction(method)}
    found = set()
    for code in codes:
        if "topk" in code.co_names and not code.co_filename.startswith(_TORCH):
            lines = {line for _, _, line in code.co_lines() if line is not None}
            if not any(file == code.co_filename and line in lines for file, line in seen):
                found.add((code.co_filename, code.co_firstlineno))
    return found


def _read(model: PreTrainedModel, tokens: Sequence[int], length: int) -> None:
    text = [tokens[place % len(tokens)] for place in range(length)]
    model.base_model(input_ids=torch.tensor([text], device=model.device))


class _Counting(TorchFunctionMode):
    """Notes of how many each call of `topk` chooses at most."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[Place, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_topk(func):
            dim = args[2] if len(args) > 2 else (kwargs or {}).get("dim", -1)
            place = _find_caller()
            self.sizes[place] = max(self.sizes.get(place, 0), args[0].shape[dim])
        return func(*args, **(kwargs or {}))


class _Few(TorchFunctionMode):
    """Lets the calls at these places choose `FEW`."""

    def __init__(self, places: frozenset[Place]):
        super().__init__()
        self._places = places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_topk(func) and _find_caller() in self._places:
            if "k" in kwargs:
                kwargs = {**kwargs, "k": min(kwargs["k"], FEW)}
            else:
                args = (args[0], min(args[1], FEW), *args[2:])
        return func(*args, **kwargs)


def _is_topk(func: Any) -> bool:
    return getattr(func, "__name__", "") == "topk"


def _find_caller() -> Place:
    """The place in a model's code that a torch function is called from."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith(_TORCH):
            return file, frame.f_lineno
        frame = frame.f_back
    return "", 0
