"""A limit on what both teachers may use, in tokens or money, and the meter that keeps to it.

Before a request is sent, the most that it should use is set aside: its prompt by the characters, its texts by their token
limit. If a server does not keep to its limits, or bills for replies that were of no use, as much more is set aside from then
on as an answer has taken. Replies that never arrived, for which a server may bill, are not known here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from rmr1.errors import ConfigError
from rmr1.forecast.numbers import CHARS_PER_TOKEN
from rmr1.forecast.prices import Price, compute_cost

_FORM = re.compile(r"\s*(\$)?\s*(\d+(?:\.\d+)?|\.\d+)\s*([kKmMgG]?)\s*(usd|tokens?|\$)?\s*", re.IGNORECASE)
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

_FIRST_REQUESTS = 4
"""Most requests under way as long as no answer has shown what one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that may be used."""

    unit: Literal["tokens", "usd"]
    amount: float


def parse_budget(text: str) -> Budget:
    """`2M`, `500000`, `80k tokens`; `5usd`, `$5`.

    >>> parse_budget("80k tokens").amount
    80000.0

    Raises:
        ConfigError: it is of another form, or nothing.
    """
    found = _FORM.fullmatch(text)
    is_money = found is not None and (found[1] is not None or (found[4] or "").lower() in ("usd", "$"))
    if found is None or (found[1] is not None and found[4]) or (is_money and found[3]):
        raise ConfigError(f"budget {text!r}: expected tokens, such as 2M or 500000, or money, such as 5usd")
    amount = float(found[2]) * _FACTORS[found[3].lower()]
    if amount <= 0:
        raise ConfigError(f"budget {text!r}: expected more than 0")
    return Budget(amount=amount, unit="usd" if is_money else "tokens")


class Meter:
    """Counts what is used, in the budget's unit, and says whether another request fits."""

    def __init__(self, budget: Budget | None):
        self.budget = budget
        self.spent = 0.0
        """What is stored."""
        self.is_exhausted = False
        """Whether a request was held back because it does not fit."""
        self.overrun = 1.0
        """How many times what its limits allow an answer took, at most."""
        self._held: dict[str, tuple[float, int]] = {}
        """What is set aside, and for how many new tokens."""
        self._price: Price | None = None
        self._begin()

    def _begin(self) -> None:
        self._num_settled = 0
        self._tokens_per_char: float | None = None
        """Tokens per character of the densest prompt so far; for all samples together."""
        self._excess = 1.0
        """`overrun` of the teacher that is asked now."""

    def set_price(self, price: Price | None, *, is_billed: bool, name: str) -> None:
        """Set the price of the tokens that come next."""
        if price is None and is_billed and self.budget is not None and self.budget.unit == "usd":
            raise ConfigError(
                f"the budget is in USD and the price of {name} is not known; set engine.price_in and engine.price_out of "
                "its pass (USD per million tokens), or give the budget in tokens"
            )
        self._price = price
        self._begin()

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.spent += self._measure(prompt_tokens, completion_tokens)

    def reserve(self, key: str, num_chars: int, most_new_tokens: int, *, num_samples: int = 1) -> bool:
        """Set aside what a request may use; False if it does not fit, or if an answer has to come first.

        `most_new_tokens` are those of one sample. Until an answer shows whether samples share their prompt, they do not.
        """
        if self.budget is None:
            return True
        if not self._num_settled and len(self._held) >= _FIRST_REQUESTS:
            return False
        density = self._tokens_per_char or num_samples / CHARS_PER_TOKEN
        most_new_tokens *= num_samples
        most = self._measure(math.ceil(num_chars * density), most_new_tokens)
        held = sum(amount for amount, _ in self._held.values())
        if self.spent + (held + most) * self._excess > self.budget.amount:
            return False
        self._held[key] = most, most_new_tokens
        return True

    def settle(self, key: str, num_chars: int, prompt_tokens: int, completion_tokens: int) -> None:
        self.add(prompt_tokens, completion_tokens)
        held = self._held.pop(key, None)
        if held is None or not prompt_tokens:
            return  # nothing is learnt from an answer that took nothing
        self._num_settled += 1
        allowed = self._measure(prompt_tokens, held[1])
        if allowed:
            self._excess = max(self._excess, self._measure(prompt_tokens, completion_tokens) / allowed)
            self.overrun = max(self.overrun, self._excess)
        if num_chars:
            density = max(1 / CHARS_PER_TOKEN, prompt_tokens / num_chars)
            self._tokens_per_char = max(self._tokens_per_char or 0.0, density)

    def _measure(self, prompt_tokens: int, completion_tokens: int) -> float:
        if self.budget is None or self.budget.unit == "tokens":
            return prompt_tokens + completion_tokens
        if self._price is None:
            return 0.0
        return compute_cost(self._price, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
