"""Asks a server of ours for the rewards of groups.

Answers that are to be tried again (`retryable`, 429 and 5xx, a connection that breaks) are, until the deadline; a group
that was asked about before is joined, so trying again costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from rmr1.errors import ConfigError, GenerationError
from rmr1.judge.stages import hide_secrets
from rmr1.plugins import require

_LOGGER = logging.getLogger("rmr1.integrations")
KEY_VARIABLE = "RMR1_API_KEY"
"""The environment variable that holds the server's key."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_GRACE = 5.0
"""Seconds beyond the deadline in which the server tells what became of a request at it."""
_MOST_AT_ONCE = 64
"""Groups that are asked about at a time."""
_REFUSES_ALL = (401, 403, 404, 405, 501)
"""Answers that say that the server, its key or its URL is not what was meant."""

Text = str | Sequence[Mapping[str, Any]]
"""A text, or messages."""


class NoRewardError(GenerationError):
    """There is no reward, and the reason."""


class RewardClient:
    """Asks for rewards; from any number of threads and event loops."""

    def __init__(self, url: str, *, key: str | None = None, seconds: float = 600.0):
        """
        Args:
            url: the server's, such as `http://127.0.0.1:8300`.
            key: by default that of the environment variable RMR1_API_KEY.
            seconds: how long a reward is waited for, repeated tries included.
        """
        self.url = url.rstrip("/")
        self.seconds = seconds
        key = os.environ.get(KEY_VARIABLE) if key is None else key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def score_group(self, question: Text, answers: Sequence[Text], **more: Any) -> list[float | None]:
        """The reward of each answer; None of one without. `more` are `method`, `baseline` and `seed`.

        Raises:
            NoRewardError: the server did not answer in time, or refuses the group.
            ConfigError: it refuses whatever it is asked: the key or the URL is wrong.
        """
        told = await self._post(
            {"question": _plain(question), "answers": [_plain(one) for one in answers], **more}
        )
        rewards: list[float | None] = told["rewards"]
        return rewards

    async def score_sibling(
        self, question: Text, answer: Text, *, group: str, size: int, index: int | None, **more: Any
    ) -> float:
        """The reward of one of `size` siblings, once the others have come from wherever they are.

        Args:
            index: the sibling's number, from 0; None if the siblings are to be told apart by what they say.

        Raises:
            NoRewardError: there is none.
        """
        body = {"question": _plain(question), "answer": _plain(answer), "group": group, "size": size}
        if index is not None:
            body["index"] = index
        return float((await self._post({**body, **more}))["reward"])

    def score_groups(self, groups: Sequence[Mapping[str, Any]]) -> list[list[float | None]]:
        """The rewards of several groups, asked about at once; a group that cannot be rewarded has None throughout.

        Args:
            groups: the arguments of `score_group` for each.

        Raises:
            ConfigError: the server refuses whatever it is asked.
        """

        async def ask() -> list[list[float | None]]:
            room = asyncio.Semaphore(_MOST_AT_ONCE)

            async def ask_one(group: Mapping[str, Any]) -> list[float | None]:
                try:
                    async with room:
                        return await self.score_group(**group)
                except NoRewardError:
                    return [None] * len(group["answers"])

            return list(await asyncio.gather(*map(ask_one, groups)))

        # In a thread of its own, because a notebook has an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, ask()).result()

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        with require("asking a server", "api"):
            import httpx

        deadline, pause, reason = time.monotonic() + self.seconds, _FIRST_PAUSE, "it was not asked"
        refuses_all = False
        while (left := deadline - time.monotonic()) > 0:
            wait = pause
            try:
                async with httpx.AsyncClient(
                    timeout=left + _GRACE, headers=self._headers, verify=_trust()
                ) as client:
                    reply = await client.post(f"{self.url}/v1/group/score", json={**body, "timeout": left})
                if reply.status_code == 200:
                    answered: dict[str, Any] = reply.json()
                    self._warn(answered)
                    return answered
                reason, is_retryable = _read_error(reply)
                refuses_all = reply.status_code in _REFUSES_ALL
                if refuses_all or not is_retryable:
                    break
                wait = float(reply.headers.get("retry-after", pause))
            except (httpx.TransportError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
            await asyncio.sleep(min(wait * random.uniform(0.5, 1.0), max(0.0, deadline - time.monotonic())))
            pause = min(2 * pause, _LONGEST_PAUSE)
        message = f"{hide_secrets(self.url)}: no reward: {reason}"
        raise ConfigError(message) if refuses_all else NoRewardError(message)

    def _warn(self, told: Mapping[str, Any]) -> None:
        """Trainers take numbers alone: what they rest on is logged."""
        if told.get("failed"):
            _LOGGER.warning(
                "%s: %d comparisons of a group have no verdict and count for nothing in its rewards",
                hide_secrets(self.url),
                told["failed"],
            )
        if told.get("status") == "partial":
            _LOGGER.warning(
                "%s: a group was rewarded without all of its siblings: %d came in time",
                hide_secrets(self.url),
                told["siblings"],
            )


@cache
def _trust() -> ssl.SSLContext:
    """The known authorities, which take longer to read than a request to make."""
    import httpx

    return httpx.create_ssl_context()


def _read_error(reply: Any) -> tuple[str, bool]:
    """Why there is no reward, and whether it may be asked for again."""
    try:
        error = reply.json()["error"]
        return f"HTTP {reply.status_code}: {error['message']}", bool(error["retryable"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {reply.status_code}", reply.status_code == 429 or reply.status_code >= 500


def _plain(text: Text) -> Any:
    return text if isinstance(text, str) else [dict(one) for one in text]
