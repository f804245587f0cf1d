"""What several wire formats share: conversations as JSON, and pairs of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from rmr1.data.objects import as_pair
from rmr1.data.sources.messages import as_turns
from rmr1.errors import DataError
from rmr1.messages import ImagePart, Message, Messages, Role
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
    return read_turns(value, name, role)


def read_turns(value: list[dict[str, Any]], name: str, role: Role) -> Messages:
    """Messages; pictures at URLs of other machines, or in the request itself.

    Raises:
        ServiceError: it is no conversation, or has a picture elsewhere.
    """
    try:
        return _refuse_files(as_turns(value, name, role), name)
    except DataError as error:
        raise ServiceError(422, "invalid", str(error)) from None


def _refuse_files(messages: Messages, name: str) -> Messages:
    """Refuse pictures that are files: an engine would read them from this machine for whoever asks."""
    for message in messages:
        for part in () if isinstance(message.content, str) else message.content:
            if isinstance(part, ImagePart) and urlsplit(part.url).scheme not in ("http", "https", "data"):
                raise ServiceError(
                    422, "invalid", f"{name}: a picture has to be at an http, https or data URL"
                )
    return messages


def read_pair(question: Text, a: Text, b: Text) -> PreferencePair:
    """
    Raises:
        ServiceError: one of them is empty or no conversation.
    """
    try:
        pair = as_pair(question, a, b)
    except DataError as error:
        raise ServiceError(422, "invalid", str(error)) from None
    for name, messages in (("question", pair.prompt), ("a", pair.response_a), ("b", pair.response_b)):
        _refuse_files(messages, name)
    return pair


def dump_judgment(key: str, judgment: Judgment) -> dict[str, Any]:
    """A judgment as `rmr1 judge --json` prints it."""
    return {"key": key, **dump_record(judgment), "probability": tell_probability(judgment)}


def is_failed(judgment: Judgment) -> bool:
    """Whether there is no winner because the engine gave no answer, so that asking again may help."""
    return judgment.winner is None and judgment.problem == "generation_failed"


def describe_failure(judgment: Judgment) -> str:
    errors = [vote.generation.error for vote in judgment.votes if vote.generation.error]
    return errors[0] if errors else "the engine gave no answer"
