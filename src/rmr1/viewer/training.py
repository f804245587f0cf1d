"""The curves of a training: every figure that its log holds, over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmr1.screen import one_line
from rmr1.store.kinds import FULL, METRICS, TRIES, read_metrics
from rmr1.viewer.charts import draw_curves
from rmr1.viewer.runs import OpenRun

_MOST_POINTS = 400
_NOT_DRAWN = ("step", "seconds", "time", "epoch")
_HELD_OUT = "held_out_"
_FIRST = ("loss", "reward", "accuracy", "unparsed")
"""Figures that come first: those with these words."""


def describe_training(run: OpenRun) -> dict[str, Any]:
    """What the template of the page needs.

    Raises:
        RunError: the log is damaged.
    """
    places = [run.folder, *sorted(run.folder.glob(f"{TRIES}/*")), run.folder / FULL]
    curves: dict[str, list[tuple[str, list[tuple[float, float]]]]] = {}
    steps = 0
    for place in places:
        if not (place / METRICS).is_file():
            continue
        series: dict[str, list[tuple[float, float]]] = {}
        for line in read_metrics(place):
            steps = max(steps, line["step"])
            for name, value in line.items():
                if name not in _NOT_DRAWN and isinstance(value, int | float) and not isinstance(value, bool):
                    series.setdefault(name, []).append((line["step"], float(value)))
        label = "" if place == run.folder else f"{place.relative_to(run.folder)}, "
        for name, points in series.items():
            base = name.removeprefix(_HELD_OUT)
            about = "training" if name == base else "held out"
            if thinned := _thin(points):
                curves.setdefault(base, []).append((f"{label}{about}", thinned))
    charts = [
        draw_curves(one_line(name.replace("_", " ")), curves[name], steps)
        for name in sorted(curves, key=_rank)
    ]
    return {"charts": charts, "steps": steps}


def _rank(name: str) -> tuple[int, str]:
    found = [number for number, word in enumerate(_FIRST) if word in name]
    return (found[0] if found else len(_FIRST), name)


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The curve with at most `_MOST_POINTS`, evenly spaced, the last one among them."""
    finite = [one for one in points if one[1] == one[1] and abs(one[1]) != float("inf")]
    step = -(-len(finite) // _MOST_POINTS) if finite else 1
    return finite[::-1][::step][::-1]
