"""Rewards: sampled judgments in, numbers out, each term apart.

`verdict` is the paper's reward, +1 for the right verdict and -1 for everything else, and the default. `samples` is
the record that terms read, `terms` the rewards that come with the package, `compute` their sum. No torch.
"""

from rmr1.rewards.compute import (
    PAPER,
    Reward,
    Term,
    build_rewards,
    compute_rewards,
    find_unknown_term,
    load_own,
    needs_both_orders,
    summarize_rewards,
)
from rmr1.rewards.samples import Judged, read_sample
from rmr1.rewards.terms import QUOTE_WORDS, TERMS
from rmr1.rewards.verdict import LABELS, reward_text, reward_verdict

__all__ = [
    "LABELS",
    "PAPER",
    "QUOTE_WORDS",
    "TERMS",
    "Judged",
    "Reward",
    "Term",
    "build_rewards",
    "compute_rewards",
    "find_unknown_term",
    "load_own",
    "needs_both_orders",
    "read_sample",
    "reward_text",
    "reward_verdict",
    "summarize_rewards",
]
