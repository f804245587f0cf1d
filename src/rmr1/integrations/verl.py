"""verl 0.9: a reward function whose siblings meet in the server, wherever verl's workers run.

    reward.custom_reward_function.path=pkg://rmr1.integrations.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.url=http://HOST:8300

verl hands each sample alone to one of several workers, without the prompt and without the group's id. The rows of the data
hold both in `extra_info` (`make_extra_info`); with a reference answer nothing else is needed. To compare siblings use the
manager, which sees the ids:

    reward.reward_manager.source=importlib
    reward.reward_manager.module.path=pkg://rmr1.integrations.verl_manager
    reward.reward_manager.name=JudgeRewardManager
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmr1.errors import ConfigError
from rmr1.integrations.client import RewardClient


def make_extra_info(
    question: Any, *, reference: str | None = None, siblings: int | None = None
) -> dict[str, Any]:
    """What a row of the data has to hold in `extra_info` beside its own.

    Args:
        reference: an answer with which the samples are compared.
        siblings: samples of the row, for the manager, if they are not `rollout.n`: rows of validation (`val_kwargs.n`) and
            rows with a `__rollout_n__` of their own.
    """
    values = {"question": question, "reference": reference, "siblings": siblings}
    return {name: value for name, value in values.items() if value is not None}


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    url: str,
    seconds: float = 300.0,
    **_: Any,
) -> dict[str, float]:
    """P(the answer beats the reference) - 1/2, in [-1/2, 1/2].

    Raises:
        ConfigError: the row has no question or no reference. NoRewardError: there is no reward.
    """
    question, reference = extra_info.get("question"), extra_info.get("reference")
    if question is None or reference is None:
        raise ConfigError(
            "extra_info has no question or no reference; write them with rmr1.integrations.verl.make_extra_info, or "
            "use rmr1.integrations.verl_manager to compare siblings"
        )
    client = RewardClient(url, seconds=seconds)
    (reward,) = await client.score_group(question, [solution_str], baseline=reference, method="reference")
    if reward is None:
        raise ConfigError("the comparison with the reference has no verdict")
    return {"score": reward}
