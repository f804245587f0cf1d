"""Who is the tallest: comparisons of people, each with someone known, in either direction."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.world.arithmetic import list_mistakes
from rmr1.world.draw import Draw, read_templates
from rmr1.world.items import RIGHT, Exercise, Slip, Solution
from rmr1.world.words import NAMES

SCALES = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
    ("stronger", "weaker", "strongest", "weakest"),
)
"""More, less, most, least."""

TEXTS = read_templates(
    """
ordering.comparison
    {M} is {more} than {N}. | We know that {M} is {more} than {N}.
    Everyone can see that {M} is {more} than {N}. | Compared with {N}, {M} is {more}.
    I think {M} is {more} than {N}.
    * Everyone can see: compared with {N}, {M} is {more}.
ordering.question
    Who is the {most}? | Which of them is the {most}? | Name the {most} person. | Tell me who is {most}.
    * Tell me which of them is the {most}.
ordering.second
    Who is the second {most}? | Name the second {most} person. | Tell me who is second {most}.
    * Tell me who is the second {most} person.
ordering.answer
    It is clearly {x} | The answer is {x} | It must be {x} | That would be {x} | I would say {x}
    The person is {x}
    * I would say it is {x} | The person must be {x}
"""
)


_PLACES = {0: "first", 1: "second", -1: "last", -2: "last but one"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering(Exercise):
    relations: tuple[tuple[str, str], ...]
    """(more, less), each with one end of the chain so far."""
    place: int
    """Place, from 0 at the top; negative counts from the bottom."""
    asked: str

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        lines: list[str] = []
        chain: list[str] = []
        for index, (more, less) in enumerate(self.relations):
            if mistake.at(index) == "sign":
                more, less = less, more
            if not chain:
                chain = [more, less]
            elif more in chain:
                chain.insert(chain.index(more) + 1, less)
            else:
                chain.insert(chain.index(less), more)
            lines.append(f"{more} > {less}: {' > '.join(chain)}")
        place = self.place
        if mistake.kind == "slip":
            place += mistake.amount if place >= 0 else -mistake.amount
        if not -len(chain) <= place < len(chain) or (place < 0) != (self.place < 0):
            return None
        return Solution(lines=(*lines, f"{self.asked} is {_PLACES[self.place]}"), answer=chain[place])

    def mistakes(self) -> tuple[Slip, ...]:
        signs = list_mistakes(len(self.relations), "sign")
        return signs + list_mistakes(1, "slip", amounts=(-2, -1, 1, 2, 3, 4))


def draw_ordering(draw: Draw, steps: int) -> Ordering:
    """`steps` comparisons (at most 4) of `steps` + 1 people."""
    steps = min(steps, 4)
    names = draw.words(NAMES, steps + 1)
    more, less, most, least = draw.choice(SCALES)
    relations: list[tuple[str, str]] = []
    sentences: list[str] = []
    top = bottom = names[0]
    for name in names[1:]:
        if draw.chance(0.5):
            pair, top = (name, top), name
        else:
            pair, bottom = (bottom, name), name
        relations.append(pair)
        text = draw.template(TEXTS["ordering.comparison"])
        if draw.chance(0.5):
            sentences.append(text.format(M=pair[0], N=pair[1], more=more))
        else:
            sentences.append(text.format(M=pair[1], N=pair[0], more=less))
    from_top = draw.chance(0.5)
    is_second = steps > 1 and draw.chance(0.3)
    place = int(is_second) if from_top else -1 - int(is_second)
    word = most if from_top else least
    question = draw.template(TEXTS["ordering.second" if is_second else "ordering.question"]).format(most=word)
    return Ordering(
        steps=steps,
        turns=(" ".join([*sentences, question]),),
        cores=TEXTS["ordering.answer"],
        relations=tuple(relations),
        place=place,
        asked=f"second {word}" if is_second else word,
    )
