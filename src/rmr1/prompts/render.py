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
from collections.abc import Sequence

from rmr1.errors import ConfigError
from rmr1.messages import Message, Messages, Role
from rmr1.prompts.escape import escape
from rmr1.prompts.families import LABELS, RUBRIC_WRITER, PromptFamily, fill, load_family
from rmr1.prompts.protocol import CHATBOT_NAME, CLIENT_NAME
from rmr1.records import JudgePrompt, Order, PreferencePair, RubricItem, Side, swap_label

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
    criteria: Sequence[RubricItem] = (),
) -> JudgePrompt:
    """The prompt that asks `family`'s way which response is better, or how good the one it shows is.

    With `order="swapped"` the pair's `response_b` stands first and is called A. `side` is the answer that a family of
    one answer shows, A unless told otherwise. `special_tokens` are broken in user text beside those known by their shape.
    `criteria` are what a family that has a place for them tells the judge to go by.

    >>> from rmr1.messages import assistant, user
    >>> right, wrong = assistant("Four."), assistant("Five.")
    >>> pair = PreferencePair(id="7", prompt=(user("2 + 2?"),), response_a=(right,), response_b=(wrong,))
    >>> text = render_prompt(pair, "direct", order="swapped").messages[-1].text
    >>> text.index("Five.") < text.index("Four.")
    True

    Raises:
        ConfigError: the family shows more answers than there are, or none; it has a place for criteria and there are
            none, or the other way round.
    """
    family = load_family(family)
    check_criteria_place(family, is_given=bool(criteria))
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
    if criteria:
        values["criteria"] = format_criteria(criteria, special_tokens)
    return JudgePrompt(
        pair_id=pair.id,
        family=family.name,
        order=order,
        side=side if ratings else None,
        messages=_to_messages(family, fill(template, values)),
        labels=RATINGS if ratings else tuple(labels),
        num_criteria=len(criteria),
    )


def check_criteria_place(family: PromptFamily, *, is_given: bool) -> None:
    """
    Raises:
        ConfigError: criteria are given and the family has no place for them, or it has one and there are none; or it
            shows no answer.
    """
    if family.num_answers == 0:
        raise ConfigError(f"prompt family {family.name!r} shows no answer; it is for shared rubrics alone")
    if is_given and not family.has_criteria:
        raise ConfigError(
            f"prompt family {family.name!r} has no place for criteria, {{criteria}} in its templates; leave the family "
            "out, or the criteria"
        )
    if family.has_criteria and not is_given:
        raise ConfigError(
            f"prompt family {family.name!r} has the judge go by criteria, and there are none; give some, have the judge "
            "write a rubric for each question, or use another family"
        )


def render_question(
    pair: PreferencePair, *, special_tokens: tuple[str, ...] = (), family: PromptFamily | None = None
) -> JudgePrompt:
    """The prompt that asks for a rubric for what the pair's answers respond to, which shows neither of them."""
    family = family or load_family(RUBRIC_WRITER)
    if [message.role for message in pair.prompt] == ["user"]:
        content = fill(family.single, {"question": escape(pair.prompt[0].text, special_tokens)})
    else:
        content = fill(family.multi, {"question": render_transcript(pair.prompt, "A", special_tokens)})
    messages = _to_messages(family, content)
    return JudgePrompt(pair_id=pair.id, family=family.name, order="given", messages=messages)


def format_criteria(criteria: Sequence[RubricItem], special_tokens: tuple[str, ...] = ()) -> str:
    """The criteria as a prompt lists them, escaped: numbered from 1, with their weights.

    >>> format_criteria([RubricItem(name="Truth", text="Is it true?", weight=0.7), RubricItem(text="Is it short?")])
    '1. Truth (weight 70%): Is it true?\\n2. Is it short?'
    """
    lines = []
    for number, one in enumerate(criteria, start=1):
        weight = "" if one.weight is None else f" (weight {format_weight(one.weight)})"
        first, *rest = one.text.split("\n")
        head = f"{first}{weight}" if one.name is None else f"{one.name}{weight}: {first}"
        text = escape("\n   ".join([head, *rest]), special_tokens, transcript=True)
        lines.append(f"{number}. {text}")
    return "\n".join(lines)


def format_weight(weight: float) -> str:
    """`40%` for a share, the bare number for what is more than the whole."""
    return f"{100 * weight:.4g}%" if weight <= 1 else f"{weight:.4g}"


def _to_messages(family: PromptFamily, content: str) -> Messages:
    message = Message(role="user", content=content)
    return (message,) if family.system is None else (Message(role="system", content=family.system), message)


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
