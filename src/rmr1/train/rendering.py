"""Messages -> tokens: the prompt as the engines will render it, then the judge's own turn and its end.

Prompt and turn are split into tokens apart, as they are when the judge writes. If the template opens the thinking, the
turn goes on inside it and closes it. Only the turn and the token that ends it have a loss (arXiv 2505.02387, section
3.2; the reference's scripts count the turn's header too, which the judge never writes).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.reader import find_opening
from rmr1.engines.hf.tokens import decode_tokens, encode_text
from rmr1.errors import CheckpointError, DataError, GenerationError
from rmr1.messages import Message, Messages
from rmr1.prompts.thinking import find_marks, find_open_mark
from rmr1.records import Verdict
from rmr1.train.row import Example
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.trace import read_outline

_ROLES = ("system", "user", "assistant", "tool")
_TAIL_TOKENS = 160
"""Last tokens of a prompt, among which a mark that it ends with is found; a token is at least a character."""


class Renderer:
    """Renders for one tokenizer.

    The judge's own turn never goes through the template, which may take its thinking out of it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template_kwargs: Mapping[str, Any] | None = None,
        *,
        stored: Mapping[str, object] | None = None,
    ):
        """`stored` is what `Chat.begin_run` takes."""
        self.tokenizer = tokenizer
        self.chat = Chat(tokenizer, template_kwargs, purpose="training")
        self.chat.begin_run(stored)
        self.end_token = find_end_token(self.chat)
        self._closings: dict[str, str] = {}

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
        opening = find_open_mark(prompt)
        if opening:
            turn = self._go_on(opening, turn)
        ids = encode_text(self.tokenizer, prompt)
        if not ids:
            raise DataError("the chat template gives no tokens for the prompt")
        own = encode_text(self.tokenizer, turn)
        return Example(
            tokens=array("i", [*ids, *own, self.end_token]),
            num_prompt=len(ids),
            label=label if label is not None else parse_verdict(messages[-1].text).winner,
        )

    def read_back(self, example: Example) -> Verdict:
        """What a judge reads that writes the example's own turn behind its prompt."""
        own = decode_tokens(self.tokenizer, example.tokens[example.num_prompt : -1])
        return parse_verdict(find_opening(read_opening(self.tokenizer, example), own) + own)

    def _go_on(self, opening: str, turn: str) -> str:
        """The turn as it goes on behind a prompt that opens the thinking: its own thinking in the template's form.

        If it has none, what was opened is closed first: a judge reads all that stays open as thinking.
        """
        closing = self._closings.setdefault(opening, self.chat.close_thinking(opening))
        turn = turn.lstrip()
        said = _own_words(turn)
        marks = find_marks(turn)
        if marks and not marks[0].is_closing and marks[0].start == 0:
            begun, opened = marks[0], find_marks(opening)[-1]
            blanks = opening[len(opening.rstrip()) :]
            ended = next((one for one in marks if one.is_closing and one.form == begun.form), None)
            if turn[: begun.end] == opening[opened.start : opened.end] or ended is None:
                turn = turn[begun.end :].removeprefix(blanks)
            else:
                thought, rest = turn[begun.end : ended.start].strip(), turn[ended.end :].lstrip()
                turn = f"{thought}{closing}{rest}"
        return turn if _own_words(opening + turn) == said else f"{closing}{turn}"


def _own_words(text: str) -> str:
    return "".join(read_outline(text).own_texts()).strip()


def read_opening(tokenizer: PreTrainedTokenizerBase, example: Example) -> str:
    """The mark by which an example's prompt opens the thinking, or ""."""
    tail = example.tokens[max(0, example.num_prompt - _TAIL_TOKENS) : example.num_prompt]
    return find_open_mark(decode_tokens(tokenizer, tail))


def find_end_token(chat: Chat) -> int:
    """The token that ends a turn in the chat template, or else the tokenizer's end of sequence."""
    if chat.end_token is not None:
        return chat.end_token
    if isinstance(chat.tokenizer.eos_token_id, int):
        return chat.tokenizer.eos_token_id
    raise CheckpointError(
        "the chat template ends a turn with no special token, and the tokenizer names no eos_token: "
        "the judge could not learn where to stop; set eos_token in tokenizer_config.json"
    )


def read_messages(data: Mapping[str, Any]) -> Messages:
    """The `messages` of a row, a list of {"role", "content"} with text."""
    rows = data.get("messages")
    if rows is None:
        raise DataError(f"the row has no 'messages' (it has {', '.join(map(str, data)) or 'nothing'})")
    if not isinstance(rows, list) or not rows:
        raise DataError("'messages' is not a list of messages")
    messages = []
    for number, row in enumerate(rows):
        role, content = (row.get("role"), row.get("content")) if isinstance(row, dict) else (None, None)
        if role not in _ROLES:
            raise DataError(f"messages[{number}]: role {role!r} is not one of {', '.join(_ROLES)}")
        if not isinstance(content, str):
            raise DataError(f"messages[{number}]: content is not text")
        messages.append(Message(role=role, content=content))
    return tuple(messages)
