"""Sums in small numbers, done step by step, with or without one mistake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rmr1.world.items import Slip, Solution

MAX_NUMBER = 60
"""Every number of the world lies in 0..60, so that a small model can know each by heart."""

SLIPS = (-3, -2, -1, 1, 2, 3)
_OTHER_WAY = {"+": "-", "-": "+", "*": "/", "/": "*"}


class Step(NamedTuple):
    """One operation on the running value."""

    sign: str
    """`+`, `-`, `*` or `/`."""
    number: int


def calculate(value: int, step: Step) -> int | None:
    """The result, or None where it is not a whole number in 0..60."""
    if step.sign == "/":
        return None if value % step.number else value // step.number
    result = {"+": value + step.number, "-": value - step.number, "*": value * step.number}[step.sign]
    return result if 0 <= result <= MAX_NUMBER else None


def run_steps(
    start: int, steps: Sequence[Step], mistake: Slip | None = None, extra: Step | None = None
) -> Solution | None:
    """Apply `steps` in turn; the lines read `4 + 3 = 7`. `extra` is what the mistake "extra" puts in."""
    lines: list[str] = []
    value = start
    for index, step in enumerate(steps):
        is_wrong = mistake is not None and mistake.step == index
        todo = [step]
        if is_wrong and mistake is not None:
            if mistake.kind == "skip":
                todo = []
            elif mistake.kind == "sign":
                todo = [Step(_OTHER_WAY[step.sign], step.number)]
            elif mistake.kind == "extra":
                todo = [step, extra] if extra else []
        for one in todo:
            result = calculate(value, one)
            if result is not None and is_wrong and mistake is not None:
                result += mistake.amount
            if result is None or not 0 <= result <= MAX_NUMBER:
                return None
            lines.append(f"{value} {one.sign} {one.number} = {result}")
            value = result
    return Solution(lines=tuple(lines), answer=str(value))


def list_mistakes(count: int, kinds: Iterable[str] = ("skip", "sign", "slip")) -> tuple[Slip, ...]:
    """Every mistake of these kinds in `count` steps."""
    found: list[Slip] = []
    for kind in kinds:
        for step in range(count):
            for amount in SLIPS if kind == "slip" else (0,):
                found.append(Slip(kind=kind, step=step, amount=amount))  # type: ignore[arg-type]
    return tuple(found)
