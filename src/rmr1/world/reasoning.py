"""Reasoning items: a problem, its answer, and what comes out with one mistake."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import MappingProxyType

from rmr1.world.draw import Draw, Split
from rmr1.world.items import Exercise
from rmr1.world.lists import draw_list_question
from rmr1.world.ordering import draw_ordering
from rmr1.world.programs import draw_program
from rmr1.world.shopping import draw_shopping
from rmr1.world.stories import draw_story
from rmr1.world.times import draw_calendar, draw_clock

MAX_STEPS = 5

SKILLS: MappingProxyType[str, Callable[[Draw, int], Exercise | None]] = MappingProxyType(
    {
        "stories": draw_story,
        "shopping": draw_shopping,
        "lists": draw_list_question,
        "programs": draw_program,
        "ordering": draw_ordering,
        "clock": draw_clock,
        "calendar": draw_calendar,
    }
)

SKILL_WEIGHTS = (5, 3, 5, 5, 3, 2, 2)

SKILLS_WITHOUT_WORDS = ("lists", "programs")
"""Their questions hold no nouns of the word lists and no names."""

_TRIES = 20


def draw_skill(random: Random, split: Split) -> tuple[str, int]:
    """A skill and a number of steps."""
    weights = [
        0 if split == "test_words" and skill in SKILLS_WITHOUT_WORDS else weight
        for skill, weight in zip(SKILLS, SKILL_WEIGHTS, strict=True)
    ]
    return random.choices(tuple(SKILLS), weights)[0], random.randint(1, MAX_STEPS)


def draw_problem(draw: Draw, skill: str, steps: int) -> tuple[Exercise, str] | None:
    """A problem and its right answer; None where the drawn one does not work out."""
    problem = SKILLS[skill](draw, steps)
    solution = problem.solve() if problem is not None else None
    return (problem, solution.answer) if problem is not None and solution is not None else None


def draw_wrong_answer(draw: Draw, problem: Exercise, right: str, taken: tuple[str, ...]) -> str | None:
    """What comes out with one mistake, unlike `right` and all of `taken`."""
    mistakes = problem.mistakes()
    for _ in range(_TRIES):
        solution = problem.solve(draw.choice(mistakes))
        if solution is not None and solution.answer != right and solution.answer not in taken:
            return solution.answer
    return None


def write_core(draw: Draw, problem: Exercise, answer: str) -> str:
    """The sentence that says `answer`, without its full stop."""
    fields = dict(problem.fields)
    for name, forms in fields.items():
        one, bar, many = forms.partition("|")
        if bar:
            fields[name] = one if answer == "1" else many
    text = draw.template(problem.cores)
    if "coins" in fields:
        text = text.replace("coins", fields["coins"])
    if answer == "1":
        text = text.replace("There are", "There is").replace("There remain", "There remains")
    return text.format(x=answer, **fields)
