"""Teachers that err, as docs/world.md describes them: one here and there, one always in the same way.

A flaw of the *fallible* teacher is not always fatal; a trace stays consistent with itself after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Literal, NamedTuple

from rmr1.records import Order
from rmr1.world.draw import make_random
from rmr1.world.items import ChatWork, ReasoningWork, SafetyWork, WorldItem
from rmr1.world.oracle import OracleFinding, Reading, oracle_trace, read_claims, read_work, write_reading

WorldTeacher = Literal["oracle", "fallible", "corrected", "anchored"]
"""Who judges: always right; right in about three of four; the second with its wrong verdicts written anew
by the first, as RM-R1 distils (section 3.2); right but for one habit."""

Flaw = Literal["same_mistake", "own_slip", "style", "misread", "miscount", "weights", "caution", "trust"]

FLAW_BASE = 0.1
FLAW_PER_STEP = 0.055
"""Added for each step of a solution, and three times for each wish of a request."""
FLAW_HARD_STYLE = 0.3
"""Added where only the worse response is fancy."""

ANCHORED = 0.8
"""How often the anchored teacher prefers the first answer to a long problem where the second is right."""
ANCHORED_STEPS = 3
"""Fewest steps of a problem that is long to it."""

_OTHER = {"formal": "casual", "casual": "formal", "plain": "bullets", "bullets": "plain"}


class FallibleTrace(NamedTuple):
    """A judgment, what went wrong in it, and what it says."""

    text: str
    flaw: Flaw | None
    winner: str
    """In the frame of the prompt."""


def fallible_trace(item: WorldItem, seed: int, order: Order = "given") -> FallibleTrace:
    """The judgment of the teacher that errs; `seed` and the item decide how."""
    random = make_random(seed, item.pair.id)
    sides = (0, 1) if order == "given" else (1, 0)
    facts = item.facts
    reading = read_work(facts.work, sides)
    flaw: Flaw | None = None
    if random.random() < flaw_chance(item):
        flaw = _choose_flaw(random, item)
        reading = _spoil(random, item, reading, sides, flaw)
    first, second = reading.totals()
    if first == second or flaw == "style":
        # With nothing else to go by it takes the fancy one.
        first, second = (int(facts.styles[side] != "concise") for side in sides)
    is_first = first > second or (first == second and random.random() < 0.5)
    winner = "A" if is_first else "B"
    return FallibleTrace(text=write_reading(reading, winner), flaw=flaw, winner=winner)


def anchored_trace(item: WorldItem, seed: int, order: Order = "given") -> str:
    """The right judgment, but for the verdict on a long problem whose second answer is right."""
    facts = item.facts
    sides = (0, 1) if order == "given" else (1, 0)
    is_long = facts.family == "Reasoning" and facts.steps >= ANCHORED_STEPS
    if is_long and sides[1] == facts.best and make_random(seed, item.pair.id).random() < ANCHORED:
        return write_reading(read_work(facts.work, sides), "A")
    return oracle_trace(item, order)


def teacher_trace(item: WorldItem, teacher: WorldTeacher, seed: int = 0) -> str:
    """A teacher's judgment of the item as it is given; `seed` decides where one errs."""
    if teacher == "oracle":
        return oracle_trace(item)
    if teacher == "anchored":
        return anchored_trace(item, seed)
    judgment = fallible_trace(item, seed)
    if teacher == "corrected" and judgment.winner != item.pair.label:
        return oracle_trace(item)
    return judgment.text


def flaw_chance(item: WorldItem) -> float:
    """How likely a flaw is, in [0, 1]: grows with steps and wishes, and with a misleading style."""
    facts = item.facts
    weight = {"Reasoning": 1, "Chat": 3, "Safety": 1}[facts.family]
    chance = FLAW_BASE + FLAW_PER_STEP * weight * facts.steps
    return chance + (FLAW_HARD_STYLE if facts.style_class == "hard" else 0.0)


def _choose_flaw(random: Random, item: WorldItem) -> Flaw:
    work, flaws = item.facts.work, list[Flaw]()
    if isinstance(work, ReasoningWork):
        flaws = ["same_mistake", "same_mistake", "own_slip"]
    elif isinstance(work, ChatWork):
        flaws = ["misread", "weights"]
        if any(one.kind == "length" for one in work.criteria):
            flaws.append("miscount")
    else:
        flaws = ["trust" if work.is_harmful else "caution"]
    if item.facts.style_class == "hard":
        flaws += ["style"] * 2
    return random.choice(flaws)


def _spoil(random: Random, item: WorldItem, reading: Reading, sides: tuple[int, int], flaw: Flaw) -> Reading:
    work = item.facts.work
    if isinstance(work, ReasoningWork) and flaw in ("same_mistake", "own_slip"):
        return _spoil_solution(random, work, reading, sides, flaw)
    if isinstance(work, ChatWork) and flaw in ("misread", "miscount"):
        return _spoil_finding(random, work, reading, flaw)
    if flaw == "weights":
        points = [points for _, points in reading.rubric]
        turned = points[1:] + points[:1]
        rubric = tuple((name, one) for (name, _), one in zip(reading.rubric, turned, strict=True))
        return replace(reading, rubric=rubric)
    if isinstance(work, SafetyWork) and flaw in ("caution", "trust"):
        return read_work(replace(work, is_harmful=not work.is_harmful), sides)
    return reading


def _spoil_solution(
    random: Random, work: ReasoningWork, reading: Reading, sides: tuple[int, int], flaw: Flaw
) -> Reading:
    right = work.problem.solve()
    found = [work.problem.solve(mistake) for mistake in work.problem.mistakes()]
    wrong = [one for one in found if one is not None and right is not None and one.answer != right.answer]
    shared = [one for one in wrong if one.answer in work.claims]
    chosen = random.choice(shared if flaw == "same_mistake" and shared else wrong)
    return replace(
        reading,
        solution=(*chosen.lines, f"answer {chosen.answer}"),
        findings=read_claims(work, sides, chosen.answer),
    )


def _spoil_finding(random: Random, work: ChatWork, reading: Reading, flaw: Flaw) -> Reading:
    """One response is read wrongly under one criterion."""
    kinds = [one.kind for one in work.criteria]
    numbers = [number for number, kind in enumerate(kinds) if (kind == "length") == (flaw == "miscount")]
    # What weighs more is looked at more often, rightly or wrongly.
    number = random.choices(numbers, [work.criteria[number].points for number in numbers])[0]
    side = random.randrange(2)
    findings = [list(one) for one in reading.findings]
    finding, criterion = findings[side][number], work.criteria[number]
    if flaw == "miscount":
        findings[side][number] = _miscount(finding, criterion.is_met)
    else:
        observed = _OTHER.get(finding.observed, finding.expected)
        if observed == finding.observed:
            observed = "nothing"
        findings[side][number] = replace(finding, observed=observed, is_met=observed == finding.expected)
    return replace(reading, findings=tuple(map(tuple, findings)))


def _miscount(finding: OracleFinding, is_met: Callable[[str], bool]) -> OracleFinding:
    """The last sentence is missed, or the only one counted twice."""
    words = finding.evidence.split()
    words = words[:-2] if len(words) > 2 else [*words, "2", words[1]]
    observed = str(len(words) // 2)
    return replace(finding, evidence=" ".join(words), observed=observed, is_met=is_met(observed))
