"""A chat template and the form in which it is fed: messages in, the text that the model reads out.

Some templates know no system role, or leave its text out in silence; some read content only as a list of parts; some
want user and assistant in turn. What a template takes is measured once, with texts that cannot be mistaken, and the
plainest form that brings all of them through is used and recorded. A template that brings a question through in no
form is refused.

Every prompt is checked likewise, or it is not asked: it holds each message's text, apart from white space, and a
conversation of the same roles brings texts through that cannot be mistaken. Three things are no loss: thinking that a
template takes out of the assistant's earlier turns, a text that the template knows word for word and writes in its
own way, and the JSON spelling of what a tool said. A template that is meant to leave out parts says so itself:
`{% set keeps_messages = false %}` in it, or the argument `keeps_messages`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import product
from typing import Any, Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from rmr1.engines.hf.tokens import encode_text
from rmr1.errors import CheckpointError, GenerationError, RunError, reason_of
from rmr1.messages import Message, Messages
from rmr1.prompts.thinking import find_close_mark, find_marks

Purpose = Literal["judging", "scoring", "training"]
"""What is rendered: a question; a conversation that ends with the answer to be scored; or prompts to train on."""

_KEEPS_NOT = re.compile(r"\{%[-+]?\s*set\s+keeps_messages\s*=\s*[Ff]alse\s*[-+]?%\}")
_MOMENTS = (datetime(2001, 2, 3, 4, 5, 6), datetime(2019, 10, 28, 17, 38, 49))
"""Two times that differ in everything that can be written of them."""


def _probe(number: int) -> str:
    """A text that is nowhere by chance, with signs that a template might write otherwise."""
    filling = " ".join(f"w{number}x{index}" for index in range(400))
    return f'Zq{number} "Täxt" <b>{number}</b> & it\'s\n\n  {{{filling}}}\tEnd{_mark(number)}'


def _mark(number: int) -> str:
    return f"zqXjk{number}kjXqz"


_SYSTEM, *_PROBES = (
    Message(role=role, content=_probe(number))  # type: ignore[arg-type]
    for number, role in enumerate(("system", "user", "assistant", "user", "assistant"))
)
_ASKED, _ANSWERED, _ASKED_AGAIN, _ANSWERED_AGAIN = _PROBES


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatForm:
    """How the messages are handed to a template; by default just as they are."""

    merges_system: bool = False
    """System text begins the user's turn that follows, a blank line between."""
    is_in_parts: bool = False
    """Content is a list of one text part."""
    merges_turns: bool = False
    """Turns of one role that follow each other are one, a blank line between."""

    def arrange(self, messages: Messages) -> list[dict[str, Any]]:
        """The messages as the template takes them.

        >>> brief, hi = Message(role="system", content="Be brief."), Message(role="user", content="Hi")
        >>> ChatForm(merges_system=True).arrange((brief, hi))
        [{'role': 'user', 'content': 'Be brief.\\n\\nHi'}]
        """
        turns: list[tuple[str, str]] = []
        is_open = False  # the last turn is system text that what the user says next joins
        for message in messages:
            role, text = message.role, message.text
            is_merged = self.merges_system and role == "system"
            if is_merged and not text:
                continue
            role = "user" if is_merged else role
            if turns and turns[-1][0] == role and (self.merges_turns or is_open):
                turns[-1] = role, "\n\n".join(filter(None, (turns[-1][1], text)))
            else:
                turns.append((role, text))
            is_open = is_merged
        return [
            {"role": role, "content": [{"type": "text", "text": text}] if self.is_in_parts else text}
            for role, text in turns
        ]

    def describe(self) -> dict[str, str]:
        """What a run records of it: nothing of the plain form."""
        return {name: told for field, (name, told) in _TOLD.items() if getattr(self, field)}


_TOLD = {
    "merges_system": ("system_role", "merged into the first user turn"),
    "is_in_parts": ("message_content", "a list of parts"),
    "merges_turns": ("turns", "joined if they follow each other in one role"),
}


class Chat:
    """A tokenizer's chat template, the form that it takes, and the time that it writes."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        kwargs: Mapping[str, Any] | None = None,
        *,
        purpose: Purpose = "judging",
    ):
        """Find the form; `kwargs` are arguments of the template.

        Raises:
            CheckpointError: the template brings the texts through in no form, or never writes the same twice.
        """
        self.tokenizer = tokenizer
        self.kwargs = dict(kwargs or {})
        self._source = _read_source(tokenizer, self.kwargs.get("chat_template"))
        self._keeps_messages = self.kwargs.get("keeps_messages", not _KEEPS_NOT.search(self._source))
        self._moment = _MOMENTS[0]
        self._stores_moment = True
        self._losing: dict[tuple[bool, tuple[str, ...]], str | None] = {}
        self.form = self._find_form(_NEEDS[purpose])
        self._writes_time = self._is_dated(_NEEDS[purpose])
        self.begin_run()

    def begin_run(self, stored: Mapping[str, object] | None = None) -> None:
        """Fix the time that the template writes: now, or that of the run that goes on, as it `stored` it.

        Raises:
            RunError: what was stored is no time.
        """
        told = None if stored is None else stored.get("template_time")
        self._stores_moment = stored is None or told is not None
        try:
            self._moment = datetime.fromisoformat(new_moment() if told is None else str(told))
        except ValueError:
            raise RunError(
                f"the run's template_time is {told!r}; expected a time such as {new_moment()!r}"
            ) from None

    @property
    def moment(self) -> datetime:
        """The time that the template may write."""
        return self._moment

    def describe(self) -> dict[str, str]:
        """What a run records of the template's use, beside the template itself; nothing of a plain one."""
        found = self.form.describe()
        if self._writes_time and self._stores_moment:
            found["template_time"] = self._moment.isoformat()
        return found

    def render(self, messages: Messages, *, add_generation_prompt: bool = True) -> str:
        """The messages' text, by default up to where the model is to write.

        Raises:
            GenerationError: a message holds pictures, the template refuses the messages, or it leaves out a text.
        """
        if not all(isinstance(message.content, str) for message in messages):
            raise GenerationError("the prompt has messages of several parts, but this engine reads text only")
        text = self._render(self.form, messages, add_generation_prompt)
        if not self._keeps_messages:
            return text
        lost = find_lost(text, messages, self._source)
        role = self._find_lost_role(messages, add_generation_prompt) if lost is None else lost.role
        if role is not None:
            raise GenerationError(f"the chat template leaves out the text of the {role} turn, or part of it")
        return text

    @cached_property
    def end_token(self) -> int | None:
        """The control token that the template writes after what the assistant said; None if there is none.

        If nothing is written after a conversation's last turn, it is what ends an earlier one.
        """
        # A token before the first question begins turns.
        ended = self._try((_ASKED, _ANSWERED), is_invited=False)
        found = self._find_control(ended.rpartition(_mark(2))[2])
        if found is not None and (
            ended != self._try((_ASKED, _ANSWERED)) or found[0] not in ended.partition("Zq1")[0]
        ):
            return found[1]
        longer = self._try((_ASKED, _ANSWERED, _ASKED_AGAIN))
        found = self._find_control(longer.rpartition(_mark(2))[2].partition("Zq3")[0])
        return None if found is None or found[0] in longer.partition("Zq1")[0] else found[1]

    def close_thinking(self, opening: str) -> str:
        """What ends at once the thinking that a rendered prompt opens by `opening`, in the template's own way, up to
        where the answer begins."""
        prompt, answered = self._try((_ASKED,)), self._try((_ASKED, _ANSWERED), is_invited=False)
        if prompt.endswith(opening) and answered.startswith(prompt):
            gap, begins, _ = answered.removeprefix(prompt).partition("Zq2")
            marks = find_marks(gap)
            if begins and len(marks) == 1 and marks[0].is_closing:
                return gap
        blanks = opening[len(opening.rstrip()) :]
        return blanks + find_close_mark(opening, self._source) + (blanks and "\n\n")

    def _find_lost_role(self, messages: Messages, is_invited: bool) -> str | None:
        """The role whose text the template leaves out of conversations of these roles."""
        roles = tuple(message.role for message in messages)
        if (is_invited, roles) not in self._losing:
            texts = tuple(
                Message(role=role, content=f"Zq{number} {_mark(number)}") for number, role in enumerate(roles)
            )
            text = self._try(texts, is_invited=is_invited)
            # If it refuses them, it takes these roles with certain texts only.
            lost = find_lost(text, texts, "") if text else None
            self._losing[is_invited, roles] = None if lost is None else lost.role
        return self._losing[is_invited, roles]

    def _find_control(self, text: str) -> tuple[str, int] | None:
        """The control token that stands first in `text`, white space aside, and its number."""
        controls = {token.content: number for number, token in self.tokenizer.added_tokens_decoder.items()}
        special = self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids
        controls |= dict(zip(*special, strict=True))
        rest = text.lstrip()
        first = max(
            (name for name in controls if name.strip() and rest.startswith(name)), key=len, default=""
        )
        if not first or controls[first] not in encode_text(self.tokenizer, text):
            return None
        return first, controls[first]

    def _try(self, messages: Messages, *, is_invited: bool = True) -> str:
        """The rendering; "" if the template refuses the messages."""
        try:
            return self._render(self.form, messages, is_invited)
        except GenerationError:
            return ""

    def _render(self, form: ChatForm, messages: Messages, add_generation_prompt: bool) -> str:
        clock = {}
        if "strftime_now" in self._source:
            # An argument of the template's is found before the library's function of that name.
            clock["strftime_now"] = self._moment.strftime
        try:
            text = self.tokenizer.apply_chat_template(
                form.arrange(messages),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **{**clock, **self.kwargs},
            )
        except Exception as error:  # a template is a program of its own and may raise anything
            raise GenerationError(f"the chat template refuses these messages: {reason_of(error)}") from error
        if not isinstance(text, str) or not text:
            raise GenerationError("the chat template gives no text for these messages")
        return text

    def _find_form(self, needs: Sequence[_Need]) -> ChatForm:
        """The plainest form that does all that is required, or one that does more and writes that in the same way."""
        best: ChatForm | None = None
        most, written, complaint = 0, [""], None
        for merges_turns, is_in_parts, merges_system in product((False, True), repeat=3):
            form = ChatForm(merges_system=merges_system, is_in_parts=is_in_parts, merges_turns=merges_turns)
            found = [self._bring_through(form, need) for need in needs]
            complaint = complaint or next((problem for _, problem in found if problem), None)
            if any(problem and need.is_required for need, (_, problem) in zip(needs, found, strict=True)):
                continue
            met = sum(problem is None for _, problem in found)
            required = [text for need, (text, _) in zip(needs, found, strict=True) if need.is_required]
            if best is None or (met > most and required == written):
                best, most, written = form, met, required
            if most == len(needs):
                break
        if best is None:
            raise CheckpointError(
                f"the chat template of {self.tokenizer.name_or_path!r} cannot be used: {complaint}, in whatever form it "
                "is given the messages; put a chat_template.jinja that writes each of them into the model's folder"
            )
        return best

    def _bring_through(self, form: ChatForm, need: _Need) -> tuple[str, str | None]:
        try:
            text = self._render(form, need.messages, need.is_invited)
        except GenerationError as error:
            return "", f"it {str(error).removeprefix('the chat template ')}"
        if self._keeps_messages and (lost := find_lost(text, need.messages, "")) is not None:
            return text, f"it leaves out the {lost.role}'s text or changes it"
        return text, None

    def _is_dated(self, needs: Sequence[_Need]) -> bool:
        """Whether what the template writes depends on the time; raises CheckpointError if on more."""
        written = []
        for moment in (*_MOMENTS, _MOMENTS[0]):
            self._moment = moment
            written.append([self._try(need.messages, is_invited=need.is_invited) for need in needs])
        if written[0] != written[2]:
            raise CheckpointError(
                f"the chat template of {self.tokenizer.name_or_path!r} writes another text each time for the same "
                "messages; put a chat_template.jinja that does not into the model's folder"
            )
        return written[0] != written[1]


class _Need(NamedTuple):
    messages: Messages
    is_invited: bool = True
    """The rendering ends where the assistant is to write."""
    is_required: bool = False


_QUESTIONS = _Need((_ASKED,), is_required=True), _Need((_SYSTEM, _ASKED), is_required=True)
_NEEDS: Mapping[Purpose, tuple[_Need, ...]] = {
    "judging": _QUESTIONS,
    "scoring": (
        _Need((_ASKED, _ANSWERED), is_invited=False, is_required=True),
        _Need((_SYSTEM, _ASKED, _ANSWERED), is_invited=False),
        _Need((_ASKED, _ANSWERED, _ASKED_AGAIN, _ANSWERED_AGAIN), is_invited=False),
        _Need((_ASKED, _ASKED_AGAIN, _ANSWERED), is_invited=False),
    ),
    "training": (
        *_QUESTIONS,
        _Need((_ASKED, _ANSWERED, _ASKED_AGAIN)),
        _Need((_ASKED, _ASKED_AGAIN)),
    ),
}


def new_moment() -> str:
    """The present time as a run stores it."""
    return datetime.now().replace(microsecond=0).isoformat()


def find_lost(rendered: str, messages: Messages, source: str) -> Message | None:
    """The first message whose text the rendering lacks, white space aside; None if it holds them all.

    `source` is the template's own text. Turns are looked for in their order; system text may stand anywhere.
    """
    if _find_missing(rendered, messages, source, str.strip) is None:
        return None
    return _find_missing(_squeeze(rendered), messages, source, _squeeze)


def _find_missing(rendered: str, messages: Messages, source: str, prepare: Any) -> Message | None:
    place = 0
    for number, message in enumerate(messages):
        is_system = message.role == "system"
        for text in _spellings(message, is_last=number == len(messages) - 1):
            wanted = prepare(text)
            start = rendered.find(wanted, 0 if is_system else place)
            if start >= 0:
                place = place if is_system else start + len(wanted)
                break
        else:
            if not (is_system and _is_known(message.text, source)):
                return message
    return None


def _spellings(message: Message, *, is_last: bool) -> Iterator[str]:
    """The texts as which a message is held without loss."""
    yield message.text
    if message.role == "tool":
        yield json.dumps(message.text)[1:-1]
        yield json.dumps(message.text, ensure_ascii=False)[1:-1]
    elif message.role == "assistant" and not is_last:
        closed = [mark.end for mark in find_marks(message.text) if mark.is_closing]
        if closed:
            yield message.text[max(closed) :]


def _is_known(text: str, source: str) -> bool:
    """Whether the template's source holds the text as one of its own."""
    spellings = text, repr(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
    return bool(text.strip()) and any(spelling in source for spelling in spellings)


def _read_source(tokenizer: PreTrainedTokenizerBase, name: str | None) -> str:
    try:
        return str(tokenizer.get_chat_template(name))
    except ValueError:  # several templates and none for chats: rendering says so
        return ""


def _squeeze(text: str) -> str:
    return "".join(text.split())
