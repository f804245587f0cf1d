"""What a finished run used and how it depended on the order of the answers, as lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmr1.judge.consistency import difference_interval
from rmr1.screen import format_usd
from rmr1.stats import wilson_interval


def format_usage(summary: Mapping[str, Any]) -> list[str]:
    """Lines about a summary's tokens, read and written, and what they cost on a server; none if no tokens were used."""
    read, written = summary["prompt_tokens"], summary["completion_tokens"]
    note = " (estimated: the server does not count them)" if summary.get("is_estimated") else ""
    lines = [f"tokens: {read:,} read, {written:,} written{note}"] if read or written else []
    if "cost_usd" not in summary:
        return lines
    if summary["cost_usd"] is None:
        return [*lines, "cost: not known; set engine.price_in and engine.price_out (USD per million tokens)"]
    price = summary["price_usd"]
    return [
        *lines,
        f"cost: {format_usd(summary['cost_usd'])} for what is stored, at {price['prompt']:g} USD a million tokens read "
        f"and {price['completion']:g} written; replies that were lost may have been billed beside it",
    ]


def format_orders(summary: Mapping[str, Any]) -> list[str]:
    """Lines about a summary's orders: consistency and position bias with their intervals; nothing if no pair was asked in both orders."""

    if (orders := summary.get("orders")) is None:
        return []
    asked, decided = orders["asked"], orders["decided"]
    left_out = (
        f"; {asked - decided} left out, without a verdict in one order or both" if asked > decided else ""
    )
    if decided == 0:
        return [f"consistency: not known, none of {asked} pairs has a verdict in both orders"]
    low, high = wilson_interval(orders["consistent"], decided) or (0.0, 1.0)
    first, second = orders["first"], orders["second"]
    bias = (first - second) / decided
    lowest, highest = difference_interval(first, second, decided)
    return [
        f"consistency: {orders['consistent']} of {decided} pairs have the same verdict in both orders "
        f"({100 * orders['consistent'] / decided:.1f}%, 95% interval {100 * low:.1f} to {100 * high:.1f}){left_out}",
        f"position bias: {100 * bias:+.1f}% (95% interval {100 * lowest:+.1f} to {100 * highest:+.1f}): "
        f"the first place wins both ways in {first} pairs, the second in {second}",
    ]


def format_rough(seconds: float) -> str:
    """A time to two digits: `45 s`, `12 min`, `3.2 h`, `4.1 days`.

    >>> format_rough(2520)
    '42 min'
    """
    for unit, size, least in (("days", 86_400, 2), ("h", 3600, 1.5), ("min", 60, 1.5)):
        if seconds >= least * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1g} s"
