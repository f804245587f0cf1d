"""slime: a reward function for whole groups, `--custom-rm-path rmr1.integrations.slime.reward_group --group-rm`.

The server's URL is that of `--rm-url`, its key that of the environment variable RMR1_API_KEY. A group without rewards
ends the step with an error, which slime tries again; its own `remote_rm` sends samples one by one, which no judge of pairs
can compare (the server's `/rm` compares each with the reference of its label).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmr1.integrations.client import NoRewardError, RewardClient


async def reward_group(args: Any, samples: Sequence[Any], **_: Any) -> list[float]:
    """One reward for each sample of a group, in its sequence.

    Raises:
        NoRewardError: an answer has none.
    """
    client = RewardClient(args.rm_url)
    rewards = await client.score_group(samples[0].prompt, [sample.response for sample in samples])
    known = [reward for reward in rewards if reward is not None]
    if len(known) < len(rewards):
        raise NoRewardError(f"{len(rewards) - len(known)} of {len(rewards)} answers have no reward")
    return known
