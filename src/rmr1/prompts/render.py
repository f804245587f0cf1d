"""PreferencePair -> JudgePrompt: the only place where a judge prompt is written.

A family shows one answer, two or four (`PromptFamily.num_answers`): the first ones in the prompt's order.
A pair is *single-turn* when its prompt is one user message and each response one assistant message;
then the question and the responses stand in blocks of their own. Everything else is *multi-turn*:
whole conversations, as transcripts (reference repository, `mix_data.py`).

In a transcript one turn starts a line with its speaker's name, `User: ...` or `Chatbot A: ...`. The reference's own
rendering misspelt the second speaker "Chabot B" exactly when A was preferred; that spelling is read here and never
written.
"""

from __future__ import annotations

import re

from rmr1.errors import ConfigError
from rmr1.messages import Message, Messages, Role
from rmr1.prompts.escape import escape
from rmr1.prompts.families import LABELS, PromptFamily, fill, load_family
from rmr1.prompts.protocol import CHATBOT_NAME, CLIENT_NAME
from rmr1.records import JudgePrompt, Order, PreferencePair, Side, swap_label

RATINGS = tuple(str(rating) for rating in range(1, 11))
"""What an answer that is judged alone may be given: the labels of such a prompt."""

_TURN = re.compile(r"^(User|System|Tool|Chatbot [A-Z]|Chabot [A-Z]): ?", re.M)
_ROLES: dict[str, Role] = {"User": "user", "System": "system", "Tool": "tool"}


def is_single_turn(pair: PreferencePair) -> bool:
    return [message.role for message in pair.prompt] == ["user"] and all(
        [message.role for message in response] == ["assistant"] for response in pair.responses
    )


def render_prompt(
    pair: PreferencePair,
    family: str | PromptFamily = "rubric",
    *,
    order: Order = "given",
    side: Side | None = None,
    special_tokens: tuple[str, ...] = (),
) -> JudgePrompt:
    """The prompt that asks `family`'s way which response is better, or how good the one it shows is.

    With `order="swapped"` the pair's `response_b` stands first and is called A. `side` is the answer that a family of
    one answer shows, A unless told otherwise. `special_tokens` are broken in user text beside those known by their shape.

    >>> from rmr1.messages import assistant, user
    >>> right, wrong = assistant("Four."), assistant("Five.")
    >>> pair = PreferencePair(id="7", prompt=(user("2 + 2?"),), response_a=(right,), response_b=(wrong,))
    >>> text = render_prompt(pair, "direct", order="swapped").messages[-1].text
    >>> text.index("Five.") < text.index("Four.")
    True

    Raises:
        ConfigError: the family shows more answers than there are.
    """
    family = load_family(family)
    responses = dict(zip("ABCD", pair.responses, strict=False))
    labels = LABELS[family.num_answers]
    if len(labels) > len(responses):
        raise ConfigError(
            f"prompt family {family.name!r} asks about {len(labels)} answers, {pair.id!r} has {len(responses)}"
        )
    ratings = len(labels) == 1
    if ratings:
        order, side = "given", side or "A"
        shown = {"A": responses[side]}
    else:
        shown = {label: responses[swap_label(label, order)] for label in labels}
    if is_single_turn(pair):
        template = family.single
        values = {"question": escape(pair.prompt[0].text, special_tokens, ratings=ratings)}
        for label, response in shown.items():
            text = escape(response[0].text, special_tokens, ratings=ratings)
            values[f"response_{label.lower()}"] = text
    else:
        template = family.multi
        values = {
            f"conversation_{label.lower()}": render_transcript(
                pair.prompt + response, label, special_tokens, ratings=ratings
            )
            for label, response in shown.items()
        }
    content = fill(template, values)
    messages: Messages = (Message(role="user", content=content),)
    if family.system is not None:
        messages = (Message(role="system", content=family.system), *messages)
    return JudgePrompt(
        pair_id=pair.id,
        family=family.name,
        order=order,
        side=side if ratings else None,
        messages=messages,
        labels=RATINGS if ratings else tuple(labels),
    )


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
    ends = [*(start.start() - 1 for start in starts), len(text)]
    head = text[: starts[0].start()] if starts else text
    turns: list[Message] = []
    if not starts or head.strip():
        turns.append(Message(role="user", content=head.removesuffix("\n")))
    for start, end in zip(starts, ends[1:], strict=True):
        role = _ROLES.get(start[1], "assistant")
        turns.append(Message(role=role, content=text[start.end() : max(end, start.end())]))
    return tuple(turns)
