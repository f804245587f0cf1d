"""Rewards of reinforcement learning: sampled judgments in, numbers out, each term apart.

`samples` is the record, `terms` the rewards that come with the package, `own` a user's, `compute` their sum.
The default is the paper's: +1 for the right verdict, -1 for everything else. No torch.
"""

from rmr1.train.grpo.rewards.compute import (
    PAPER,
    Reward,
    Term,
    build_rewards,
    compute_rewards,
    find_unknown_term,
    needs_both_orders,
    summarize_rewards,
)
from rmr1.train.grpo.rewards.own import OwnReward, load_own
from rmr1.train.grpo.rewards.samples import Judged, read_sample
from rmr1.train.grpo.rewards.terms import QUOTE_WORDS, TERMS

__all__ = [
    "PAPER",
    "QUOTE_WORDS",
    "TERMS",
    "Judged",
    "OwnReward",
    "Reward",
    "Term",
    "build_rewards",
    "compute_rewards",
    "find_unknown_term",
    "load_own",
    "needs_both_orders",
    "read_sample",
    "summarize_rewards",
]
