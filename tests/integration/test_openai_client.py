"""OpenAI's own client against the server: chat and decisions, and the errors that it makes of ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from rmr1.engines.base import Request, SamplingParams
from rmr1.records import Generation
from rmr1.server.keys import Keys
from tests.integration.served import Numbers, serving

openai = pytest.importorskip("openai")
pytest.importorskip("openai.resources.decisions")

QUESTION = {
    "type": "choice",
    "name": "larger",
    "choices": [{"value": "first", "description": "3"}, {"value": "second", "description": "7"}],
}


@pytest.mark.parametrize("key", [None, "0123456789abcdef"])
def test_chat_and_decisions(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMR1_SERVE_KEYS", key or "")
    with serving(Numbers(), keys=Keys()) as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=key or "none", max_retries=0)
        told = client.chat.completions.create(
            model="judge", messages=[{"role": "user", "content": "silent"}], max_completion_tokens=50, seed=1
        )
        assert told.choices[0].message.content == "I would rather not say."
        assert told.choices[0].finish_reason == "stop" and told.usage.completion_tokens > 0
        assert [one.id for one in client.models.list()] == ["numbers"]
        with pytest.raises(openai.UnprocessableEntityError, match="tools is not supported"):
            client.chat.completions.create(
                model="judge", messages=[{"role": "user", "content": "x"}], tools=[{"type": "function"}]
            )
        with pytest.raises(openai.UnprocessableEntityError, match="compares two answers"):
            client.decisions.create(
                model="judge", input="x", questions=[{"type": "predicate", "instructions": "Is it?"}]
            )
        other = openai.OpenAI(base_url=f"{served.url}/v1", api_key="another", max_retries=0)
        with pytest.raises(openai.AuthenticationError if key else openai.UnprocessableEntityError):
            other.decisions.create(model="judge", input="x", questions=[{"type": "score", "levels": []}])
        told_nothing = "log-probabilities"
        with pytest.raises(openai.UnprocessableEntityError, match=told_nothing):
            client.decisions.create(model="judge", input="Which is larger?", questions=[QUESTION])


class Sure(Numbers):
    """Tells the log-probabilities of its verdict's letters."""

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request, texts in super().generate(requests, params):
            is_a = "[[A]]" in texts[0].text
            letters = (("A", math.log(0.9 if is_a else 0.1)), ("B", math.log(0.1 if is_a else 0.9)))
            yield request, tuple(replace(one, verdict_logprobs=letters) for one in texts)


def test_a_decision_is_the_judges() -> None:
    with serving(Sure()) as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
        told = client.decisions.create(model="judge", input="Which is larger?", questions=[QUESTION])
    (answer,) = told.answers
    assert (answer.type, answer.name, answer.choice) == ("choice", "larger", "second")
    assert answer.confidence == pytest.approx(0.9)
    assert [(one.value, round(one.probability, 6)) for one in answer.probabilities] == [
        ("first", 0.1),
        ("second", 0.9),
    ]
    assert told.usage.total_tokens == told.usage.input_tokens + told.usage.output_tokens > 0


def test_an_engine_that_fails_is_an_error_of_the_client_which_tries_again() -> None:
    engine = Numbers(failures=1)
    with serving(engine) as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
        asked = {"model": "judge", "messages": [{"role": "user", "content": "broken, silent"}]}
        with pytest.raises(openai.InternalServerError, match="the engine broke"):
            client.chat.completions.create(**asked)
        assert client.chat.completions.create(**asked).choices[0].message.content
        engine.failures = 1
        again = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=2)
        assert again.chat.completions.create(**asked).choices[0].message.content
