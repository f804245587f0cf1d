"""Whether a base writes judgments that can be read at all, before it is reinforced.

Reinforcement learns from the difference between right and wrong verdicts. A model that mostly gives none has
nothing to learn from, and the paper distils first for this reason (arXiv 2505.02387, section 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rmr1.errors import ConfigError
from rmr1.records import Problem
from rmr1.store.runs import read_judgments

NUM_PAIRS = 64
LEAST_PARSED = 0.5

_DISTIL = "distil first (--teacher MODEL, or a recipe with [distill] and [sft]), or choose a base that writes judgments"
_ADVICE: Mapping[Problem | None, str] = {
    "prompt_too_long": (
        "the base's context has no room for prompt and judgment: choose another base, set grpo.rollout.max_new_tokens, "
        "or curate shorter pairs"
    ),
    "truncated": f"set grpo.rollout.max_new_tokens, at which they were cut, or {_DISTIL}",
    "generation_failed": "the engine failed; rmr1 show DIR --failed names its errors",
}
"""Advice by the problem that most judgments have."""


def require_verdicts(folder: Path) -> None:
    """
    Raises:
        ConfigError: fewer than half of the run's texts have a verdict.
    """
    votes = [vote for _, judgment in read_judgments(folder) for vote in judgment.votes]
    problems = Counter(vote.verdict.problem for vote in votes if vote.verdict.winner is None)
    parsed = len(votes) - problems.total()
    if votes and parsed >= LEAST_PARSED * len(votes):
        return
    told = ", ".join(f"{problem} {number}" for problem, number in problems.most_common())
    most = next(iter(problems.most_common(1)), (None, 0))[0]
    raise ConfigError(
        f"{folder}: {parsed} of {len(votes)} judgments of the base have a verdict, fewer than half ({told}), so there is "
        f"little to reinforce; {_ADVICE.get(most, _DISTIL)}. rmr1 show tells what it wrote"
    )
