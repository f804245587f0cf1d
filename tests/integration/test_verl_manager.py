"""verl's reward manager over real HTTP, with what verl 0.9.1 hands to one (`AgentLoopWorker._compute_score`).

The batches are verl's own `DataProto` if verl is installed, else the part of it that a manager sees.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest
import torch

from rmr1.errors import ConfigError
from rmr1.integrations.client import NoRewardError
from rmr1.integrations.verl import make_extra_info
from rmr1.integrations.verl_manager import JudgeRewardManager
from rmr1.judge.judge import Judge
from rmr1.server.settings import ServeSettings
from tests.integration.served import Numbers, Served, serving

try:
    from tensordict import TensorDict
    from verl import DataProto
except ImportError:
    DataProto = None

QUESTION = "Name a large number."
ANSWERS = ["10 apples", "70", "30 or so", "70 pears"]


class Tokenizer:
    """A character is a token; 0 is the padding."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Any, *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(chr(token) for token in tokens.tolist())


class _Item:
    def __init__(self, batch: Any, non_tensor_batch: Any):
        self.batch = batch
        self.non_tensor_batch = non_tensor_batch


class _Batch(_Item):
    """What a manager sees of `DataProto`."""

    def __len__(self) -> int:
        return len(self.batch["responses"])

    def __getitem__(self, row: int) -> _Item:
        return _Item(*({name: rows[row] for name, rows in one.items()} for one in self._fields()))

    def _fields(self) -> tuple[Any, Any]:
        return self.batch, self.non_tensor_batch


def pack(prompts: list[str], responses: list[str], **fields: Any) -> Any:
    """The batch of one trajectory as verl makes it: sequences padded on the right, fields repeated for each."""
    encode = Tokenizer().encode
    texts = [
        (torch.tensor(encode(one)), torch.tensor(encode(two)))
        for one, two in zip(prompts, responses, strict=True)
    ]

    def pad(rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)

    batch = {
        "prompts": pad([one for one, _ in texts]),
        "responses": pad([two for _, two in texts]),
        "attention_mask": pad([torch.ones(len(one) + len(two), dtype=torch.int64) for one, two in texts]),
    }
    number = len(texts)
    non_tensor = {name: np.array([value] * number) for name, value in fields.items()}
    non_tensor["response_len"] = np.array([len(two) for _, two in texts])
    if DataProto is not None:
        return DataProto(batch=TensorDict(batch, batch_size=number), non_tensor_batch=non_tensor)
    return _Batch(batch, non_tensor)


def sample(
    answer: str, number: int | None, *, uid: str | None = "uid", extra: Any = None, **fields: Any
) -> Any:
    known = {
        "uid": uid,
        "session_id": number,
        "global_steps": 3,
        "extra_info": extra or {"split": "train"},
        **fields,
    }
    prompt = [{"role": "user", "content": QUESTION}]
    return pack(
        [QUESTION],
        [answer],
        raw_prompt=prompt,
        **{name: value for name, value in known.items() if value is not None},
    )


def manage(
    url: str, *, n: int = 4, val_n: int = 1, trainer: Any = None, **settings: Any
) -> JudgeRewardManager:
    config = {
        "actor_rollout_ref": {"rollout": {"n": n, "val_kwargs": {"n": val_n}}},
        "reward": {"reward_kwargs": {"url": url, "seconds": 20, **settings}},
        "trainer": {"project_name": "p", "experiment_name": "e", **(trainer or {})},
    }
    return JudgeRewardManager(
        config=config, tokenizer=Tokenizer(), compute_score=None, reward_router_address=None
    )


def run(samples: list[Any], *managers: JudgeRewardManager) -> list[Any]:
    """Each sample by one of the managers, as verl's workers take them; errors as values."""

    async def ask() -> list[Any]:
        tasks = (managers[place % len(managers)].run_single(one) for place, one in enumerate(samples))
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    return asyncio.run(ask())


def direct(answers: list[str] = ANSWERS, **more: Any) -> list[float | None]:
    with Judge(Numbers()) as judge:
        return list(judge.group_rewards(QUESTION, answers, **more).rewards)


def rewards(told: list[Any]) -> list[float]:
    assert [one["reward_extra_info"]["judge_failed"] for one in told] == [0.0] * len(told), told
    return [one["reward_score"] for one in told]


@pytest.fixture(scope="module")
def served() -> object:
    with serving(Numbers()) as one:
        yield one


@pytest.mark.parametrize("is_numbered", [True, False])
def test_siblings_meet_in_the_server_whichever_worker_has_them(served: Served, is_numbered: bool) -> None:
    order = random.Random(7).sample([(uid, place) for uid in "ab" for place in range(4)], 8)
    samples = [
        sample(ANSWERS[place], place if is_numbered else None, uid=f"{uid} {is_numbered}")
        for uid, place in order
    ]
    found = rewards(run(samples, manage(served.url), manage(served.url)))
    for uid in "ab":
        got = {place: one for (name, place), one in zip(order, found, strict=True) if name == uid}
        assert got == pytest.approx(dict(enumerate(direct())))


def test_two_runs_with_the_same_ids_do_not_meet(served: Served) -> None:
    one, other = manage(served.url, n=2), manage(served.url, n=2, trainer={"experiment_name": "other"})
    assert rewards(run([sample("1", 0, uid="x"), sample("2", 1, uid="x")], one)) == [-0.5, 0.5]
    assert rewards(run([sample("4", 0, uid="x"), sample("3", 1, uid="x")], other)) == [0.5, -0.5]


def test_the_last_sequence_of_a_trajectory_is_judged_without_its_padding(served: Served) -> None:
    manager = manage(served.url, n=2)
    first = pack(
        ["a prompt that is longer", "short"],
        ["99999 of a turn before", "5"],
        raw_prompt=[{"role": "user", "content": QUESTION}],
        uid="turns",
        session_id=0,
        global_steps=3,
        extra_info={"split": "train"},
    )
    assert rewards(run([first, sample("6", 1, uid="turns")], manager)) == [-0.5, 0.5]


def test_a_reference_needs_no_siblings(served: Served) -> None:
    row = make_extra_info(QUESTION, reference="40")
    samples = [sample("70", 0, extra=row), sample("10", None, uid=None, extra=row)]
    assert rewards(run(samples, manage(served.url))) == [0.5, -0.5]


def test_siblings_are_compared_and_single_samples_against_the_reference_if_a_method_says_so(
    served: Served,
) -> None:
    row = {**make_extra_info(QUESTION, reference="40"), "split": "train"}
    manager = manage(served.url, n=2, method="win_rate")
    siblings = [sample(one, place, uid="both", extra=row) for place, one in enumerate(("50", "60"))]
    assert rewards(run(siblings, manager)) == [-0.5, 0.5]
    assert rewards(run([sample("50", 0, uid="val", extra={**row, "split": "test"})], manager)) == [0.5]


@pytest.mark.parametrize(
    ("extra", "val_n"), [({"split": "test"}, 2), (make_extra_info(QUESTION, siblings=2), 1)]
)
def test_rows_may_be_sampled_another_number_of_times(served: Served, extra: Any, val_n: int) -> None:
    samples = [sample(str(place), place, uid=f"{extra}", extra=extra) for place in range(2)]
    assert rewards(run(samples, manage(served.url, val_n=val_n))) == [-0.5, 0.5]


@pytest.mark.parametrize(
    ("made", "more", "message"),
    [
        ({"extra": {"split": "test"}}, {}, "a sample without siblings needs an answer"),
        ({"extra": {"index": 3}}, {}, "neither 'split' nor 'siblings'"),
        ({}, {"n": 1}, "a sample without siblings needs an answer"),
        ({}, {"method": "reference"}, "extra_info has no 'reference'"),
        ({"uid": None}, {}, "without 'uid'"),
        ({"raw_prompt": [{"role": "user", "content": [{"image": object()}]}]}, {}, "more than text"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(
    served: Served, made: Any, more: Any, message: str
) -> None:
    fields = dict(made)
    prompt = fields.pop("raw_prompt", None)
    data = sample("1", 0, **fields)
    if prompt is not None:
        data.non_tensor_batch["raw_prompt"] = np.array([prompt])
    (error,) = run([data], manage(served.url, **more))
    assert isinstance(error, ConfigError) and message in str(error)


def test_without_validation_a_row_needs_no_split(served: Served) -> None:
    manager = manage(served.url, n=2, trainer={"val_before_train": False, "test_freq": -1})
    samples = [sample(str(place), place, uid="no split", extra={"index": 3}) for place in range(2)]
    assert rewards(run(samples, manager)) == [-0.5, 0.5]


@pytest.mark.parametrize(
    "values", [{}, {"url": "http://x", "second": 3}, {"url": "http://x", "on_failure": "none"}]
)
def test_settings_are_checked(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"reward\.reward_kwargs: (url|second|on_failure): "):
        JudgeRewardManager({"reward": {"reward_kwargs": values}}, Tokenizer())


def test_a_failure_is_raised_or_counted_by_policy_and_all_samples_have_the_same_keys() -> None:
    answers = ["10", "silent", "30"]

    def samples(uid: str) -> list[Any]:
        return [sample(one, place, uid=uid) for place, one in enumerate(answers)]

    with serving(Numbers(), ServeSettings()) as served:
        told = run(samples("raise"), manage(served.url, n=3, seconds=1.5))
        assert isinstance(told[1], NoRewardError) and rewards([told[0], told[2]]) == [-0.5, 0.5]
        told = run(samples("zero"), manage(served.url, n=3, seconds=1.5, on_failure="zero"))
    assert [one["reward_score"] for one in told] == [-0.5, 0.0, 0.5]
    assert [one["reward_extra_info"] for one in told] == [
        {"score": -0.5, "judge_failed": 0.0},
        {"score": 0.0, "judge_failed": 1.0},
        {"score": 0.5, "judge_failed": 0.0},
    ]


def test_a_sample_that_says_nothing_holds_nobody_up(served: Served) -> None:
    samples = [sample(one, place, uid="empty") for place, one in enumerate(["7", " ", "9"])]
    assert rewards(run(samples, manage(served.url, n=3))) == [0.0, -0.5, 0.5]


def test_siblings_that_never_come_leave_the_others_their_rewards() -> None:
    with serving(Numbers()) as served:
        samples = [sample(str(place), place, uid="few") for place in range(2)]
        assert rewards(run(samples, manage(served.url, n=3, seconds=1.5))) == [-0.5, 0.5]


@pytest.mark.skipif(DataProto is None, reason="verl is not installed")
@pytest.mark.filterwarnings("ignore:Ray state API:DeprecationWarning")  # verl imports it by its old name
def test_verl_loads_the_manager_and_places_its_rewards(served: Served) -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import load_reward_manager, resolve_reward_manager_cls

    config = OmegaConf.create(
        {
            "actor_rollout_ref": {"rollout": {"n": 2, "val_kwargs": {"n": 1}}},
            "trainer": {"project_name": "p", "experiment_name": "verl"},
            "reward": {
                "custom_reward_function": {"path": None, "name": "compute_score"},
                "sandbox_fusion": {"url": None},
                "reward_kwargs": {"url": served.url},
                "reward_manager": {
                    "source": "importlib",
                    "name": "JudgeRewardManager",
                    "module": {"path": "pkg://rmr1.integrations.verl_manager"},
                },
            },
        }
    )
    OmegaConf.set_struct(config, True)
    assert resolve_reward_manager_cls(config) is JudgeRewardManager
    manager = load_reward_manager(
        config, Tokenizer(), reward_router_address=None, reward_model_tokenizer=None
    )
    assert rewards(run([sample("1", 0), sample("22", 1)], manager)) == [-0.5, 0.5]
    data = pack(["ab", "ab"], ["x", "yzz"])
    placed = JudgeRewardManager.assemble_rm_scores(data, [0.25, -0.5])
    assert placed.tolist() == [[0.25, 0.0, 0.0], [0.0, 0.0, -0.5]]
