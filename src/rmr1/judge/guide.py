"""The guided protocol: the judge's skeleton is written for the model, which fills it, and no text ends without verdict.

    protocol   `<type>` by comparing the probabilities of the two types; the solution, or the rubric, and the evaluation,
               each within a budget; then `<answer>[[` is written, and the letter read from the probabilities. A family
               that asks for no type has one part, whatever the model writes before its answer; one that gives criteria
               has a part for each, and a line with the scores behind it
    verdict    the text is the model's own; if it holds no verdict, whatever is open in it is closed and the verdict
               is read as above

What belongs to a part but is missing is added, and what belongs to the next one is left to it; all that the model wrote
in between stands as it is. A part that ends in a loop ends there. The parts are asked for one after the other: each is
a continuation of all that is written (`rmr1.engines.base.Continuation`), which the engine need not read again. Servers
that do not go on with a text are asked for a sheet with these parts (`rmr1.judge.sheet`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from rmr1.engines.base import Request, SamplingParams
from rmr1.judge.guided_criteria import SCORE_TOKENS, write_criteria
from rmr1.judge.guided_text import GAP, TYPES, GrowingText, Guide, Writing, add_usage, close_open
from rmr1.judge.sheet import ask_verdict, write_sheet
from rmr1.prompts import PromptFamily
from rmr1.prompts.thinking import find_close_mark
from rmr1.records import NO_TEXT, Generation, JudgePrompt
from rmr1.store.keys import seed_for
from rmr1.verdicts.kinds import read_verdict


def list_parts(
    guide: Guide, params: SamplingParams, *, is_free: bool, num_criteria: int = 0
) -> tuple[int, ...]:
    """Most tokens of each request that a text takes, in their sequence; a choice counts as one."""
    if is_free:
        return params.max_new_tokens, 1
    thinking = (params.max_new_tokens,) if guide.opening else ()
    if guide.is_typed:
        return *thinking, 1, guide.part_tokens, guide.part_tokens, 1
    reasons = (guide.part_tokens,) if guide.part_tokens else ()
    if num_criteria:
        return *thinking, *(num_criteria * (*reasons, SCORE_TOKENS, SCORE_TOKENS)), 1
    return *thinking, *reasons, 1


def is_typed(family: PromptFamily) -> bool:
    """Whether the family asks for the parts of Chain-of-Rubrics."""
    text = f"{family.system}{family.single}"
    return all(f"<{name}>" in text for name in ("type", "eval", *TYPES.values()))


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
    text = GrowingText(prompt, key, seed, sample, params)
    if guide.opening:
        closing = find_close_mark(guide.opening, "", guide.thinking)
        if not (yield from text.write([closing], params.max_new_tokens)):
            return text.finish(prompt.labels)
        text.text = close_open(text.text, guide.thinking).rstrip() + GAP
    parts: tuple[str, ...] = ()
    if guide.is_typed:
        text.text += "<type>"
        if not (yield from text.choose([f"{name}</type>" for name in TYPES])):
            return text.finish(prompt.labels)
        parts = (next(part for name, part in TYPES.items() if text.text.endswith(f"{name}</type>")), "eval")
        text.text += GAP
    elif prompt.num_criteria:
        if not (yield from write_criteria(text, prompt, guide)):
            return text.finish(prompt.labels)
    elif guide.part_tokens:
        if not (yield from text.write(["<answer>"], guide.part_tokens)):
            return text.finish(prompt.labels)
        text.text = close_open(text.text.removesuffix("<answer>"), guide.thinking).rstrip()
        text.text += GAP if text.text else ""
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
        text.text = text.text[:start] + inside + GAP
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
    samples = range(sample, sample + 1)
    found = yield Request(key=key, prompt=prompt, seed=seed(0), samples=samples, params=params, goes_on=True)
    if found.finish_reason in NO_TEXT:
        return found
    is_cut = found.finish_reason == "length"
    verdict = read_verdict(
        found.text, "pair", guide.rule, labels=prompt.labels, truncated=is_cut, thinking=guide.thinking
    )
    if verdict.winner is not None:
        return found
    text = GrowingText(prompt, key, lambda part: seed(part + 1), sample, params)
    text.text = close_open(found.text, guide.thinking).rstrip() + GAP
    yield from (ask_verdict if guide.by_sheet else _read_verdict)(text, prompt)
    forced = text.finish(prompt.labels)
    return replace(add_usage((found, forced), forced), seed=found.seed)


def _read_verdict(text: GrowingText, prompt: JudgePrompt) -> Generator[Request, Generation, bool]:
    text.text += "<answer>[["
    return (yield from text.choose([f"{label}]]</answer>" for label in prompt.labels], is_last=True))


def guided(
    guide: Guide, key: str, *, seed: int, params: SamplingParams, is_free: bool
) -> Callable[[JudgePrompt, int], Writing]:
    """Writes samples of an item's prompts; `is_free` only adds a verdict to a text that has none."""
    write = write_verdict if is_free else write_sheet if guide.by_sheet else write_protocol

    def begin(prompt: JudgePrompt, sample: int) -> Writing:
        def draw(part: int) -> int:
            return seed_for(seed, "sampling", key, prompt.slot, *([str(part)] if part else []))

        return write(
            prompt, guide, key=f"{key}/{prompt.slot}/{sample}", seed=draw, sample=sample, params=params
        )

    return begin
