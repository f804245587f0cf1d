"""Questions about a short list of numbers: sum, extremes, counts, places."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.world.arithmetic import MAX_NUMBER, list_mistakes
from rmr1.world.draw import Draw, read_templates
from rmr1.world.items import RIGHT, Exercise, Slip, Solution

OPERATIONS = ("sum", "largest", "smallest", "count", "reverse", "sort")
FOLLOW_UP_SHARE = 0.2
"""How often the list is given in a turn of its own."""

TEXTS = read_templates(
    """
lists.given
    Here is a list: {list}. | Look at the numbers {list}. | Take these numbers: {list}.
    The list is {list}. | Someone wrote down {list}.
    * Look at this list: {list}.
lists.remember
    Remember these numbers: {list}. | Keep this list in mind: {list}. | I will ask about {list}.
    * Keep these numbers in mind: {list}.
lists.noted
    I will remember them. | Good, I am ready. | I have noted the list.
    * Good, I have noted them.
lists.sum
    What is the sum? | Add them all up. | How much are they together? | Find the sum of the list.
    * How much is the sum of them all?
lists.largest
    Which number is the largest? | What is the maximum? | Find the largest one. | Name the maximum.
    * Which one is the maximum?
lists.smallest
    Which number is the smallest? | What is the minimum? | Find the smallest one. | Name the minimum.
    * Which one is the minimum?
lists.count
    How many of them are larger than {n}? | Count the numbers above {n}.
    How many numbers are greater than {n}?
    * Count the numbers greater than {n}.
lists.reverse
    Turn the list around. What is number {n} then? | Reverse the list. Which number is at place {n}?
    Read backwards, which number is at place {n}?
    * Reverse the list. What is number {n} then?
lists.sort
    Sort the list from small to large. What is number {n} then?
    In rising order, which number is at place {n}? | Sort the numbers. Which one is at place {n}?
    * Sort the list in rising order. Which one is at place {n}?
lists.answer
    The answer is {x} | I get the number {x} | The result is {x} | It must be {x} | The number is {x}
    That gives us {x} | My answer is {x} | I found the number {x}
    * It must be number {x} | My result is {x}
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuestion(Exercise):
    operation: str
    """One of `OPERATIONS`."""
    numbers: tuple[int, ...]
    argument: int = 0
    """The bound of "count"; the place, from 1, of "reverse" and "sort"."""

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        if self.operation in ("reverse", "sort"):
            return self._solve_place(mistake)
        if self.operation == "count":
            return self._solve_count(mistake)
        lines: list[str] = []
        value = self.numbers[0]
        for index, number in enumerate(self.numbers[1:]):
            kind = mistake.at(index)
            if kind == "skip":
                continue
            if self.operation == "sum":
                result = value + number + (mistake.amount if kind else 0)
                lines.append(f"{value} + {number} = {result}")
            else:
                is_largest = (self.operation == "largest") != bool(kind)
                result = max(value, number) if is_largest else min(value, number)
                lines.append(f"{value} or {number}: {result}")
            value = result
        if not 0 <= value <= MAX_NUMBER:
            return None
        return Solution(lines=tuple(lines), answer=str(value))

    def _solve_count(self, mistake: Slip) -> Solution:
        lines: list[str] = []
        value = 0
        for index, number in enumerate(self.numbers):
            is_above = (number > self.argument) != bool(mistake.at(index))
            value += is_above
            lines.append(f"{number} > {self.argument} {'yes' if is_above else 'no'} {value}")
        return Solution(lines=tuple(lines), answer=str(value))

    def _solve_place(self, mistake: Slip) -> Solution | None:
        ordered = list(reversed(self.numbers)) if self.operation == "reverse" else sorted(self.numbers)
        place = self.argument + mistake.amount
        if mistake.kind == "skip":
            ordered = list(self.numbers)
        elif mistake.kind == "sign":
            ordered = ordered[::-1]
        if not 1 <= place <= len(ordered):
            return None
        word = "reversed" if self.operation == "reverse" else "sorted"
        listed = ", ".join(f"{index}: {number}" for index, number in enumerate(ordered, 1))
        return Solution(
            lines=(f"{word} {listed}", f"place {place}: {ordered[place - 1]}"), answer=str(ordered[place - 1])
        )

    def mistakes(self) -> tuple[Slip, ...]:
        count = len(self.numbers)
        if self.operation == "count":
            return list_mistakes(count, "slip", amounts=(0,))
        if self.operation in ("reverse", "sort"):
            return list_mistakes(1, "skip", "sign", "slip", amounts=(-1, 1, -1, 1))
        return list_mistakes(count - 1, "skip", "slip" if self.operation == "sum" else "sign")


def draw_list_question(draw: Draw, steps: int) -> ListQuestion | None:
    """A list of `steps` + 1 numbers (for "count" of `steps`, at least two)."""
    operation = draw.choice(OPERATIONS)
    count = max(2, steps) if operation == "count" else steps + 1
    high = 15 if operation == "sum" else 40
    numbers = tuple(draw.random.sample(range(1, high + 1), count))
    if operation == "sum" and sum(numbers) > MAX_NUMBER:
        return None
    argument = 0
    if operation == "count":
        argument = draw.number(min(numbers), max(numbers))
    elif operation in ("reverse", "sort"):
        argument = draw.number(1, count)
    listed = ", ".join(map(str, numbers))
    question = draw.template(TEXTS[f"lists.{operation}"]).format(n=argument)
    turns: tuple[str, ...]
    if draw.chance(FOLLOW_UP_SHARE):
        turns = (
            draw.template(TEXTS["lists.remember"]).format(list=listed),
            draw.template(TEXTS["lists.noted"]),
            question,
        )
    else:
        turns = (f"{draw.template(TEXTS['lists.given']).format(list=listed)} {question}",)
    return ListQuestion(
        steps=steps,
        turns=turns,
        cores=TEXTS["lists.answer"],
        operation=operation,
        numbers=numbers,
        argument=argument,
    )
