"""Hours on a clock with twelve of them, and days of the week."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.world.arithmetic import list_mistakes
from rmr1.world.draw import Draw, read_templates
from rmr1.world.items import RIGHT, Exercise, Slip, Solution
from rmr1.world.words import EVENTS, NAMES, PLACES, WEEKDAYS

TEXTS = read_templates(
    """
clock.start
    The clock shows {n}. | It is {n} by the clock. | {N} leaves home at {n}. | The bus starts at {n}.
    At {n} {N} goes to the {place}.
    * At {n} {N} leaves home.
clock.step
    Then {N} reads for {n} {hours}. | The way to the {place} takes {n} {hours}. | {N} works for {n} {hours}.
    After that {N} rests for {n} {hours}. | Next {N} waits {n} {hours} at the {place}.
    {N} sleeps for {n} {hours}. | The ride takes {n} {hours}.
    * Next {N} rests for {n} {hours} at the {place}. | After that {N} waits {n} {hours}.
clock.question
    What does the clock show then? | What hour is it on a clock with 12 hours?
    Which hour does the clock show at the end?
    * What hour does the clock show then?
clock.answer
    The clock shows {x} | The hour is {x} | It will be {x} | The time is {x} | The answer is {x}
    * The hour will be {x}
calendar.start
    Today is {day}. | It is {day} today. | This message is from {day}. | My calendar says it is {day}.
    * Today my calendar says {day}.
calendar.first
    The {event} is in {n} {days}. | In {n} {days} we have the {event}.
    The {event} takes place {n} {days} from now. | It takes {n} {days} until the {event}.
    * In {n} {days} the {event} takes place.
calendar.next
    The {event} comes {n} {days} after that. | {n} {days} later there is the {event}.
    After {n} more {days} follows the {event}. | The {event} follows {n} {days} later.
    * The {event} follows {n} {days} after that.
calendar.question
    On which day is the {event}? | What day of the week is the {event}? | Tell me the day of the {event}.
    * Tell me what day of the week the {event} is.
calendar.answer
    It is on {x} | The day is {x} | That will be {x} | It falls on {x} | The answer is {x}
    * The day will be {x}
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(Exercise):
    start: int
    hours: tuple[int, ...]

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        lines: list[str] = []
        value = self.start
        for index, number in enumerate(self.hours):
            if mistake.at(index) == "skip":
                continue
            result = value + number + (mistake.amount if mistake.at(index) else 0)
            if result < 1 or result > 24:
                return None
            lines.append(f"{value} + {number} = {result}")
            if result > 12:
                lines.append(f"{result} - 12 = {result - 12}")
                result -= 12
            value = result
        return Solution(lines=tuple(lines), answer=str(value))

    def mistakes(self) -> tuple[Slip, ...]:
        return list_mistakes(len(self.hours), "skip", "slip", amounts=(-2, -1, 1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar(Exercise):
    start: str
    days: tuple[int, ...]

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        lines: list[str] = []
        value = self.start
        for index, number in enumerate(self.days):
            if mistake.at(index) == "skip":
                continue
            off = mistake.amount if mistake.at(index) else 0
            # Counted day by day: all of "Friday + 6" in one step is more than a small judge learns.
            days = [WEEKDAYS[(WEEKDAYS.index(value) + step) % 7] for step in range(1, number + off + 1)]
            result = WEEKDAYS[(WEEKDAYS.index(value) + number + off) % 7]
            counted = ", ".join(f"{step} {day}" for step, day in enumerate(days, 1))
            lines.append(f"{value} + {number}: {counted or result}")
            value = result
        return Solution(lines=tuple(lines), answer=value)

    def mistakes(self) -> tuple[Slip, ...]:
        return list_mistakes(len(self.days), "skip", "slip", amounts=(-1, 1))


def draw_clock(draw: Draw, steps: int) -> Clock:
    """`steps` stretches of time."""
    name = draw.word(NAMES)

    def say(group: str, number: int = 0) -> str:
        text = draw.template(TEXTS[f"clock.{group}"])
        place = draw.word(PLACES) if "{place}" in text else ""
        return text.format(n=number, hours="hour" if number == 1 else "hours", N=name, place=place)

    start = draw.number(1, 12)
    hours = tuple(draw.number(1, 9) for _ in range(steps))
    sentences = [say("start", start), *(say("step", number) for number in hours), say("question")]
    return Clock(
        steps=steps,
        turns=(" ".join(sentences),),
        cores=TEXTS["clock.answer"],
        start=start,
        hours=hours,
    )


def draw_calendar(draw: Draw, steps: int) -> Calendar:
    """`steps` events (at most 4), each so many days after the one before."""
    steps = min(steps, 4)
    events = draw.words(EVENTS, steps)
    start = draw.choice(WEEKDAYS)
    days = tuple(draw.number(1, 6) for _ in range(steps))
    sentences = [draw.template(TEXTS["calendar.start"]).format(day=start)]
    for index, (event, number) in enumerate(zip(events, days, strict=True)):
        text = draw.template(TEXTS["calendar.next" if index else "calendar.first"])
        sentences.append(text.format(event=event, n=number, days="day" if number == 1 else "days"))
    sentences.append(draw.template(TEXTS["calendar.question"]).format(event=events[-1]))
    return Calendar(
        steps=steps,
        turns=(" ".join(sentences),),
        cores=TEXTS["calendar.answer"],
        start=start,
        days=days,
    )
