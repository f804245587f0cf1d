"""PreferencePair -> JudgePrompt: the only place where a judge prompt is written.

A pair is *single-turn* when its prompt is one user message and each response one assistant message;
then the question and both responses stand in blocks of their own. Everything else is *multi-turn*:
both whole conversations, as transcripts (reference repository, `mix_data.py`).
"""

from __future__ import annotations

from rmr1.prompts.escape import escape
from rmr1.prompts.families import PromptFamily, fill, load_family
from rmr1.prompts.transcript import render_transcript
from rmr1.records import JudgePrompt, Message, Messages, Order, PreferencePair


def is_single_turn(pair: PreferencePair) -> bool:
    return [message.role for message in pair.prompt] == ["user"] and all(
        [message.role for message in response] == ["assistant"]
        for response in (pair.response_a, pair.response_b)
    )


def render_prompt(
    pair: PreferencePair,
    family: str | PromptFamily = "rubric",
    *,
    order: Order = "given",
    special_tokens: tuple[str, ...] = (),
) -> JudgePrompt:
    """The prompt that asks `family`'s way which response is better.

    With `order="swapped"` the pair's `response_b` stands first and is called A. `special_tokens` are
    the model's control tokens, neutralised in user text beside the built-in list.
    """
    family = load_family(family)
    first, second = pair.response_a, pair.response_b
    if order == "swapped":
        first, second = second, first
    if is_single_turn(pair):
        content = fill(
            family.single,
            {
                "question": escape(pair.prompt[0].text, special_tokens),
                "response_a": escape(first[0].text, special_tokens),
                "response_b": escape(second[0].text, special_tokens),
            },
        )
    else:
        content = fill(
            family.multi,
            {
                "conversation_a": render_transcript(pair.prompt + first, "A", special_tokens),
                "conversation_b": render_transcript(pair.prompt + second, "B", special_tokens),
            },
        )
    messages: Messages = (Message(role="user", content=content),)
    if family.system is not None:
        messages = (Message(role="system", content=family.system), *messages)
    return JudgePrompt(pair_id=pair.id, family=family.name, order=order, messages=messages)
