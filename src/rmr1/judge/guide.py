"""The guided protocol: the judge's skeleton is written for the model, which fills it, and no text ends without verdict.

    protocol   `<type>` by comparing the probabilities of the two types; the solution, or the rubric, and the evaluation,
               each within a budget; then `<answer>[[` is written, and the letter read from the probabilities. A family
               that asks for no type has one part, whatever the model writes before its answer; one that gives criteria
               has a part for each, and a line with the scores behind it
    verdict    the text is the model's own; if it holds no verdict, whatever is open in it is closed and the verdict
               is read as above

What belongs to a part but is missing is added, and what belongs to the next one is left to it; all that the model wrote
in between stands as it is. A part that ends in a loop ends there. The parts are asked for one after the other: each is
a continuation of all that is written (`rmr1.engines.base.Continuation`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.prompts import PromptFamily
from rmr1.prompts.protocol import SCORE_TAG, SIDE_TAGS, TAGS
from rmr1.prompts.thinking import Pair, find_close_mark, find_marks
from rmr1.records import NO_TEXT, Generation, JudgePrompt
from rmr1.store.keys import seed_for
from rmr1.verdicts.kinds import read_verdict

Writing = Generator[Request, Generation, Generation]
"""One text that is asked for part by part: yields the requests, is sent what they gave, and returns the whole."""

_TYPES = {"Reasoning": "solution", "Chat": "rubric"}
"""A type -> the part that comes before the evaluation."""
_GAP = "\n\n"
_INLINE = (*SIDE_TAGS, SCORE_TAG)
_TAG = re.compile(
    rf"<(/?)({'|'.join([*TAGS, *(f'{name}_[A-Z]' for name in SIDE_TAGS), rf'{SCORE_TAG}_[0-9]{{1,3}}'])})>"
)
_SCORE_TOKENS = 6
_SCORE = re.compile(r"\s*(10|[1-9](?:\.\d{1,2})?)(?![\d.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """How one prompt's texts are guided."""

    is_typed: bool
    """Whether the family asks for the type of the task, and so for the parts that follow from it."""
    opening: str
    """The mark by which the prompt opens the thinking, or ""."""
    thinking: tuple[Pair, ...]
    """The user's own forms of thinking."""
    part_tokens: int
    """Most tokens of a part; thinking has as many as a whole text."""
    rule: str
    """The verdict rule, by which it is found out whether a text of the model's own has a verdict."""


def is_typed(family: PromptFamily) -> bool:
    """Whether the family asks for the parts of Chain-of-Rubrics."""
    text = f"{family.system}{family.single}"
    return all(f"<{name}>" in text for name in ("type", "eval", *_TYPES.values()))


class _Text:
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
        params = replace(self._params, stop=tuple(stop), max_new_tokens=most_tokens)
        found = yield from self._ask(Continuation(start=self.text, stop_at_loop=True), params)
        self.text += found.text
        return found.finish_reason not in NO_TEXT

    def choose(self, choices: Sequence[str]) -> Generator[Request, Generation, bool]:
        """Let the model go on with one of the choices; False if it could not be asked."""
        found = yield from self._ask(Continuation(start=self.text, choices=tuple(choices)), self._params)
        self.text += found.text
        return found.finish_reason not in NO_TEXT

    def _ask(
        self, going_on: Continuation, params: SamplingParams
    ) -> Generator[Request, Generation, Generation]:
        request = replace(self._request, seed=self._seed(len(self._parts)), params=params, going_on=going_on)
        found = yield request
        self._parts.append(found)
        return found

    def finish(self, labels: Sequence[str]) -> Generation:
        """The whole as one generation, with what the last choice says of the labels; or why there is none."""
        last = self._parts[-1]
        tokens = sum(part.completion_tokens for part in self._parts)
        if last.finish_reason in NO_TEXT:
            return replace(last, completion_tokens=tokens)
        logprobs = None
        if last.verdict_logprobs is not None:
            logprobs = tuple(zip(labels, (value for _, value in last.verdict_logprobs), strict=True))
        return replace(
            last, text=self.text, completion_tokens=tokens, verdict_logprobs=logprobs, is_forced=True
        )


def write_protocol(
    prompt: JudgePrompt,
    guide: Guide,
    *,
    key: str,
    seed: Callable[[int], int],
    sample: int,
    params: SamplingParams,
) -> Writing:
    """A judgment in the protocol's parts; `seed` gives the seed of each part by its number."""
    text = _Text(prompt, key, seed, sample, params)
    if guide.opening:
        closing = find_close_mark(guide.opening, "", guide.thinking)
        if not (yield from text.write([closing], params.max_new_tokens)):
            return text.finish(prompt.labels)
        text.text = close_open(text.text, guide.thinking).rstrip() + _GAP
    parts: tuple[str, ...] = ()
    if guide.is_typed:
        text.text += "<type>"
        if not (yield from text.choose([f"{name}</type>" for name in _TYPES])):
            return text.finish(prompt.labels)
        parts = (next(part for name, part in _TYPES.items() if text.text.endswith(f"{name}</type>")), "eval")
        text.text += _GAP
    elif prompt.num_criteria:
        if not (yield from _write_criteria(text, prompt, guide)):
            return text.finish(prompt.labels)
    elif guide.part_tokens:
        if not (yield from text.write(["<answer>"], guide.part_tokens)):
            return text.finish(prompt.labels)
        text.text = close_open(text.text.removesuffix("<answer>"), guide.thinking).rstrip()
        text.text += _GAP if text.text else ""
    for number, name in enumerate(parts):
        text.text += f"<{name}>\n"
        start, foreign = len(text.text), [f"<{later}>" for later in (*parts[number + 1 :], "answer")]
        if not (yield from text.write([f"</{name}>", *foreign], guide.part_tokens)):
            return text.finish(prompt.labels)
        inside = text.text[start:]
        for mark in foreign:
            inside = inside.removesuffix(mark)
        if not inside.endswith(f"</{name}>"):
            inside = f"{close_open(inside.rstrip(), guide.thinking)}\n</{name}>"
        text.text = text.text[:start] + inside + _GAP
    yield from _read_verdict(text, prompt)
    return text.finish(prompt.labels)


def write_verdict(
    prompt: JudgePrompt,
    guide: Guide,
    *,
    key: str,
    seed: Callable[[int], int],
    sample: int,
    params: SamplingParams,
) -> Writing:
    """The model's own text; if it has no verdict, closed and with one."""
    found = yield Request(
        key=key, prompt=prompt, seed=seed(0), samples=range(sample, sample + 1), params=params
    )
    if found.finish_reason in NO_TEXT:
        return found
    is_cut = found.finish_reason == "length"
    verdict = read_verdict(
        found.text, "pair", guide.rule, labels=prompt.labels, truncated=is_cut, thinking=guide.thinking
    )
    if verdict.winner is not None:
        return found
    text = _Text(prompt, key, lambda part: seed(part + 1), sample, params)
    text.text = close_open(found.text, guide.thinking).rstrip() + _GAP
    yield from _read_verdict(text, prompt)
    forced = text.finish(prompt.labels)
    return replace(
        forced, completion_tokens=found.completion_tokens + forced.completion_tokens, seed=found.seed
    )


def _write_criteria(text: _Text, prompt: JudgePrompt, guide: Guide) -> Generator[Request, Generation, bool]:
    """The evaluation: a part for each criterion, and behind it the line of its scores."""
    text.text += "<eval>\n"
    for number in range(1, prompt.num_criteria + 1):
        tag, start = f"{SCORE_TAG}_{number}", len(text.text)
        if guide.part_tokens:
            text.text += f"{number}."
            stop = [f"<{tag}>", "</eval>", "<answer>"]
            if not (yield from text.write(stop, guide.part_tokens)):
                return False
            inside = text.text[start:]
            for mark in stop:
                inside = inside.removesuffix(mark)
            text.text = text.text[:start] + close_open(inside.rstrip(), guide.thinking) + "\n"
        text.text += f"<{tag}>"
        for label, behind in zip(prompt.labels, (", ", f"</{tag}>\n"), strict=True):
            text.text += f"{label}:"
            if not (yield from _write_score(text)):
                return False
            text.text += behind
    text.text += f"</eval>{_GAP}"
    return True


def _write_score(text: _Text) -> Generator[Request, Generation, bool]:
    """A number that the model writes; if it writes none, the likeliest of those with one digit."""
    start = len(text.text)
    if not (yield from text.write([",", "<", "\n"], _SCORE_TOKENS)):
        return False
    found = _SCORE.match(text.text, start)
    text.text = text.text[:start]
    if found is not None:
        text.text += f" {found[1]}"
        return True
    return (yield from text.choose([f" {number}" for number in range(1, 10)]))


def _read_verdict(text: _Text, prompt: JudgePrompt) -> Generator[Request, Generation, bool]:
    text.text += "<answer>[["
    return (yield from text.choose([f"{label}]]</answer>" for label in prompt.labels]))


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


def guided(
    guide: Guide, key: str, *, seed: int, params: SamplingParams, is_free: bool
) -> Callable[[JudgePrompt, int], Writing]:
    """Writes samples of an item's prompts; `is_free` only adds a verdict to a text that has none."""
    write = write_verdict if is_free else write_protocol

    def begin(prompt: JudgePrompt, sample: int) -> Writing:
        def draw(part: int) -> int:
            return seed_for(seed, "sampling", key, prompt.slot, *([str(part)] if part else []))

        return write(
            prompt, guide, key=f"{key}/{prompt.slot}/{sample}", seed=draw, sample=sample, params=params
        )

    return begin
