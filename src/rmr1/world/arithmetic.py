"""Sums in small numbers, done step by step, with or without one mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rmr1.world.items import RIGHT, Slip, Solution

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
    start: int, steps: Sequence[Step], mistake: Slip = RIGHT, extra: Step | None = None
) -> Solution | None:
    """Apply `steps` in turn; the lines read `4 + 3 = 7`. `extra` is what the mistake "extra" puts in."""
    lines: list[str] = []
    value = start
    for index, step in enumerate(steps):
        kind = mistake.at(index)
        todo = [Step(_OTHER_WAY[step.sign], step.number) if kind == "sign" else step]
        if kind == "extra" and extra:
            todo.append(extra)
        for one in () if kind == "skip" else todo:
            result = calculate(value, one)
            if result is not None and kind:
                result += mistake.amount
            if result is None or not 0 <= result <= MAX_NUMBER:
                return None
            lines.append(f"{value} {one.sign} {one.number} = {result}")
            value = result
    return Solution(lines=tuple(lines), answer=str(value))


def list_mistakes(count: int, *kinds: str, amounts: Sequence[int] = SLIPS) -> tuple[Slip, ...]:
    """Every mistake of these kinds in `count` steps; a slip is off by each of `amounts`."""
    return tuple(
        Slip(kind=kind, step=step, amount=amount)  # type: ignore[arg-type]
        for kind in kinds
        for step in range(count)
        for amount in (amounts if kind == "slip" else (0,))
    )
