"""The leaderboard as a picture: one panel per benchmark, a dot per judge, the best at the top.

matplotlib is imported only when something is drawn, and without its global state: no backend is chosen and
no figure is kept.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmr1.bench.published import MARKS, PublishedRow, RowKind, Standing, marks_of
from rmr1.errors import ConfigError
from rmr1.plugins import require
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
"""Not of the palette's three; its diamond, band and bold label tell it apart as well."""

PANELS_A_ROW = 3
MOST_LETTERS, MOST_OWN = 48, 36
"""Of a label; the judge's own stands in bold."""

# Inches.
_LINE = 0.2
_LABELS, _FIELD, _VALUES = 3.35, 3.6, 0.85
_PANEL = _LABELS + _FIELD + _VALUES
_ABOVE, _BELOW = 0.35, 0.55
_HEAD, _FOOT_LINE, _MARGIN = 0.7, 0.135, 0.2


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel; without a row it is the judge itself."""

    y: float
    label: str
    value: float
    """Percent."""
    text: str
    """What stands at its right: the figure as printed, and its marks."""
    row: PublishedRow | None
    is_apart: bool = False


def check_plot(path: Path) -> None:
    """
    Raises:
        ConfigError: matplotlib is not installed, or the file's suffix is none of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a plot is written as {', '.join(SUFFIXES)}; name the file so")
    with require("a plot", "plot"):
        import matplotlib.figure  # noqa: F401


def draw_leaderboard(standings: Standing | Sequence[Standing | None], path: str | Path, name: str) -> Path:
    """Draw the judge called `name` among the published ones and write the file; gives its path.

    Partial results (None, as `place` gives them) have no panel.

    Raises:
        ConfigError: matplotlib is not installed, the file's suffix is none of `SUFFIXES`, or no benchmark is
            complete.
    """
    path = Path(path)
    check_plot(path)
    suffix = path.suffix.lower()
    placed = [standings] if isinstance(standings, Standing) else [one for one in standings if one is not None]
    if not placed:
        raise ConfigError(
            f"{path}: nothing to draw: no overall is complete, and partial results are not placed among "
            "the published ones"
        )
    figure = build_figure(placed, name)
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
    # Text stays text in an SVG, and equal figures give equal files.
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none", "svg.hashsalt": "rmr1"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path, dpi=150, metadata=metadata)
    return path


def build_figure(standings: Sequence[Standing], name: str) -> Figure:
    """The picture before it is written."""
    from matplotlib.figure import Figure

    label = shorten(" ".join(inert(name).split()), MOST_OWN)
    panels = [lay_out(one, label) for one in standings]
    bands = [
        range(start, min(start + PANELS_A_ROW, len(panels))) for start in range(0, len(panels), PANELS_A_ROW)
    ]
    num_columns = max(len(band) for band in bands)
    width = _PANEL * num_columns + 2 * _MARGIN
    foot = _footnote(standings, int(width * 17))
    band_heights = [max(_height(panels[index]) for index in band) for band in bands]
    below = _FOOT_LINE * len(foot) + _MARGIN
    height = sum(band_heights) + len(bands) * (_ABOVE + _BELOW) + _HEAD + below
    figure = Figure(figsize=(width, height))

    top = height - _HEAD
    for band, band_height in zip(bands, band_heights, strict=True):
        for column, index in enumerate(band):
            own_height = _height(panels[index])
            left = _MARGIN + column * _PANEL + _LABELS
            bottom = top - _ABOVE - own_height
            axes = figure.add_axes((left / width, bottom / height, _FIELD / width, own_height / height))
            _draw_panel(axes, standings[index], panels[index])
        top -= _ABOVE + band_height + _BELOW
    figure.text(
        _MARGIN / width,
        1 - 0.17 / height,
        f"{label} among published judges",
        fontsize=11.5,
        fontweight="bold",
        va="top",
        parse_math=False,
    )
    _draw_legend(figure, standings, (_MARGIN / width, 1 - 0.48 / height))
    figure.text(
        _MARGIN / width,
        below / height,
        "\n".join(foot),
        fontsize=7,
        color="#444444",
        va="top",
        linespacing=1.3,
        parse_math=False,
    )
    return figure


def lay_out(standing: Standing, label: str) -> list[Line]:
    """The lines of a panel from the top; those without a rank come after a gap."""
    lines = [_published(row, 0.0) for row in standing.field]
    own = Line(0.0, label, 100 * standing.value, f"{100 * standing.value:.1f}", None)
    lines.insert(len(standing.above), own)
    lines += [_published(row, 1.3, is_apart=True) for row in standing.apart]
    return [
        Line(-(number + line.y), line.label, line.value, line.text, line.row, line.is_apart)
        for number, line in enumerate(lines)
    ]


def _published(row: PublishedRow, gap: float, *, is_apart: bool = False) -> Line:
    text = f"{row.overall} {marks_of(row, is_apart=is_apart)}".rstrip()
    return Line(gap, shorten(row.model, MOST_LETTERS), 100 * row.overall.value, text, row, is_apart)


def _height(lines: Sequence[Line]) -> float:
    return _LINE * (1.2 - lines[-1].y)


def _draw_panel(axes: Axes, standing: Standing, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = _limits(standing, lines)
    axes.set_xlim(low, high)
    axes.set_ylim(lines[-1].y - 0.6, 0.6)
    axes.set_title(standing.title, loc="left", fontsize=10.5, fontweight="bold", pad=6)
    axes.set_xlabel("overall, %", fontsize=8, color="#444444", labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=7.5, color="#999999", labelcolor="#444444", length=3)
    axes.tick_params(axis="y", length=0, pad=5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#999999")
    axes.set_yticks([line.y for line in lines], [line.label for line in lines], fontsize=8, parse_math=False)
    if standing.interval is not None:
        axes.axvspan(*(100 * bound for bound in standing.interval), color=OWN_COLOUR, alpha=0.09, linewidth=0)
    heights, values = [line.y for line in lines], [line.value for line in lines]
    axes.hlines(heights, low, values, color="#D0D0D0", linewidth=0.8, linestyle=":", zorder=1)
    for line, tick in zip(lines, axes.get_yticklabels(), strict=True):
        colour = OWN_COLOUR if line.row is None else "#777777" if line.is_apart else "#111111"
        weight = "bold" if line.row is None else "normal"
        tick.set(color=colour, fontweight=weight)
        axes.text(
            1.015,
            line.y,
            line.text,
            transform=axes.get_yaxis_transform(),
            fontsize=8,
            va="center_baseline",
            color=colour,
            fontweight=weight,
        )
        if line.row is None:
            _draw_own(axes, standing, line)
        else:
            kind_colour = COLOURS[line.row.kind]
            axes.plot(
                [line.value],
                [line.y],
                marker=SHAPES[line.row.kind],
                color=kind_colour,
                markerfacecolor="white" if line.is_apart else kind_colour,
                markersize=5.5,
                linestyle="none",
                zorder=3,
                label=line.row.model,
            )
    if standing.apart:
        first = next(line for line in lines if line.is_apart)
        axes.axhline(first.y + 1.15, color="#BBBBBB", linewidth=0.7)
        axes.text(
            0.0,
            first.y + 0.78,
            "scored another way, not ranked",
            transform=axes.get_yaxis_transform(),
            fontsize=7.2,
            style="italic",
            color="#777777",
            va="center",
        )


def _draw_own(axes: Axes, standing: Standing, line: Line) -> None:
    if standing.interval is not None:
        low, high = (100 * bound for bound in standing.interval)
        reach = [[max(0.0, line.value - low)], [max(0.0, high - line.value)]]
        axes.errorbar(
            [line.value],
            [line.y],
            xerr=reach,
            color=OWN_COLOUR,
            linewidth=1.8,
            capsize=3,
            zorder=4,
            fmt="none",
        )
    axes.plot(
        [line.value],
        [line.y],
        marker="D",
        color=OWN_COLOUR,
        markersize=7,
        linestyle="none",
        zorder=5,
        label="own",
    )


def _limits(standing: Standing, lines: Sequence[Line]) -> tuple[float, float]:
    values = [line.value for line in lines]
    values += [100 * bound for bound in standing.interval or ()]
    low, high = min(values), max(values)
    space = max(1.0, 0.06 * (high - low))
    return max(-space, low - space), min(100 + space, high + space)


def _draw_legend(figure: Figure, standings: Sequence[Standing], place: tuple[float, float]) -> None:
    from matplotlib.lines import Line2D

    rows = [row for one in standings for row in (*one.field, *one.apart)]
    has_interval = any(one.interval is not None for one in standings)
    handles = [
        Line2D([], [], marker="D", color=OWN_COLOUR, markersize=7, linestyle="-" if has_interval else "none")
    ]
    texts = ["this judge, 95% interval" if has_interval else "this judge"]
    for kind, colour in COLOURS.items():
        if any(row.kind == kind for row in rows):
            handles.append(
                Line2D([], [], marker=SHAPES[kind], color=colour, markersize=5.5, linestyle="none")
            )
            texts.append(KIND_NAMES[kind])
    if any(one.apart for one in standings):
        handles.append(
            Line2D(
                [], [], marker="o", color="#777777", markerfacecolor="white", markersize=5.5, linestyle="none"
            )
        )
        texts.append("scored another way")
    figure.legend(
        handles,
        texts,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=len(handles),
        frameon=False,
        fontsize=8,
        borderaxespad=0.0,
        borderpad=0.0,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def _footnote(standings: Sequence[Standing], width: int) -> list[str]:
    """What the marks mean, how each benchmark was scored and where the figures are from."""
    groups = [(row, False) for one in standings for row in one.field]
    groups += [(row, True) for one in standings for row in one.apart]
    used = {mark for row, is_apart in groups for mark in marks_of(row, is_apart=is_apart)}
    said = []
    if used:
        said.append(
            "Marks: " + "; ".join(f"{mark} {text}" for mark, text in MARKS.items() if mark in used) + "."
        )
    said += [f"{one.title}: {one.scoring_note}." for one in standings if one.scoring_note]
    citations = dict.fromkeys(row.citation for row, _ in groups)
    if citations:
        said.append("Figures from: " + "; ".join(citations) + ".")
    return [line for text in said for line in textwrap.wrap(text, width)]


def shorten(text: str, most: int) -> str:
    """At most `most` letters; long names lose their middle, for both the family and the size matter."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 2
    return f"{text[: most - 3 - tail]}...{text[-tail:]}"
