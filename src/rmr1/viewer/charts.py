"""Figures -> coordinates of small plots, which the templates draw as SVG; every mark leads to its judgments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from typing import Any

from rmr1.audit.figures import RiskFigures
from rmr1.judge.reliability import NUM_BINS
from rmr1.viewer.address import Address

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 10, 34
"""Margins around the plot's area, in its own units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    place: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A mark."""

    x: float
    y: float
    radius: float
    text: str
    link: str | None
    kind: str = ""
    """Its class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One plot."""

    title: str
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...] = ()
    lines: tuple[tuple[str, str, str], ...] = ()
    """(class, points, name) of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, *, is_share: bool = False) -> tuple[Tick, ...]:
        """Ticks stand at round values; shares are in percent."""
        step = _choose_step((self.high - self.low) / 5)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        values = [number * step for number in range(first, last + 1)]
        return tuple(
            Tick(place=self.place(value), text=f"{value:.0%}" if is_share else _format(value))
            for value in values
        )


def _format(value: float) -> str:
    """A number in few letters: `0.002`, `1,500`, `80k`, `1.2M`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= 10 * size or (unit == "M" and abs(value) >= size):
            return f"{value / size:.4g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _choose_step(least: float) -> float:
    """A round number that is not smaller."""
    size = 10.0 ** floor(log10(least)) if least > 0 else 1.0
    return float(next(size * one for one in (1, 2, 5, 10) if size * one >= least * 0.999))


def _across(low: float, high: float) -> _Axis:
    return _Axis(low=low, high=high, start=LEFT, end=WIDTH - RIGHT)


def _up(low: float, high: float) -> _Axis:
    return _Axis(low=low, high=high, start=HEIGHT - BOTTOM, end=TOP)


def draw_reliability(reliability: dict[str, Any], address: Address) -> Chart:
    """Confidence in the winner against the share that is right, in bins; below the diagonal the judge is too sure."""
    bins = reliability["bins"]
    low = min((floor(10 * min(one["confidence"], one["accuracy"])) / 10 for one in bins), default=0.0)
    x, y = _across(min(low, 0.5), 1.0), _up(min(low, 0.5), 1.0)
    most = max((one["items"] for one in bins), default=1)
    places = [min(int((one["confidence"] - 0.5) * 2 * NUM_BINS), NUM_BINS - 1) for one in bins]
    dots = tuple(
        Dot(
            x=x.place(one["confidence"]),
            y=y.place(one["accuracy"]),
            radius=round(3 + 7 * sqrt(one["items"] / most), 1),
            text=f"confidence {one['confidence']:.1%}, right {one['accuracy']:.1%}, {one['items']:,} pairs",
            link=address.narrow(
                told_from=repr(0.5 + place / (2 * NUM_BINS)),
                **({} if place == NUM_BINS - 1 else {"told_to": repr(0.5 + (place + 1) / (2 * NUM_BINS))}),
            ),
        )
        for place, one in zip(places, bins, strict=True)
    )
    diagonal = " ".join(f"{x.place(value)},{y.place(value)}" for value in (x.low, x.high))
    return Chart(
        title="Reliability",
        x_title="confidence",
        y_title="right",
        x_ticks=x.ticks(is_share=True),
        y_ticks=y.ticks(is_share=True),
        dots=dots,
        lines=(("guide", diagonal, "as sure as it is right"),),
    )


def draw_risk(risk: RiskFigures, address: Address) -> Chart:
    """The share that is wrong if only the surest judgments are accepted."""
    highest = max((point.risk for point in risk.points), default=0.0)
    x, y = _across(0.0, 1.0), _up(0.0, min(1.0, max(0.1, ceil(10 * highest) / 10)))
    line = " ".join(f"{x.place(one.coverage)},{y.place(one.risk)}" for one in risk.points)
    step = max(1, len(risk.points) // 10)
    dots = tuple(
        Dot(
            x=x.place(one.coverage),
            y=y.place(one.risk),
            radius=4,
            text=f"the surest {one.coverage:.0%} (confidence from {one.threshold:.3f}): {one.risk:.1%} wrong",
            link=address.narrow(**{"is": "wrong", "sure_from": repr(one.threshold)}),
        )
        for one in risk.points[step - 1 :: step]
    )
    return Chart(
        title="Risk and coverage",
        x_title="accepted, the surest first",
        y_title="wrong",
        x_ticks=x.ticks(is_share=True),
        y_ticks=y.ticks(is_share=True),
        dots=dots,
        lines=(("curve", line, "share wrong"),),
    )


def draw_curves(title: str, curves: Sequence[tuple[str, Sequence[tuple[float, float]]]], steps: int) -> Chart:
    """Figures of a training over its steps; (name, points) of each curve, at most a few hundred points."""
    ys = [value for _, points in curves for _, value in points]
    low, high = min(ys), max(ys)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    x, y = _across(0, max(steps, 1)), _up(low, high)
    lines = tuple(
        (f"curve c{number}", " ".join(f"{x.place(a)},{y.place(b)}" for a, b in points), name)
        for number, (name, points) in enumerate(curves)
    )
    return Chart(
        title=title,
        x_title="step",
        y_title=title,
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        lines=lines,
        dots=tuple(
            Dot(
                x=x.place(a),
                y=y.place(b),
                radius=3.5,
                text=f"{name}, step {a:,.0f}: {b:.4g}",
                link=None,
                kind=f"d{number}",
            )
            for number, (name, points) in enumerate(curves)
            if len(points) <= 20
            for a, b in points
        ),
    )


def span(low: float, middle: float, high: float) -> tuple[int, int, int]:
    """An interval of shares as whole percents of a bar: where it begins, its middle, and its width."""
    start, end = floor(100 * low), ceil(100 * high)
    return start, round(100 * middle), max(1, end - start)
