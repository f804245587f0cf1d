"""TRL's `GRPOTrainer`: a reward function that compares the completions of each prompt with one another.

    from rmr1.integrations.trl import JudgeReward

    trainer = GRPOTrainer(model, reward_funcs=JudgeReward("http://127.0.0.1:8300", num_generations=8), ...)

TRL 1.16 hands every process its slice of the global batch, in which the completions of a prompt follow each other, so a
group may lie across processes: the slices are gathered, every process asks for its share of the groups, and the rewards
are gathered again. A completion without a reward is None, which TRL leaves out of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rmr1.errors import ConfigError, RMR1Error
from rmr1.integrations.client import RewardClient
from rmr1.judge.judge import Judge

_Row = tuple[Any, Any, Any]
"""Prompt, completion, reference answer or None."""


class JudgeReward:
    """A reward function for `GRPOTrainer(reward_funcs=...)`."""

    def __init__(
        self,
        judge: Judge | str,
        *,
        num_generations: int,
        method: str | None = None,
        baseline_column: str | None = None,
        seed: int | None = None,
        name: str = "judge",
    ):
        """
        Args:
            judge: a judge in this process, or a server's URL, which all processes share.
            num_generations: completions of a prompt, as the trainer has it.
            method: `win_rate` (default), `bradley_terry` or `reference`.
            baseline_column: the dataset's column with a reference answer, with which each completion is compared.
            seed: draws which answer of a comparison stands first, with a server; a judge in this process has its own.
            name: what the trainer's logs call the reward.
        """
        if num_generations < 2 and baseline_column is None:
            raise ConfigError(
                "num_generations=1: one completion has no other to be compared with; pass baseline_column"
            )
        if seed is not None and not isinstance(judge, str):
            raise ConfigError(
                f"seed={seed}: a judge in this process has a seed of its own; pass it to the judge"
            )
        self.__name__ = name
        self._judge = RewardClient(judge) if isinstance(judge, str) else judge
        self._num_generations = num_generations
        self._method = method or ("win_rate" if baseline_column is None else "reference")
        self._baseline_column = baseline_column
        self._seed = seed

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        """One reward for each completion of this process's slice.

        Raises:
            RMR1Error: in all processes if one of them could not ask.
        """
        log_metric = columns.get("log_metric")
        baselines = [None] * len(prompts) if self._baseline_column is None else columns[self._baseline_column]
        rows = list(zip(prompts, completions, baselines, strict=True))
        rank, slices = _gather(rows)
        groups = list(_group([row for one in slices for row in one], self._num_generations))
        mine = range(rank, len(groups), len(slices))
        share: dict[int, list[float | None]] | RMR1Error
        try:
            share = dict(zip(mine, self._score([groups[number] for number in mine]), strict=True))
        except RMR1Error as error:
            share = error  # told to all, because the others wait for this process
        _, shares = _gather(share)
        by_group: dict[int, list[float | None]] = {}
        for one in shares:
            if isinstance(one, RMR1Error):
                raise one
            by_group |= one
        rewards = [reward for number in range(len(groups)) for reward in by_group[number]]
        start = sum(map(len, slices[:rank]))
        own = rewards[start : start + len(rows)]
        if callable(log_metric):
            log_metric(f"{self.__name__}/without_reward", sum(one is None for one in own) / max(1, len(own)))
        return own

    def _score(self, groups: Sequence[Sequence[_Row]]) -> list[list[float | None]]:
        """The rewards of groups; completions that say nothing have none."""
        said = [[row for row in group if not _is_empty(row[1])] for group in groups]
        asked = [
            self._describe(group) for group in said if len(group) > 1 or (group and group[0][2] is not None)
        ]
        scored = iter(self._ask(asked))
        found: list[list[float | None]] = []
        for group, ones in zip(groups, said, strict=True):
            is_asked = len(ones) > 1 or (ones and ones[0][2] is not None)
            rewards = iter(next(scored) if is_asked else [None] * len(ones))
            found.append([None if _is_empty(row[1]) else next(rewards) for row in group])
        return found

    def _describe(self, group: Sequence[_Row]) -> dict[str, Any]:
        question, _, baseline = group[0]
        asked = {"question": question, "answers": [completion for _, completion, _ in group]}
        more = {"baseline": baseline, "seed": self._seed}
        told = {name: value for name, value in more.items() if value is not None}
        return {**asked, "method": self._method, **told}

    def _ask(self, groups: Sequence[dict[str, Any]]) -> list[list[float | None]]:
        if isinstance(self._judge, RewardClient):
            return self._judge.score_groups(groups)
        return [list(self._judge.group_rewards(**group).rewards) for group in groups]


def _group(rows: Sequence[_Row], size: int) -> list[list[_Row]]:
    """Neighbours with the same prompt and reference, so many together, or as many as there are.

    Raises:
        ConfigError: more follow each other than such groups can hold.
    """
    groups = []
    for _, same in groupby(rows, key=lambda row: (row[0], row[2])):
        ones = list(same)
        if len(ones) > size and len(ones) % size:
            raise ConfigError(
                f"num_generations={size}, and {len(ones)} completions of a prompt follow each other; pass the trainer's"
            )
        groups += [ones[start : start + size] for start in range(0, len(ones), size)]
    return groups


def _is_empty(completion: Any) -> bool:
    if isinstance(completion, str):
        return not completion.strip()
    return not any(
        str(message.get("content") or "").strip() or message.get("tool_calls") for message in completion
    )


def _gather(value: Any) -> tuple[int, list[Any]]:
    """(this process's rank, the values of all processes)"""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return 0, [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return dist.get_rank(), values
