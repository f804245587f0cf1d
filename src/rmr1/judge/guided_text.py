"""What guided texts are made of: a text that grows part by part, and what is open at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.sheets import Sheet
from rmr1.messages import Messages
from rmr1.prompts.protocol import SCORE_TAG, SIDE_TAGS, TAGS
from rmr1.prompts.thinking import Pair, find_close_mark, find_marks
from rmr1.records import NO_TEXT, Generation, JudgePrompt, Usage

Writing = Generator[Request, Generation, Generation]
"""One text that is asked for part by part: yields the requests, is sent what they gave, and returns the whole."""

TYPES = {"Reasoning": "solution", "Chat": "rubric"}
"""A type -> the part that comes before the evaluation."""
GAP = "\n\n"
_INLINE = (*SIDE_TAGS, SCORE_TAG)
_TAG = re.compile(
    rf"<(/?)({'|'.join([*TAGS, *(f'{name}_[A-Z]' for name in SIDE_TAGS), rf'{SCORE_TAG}_[0-9]{{1,3}}'])})>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """How one prompt's texts are guided."""

    is_typed: bool
    """Whether the family asks for the type of the task, and so for the parts that follow from it."""
    by_sheet: bool = False
    """Whether the parts are asked for together, as JSON."""
    opening: str
    """The mark by which the prompt opens the thinking, or ""."""
    thinking: tuple[Pair, ...]
    """The user's own forms of thinking."""
    part_tokens: int
    """Most tokens of a part; thinking has as many as a whole text."""
    rule: str
    """The verdict rule, by which it is found out whether a text of the model's own has a verdict."""


class GrowingText:
    """A text as it grows, and what it took."""

    def __init__(
        self, prompt: JudgePrompt, key: str, seed: Callable[[int], int], sample: int, params: SamplingParams
    ):
        self.text = ""
        self._request = Request(key=key, prompt=prompt, samples=range(sample, sample + 1))
        self._params = replace(params, num_samples=1, stop_at_verdict=False, verdict_logprobs=False)
        self._seed = seed
        self._parts: list[Generation] = []

    def write(self, stop: Sequence[str], most_tokens: int) -> Generator[Request, Generation, bool]:
        """Let the model go on, up to one of the stop strings; False if it could not be asked."""
        if not most_tokens:
            return True
        params = replace(self._params, stop=tuple(stop), max_new_tokens=most_tokens)
        found = yield from self._ask(Continuation(start=self.text, stop_at_loop=True), params)
        self.text += found.text
        return found.finish_reason not in NO_TEXT

    def fill(
        self, sheet: Sheet, most_tokens: int, messages: Messages | None = None
    ) -> Generator[Request, Generation, Generation]:
        """Let the model fill a sheet, asked by other messages if there are any."""
        params = replace(self._params, stop=(), max_new_tokens=most_tokens)
        prompt = self._request.prompt
        prompt = prompt if messages is None else replace(prompt, messages=messages)
        return (yield from self._send(replace(self._request, prompt=prompt, sheet=sheet), params))

    def choose(
        self, choices: Sequence[str], *, is_last: bool = False
    ) -> Generator[Request, Generation, bool]:
        """Let the model go on with one of the choices, the text's end if `is_last`; False if it could not be asked."""
        going_on = Continuation(start=self.text, choices=tuple(choices))
        found = yield from self._ask(going_on, self._params, goes_on=not is_last)
        self.text += found.text
        return found.finish_reason not in NO_TEXT

    def _ask(
        self, going_on: Continuation, params: SamplingParams, *, goes_on: bool = True
    ) -> Generator[Request, Generation, Generation]:
        request = replace(self._request, going_on=going_on, goes_on=goes_on)
        return (yield from self._send(request, params))

    def _send(self, request: Request, params: SamplingParams) -> Generator[Request, Generation, Generation]:
        found = yield replace(request, seed=self._seed(len(self._parts)), params=params)
        self._parts.append(found)
        return found

    @property
    def most_tokens(self) -> int:
        """Most tokens of a whole text."""
        return self._params.max_new_tokens

    def fail(self, reason: str) -> None:
        """Give the last request's answer up."""
        self._parts[-1] = replace(self._parts[-1], text="", finish_reason="error", error=reason)

    def finish(self, labels: Sequence[str]) -> Generation:
        """The whole as one generation, with what the last choice says of the labels; or why there is none."""
        last = add_usage(self._parts, self._parts[-1])
        if last.finish_reason in NO_TEXT:
            return last
        logprobs = None
        if last.verdict_logprobs is not None:
            logprobs = tuple(zip(labels, (value for _, value in last.verdict_logprobs), strict=True))
        return replace(last, text=self.text, finish_reason="stop", verdict_logprobs=logprobs, is_forced=True)


def add_usage(parts: Sequence[Generation], whole: Generation) -> Generation:
    """A text with what all requests took that it came by; its prompt is that of the first one."""
    billed = [part.billed for part in parts if part.billed is not None]
    return replace(
        whole,
        prompt_tokens=parts[0].prompt_tokens,
        completion_tokens=sum(part.completion_tokens for part in parts),
        billed=sum(billed, Usage()) if billed else None,
    )


def close_open(text: str, thinking: Sequence[Pair] = ()) -> str:
    """The text with the protocol's tags and the thinking closed that are open at its end.

    >>> close_open("<eval>\\n<quote_A>4")
    '<eval>\\n<quote_A>4</quote_A>\\n</eval>'
    """
    marks = find_marks(text, thinking)
    opened: list[tuple[int, str]] = []
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened.append((tag.start(), tag[2]))
        elif any(name == tag[2] for _, name in opened):
            while opened.pop()[1] != tag[2]:
                pass
    names = [name for _, name in opened if name not in ("think", "thinking")]
    if marks and not marks[-1].is_closing:
        inside = [name for place, name in opened if place > marks[-1].start and name in names]
        names = names[: len(names) - len(inside)]
        text = f"{text.rstrip()}\n{find_close_mark(text[marks[-1].start : marks[-1].end], '', thinking)}"
    for name in reversed(names):
        text += f"</{name}>" if name.startswith(_INLINE) else f"\n</{name}>"
    return text
