"""What a run costs: list prices of hosted models by name, in USD per million tokens.

The table holds the standard rates that the vendors listed in early 2026, without discounts for cached prompts or
batches; `price_in` and `price_out` go before it. A model that is not in it has no price.
"""

from __future__ import annotations

import re
from math import inf
from typing import NamedTuple

from rmr1.errors import ConfigError


class Price(NamedTuple):
    """USD per million tokens."""

    prompt: float
    completion: float


_DATED = r"(?:-latest|-\d{8}|-\d{4}-\d{2}-\d{2})?"
"""Vendors serve a model under its name and under its name with a date."""

_PRICES = {
    r"gpt-5(?:\.1)?": Price(1.25, 10.0),
    r"gpt-5-mini": Price(0.25, 2.0),
    r"gpt-5-nano": Price(0.05, 0.40),
    r"gpt-4\.1": Price(2.0, 8.0),
    r"gpt-4\.1-mini": Price(0.40, 1.60),
    r"gpt-4\.1-nano": Price(0.10, 0.40),
    r"gpt-4o": Price(2.50, 10.0),
    r"gpt-4o-mini": Price(0.15, 0.60),
    r"o3": Price(2.0, 8.0),
    r"o[34]-mini": Price(1.10, 4.40),
    r"claude-opus-4(?:-[01])?": Price(15.0, 75.0),
    r"claude-opus-4-[567]": Price(5.0, 25.0),
    r"claude-sonnet-4(?:-[0-6])?": Price(3.0, 15.0),
    r"claude-3-[57]-sonnet": Price(3.0, 15.0),
    r"claude-haiku-4-5": Price(1.0, 5.0),
    r"gemini-2\.5-pro": Price(1.25, 10.0),
    r"gemini-2\.5-flash": Price(0.30, 2.50),
    r"gemini-2\.5-flash-lite": Price(0.10, 0.40),
}


def find_price(model: str) -> Price | None:
    """The list price of a model; a vendor in front of the name ("openai/gpt-4o") does not matter."""
    name = model.rpartition("/")[2].lower()
    for pattern, price in _PRICES.items():
        if re.fullmatch(pattern + _DATED, name):
            return price
    return None


def choose_price(model: str, price_in: object, price_out: object) -> Price | None:
    """The price that the options name, or the list price."""
    if price_in is None and price_out is None:
        return find_price(model)
    prices = [float(one) for one in (price_in, price_out) if isinstance(one, int | float) and 0 <= one < inf]
    if len(prices) < 2:
        raise ConfigError("price_in and price_out go together: two numbers of USD, 0 or more")
    return Price(*prices)


def compute_cost(price: Price, *, prompt_tokens: int, completion_tokens: int) -> float:
    """USD.

    >>> compute_cost(Price(2.0, 8.0), prompt_tokens=500_000, completion_tokens=250_000)
    3.0
    """
    return (price.prompt * prompt_tokens + price.completion * completion_tokens) / 1e6
