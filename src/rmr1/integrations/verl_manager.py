"""verl 0.9: a reward manager whose samples meet as siblings in a server of ours, wherever verl's workers run.

    reward.reward_manager.source=importlib
    reward.reward_manager.module.path=pkg://rmr1.integrations.verl_manager
    reward.reward_manager.name=JudgeRewardManager
    +reward.reward_kwargs.url=http://HOST:8300

verl hands each sample to a random one of its workers (`AgentLoopWorker._compute_score`), with the fields of its row, the `uid`
that the samples of a prompt share and, with `trainer.use_v1`, the sample's number as `session_id`. It does not hand on
whether a sample is of validation, nor `__rollout_n__`. So the size of a group is `siblings` of the row's `extra_info`
(`rmr1.integrations.verl.make_extra_info`); else `val_kwargs.n` if the row's `split` is not `train`, and `rollout.n` if it is.
A sample whose row has a `reference` is compared with that alone, unless a method that compares siblings is set.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rmr1.errors import ConfigError
from rmr1.integrations.client import NoRewardError, RewardClient

EMPTY_ANSWER = "(The response is empty.)"
"""What the judge sees of a sample that says nothing; its siblings would wait for it in vain."""

_TRAIN = "train"
"""The `split` of training rows in data of verl's own scripts."""

_log = logging.getLogger(__name__)


class ManagerSettings(BaseModel):
    """The settings of the manager, `reward.reward_kwargs` in verl's configuration."""

    model_config = ConfigDict(extra="forbid")

    url: str
    """The server's."""
    seconds: float = Field(default=600.0, gt=0)
    """How long a reward is waited for, from when the sample is finished; longer than its siblings take to be sampled."""
    method: Literal["win_rate", "bradley_terry", "reference"] | None = None
    """Method of the rewards; by default `reference` for rows that have one, else `win_rate`."""
    on_failure: Literal["raise", "zero"] = "raise"
    """What becomes of a sample without a reward: an error, or 0.0, the mean of a group's rewards, and `judge_failed` 1.0."""


class JudgeRewardManager:
    """Rewards each sample by its siblings, or by its row's reference answer.

    verl asks for nothing of its own base class but `run_single` and `assemble_rm_scores`.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any):
        """
        Args:
            config: verl's whole configuration.
            tokenizer: the policy's.
            compute_score: not used; the judge's rewards are the only ones.

        Raises:
            ConfigError: `reward.reward_kwargs` is not that of `ManagerSettings`.
        """
        self.config = config
        self.tokenizer = tokenizer
        self.settings = _read_settings(_look_up(config, "reward", "reward_kwargs") or {})
        self._client = RewardClient(self.settings.url, seconds=self.settings.seconds)
        self._run = _name_run(config)

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The reward of a sample, the last sequence of its trajectory, as `reward_score` and `reward_extra_info`.

        Raises:
            ConfigError: the sample lacks what tells its siblings. NoRewardError: by policy, if there is no reward.
        """
        item = data[len(data) - 1]
        fields = item.non_tensor_batch
        answer = await asyncio.get_running_loop().run_in_executor(None, self._decode, item)
        try:
            reward, failed = await self._score(fields, answer if answer.strip() else EMPTY_ANSWER), 0.0
        except NoRewardError as error:
            if self.settings.on_failure == "raise":
                raise
            _log.warning("a sample has reward 0.0: %s", error)
            reward, failed = 0.0, 1.0
        return {"reward_score": reward, "reward_extra_info": {"score": reward, "judge_failed": failed}}

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: list[float]) -> Any:
        """The rewards at the last tokens of their responses, as verl's own managers have them."""
        from verl.experimental.reward_loop.reward_manager.base import (  # type: ignore[import-not-found,unused-ignore]
            RewardManagerBase,
        )

        return RewardManagerBase.assemble_rm_scores(data, scores)

    async def _score(self, fields: Mapping[str, Any], answer: str) -> float:
        extra, question = fields.get("extra_info") or {}, _read_question(fields)
        reference, method = extra.get("reference"), self.settings.method
        is_alone = method == "reference" or (method is None and reference is not None)
        size = 1 if is_alone else self._find_size(extra)
        if size < 2:
            if reference is None:
                raise ConfigError(
                    "a sample without siblings needs an answer to be compared with, and its extra_info has no 'reference'; "
                    "write one with rmr1.integrations.verl.make_extra_info"
                )
            return await self._compare(question, answer, reference)
        uid, number = fields.get("uid"), fields.get("session_id")
        if uid is None:
            raise ConfigError(
                "a sample came without 'uid', so its siblings are unknown; verl tells it if rewards are computed during "
                "the rollout: set reward.reward_model.enable=False"
            )
        return await self._client.score_sibling(
            question,
            answer,
            group="/".join((self._run, str(fields.get("global_steps", "")), str(uid))),
            size=size,
            index=None if number is None else int(number),
            method=method or "win_rate",
        )

    async def _compare(self, question: Any, answer: str, reference: Any) -> float:
        (reward,) = await self._client.score_group(question, [answer], baseline=reference, method="reference")
        if reward is None:
            raise NoRewardError("the comparison with the reference has no verdict")
        return reward

    def _find_size(self, extra: Mapping[str, Any]) -> int:
        """Samples of the row.

        Raises:
            ConfigError: it cannot be told whether the row is of training or of validation.
        """
        if extra.get("siblings") is not None:
            return int(extra["siblings"])
        rollout = ("actor_rollout_ref", "rollout")
        in_training = int(_look_up(self.config, *rollout, "n") or 1)
        in_validation = int(_look_up(self.config, *rollout, "val_kwargs", "n") or 1)
        split = extra.get("split")
        if split is not None:
            return in_training if split == _TRAIN else in_validation
        if in_training == in_validation or not _validates(self.config):
            return in_training
        raise ConfigError(
            f"a row is sampled {in_training} times in training and {in_validation} in validation, and extra_info has "
            "neither 'split' nor 'siblings' to tell which; write one with rmr1.integrations.verl.make_extra_info"
        )

    def _decode(self, item: Any) -> str:
        """The answer of the response's tokens, those of tools among them, without special tokens and padding."""
        response = item.batch["responses"]
        length = item.non_tensor_batch.get("response_len")
        if length is None:
            length = item.batch["attention_mask"][-response.shape[-1] :].sum()
        return str(self.tokenizer.decode(response[: int(length)], skip_special_tokens=True))


def _read_settings(values: Any) -> ManagerSettings:
    try:
        return ManagerSettings.model_validate(dict(values))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()
        )
        raise ConfigError(f"reward.reward_kwargs: {faults}") from None


def _read_question(fields: Mapping[str, Any]) -> Any:
    """The row's own `question`, or the conversation of which the prompt was made."""
    question = (fields.get("extra_info") or {}).get("question")
    found = fields.get("raw_prompt") if question is None else question
    if found is None:
        raise ConfigError("a sample has neither 'raw_prompt' nor a question in extra_info")
    if isinstance(found, str):
        return found
    turns = [dict(turn) for turn in found]
    try:
        json.dumps(turns)
    except TypeError as error:
        raise ConfigError(f"raw_prompt holds more than text: {error}") from None
    return turns


def _look_up(config: Any, *names: str) -> Any:
    """A value of a configuration, a mapping of mappings; None if it is not there."""
    for name in names:
        if config is None:
            return None
        config = config.get(name)
    return config


def _validates(config: Any) -> bool:
    trainer = _look_up(config, "trainer") or {}
    is_first = bool(trainer.get("val_before_train", True))
    return is_first or bool(trainer.get("val_only")) or int(trainer.get("test_freq") or -1) > 0


def _name_run(config: Any) -> str:
    """What tells the groups of this run from those of others, the same in all of its processes."""
    names = [str(_look_up(config, "trainer", name)) for name in ("project_name", "experiment_name")]
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        names.append(str(ray.get_runtime_context().get_job_id()))
    return hashlib.blake2b("/".join(names).encode(), digest_size=8).hexdigest()
