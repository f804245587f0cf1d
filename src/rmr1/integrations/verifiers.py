"""verifiers and prime-rl: a reward of groups for a `Rubric`.

    rubric = vf.Rubric(funcs=[make_group_reward("http://127.0.0.1:8300")])

A function with plural arguments is given all rollouts of a prompt at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from rmr1.integrations.client import NoRewardError, RewardClient

GroupReward = Callable[..., Coroutine[Any, Any, list[float]]]


def make_group_reward(url: str, *, method: str = "win_rate", key: str | None = None) -> GroupReward:
    """A reward function that asks the server at `url`; it raises `NoRewardError` if a rollout has no reward."""
    client = RewardClient(url, key=key)

    async def judge_reward(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
        rewards = await client.score_group(prompts[0], list(completions), method=method)
        if None in rewards:
            raise NoRewardError(f"{rewards.count(None)} of {len(rewards)} rollouts have no reward")
        return [reward for reward in rewards if reward is not None]

    return judge_reward
