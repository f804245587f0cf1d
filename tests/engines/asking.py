"""How the engine tests ask, and what they hold two engines' answers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rmr1.engines.base import Engine, Request, SamplingParams
from rmr1.messages import Message
from rmr1.records import Generation, JudgePrompt

GREEDY = SamplingParams(max_new_tokens=80)
VERDICT = replace(GREEDY, verdict_logprobs=True)


def ask(text: str, key: str | None = None, *, seed: int = 0, role: Any = "user") -> Request:
    messages = (Message(role=role, content=text),)
    name = text if key is None else key
    prompt = JudgePrompt(pair_id=f"pair-{name}", family="own", order="given", messages=messages)
    return Request(key=name, prompt=prompt, seed=seed)


def gather(
    engine: Engine, requests: list[Request], params: SamplingParams
) -> dict[str, tuple[Generation, ...]]:
    found = {request.key: generations for request, generations in engine.generate(iter(requests), params)}
    assert found.keys() == {request.key for request in requests}
    return found


def complain(call: Callable[[], Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    return text


def assert_alike(found: Generation, wanted: Generation) -> None:
    """Equal but for log-probabilities, which may differ by a thousandth."""
    if wanted.verdict_logprobs is not None:
        assert found.verdict_logprobs is not None
        assert dict(found.verdict_logprobs) == pytest.approx(dict(wanted.verdict_logprobs), abs=1e-3)
        assert found.verdict_mass == pytest.approx(wanted.verdict_mass, abs=1e-3)
    assert replace(found, verdict_logprobs=None, verdict_mass=None) == replace(
        wanted, verdict_logprobs=None, verdict_mass=None
    )
