"""Messages: the turns of a conversation, their parts and the calls of tools, in the form of OpenAI's chat API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """A piece of text in a message of several parts."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """A picture in a message of several parts."""

    url: str
    """A `file:`, `https:` or `data:` URL."""


Content = str | tuple[TextPart | ImagePart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a function that an assistant's message asks for."""

    name: str
    """Name of the function."""
    arguments: str | None = None
    """JSON, or whatever the model wrote in its place."""
    id: str | None = None
    """What the message with the result names it by."""

    @property
    def text(self) -> str:
        """The call as a judge reads it.

        >>> ToolCall(name="get_weather", arguments='{"city": "Paris"}').text
        '[tool call: get_weather {"city": "Paris"}]'
        """
        return f"[tool call: {self.name}{'' if self.arguments is None else ' ' + self.arguments}]"

    def to_openai(self) -> dict[str, Any]:
        """The call as OpenAI's chat API has it; what is not known is left out."""
        function = {"name": self.name} | ({} if self.arguments is None else {"arguments": self.arguments})
        return ({} if self.id is None else {"id": self.id}) | {"type": "function", "function": function}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation, in the form of OpenAI's chat API.

    >>> call = ToolCall(name="add", arguments="[2, 3]", id="call_1")
    >>> print(Message(role="assistant", content="Let me add.", tool_calls=(call,)).text)
    Let me add.
    <BLANKLINE>
    [tool call: add [2, 3]]
    >>> result = Message(role="tool", content="5", tool_call_id="call_1")
    """

    role: Role
    content: Content
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that an assistant's message asks for, after its content."""
    tool_call_id: str | None = None
    """The call whose result a tool's message holds."""
    name: str | None = None
    """Name of the tool that answers, if the data tell it."""

    @property
    def text(self) -> str:
        """All that the message says as text: parts are joined by blank lines, a picture is named by its URL."""
        calls = [call.text for call in self.tool_calls]
        if isinstance(self.content, str):
            return "\n\n".join(filter(None, (self.content, "\n".join(calls)))) if calls else self.content
        said = [part.text if isinstance(part, TextPart) else f"[image: {part.url}]" for part in self.content]
        return "\n\n".join([*said, *calls])


Messages = tuple[Message, ...]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)
