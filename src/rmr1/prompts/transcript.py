"""Conversations as transcripts, for the multi-turn form of the judge prompt, and back.

One turn starts a line with its speaker's name: `User: ...`, `Chatbot A: ...`; turns are joined by a
line break (reference repository, `mix_data.py`). The reference's own rendering misspelt the second
speaker "Chabot B" exactly when A was preferred; that spelling is read here and never written.
"""

from __future__ import annotations

import re

from rmr1.prompts.escape import escape
from rmr1.prompts.protocol import CHATBOT_NAME, CLIENT_NAME
from rmr1.records import Message, Messages, Role

_TURN = re.compile(r"^(User|System|Tool|Chatbot [A-Z]|Chabot [A-Z]): ?", re.M)
_ROLES: dict[str, Role] = {"User": "user", "System": "system", "Tool": "tool"}


def render_transcript(
    messages: Messages, label: str, special_tokens: tuple[str, ...] = (), *, ratings: bool = False
) -> str:
    """The conversation as Chatbot `label` had it, every message escaped."""
    names = {
        "user": CLIENT_NAME,
        "system": "System",
        "tool": "Tool",
        "assistant": CHATBOT_NAME.format(label=label),
    }
    return "\n".join(
        f"{names[message.role]}: {escape(message.text, special_tokens, transcript=True, ratings=ratings)}"
        for message in messages
    )


def parse_transcript(text: str) -> Messages:
    """A transcript's turns; text before the first speaker's name is a user turn."""
    starts = list(_TURN.finditer(text))
    turns: list[Message] = []
    if not starts or text[: starts[0].start()].strip():
        head = text[: starts[0].start()] if starts else text
        turns.append(Message(role="user", content=head.removesuffix("\n")))
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        end = len(text) if following is None else following.start() - 1
        turns.append(
            Message(role=_ROLES.get(start[1], "assistant"), content=text[start.end() : max(end, start.end())])
        )
    return tuple(turns)
