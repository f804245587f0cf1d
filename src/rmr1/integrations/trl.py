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

from rmr1.errors import ConfigError
from rmr1.integrations.client import RewardClient, Text
from rmr1.judge.judge import Judge


class JudgeReward:
    """A reward function for `GRPOTrainer(reward_funcs=...)`."""

    def __init__(
        self,
        judge: Judge | str,
        *,
        num_generations: int,
        method: str | None = None,
        baseline_column: str | None = None,
        seed: int = 0,
        name: str = "judge",
    ):
        """
        Args:
            judge: a judge in this process, or a server's URL, which all processes share.
            num_generations: completions of a prompt, as the trainer has it.
            method: `win_rate` (default), `bradley_terry` or `reference`.
            baseline_column: the dataset's column with a reference answer, with which each completion is compared.
            seed: of what the server compares; a judge in this process has its own.
            name: what the trainer's logs call the reward.
        """
        if num_generations < 2 and baseline_column is None:
            raise ConfigError(
                "num_generations=1: one completion has no other to be compared with; pass baseline_column"
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
        """One reward for each completion of this process's slice."""
        log_metric = columns.get("log_metric")
        baselines = [None] * len(prompts) if self._baseline_column is None else columns[self._baseline_column]
        rows = list(zip(prompts, completions, baselines, strict=True))
        rank, slices = _gather(rows)
        everything = [row for one in slices for row in one]
        groups = list(_group(everything, self._num_generations))
        mine = {number: self._score(groups[number]) for number in range(rank, len(groups), len(slices))}
        _, shares = _gather(mine)
        by_group = {number: rewards for share in shares for number, rewards in share.items()}
        rewards = [reward for number in range(len(groups)) for reward in by_group[number]]
        start = sum(map(len, slices[:rank]))
        own = rewards[start : start + len(rows)]
        if callable(log_metric):
            log_metric(f"{self.__name__}/without_reward", sum(one is None for one in own) / max(1, len(own)))
        return own

    def _score(self, group: Sequence[tuple[Any, Any, Any]]) -> list[float | None]:
        question, _, baseline = group[0]
        answers: list[Text] = [completion for _, completion, _ in group]
        more: dict[str, Any] = {"method": self._method}
        if baseline is not None:
            more["baseline"] = baseline
        elif len(answers) < 2:
            return [None] * len(answers)
        if any(_is_empty(one) for one in answers):
            return self._score_said(group)
        if isinstance(self._judge, RewardClient):
            return self._judge.score_groups([(question, answers)], seed=self._seed, **more)[0]
        return list(self._judge.group_rewards(question, answers, **more).rewards)

    def _score_said(self, group: Sequence[tuple[Any, Any, Any]]) -> list[float | None]:
        """The rewards of those that say something; the others have none."""
        said = [row for row in group if not _is_empty(row[1])]
        rewards = iter(self._score(said) if said else [])
        return [None if _is_empty(row[1]) else next(rewards) for row in group]


def _group(rows: Sequence[Any], most: int) -> list[list[Any]]:
    """Neighbours with the same prompt and reference, at most so many together."""
    groups = []
    for _, same in groupby(rows, key=lambda row: (row[0], row[2])):
        ones = list(same)
        groups += [ones[start : start + most] for start in range(0, len(ones), most)]
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
