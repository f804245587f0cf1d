"""Guided judgments of servers that do not go on with a begun text: the parts are asked for together, as JSON.

The text that is stored is the protocol's, written from the fields. If the answer is missing from them, or from a text of
the model's own, a further turn asks for it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.loops import cut_loop
from rmr1.engines.sheets import Field, Sheet, read_value
from rmr1.judge.guided_text import GAP, TYPES, GrowingText, Guide, Writing, close_open
from rmr1.messages import Message, Messages, TextPart, assistant, user
from rmr1.prompts.thinking import Pair
from rmr1.records import NO_TEXT, Generation, JudgePrompt

_REST_TOKENS = 128
"""Tokens for all that is no part: names of fields, quotation marks, type and answer."""
_TYPE = Field(name="type", about="The kind of the task.", choices=tuple(TYPES))
_WORK = Field(name="work", about="The solution if the type is Reasoning, the rubric if it is Chat.")
_EVALUATION = Field(name="evaluation", about="The evaluation of the responses.")
_REASONS = Field(name="reasons", about="All that is to be written before the answer.")


def write_sheet(
    prompt: JudgePrompt,
    guide: Guide,
    *,
    key: str,
    seed: Callable[[int], int],
    sample: int,
    params: SamplingParams,
) -> Writing:
    """A judgment in the protocol's parts, asked for in one request; `seed` gives the seed of each by its number."""
    text = GrowingText(prompt, key, seed, sample, params)
    parts = (_WORK, _EVALUATION) if guide.is_typed else (_REASONS,) if guide.part_tokens else ()
    fields = ((_TYPE,) if guide.is_typed else ()) + parts + (_answer(prompt),)
    names = ", ".join(field.name for field in fields)
    asked = f"Write the judgment as one JSON object with the fields {names}, instead of the form above."
    most = len(parts) * guide.part_tokens + _REST_TOKENS + (params.max_new_tokens if guide.opening else 0)
    found = yield from text.fill(Sheet(fields=fields), most, _add_line(prompt.messages, asked))
    if found.finish_reason in NO_TEXT:
        return text.finish(prompt.labels)
    values = {field.name: (read_value(found.text, field.name) or "").strip() for field in fields}
    if guide.is_typed and (kind := values["type"]) in TYPES:
        text.text = f"<type>{kind}</type>{GAP}"
        work = TYPES[kind]
        for name, value in ((work, values["work"]), ("eval", values["evaluation"])):
            text.text += f"<{name}>\n{_tidy(value, name, guide.thinking)}\n</{name}>{GAP}"
    elif value := _tidy(values.get("reasons", ""), "", guide.thinking):
        text.text = f"{value}{GAP}"
    if (answer := values["answer"]) in prompt.labels:
        text.text += f"<answer>[[{answer}]]</answer>"
    else:
        yield from ask_verdict(text, prompt)
    return text.finish(prompt.labels)


def ask_verdict(text: GrowingText, prompt: JudgePrompt) -> Generator[Request, Generation, bool]:
    """Have the verdict behind the text so far; False if there is none, for which the text then has a reason."""
    labels = " or ".join(prompt.labels)
    asked = f"Now write the verdict alone, as one JSON object with the field answer: {labels}."
    written = text.text.strip()
    messages = (
        (*prompt.messages, assistant(written), user(asked)) if written else _add_line(prompt.messages, asked)
    )
    found = yield from text.fill(Sheet(fields=(_answer(prompt),)), text.most_tokens + _REST_TOKENS, messages)
    if found.finish_reason in NO_TEXT:
        return False
    answer = (read_value(found.text, "answer") or "").strip()
    if answer not in prompt.labels:
        text.fail(
            f"the server was told to write an object with the answer {labels}, and wrote {found.text[:80]!r}"
        )
        return False
    text.text += f"<answer>[[{answer}]]</answer>"
    return True


def _answer(prompt: JudgePrompt) -> Field:
    return Field(name="answer", about="The better response.", choices=prompt.labels)


def _tidy(value: str, name: str, thinking: tuple[Pair, ...]) -> str:
    """A part without what would end it, or belongs to another one."""
    value = cut_loop(value).strip().removeprefix(f"<{name}>")
    tags = [f"</{name}>"] if name else []
    for mark in (*tags, "<answer>", *(["<eval>"] if name in TYPES.values() else [])):
        value = value.partition(mark)[0]
    return close_open(value.strip(), thinking)


def _add_line(messages: Messages, line: str) -> Messages:
    """The messages with a paragraph more in the last one."""
    *before, last = messages
    content = last.content
    more = f"{content}\n\n{line}" if isinstance(content, str) else (*content, TextPart(text=line))
    added: Message = replace(last, content=more)
    return (*before, added)
