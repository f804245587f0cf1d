"""Verdict x label -> the training scalar.

RM-R1's reward (arXiv 2505.02387): +1 if the judge's verdict is the label, else -1: a tie that is not the label, a
wrong side and a text without verdict all cost the same. Trained judges read their own texts by the rule `tail`.
"""

from __future__ import annotations

from rmr1.errors import ConfigError
from rmr1.records import Verdict
from rmr1.verdicts import parse_verdict

LABELS = ("A", "B", "tie")


def reward_verdict(verdict: Verdict, label: str) -> float:
    """+1.0 or -1.0. `label` is in the prompt frame, like the verdict: swap it for a swapped prompt.

    >>> reward_verdict(Verdict(winner="A"), "A"), reward_verdict(Verdict(winner=None, problem="empty"), "A")
    (1.0, -1.0)

    Raises:
        ConfigError: `label` is not "A", "B" or "tie".
    """
    if label not in LABELS:
        raise ConfigError(f"label {label!r} has no reward; expected one of 'A', 'B', 'tie'")
    return 1.0 if verdict.winner == label else -1.0


def reward_text(text: str, label: str, rule: str = "tail") -> float:
    """`reward_verdict` of the text's verdict, by the paper's reward rule unless told otherwise."""
    return reward_verdict(parse_verdict(text, rule), label)
