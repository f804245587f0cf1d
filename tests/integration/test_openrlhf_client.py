"""OpenRLHF's own reward client against the server, out of a wheel that the environment variable names.

Its module is loaded by itself, with the package's own logger; nothing of it is needed otherwise.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rmr1.integrations.openrlhf import make_label
from rmr1.judge.judge import Judge
from rmr1.server.settings import ServeSettings
from tests.integration.served import Numbers, serving

VARIABLE = "RMR1_OPENRLHF_WHEEL"
QUESTION = "Name a large number.\n"
LOGS = {"judge_failed_comparisons": [0.0], "judge_partial": [0.0], "judge_replaced_by_mean": [0.0]}


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    if not (wheel := os.environ.get(VARIABLE)):
        pytest.skip(f"set {VARIABLE} to OpenRLHF's wheel")
    pytest.importorskip("aiohttp")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (root,) = tmp_path.rglob("openrlhf/utils/agent.py")
    for name, folder in (("openrlhf", root.parent.parent), ("openrlhf.utils", root.parent)):
        package = types.ModuleType(name)  # its own imports what is not needed here
        package.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, name, package)
    yield importlib.import_module("openrlhf.utils.agent").SingleTurnAgentExecutor
    for name in [one for one in sys.modules if one.startswith("openrlhf.")]:
        monkeypatch.delitem(sys.modules, name)


def ask(executor: Any, url: str, answers: list[str], label: str) -> list[Any]:
    """What each rollout gets, all at once as in OpenRLHF."""

    async def fetch() -> list[Any]:
        client = executor(url)
        sent = (
            client._fetch_rewards_via_http([f"{QUESTION}{one}<|im_end|>"], [QUESTION], [label])
            for one in answers
        )
        return list(await asyncio.gather(*sent, return_exceptions=True))

    return asyncio.run(fetch())


def test_rollouts_get_the_rewards_of_their_group(executor: Any) -> None:
    answers = ["10", "70", "10", "30"]
    with serving(Numbers(), ServeSettings(group_size=4)) as served:
        found = ask(executor, f"{served.url}/get_reward", answers, make_label(group=17))
        against = ask(executor, f"{served.url}/get_reward", answers, make_label(reference="40"))
    with Judge(Numbers()) as judge:
        wanted = judge.group_rewards(QUESTION, answers).rewards
    assert found == [[{"rewards": [one], "scores": [one], "extra_logs": LOGS}] for one in wanted]
    assert [one[0]["rewards"] for one in against] == [[-0.5], [0.5], [-0.5], [-0.5]]


def test_what_failed_once_is_asked_for_again(executor: Any) -> None:
    with serving(Numbers(failures=2)) as served:
        found = ask(executor, f"{served.url}/get_reward", ["70 broken"], make_label(reference="40"))
    assert found == [[{"rewards": [0.5], "scores": [0.5], "extra_logs": LOGS}]]


@pytest.mark.slow
def test_a_refusal_is_no_reward_after_five_tries(executor: Any) -> None:
    with serving(Numbers()) as served:
        (refused,) = ask(executor, f"{served.url}/get_reward", ["70"], "no JSON")
        assert isinstance(refused, RuntimeError) and sum('"status": 422' in one for one in served.log) == 5
