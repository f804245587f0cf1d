"""A reliability diagram: how often the judge is right, against how sure it was, before and after calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmr1.report.leaderboard_plot import check_plot
from rmr1.stats import wilson_interval

_COLOURS = ("#777777", "#0072B2")
_MARKS = ("s", "o")


def draw_reliability(series: Sequence[tuple[str, Mapping[str, Any]]], path: str | Path, title: str) -> Path:
    """Draw the bins of `summarize_reliability` of each named series, with 95% intervals, and write the file.

    Raises:
        ConfigError: matplotlib is not installed, or the file's suffix is of no kind of picture.
    """
    path = Path(path)
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot((0.5, 1), (0.5, 1), color="#999999", linewidth=1, linestyle="--", label="as sure as right")
    width = 0.05 / (len(series) + 1)
    for number, (name, summary) in enumerate(series):
        bins = [one for one in summary["bins"] if one["items"]]
        sure = [one["confidence"] for one in bins]
        right = [one["accuracy"] for one in bins]
        ends = [wilson_interval(one["accuracy"] * one["items"], one["items"]) or (0.0, 1.0) for one in bins]
        away = [[value - low for value, (low, _) in zip(right, ends, strict=True)]]
        away.append([high - value for value, (_, high) in zip(right, ends, strict=True)])
        style = {"color": _COLOURS[number % 2], "marker": _MARKS[number % 2]}
        label = f"{name}: ECE {summary['ece']:.3f}, Brier {summary['brier']:.3f}"
        axes.errorbar(sure, right, yerr=away, capsize=2, linewidth=1.4, markersize=5, label=label, **style)
        places = [min(int((value - 0.5) * 20), 9) * 0.05 + 0.5 + width * (number + 0.5) for value in sure]
        below.bar(places, [one["items"] for one in bins], width=width, align="edge", color=style["color"])
    axes.set(ylabel="share that is right", title=title, xlim=(0.49, 1.01))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(loc="lower right", frameon=False)
    below.set(xlabel="confidence in the named side", ylabel="pairs")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
