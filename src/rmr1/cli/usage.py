"""What a finished run used, as lines for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.data.runs import SUMMARY_FILE


def read_summary(folder: str | Path) -> dict[str, Any]:
    """The summary.json of a run that has just ended."""
    return json.loads((Path(folder) / SUMMARY_FILE).read_text(encoding="utf-8"))


def format_usage(summary: Mapping[str, Any]) -> list[str]:
    """Of a summary: tokens read and written and, for a judge on a server, what they cost; nothing where none were used."""
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


def format_usd(cost: float) -> str:
    """`12.30 USD`; small sums with more digits, so that they do not read as nothing.

    >>> format_usd(0.00321)
    '0.0032 USD'
    """
    return f"{cost:,.2f} USD" if cost >= 1 or cost == 0 else f"{cost:.2g} USD"
