"""The leaderboard as a picture: one panel per benchmark, a dot per judge, the best at the top.

matplotlib is imported only when something is drawn, and without its global state.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmr1.bench.published import PublishedRow, RowKind, Standing, explain_rows
from rmr1.errors import ConfigError
from rmr1.plugins import require
from rmr1.report.tables import MOST_LETTERS, shorten
from rmr1.screen import inert

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

# Okabe and Ito's palette: told apart with every common colour blindness; shapes serve print in black.
COLOURS: Mapping[RowKind, str] = {"scalar": "#0072B2", "genrm": "#E69F00", "reasrm": "#009E73"}
SHAPES: Mapping[RowKind, str] = {"scalar": "s", "genrm": "^", "reasrm": "o"}
KIND_NAMES: Mapping[RowKind, str] = {
    "scalar": "scalar reward model",
    "genrm": "generative judge",
    "reasrm": "reasoning judge",
}
OWN_COLOUR = "#C4006A"
"""Not of the palette's three."""

PANELS_A_ROW, MOST_OWN = 3, 36
"""The judge's own label stands in bold, so that fewer letters fit."""
_LINE, _PANEL, _AROUND, _FOOT_LINE, _HEAD = 0.2, 7.8, 1.05, 0.135, 0.75
"""Inches: a line, a panel's width, title and axis of a panel, a line of the footnotes, title and legend."""
_GREY = "#777777"
_DOT: Mapping[str, Any] = {"linestyle": "none", "markersize": 5.5, "zorder": 3}


def check_plot(path: Path) -> None:
    """Refuse a file with none of `SUFFIXES`, and any without matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a plot is written as {', '.join(SUFFIXES)}; name the file so")
    with require("a plot", "plot"):
        import matplotlib.figure  # noqa: F401


def draw_leaderboard(standings: Sequence[Standing], path: str | Path, name: str) -> Path:
    """Draw the judge called `name` among the published ones.

    Raises:
        ConfigError: matplotlib is not installed, the file's suffix is none of `SUFFIXES`, or no benchmark is
            complete.
    """
    path = Path(path)
    check_plot(path)
    if not standings:
        raise ConfigError(f"{path}: nothing to draw, because no overall is complete")
    figure = build_figure(standings, name)
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    # Text stays text in an SVG, and equal figures give equal files.
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none", "svg.hashsalt": "rmr1"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path, dpi=150, metadata=metadata)
    return path


def build_figure(standings: Sequence[Standing], name: str) -> Figure:
    """The picture before it is written."""
    from matplotlib.figure import Figure

    label = shorten(" ".join(inert(name).split()), MOST_OWN)
    bands = [standings[at : at + PANELS_A_ROW] for at in range(0, len(standings), PANELS_A_ROW)]
    # Panels of a band are of one height, so that their lines are equally far apart.
    depths = [max(map(_depth, band)) for band in bands]
    num_columns = len(bands[0])
    width = _PANEL * num_columns
    foot = _footnote(standings, int(width * 17))
    heights = [_AROUND + _LINE * depth for depth in depths]
    below = _FOOT_LINE * (len(foot) + 2)
    height = sum(heights) + _HEAD + below
    figure = Figure(figsize=(width, height))
    frame = (0, below / height, 1, 1 - (_HEAD + below) / height)
    figure.set_layout_engine("constrained", rect=frame, w_pad=0.12, h_pad=0.1)
    grid = figure.add_gridspec(len(bands), num_columns, height_ratios=heights)
    for row, (band, depth) in enumerate(zip(bands, depths, strict=True)):
        for column, standing in enumerate(band):
            _draw_panel(figure.add_subplot(grid[row, column]), standing, label, depth)
    left = 0.2 / width
    options: dict[str, Any] = {"va": "top", "parse_math": False}
    title = f"{label} among published judges"
    figure.text(left, 1 - 0.17 / height, title, fontsize=11.5, fontweight="bold", **options)
    _draw_legend(figure, standings, (left, 1 - 0.48 / height))
    at = below / height
    figure.text(left, at, "\n".join(foot), fontsize=7, color="#444444", linespacing=1.3, **options)
    return figure


def _depth(standing: Standing) -> float:
    return len(standing.rows) + 1 + 1.3 * bool(standing.apart)


def _draw_panel(axes: Axes, standing: Standing, label: str, depth: float) -> None:
    from matplotlib.ticker import MaxNLocator

    rows: list[PublishedRow | None] = [*standing.field]
    rows.insert(len(standing.above), None)
    heights = [-float(number) for number in range(len(rows))]
    heights += [-(len(rows) + 1.3 + number) for number in range(len(standing.apart))]
    rows += standing.apart
    own, interval = 100 * standing.value, [100 * bound for bound in standing.interval or ()]
    values = [own if row is None else 100 * row.overall.value for row in rows]
    names = [label if row is None else shorten(row.model, MOST_LETTERS) for row in rows]

    low, high = min(values + interval), max(values + interval)
    space = max(1.0, 0.06 * (high - low))
    axes.set_xlim(max(-space, low - space), min(100 + space, high + space))
    axes.set_ylim(0.4 - depth, 0.6)
    axes.set_title(standing.title, loc="left", fontsize=10.5, fontweight="bold", pad=6)
    axes.set_xlabel("overall, %", fontsize=8, color="#444444", labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color="#E3E3E3", linewidth=0.7)
    axes.tick_params(axis="x", labelsize=7.5, color="#999999", labelcolor="#444444", length=3)
    axes.tick_params(axis="y", length=0, pad=5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#999999")
    axes.set_yticks(heights, names, fontsize=8, parse_math=False)
    axes.hlines(heights, axes.get_xlim()[0], values, color="#D0D0D0", linewidth=0.8, linestyle=":", zorder=1)
    beside = axes.get_yaxis_transform()
    for row, y, value, tick in zip(rows, heights, values, axes.get_yticklabels(), strict=True):
        if row is None:
            text = f"{value:.1f}"
            look: dict[str, Any] = {"color": OWN_COLOUR, "fontweight": "bold"}
            dot = {"marker": "D", "color": OWN_COLOUR, "markersize": 7, "zorder": 5, "label": "own"}
        else:
            is_apart, colour = row in standing.apart, COLOURS[row.kind]
            text = f"{row.overall} {standing.marks(row)}".rstrip()
            look = {"color": _GREY if is_apart else "#111111"}
            face = "white" if is_apart else colour
            dot = {"marker": SHAPES[row.kind], "color": colour, "markerfacecolor": face, "label": row.model}
        axes.plot([value], [y], **{**_DOT, **dot})
        tick.set(**look)
        axes.text(1.015, y, text, transform=beside, fontsize=8, va="center_baseline", **look)
    if interval:
        axes.axvspan(*interval, color=OWN_COLOUR, alpha=0.09, linewidth=0)
        reach = [[max(0.0, own - interval[0])], [max(0.0, interval[1] - own)]]
        y = -len(standing.above)
        axes.errorbar(
            [own], [y], xerr=reach, color=OWN_COLOUR, linewidth=1.8, capsize=3, zorder=4, fmt="none"
        )
    if standing.apart:
        first = heights[-len(standing.apart)]
        said: dict[str, Any] = {"fontsize": 7.2, "style": "italic", "color": _GREY, "va": "center"}
        axes.axhline(first + 1.15, color="#BBBBBB", linewidth=0.7)
        axes.text(0.0, first + 0.78, "scored another way, not ranked", transform=beside, **said)


def _draw_legend(figure: Figure, standings: Sequence[Standing], place: tuple[float, float]) -> None:
    from matplotlib.lines import Line2D

    def mark(marker: str, colour: str, **more: Any) -> Line2D:
        return Line2D([], [], marker=marker, color=colour, **{**_DOT, **more})

    kinds = {row.kind for one in standings for row in one.rows}
    has_interval = any(one.interval is not None for one in standings)
    line = "-" if has_interval else "none"
    own = "this judge, 95% interval" if has_interval else "this judge"
    entries = {own: mark("D", OWN_COLOUR, markersize=7, linestyle=line)}
    entries |= {KIND_NAMES[kind]: mark(SHAPES[kind], COLOURS[kind]) for kind in COLOURS if kind in kinds}
    if any(one.apart for one in standings):
        entries["scored another way"] = mark("o", _GREY, markerfacecolor="white")
    form: dict[str, Any] = {"frameon": False, "borderaxespad": 0.0, "borderpad": 0.0, "fontsize": 8}
    form |= {"loc": "upper left", "bbox_to_anchor": place, "handletextpad": 0.5, "columnspacing": 1.4}
    figure.legend(entries.values(), entries.keys(), ncols=len(entries), **form)


def _footnote(standings: Sequence[Standing], width: int) -> list[str]:
    marks, sources = explain_rows(standings)
    said = ["Marks: " + "; ".join(f"{mark} {text}" for mark, text in marks.items()) + "."] if marks else []
    said += [f"{one.title}: {one.scoring_note}." for one in standings if one.scoring_note]
    said += ["Figures from: " + "; ".join(sources) + "."] if sources else []
    return [line for text in said for line in textwrap.wrap(text, width)]
