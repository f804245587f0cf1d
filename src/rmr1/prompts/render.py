"""PreferencePair -> JudgePrompt: the only place where a judge prompt is written.

A family shows one answer, two or four (`PromptFamily.num_answers`): the first ones in the prompt's order.
A pair is *single-turn* when its prompt is one user message and each response one assistant message;
then the question and the responses stand in blocks of their own. Everything else is *multi-turn*:
whole conversations, as transcripts (reference repository, `mix_data.py`).
"""

from __future__ import annotations

from rmr1.errors import ConfigError
from rmr1.prompts.escape import escape
from rmr1.prompts.families import LABELS, PromptFamily, fill, load_family
from rmr1.prompts.transcript import render_transcript
from rmr1.records import JudgePrompt, Message, Messages, Order, PreferencePair, Side, swap_label

RATINGS = tuple(str(rating) for rating in range(1, 11))
"""What an answer that is judged alone may be given: the labels of such a prompt."""


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
    one answer shows, A unless told otherwise. `special_tokens` are
    the model's control tokens and the user's, neutralised in user text beside those known by their shape.

    >>> from rmr1.records import assistant, user
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
        content = fill(
            family.single,
            {
                "question": escape(pair.prompt[0].text, special_tokens, ratings=ratings),
                **{
                    f"response_{label.lower()}": escape(response[0].text, special_tokens, ratings=ratings)
                    for label, response in shown.items()
                },
            },
        )
    else:
        content = fill(
            family.multi,
            {
                f"conversation_{label.lower()}": render_transcript(
                    pair.prompt + response, label, special_tokens, ratings=ratings
                )
                for label, response in shown.items()
            },
        )
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
