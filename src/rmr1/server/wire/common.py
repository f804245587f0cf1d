"""What several wire formats share: conversations as JSON, and pairs of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rmr1.data.objects import as_pair
from rmr1.data.sources.messages import as_turns
from rmr1.errors import DataError
from rmr1.messages import Message, Messages, Role
from rmr1.records import Judgment, PreferencePair
from rmr1.server.service import ServiceError
from rmr1.store.codec import dump_record
from rmr1.verdicts.probability import tell_probability

Text = str | list[dict[str, Any]]
"""A text, or messages as OpenAI's chat API has them."""


class Body(BaseModel):
    """A request; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class OpenBody(BaseModel):
    """A request of a format that is not ours, which may hold more than is read."""

    model_config = ConfigDict(extra="ignore")


class Timed(Body):
    """A request that may say how long it waits."""

    timeout: float | None = Field(default=None, gt=0, description="seconds; at most the server's own limit")


def read_messages(value: Text, name: str, role: Role = "assistant") -> Messages:
    """A text, which gets the role, or messages.

    Raises:
        ServiceError: it is empty or no conversation.
    """
    if not value or (isinstance(value, str) and not value.strip()):
        raise ServiceError(422, "invalid", f"{name} is empty")
    if isinstance(value, str):
        return (Message(role=role, content=value),)
    try:
        return as_turns(value, name, role)
    except DataError as error:
        raise ServiceError(422, "invalid", str(error)) from None


def read_pair(question: Text, a: Text, b: Text) -> PreferencePair:
    """
    Raises:
        ServiceError: one of them is empty or no conversation.
    """
    try:
        return as_pair(question, a, b)
    except DataError as error:
        raise ServiceError(422, "invalid", str(error)) from None


def dump_judgment(key: str, judgment: Judgment) -> dict[str, Any]:
    """A judgment as `rmr1 judge --json` prints it."""
    return {"key": key, **dump_record(judgment), "probability": tell_probability(judgment)}


def is_failed(judgment: Judgment) -> bool:
    """Whether there is no winner because the engine gave no answer, so that asking again may help."""
    return judgment.winner is None and judgment.problem == "generation_failed"


def describe_failure(judgment: Judgment) -> str:
    errors = [vote.generation.error for vote in judgment.votes if vote.generation.error]
    return errors[0] if errors else "the engine gave no answer"
