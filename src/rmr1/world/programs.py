"""What a tiny program prints: assignments, sums, a condition, a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rmr1.world.arithmetic import MAX_NUMBER, SLIPS, Step, calculate
from rmr1.world.draw import Draw, read_templates
from rmr1.world.items import RIGHT, Exercise, Slip, Solution

VARIABLES = ("x", "y", "n", "m", "t", "s")

TEXTS = read_templates(
    """
programs.question
    What does this program print? | Run this code in your head. What is the output?
    Which number does this code print? | Give the output of this program.
    Read the code and tell me its output. | Here is some code. What does it print?
    * Read this program. What is the output? | Tell me the number that this code prints.
programs.answer
    It prints {x} | The output is {x} | The program prints {x} | The code prints {x}
    The printed number is {x} | You will see {x} | The answer is {x}
    * The printed output is {x} | The program will print {x}
"""
)


class Line(NamedTuple):
    """`target = source SIGN number`, done `times` times, or only if `source > bound`."""

    target: str
    source: str
    step: Step
    times: int = 1
    bound: int | None = None

    def code(self) -> str:
        body = f"{self.target} = {self.source} {self.step.sign} {self.step.number}"
        if self.bound is not None:
            return f"if {self.source} > {self.bound}:\n    {body}"
        return f"for i in range({self.times}):\n    {body}" if self.times > 1 else body


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Exercise):
    start: tuple[str, int]
    body: tuple[Line, ...]
    printed: str

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        lines: list[str] = []
        values = dict([self.start])
        for index, line in enumerate(self.body):
            kind = mistake.at(index)
            if kind == "skip":
                continue
            if line.source not in values:
                return None
            if line.bound is not None:
                is_true = (values[line.source] > line.bound) != (kind == "sign")
                lines.append(f"{values[line.source]} > {line.bound} {'yes' if is_true else 'no'}")
                if not is_true:
                    continue
            for _ in range(line.times + (kind == "extra") - (kind == "sign" and line.times > 1)):
                result = calculate(values[line.source], line.step)
                if result is not None and kind == "slip":
                    result += mistake.amount
                if result is None or not 0 <= result <= MAX_NUMBER:
                    return None
                lines.append(
                    f"{line.target} = {values[line.source]} {line.step.sign} {line.step.number} = {result}"
                )
                values[line.target] = result
        if self.printed not in values:
            return None
        return Solution(lines=tuple(lines), answer=str(values[self.printed]))

    def mistakes(self) -> tuple[Slip, ...]:
        found: list[Slip] = []
        for index, line in enumerate(self.body):
            found += [Slip(kind="slip", step=index, amount=off) for off in SLIPS]
            found += [Slip(kind="skip", step=index)] * 3
            if line.bound is not None:
                found += [Slip(kind="sign", step=index)] * 3
            if line.times > 1:
                found += [Slip(kind="extra", step=index), Slip(kind="sign", step=index)] * 2
        return tuple(found)


def draw_program(draw: Draw, steps: int) -> Program | None:
    """A program of so many lines that do something; a loop of r rounds counts r, a condition 1."""
    first, second = draw.random.sample(VARIABLES, 2)
    value = draw.number(1, 15)
    start = (first, value)
    names = [first]
    body: list[Line] = []
    left = steps
    while left:
        source = names[-1]
        target = source
        if len(names) == 1 and draw.chance(0.2):
            target = second
            names.append(second)
        step = _draw_step(draw)
        line = Line(target, source, step)
        if target == source and left >= 2 and draw.chance(0.35) and step.sign != "*":
            line = Line(target, source, step, times=draw.number(2, min(3, left)))
        elif target == source and draw.chance(0.3):
            line = Line(target, source, step, bound=draw.number(1, 20))
        body.append(line)
        left -= line.times
    printed = names[-1] if draw.chance(0.8) else names[0]
    code = "\n".join([f"{first} = {value}", *(line.code() for line in body), f"print({printed})"])
    program = Program(
        steps=steps,
        turns=(f"{draw.template(TEXTS['programs.question'])}\n{code}",),
        cores=TEXTS["programs.answer"],
        start=start,
        body=tuple(body),
        printed=printed,
    )
    return program if program.solve() is not None else None


def _draw_step(draw: Draw) -> Step:
    kind = draw.random.random()
    if kind < 0.15:
        return Step("*", draw.number(2, 3))
    return Step("+" if kind < 0.6 else "-", draw.number(1, 9))
