"""Whether a base writes judgments that can be read at all, before it is reinforced.

Reinforcement learns from the difference between right and wrong verdicts. A model that mostly gives none has
nothing to learn from, and the paper distils first for this reason (arXiv 2505.02387, section 3.2).
"""

from __future__ import annotations

from pathlib import Path

from rmr1.data.runs import read_judgments
from rmr1.errors import ConfigError

NUM_PAIRS = 64
LEAST_PARSED = 0.5


def require_verdicts(folder: Path) -> None:
    """
    Raises:
        ConfigError: fewer than half of the run's texts have a verdict.
    """
    votes = [vote for _, judgment in read_judgments(folder) for vote in judgment.votes]
    parsed = sum(vote.verdict.winner is not None for vote in votes)
    if parsed < LEAST_PARSED * len(votes) or not votes:
        raise ConfigError(
            f"{folder}: {parsed} of {len(votes)} judgments of the base have a verdict, fewer than half, so there is "
            "little to reinforce; distil first (--teacher MODEL, or a recipe with [distill] and [sft]), or choose a base "
            "that writes judgments. rmr1 show tells what it wrote"
        )
