"""Named terms with weights -> the rewards of a group's samples, each term kept apart for the log.

A name with a colon is a user's own function of a `Judged`, which returns a finite number (`rmr1.plugins`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from numbers import Real
from typing import Any

from rmr1.errors import ConfigError
from rmr1.plugins import describe_error, load_function
from rmr1.rewards.samples import Judged
from rmr1.rewards.terms import TERMS, build_overlong

PAPER: Mapping[str, float] = {"verdict": 1.0}
"""RM-R1's reward: right or wrong, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One part of a reward."""

    name: str
    weight: float
    """0 only logs the term."""
    function: Callable[[Judged], float]
    digest: str | None = None
    """Digest of a user's own function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What one sample earned."""

    values: Mapping[str, float]
    """Values by the terms' names, before their weights."""
    total: float
    """Sum of weight times value."""


def build_rewards(
    weights: Mapping[str, float] = PAPER, *, max_new_tokens: int | None = None, overlong_buffer: int = 0
) -> tuple[Term, ...]:
    """The terms that these names and weights ask for, in order.

    The last two settings are for the term `overlong`: the token limit of a sample, and how many tokens before it
    the penalty begins.

    Raises:
        ConfigError: a name is unknown, a weight is not finite, all are 0, or a function cannot be loaded.
    """
    for name, weight in weights.items():
        if not math.isfinite(weight):
            raise ConfigError(f"reward {name!r} has the weight {weight!r}; expected a finite number")
    if not any(weights.values()):
        raise ConfigError("no reward has a weight other than 0; the paper's is { verdict = 1.0 }")
    terms = []
    for name, weight in weights.items():
        if ":" in name:
            terms.append(replace(load_own(name), weight=float(weight)))
            continue
        function = TERMS.get(name)
        if name == "overlong":
            function = build_overlong(max_new_tokens, overlong_buffer)
        if function is None:
            raise ConfigError(find_unknown_term(name))
        terms.append(Term(name=name, weight=float(weight), function=function))
    return tuple(terms)


def load_own(name: str) -> Term:
    """The user's function of this name with the weight 1; its faults are a `ConfigError` of one line.

    Raises:
        ConfigError: there is none, or its file cannot be run.
    """
    own, largest = load_function(name, "reward"), sys.float_info.max

    def reward_own(sample: Judged) -> float:
        told = f"reward {own.name!r}: on pair {sample.pair.id!r} it"
        try:
            value: Any = own.function(sample)
        except Exception as error:
            raise ConfigError(f"{told} failed: {describe_error(error)}") from error
        if not isinstance(value, Real) or not -largest <= value <= largest:  # type: ignore[operator]
            raise ConfigError(f"{told} returned {str(value)[:60]!r}; expected a finite number")
        return float(value)

    return Term(name=name, weight=1.0, function=reward_own, digest=own.digest)


def find_unknown_term(name: str) -> str | None:
    """What is wrong with a term's name; None if it is known, or a user's own function."""
    known = [*TERMS, "overlong"]
    if ":" in name or name in known:
        return None
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}."
    return f"reward {name!r} is not known; {hint} A function of one's own is 'path/file.py:function'"


def needs_both_orders(terms: Iterable[Term]) -> bool:
    """Whether every pair must be rolled out in both orders."""
    return any(term.name == "consistency" for term in terms)


def compute_rewards(
    terms: Sequence[Term], samples: Sequence[Judged], partners: Sequence[Judged] | None = None
) -> tuple[Reward, ...]:
    """The rewards of one group's samples.

    `partners` are the samples of the same pair in the other order. Sample j is matched with partner j: with
    the term `consistency` it pays only if both are right.

    Raises:
        ConfigError: the groups do not belong together, or a term cannot be computed.
    """
    if partners is not None:
        if len(partners) != len(samples):
            raise ConfigError(
                f"{len(samples)} samples in one order and {len(partners)} in the other; "
                "both orders of a pair need as many"
            )
        matched = list(zip(samples, partners, strict=True))
        for sample, partner in matched:
            if sample.pair != partner.pair.swap():
                raise ConfigError(f"pair {sample.pair.id!r} and its partner are not two orders of one pair")
        samples = [replace(sample, partner=partner) for sample, partner in matched]
    rewards = []
    for sample in samples:
        values = {term.name: term.function(sample) for term in terms}
        total = math.fsum(term.weight * values[term.name] for term in terms)
        rewards.append(Reward(values=values, total=total))
    return tuple(rewards)


def summarize_rewards(rewards: Iterable[Reward]) -> dict[str, float]:
    """Means over samples, for a log: "total", and every term by its name before its weight."""
    rows = [{"total": reward.total, **reward.values} for reward in rewards]
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}
