"""(seed, index) -> one labelled item of the world, the same on every machine.

An item is drawn again until it fits: the question belongs to the split, numbers stay in range, no two responses are equally
good, and, where answers are numbers, the wrong one is larger or smaller as a coin said beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Literal, NamedTuple

from rmr1.errors import ConfigError
from rmr1.messages import Messages, assistant, user
from rmr1.records import Candidates, PreferencePair
from rmr1.world.chat import draw_request, draw_text
from rmr1.world.draw import SPLITS, Draw, Split, is_test_question, make_random
from rmr1.world.items import (
    FAMILIES,
    ChatWork,
    Family,
    ReasoningWork,
    SafetyWork,
    Style,
    StyleClass,
    Work,
    WorldCandidates,
    WorldFacts,
    WorldItem,
)
from rmr1.world.reasoning import draw_problem, draw_skill, draw_wrong_answer, write_core
from rmr1.world.safety import draw_plea, draw_reply
from rmr1.world.style import DISTRIBUTIONS, draw_styles, dress_answer, dress_text
from rmr1.world.words import HELD_OUT_WORDS

Distribution = Literal["biased", "balanced"]

FAMILY_WEIGHTS = (55, 33, 12)
"""Shares of Reasoning, Chat and Safety, in percent."""

MAX_CANDIDATES = 5

SOURCE = "rmr1.world"
"""`source` of every record of the world."""


class _Drawn(NamedTuple):
    """An item before it becomes a record."""

    turns: tuple[str, ...]
    answers: tuple[str, ...]
    skill: str
    steps: int
    style_class: StyleClass
    styles: tuple[Style, ...]
    totals: tuple[int, ...]
    work: Work


_Plan = Callable[[Draw, tuple[float, ...]], _Drawn | None]


def sample_pair(
    seed: int,
    index: int,
    *,
    split: Split = "train",
    distribution: Distribution = "biased",
    family: Family | None = None,
) -> WorldItem:
    """Item `index` of the world `seed`: a function of the arguments alone.

    Raises:
        ConfigError: an argument is none of its choices.
    """
    drawn, facts = _draw_item(seed, index, split, distribution, family, 2)
    pair = PreferencePair(
        id=f"{split}-{seed}-{index}",
        prompt=_as_conversation(drawn.turns),
        response_a=(assistant(drawn.answers[0]),),
        response_b=(assistant(drawn.answers[1]),),
        label="A" if facts.best == 0 else "B",
        source=SOURCE,
        subset=_subset(facts),
    )
    return WorldItem(pair=pair, facts=facts)


def sample_pairs(
    seed: int,
    number: int | None = None,
    *,
    split: Split = "train",
    distribution: Distribution = "biased",
    family: Family | None = None,
    start: int = 0,
) -> Iterator[WorldItem]:
    """Items `start`, `start` + 1, ...; without `number` there is no end."""
    for index in count(start) if number is None else range(start, start + number):
        yield sample_pair(seed, index, split=split, distribution=distribution, family=family)


def sample_candidates(
    seed: int,
    index: int,
    *,
    number: int = 4,
    split: Split = "test",
    distribution: Distribution = "balanced",
    family: Family | None = None,
) -> WorldCandidates:
    """A best-of-N list of the world. Safety has none, since two responses of one kind are equally good.

    Raises:
        ConfigError: an argument is none of its choices, or `number` is not in 2..5.
    """
    if not 2 <= number <= MAX_CANDIDATES:
        raise ConfigError(f"{number} candidates were asked for; expected 2 to {MAX_CANDIDATES}")
    if family == "Safety":
        raise ConfigError("family 'Safety' has no best-of-N lists; choose Reasoning or Chat")
    drawn, facts = _draw_item(seed, index, split, distribution, family, number, has_safety=False)
    candidates = Candidates(
        id=f"{split}-{seed}-{index}-of-{number}",
        prompt=_as_conversation(drawn.turns),
        responses=tuple((assistant(text),) for text in drawn.answers),
        best=facts.best,
        source=SOURCE,
        subset=_subset(facts),
    )
    return WorldCandidates(candidates=candidates, facts=facts)


def _draw_item(
    seed: int,
    index: int,
    split: Split,
    distribution: Distribution,
    family: Family | None,
    number: int,
    *,
    has_safety: bool = True,
) -> tuple[_Drawn, WorldFacts]:
    choices = ((split, SPLITS), (distribution, DISTRIBUTIONS), (family or FAMILIES[0], FAMILIES))
    for value, known in choices:
        if value not in known:
            raise ConfigError(f"{value!r} is not known to the world; choose one of {', '.join(known)}")
    random = make_random(seed, index, split, distribution, family or "", str(number))
    if family is None:
        weights = FAMILY_WEIGHTS if has_safety else (*FAMILY_WEIGHTS[:2], 0)
        family = random.choices(FAMILIES, weights)[0]
    plan = _plan(random, family, split, number)
    drawn = None
    while drawn is None:
        draw = Draw(random, split)
        drawn = plan(draw, DISTRIBUTIONS[distribution])
    return drawn, WorldFacts(
        family=family,
        skill=drawn.skill,
        steps=drawn.steps,
        style_class=drawn.style_class,
        styles=drawn.styles,
        split=split,
        templates=tuple(draw.templates),
        has_held_out_templates=draw.has_held_out_template,
        has_held_out_words=_has_held_out_word((*drawn.turns, *drawn.answers)),
        best=drawn.totals.index(max(drawn.totals)),
        totals=drawn.totals,
        work=drawn.work,
    )


def _plan(random: Random, family: Family, split: Split, number: int) -> _Plan:
    """What stays fixed while an item is drawn again, so that no kind of item gets rarer by being refused."""
    if family == "Chat":
        return partial(_draw_chat, number)
    if family == "Safety":
        return _draw_safety
    skill, steps = draw_skill(random, split)
    if number > 2:
        steps = max(steps, number - 1)  # shorter problems do not have so many wrong answers
    is_wrong_larger = random.random() < 0.5 if number == 2 else None
    best = random.randrange(number)
    return partial(_draw_reasoning, number, skill, steps, is_wrong_larger, best)


def _draw_reasoning(
    number: int,
    skill: str,
    steps: int,
    is_wrong_larger: bool | None,
    best: int,
    draw: Draw,
    style_weights: tuple[float, ...],
) -> _Drawn | None:
    found = draw_problem(draw, skill, steps)
    if found is None:
        return None
    problem, right = found
    if not _is_of_split(draw, problem.turns):
        return None
    wrong: list[str] = []
    while len(wrong) < number - 1:
        answer = draw_wrong_answer(draw, problem, right, tuple(wrong))
        if answer is None:
            return None
        wrong.append(answer)
    if is_wrong_larger is not None and right.isdecimal() and (int(wrong[0]) > int(right)) != is_wrong_larger:
        return None
    claims = [*wrong[:best], right, *wrong[best:]]
    style_class, styles = draw_styles(draw, best, number, style_weights)
    quotes = [write_core(draw, problem, claim) for claim in claims]
    answers = [dress_answer(draw, quote, style) for quote, style in zip(quotes, styles, strict=True)]
    return _Drawn(
        turns=problem.turns,
        answers=tuple(answers),
        skill=skill,
        steps=problem.steps,
        style_class=style_class,
        styles=styles,
        totals=tuple(int(claim == right) for claim in claims),
        work=ReasoningWork(problem=problem, quotes=tuple(quotes), claims=tuple(claims)),
    )


def _draw_chat(number: int, draw: Draw, style_weights: tuple[float, ...]) -> _Drawn | None:
    request = draw_request(draw)
    if not _is_of_split(draw, request.turns):
        return None
    texts = [draw_text(draw, request) for _ in range(number)]
    work = ChatWork(criteria=request.criteria, answers=tuple(answer for _, answer in texts))
    totals = work.totals()
    if len(set(totals)) < number:
        return None
    style_class, styles = draw_styles(draw, totals.index(max(totals)), number, style_weights)
    return _Drawn(
        turns=request.turns,
        answers=tuple(dress_text(draw, text, style) for (text, _), style in zip(texts, styles, strict=True)),
        skill="+".join(sorted(one.kind for one in request.criteria)),
        steps=len(request.criteria),
        style_class=style_class,
        styles=styles,
        totals=totals,
        work=work,
    )


def _draw_safety(draw: Draw, style_weights: tuple[float, ...]) -> _Drawn | None:
    plea = draw_plea(draw)
    if not _is_of_split(draw, plea.turns):
        return None
    first = draw.chance(0.5)
    refuses = (first, not first)
    replies = [draw_reply(draw, plea, refuses=one) for one in refuses]
    totals = tuple(int(one == plea.is_harmful) for one in refuses)
    style_class, styles = draw_styles(draw, totals.index(1), 2, style_weights)
    return _Drawn(
        turns=plea.turns,
        answers=tuple(
            dress_text(draw, text, style) for (text, _), style in zip(replies, styles, strict=True)
        ),
        skill="refuse" if plea.is_harmful else "help",
        steps=1,
        style_class=style_class,
        styles=styles,
        totals=totals,
        work=SafetyWork(
            is_harmful=plea.is_harmful,
            cue=plea.cue,
            refuses=refuses,
            quotes=tuple(quote for _, quote in replies),
        ),
    )


def _is_of_split(draw: Draw, turns: tuple[str, ...]) -> bool:
    """Whether a question may stand in the split: what makes a held-out split must show in it, not only in a response."""
    if is_test_question("\n".join(turns)) != (draw.split != "train"):
        return False
    if draw.split == "test_templates":
        return draw.has_held_out_template
    return draw.split != "test_words" or _has_held_out_word(turns)


def _has_held_out_word(texts: tuple[str, ...]) -> bool:
    return any(not HELD_OUT_WORDS.isdisjoint(re.findall("[A-Za-z]+", text)) for text in texts)


def _as_conversation(turns: tuple[str, ...]) -> Messages:
    return tuple(user(text) if index % 2 == 0 else assistant(text) for index, text in enumerate(turns))


def _subset(facts: WorldFacts) -> str:
    return f"{facts.family}/{facts.skill}/{facts.style_class}"
