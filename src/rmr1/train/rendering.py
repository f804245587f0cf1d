"""Messages -> tokens: the prompt as the engines will render it, then the judge's own turn and its end.

Prompt and turn are split into tokens apart, as they are when the judge writes: first the prompt up to where
it is to write, then what it writes. Only the turn and the token that ends it have a loss (arXiv 2505.02387,
section 3.2; the reference's scripts count the turn's header too, which the judge never writes).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from rmr1.engines.chat import Chat
from rmr1.engines.tokens import encode_text
from rmr1.errors import CheckpointError, DataError, GenerationError
from rmr1.prompts.thinking import find_open_mark
from rmr1.records import Message, Messages
from rmr1.train.row import Example
from rmr1.verdicts import parse_verdict

_ROLES = ("system", "user", "assistant", "tool")


class Renderer:
    """Renders for one tokenizer.

    The judge's own turn never goes through the template: one that takes thinking out of what the assistant said
    would take it out of what is to be learnt.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template_kwargs: Mapping[str, Any] | None = None,
        *,
        stored: Mapping[str, object] | None = None,
    ):
        """`stored` is what `Chat.begin_run` takes.

        Raises:
            CheckpointError: the chat template does not write every message, or nothing ends a turn.
        """
        self.tokenizer = tokenizer
        self.chat = Chat(tokenizer, template_kwargs, purpose="training")
        self.chat.begin_run(stored)
        self.end_token = find_end_token(self.chat)

    def render(self, messages: Messages, *, label: str | None = None) -> Example:
        """The document of a conversation whose last turn is the judge's; any length.

        `label` is the right verdict; by default what the turn itself says.

        Raises:
            DataError: there is no such turn, it is empty, or the template refuses the messages.
        """
        if len(messages) < 2 or messages[-1].role != "assistant":
            raise DataError("the last message is not the judge's; expected role 'assistant' after a prompt")
        turn = messages[-1].text
        if not turn.strip():
            raise DataError("the judge's turn is empty")
        try:
            prompt = self.chat.render(messages[:-1])
        except GenerationError as error:
            raise DataError(str(error)) from None
        opening = find_open_mark(prompt).strip()
        if opening and turn.lstrip().startswith(opening):
            turn = turn.lstrip()[len(opening) :].removeprefix("\n")
        ids = encode_text(self.tokenizer, prompt)
        if not ids:
            raise DataError("the chat template gives no tokens for the prompt")
        own = encode_text(self.tokenizer, turn)
        return Example(
            tokens=array("i", [*ids, *own, self.end_token]),
            num_prompt=len(ids),
            label=label if label is not None else parse_verdict(messages[-1].text).winner,
        )


def find_end_token(chat: Chat) -> int:
    """The token that ends a turn in the chat template, or else the tokenizer's end of sequence.

    Raises:
        CheckpointError: there is neither.
    """
    if chat.end_token is not None:
        return chat.end_token
    if isinstance(chat.tokenizer.eos_token_id, int):
        return chat.tokenizer.eos_token_id
    raise CheckpointError(
        "the chat template ends a turn with no special token, and the tokenizer names no eos_token: "
        "the judge could not learn where to stop; set eos_token in tokenizer_config.json"
    )


def read_messages(data: Mapping[str, Any]) -> Messages:
    """The `messages` of a row.

    Raises:
        DataError: they are missing, or not a list of {"role", "content"} with text.
    """
    rows = data.get("messages")
    if rows is None:
        found = ", ".join(map(str, data)) or "nothing"
        raise DataError(f"the row has no 'messages' (it has {found})")
    if not isinstance(rows, list) or not rows:
        raise DataError("'messages' is not a list of messages")
    messages = []
    for number, row in enumerate(rows):
        role = row.get("role") if isinstance(row, dict) else None
        content = row.get("content") if isinstance(row, dict) else None
        if role not in _ROLES:
            raise DataError(f"messages[{number}]: role {role!r} is not one of {', '.join(_ROLES)}")
        if not isinstance(content, str):
            raise DataError(f"messages[{number}]: content is not text")
        messages.append(Message(role=role, content=content))
    return tuple(messages)
