"""Stories about who has how many of what; some sentences do not matter."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.world.arithmetic import MAX_NUMBER, Step, calculate, list_mistakes, run_steps
from rmr1.world.draw import Draw, Noun, read_templates
from rmr1.world.items import RIGHT, Exercise, Slip, Solution
from rmr1.world.words import NAMES, PLACES, THINGS

DISTRACTOR_SHARE = 0.4
FOLLOW_UP_SHARE = 0.15
"""How often the story goes on in a second turn."""

TEXTS = read_templates(
    """
story.start
    {N} has {n} {things}. | {N} owns {n} {things}. | There are {n} {things} in the room of {N}.
    {N} keeps {n} {things} in a box. | In the morning {N} has {n} {things}. | {N} starts with {n} {things}.
    * In a box {N} keeps {n} {things}. | {N} starts the morning with {n} {things}.
story.add
    {N} buys {n} more. | {M} gives {N} {n} more {things}. | Then {N} finds {n} {things} in the {place}.
    {N} wins {n} {things} in a game. | {N} gets {n} {things} from {M}. | {M} brings {N} {n} more.
    Later {N} receives {n} {things} by mail. | {N} collects {n} more on the way home.
    {N} borrows {n} {things} from {M}. | At the {place} {N} buys {n} {things}.
    * Later {N} buys {n} {things} at the {place}. | On the way home {M} gives {N} {n} more.
    * Then {N} wins {n} more.
story.subtract
    {N} gives {n} to {M}. | {N} loses {n} on the way home. | {M} takes {n} away from {N}.
    {N} sells {n} {things} to {M}. | Then {N} breaks {n} of them. | {N} throws {n} {things} away.
    {N} leaves {n} {things} at the {place}. | Later {N} sends {n} {things} to {M}. | {N} lends {n} to {M}.
    {N} forgets {n} {things} in the {place}.
    * Then {M} takes {n} of them away. | On the way home {N} sells {n} of them.
    * At the {place} {N} loses {n} {things}.
story.double
    {N} then doubles the number of {all}. | Soon {N} has twice as many {all}.
    {M} doubles the {all} of {N}. | After a week {N} has twice as many.
    * After a week {M} doubles the {all} of {N}.
story.halve
    {N} gives half of the {all} to {M}. | Half of the {all} get lost. | {N} sells half of them.
    {M} takes half of the {all} away from {N}.
    * Then {M} takes half of them away.
story.distractor
    {M} has {n} {others}. | {M} also keeps {n} {others} in a box. | {M} is {n} years old.
    It is a walk of {n} minutes to the {place}. | The friends of {M} own {n} {others}.
    The {place} closes in {n} hours. | {N} has been at the {place} for {n} days.
    {M} buys {n} {others} at the {place}.
    * The friends of {M} buy {n} {others}. | {M} has been at the {place} for {n} hours.
story.question
    How many {all} does {N} have now? | How many {all} are left with {N}?
    What is the number of {all} that {N} has at the end? | Tell me how many {all} {N} has in the end.
    With how many {all} does {N} end up?
    * How many {all} does {N} have at the end? | Now tell me the number of {all} that {N} has.
story.so_far
    How many is that? | How many {all} does {N} have so far? | Count the {all} so far.
    * How many {all} is that so far?
story.goes_on
    The story goes on. | Now this happens. | There is more. | Good. Now listen.
    * Good. There is more.
story.answer
    {N} has {x} {things} | {N} now has {x} {things} | In the end {N} has {x} {things}
    {N} ends up with {x} {things} | The answer is {x} | It is {x} {things} | That makes {x} {things}
    The result is {x} | I count {x} {things} | There are {x} left
    * In the end it is {x} {things} | {N} ends up with {x} | That makes {x} in the end
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story(Exercise):
    start: int
    operations: tuple[Step, ...]
    extra: Step | None = None
    """What a careless reader takes from the sentence that does not matter."""

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        return run_steps(self.start, self.operations, mistake, self.extra)

    def mistakes(self) -> tuple[Slip, ...]:
        last = Slip(kind="extra", step=len(self.operations) - 1)
        return list_mistakes(len(self.operations), "skip", "sign", "slip") + (
            (last,) * 4 if self.extra else ()
        )


def draw_story(draw: Draw, steps: int) -> Story | None:
    """A story of so many operations, or None where the numbers ran out of range."""
    hero, friend = draw.words(NAMES, 2)
    thing, other = draw.nouns(THINGS, 2)
    texts = {"N": hero, "M": friend, "all": thing.many}

    def say(group: str, number: int = 0, noun: Noun = thing) -> str:
        text = draw.template(TEXTS[f"story.{group}"])
        place = draw.word(PLACES) if "{place}" in text else ""
        return text.format(
            n=number, things=noun.counted(number), others=other.counted(number), place=place, **texts
        )

    value = start = draw.number(1, 20)
    sentences = [say("start", start)]
    operations: list[Step] = []
    for _ in range(steps):
        step = _draw_step(draw, value)
        result = calculate(value, step)
        if result is None:
            return None
        operations.append(step)
        group = {"+": "add", "-": "subtract", "*": "double", "/": "halve"}[step.sign]
        sentences.append(say(group, step.number))
        value = result
    is_continued = steps > 1 and draw.chance(FOLLOW_UP_SHARE)
    extra = None
    if draw.chance(DISTRACTOR_SHARE):
        extra = Step("+", draw.number(2, 12))
        # The last operation stays last, so that a second turn begins with it.
        sentences.insert(draw.number(1, len(sentences) - 1), say("distractor", extra.number))
    question = say("question")
    turns: tuple[str, ...] = (" ".join([*sentences, question]),)
    if is_continued:
        so_far = run_steps(start, operations[:-1])
        turns = (
            " ".join([*sentences[:-1], say("so_far")]),
            f"{so_far.answer if so_far else start}.",
            " ".join([say("goes_on"), sentences[-1], question]),
        )
    return Story(
        steps=steps,
        turns=turns,
        cores=TEXTS["story.answer"],
        fields=(("N", hero), ("things", f"{thing.one}|{thing.many}")),
        start=start,
        operations=tuple(operations),
        extra=extra,
    )


def _draw_step(draw: Draw, value: int) -> Step:
    kind = draw.random.random()
    if kind < 0.1 and 2 <= value <= MAX_NUMBER // 2:
        return Step("*", 2)
    if kind < 0.2 and value % 2 == 0 and value >= 4:
        return Step("/", 2)
    if value >= 2 and (draw.chance(0.5) or value > MAX_NUMBER - 12):
        return Step("-", draw.number(1, min(value, 12)))
    return Step("+", draw.number(1, 12))
