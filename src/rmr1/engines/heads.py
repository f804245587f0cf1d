"""Heads: a user's own function between a model and its scores, for models with another head than one number.

    def score(model, inputs):
        return model(**inputs).logits[:, 0, 3]

It is given the model and a padded batch (`input_ids` and `attention_mask`, both B x T, padding on the right), runs
inside `torch.inference_mode()`, and returns B scores, higher being better. How it is named: `rmr1.plugins`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rmr1.devices import is_out_of_memory
from rmr1.errors import GenerationError
from rmr1.plugins import OwnFunction, describe_error, load_function


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A function that turns a model and its inputs into scores."""

    own: OwnFunction

    @property
    def digest(self) -> str:
        return self.own.digest

    def __call__(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scores of a batch; `GenerationError` if the function raised something."""
        try:
            return self.own.function(model, inputs)  # type: ignore[no-any-return]
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise GenerationError(f"head {self.own.name!r} failed: {describe_error(error)}") from error


def load_head(name: str) -> Head:
    """The head of that name."""
    return Head(own=load_function(name, "head"))
