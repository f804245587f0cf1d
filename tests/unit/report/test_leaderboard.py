"""The leaderboard for the terminal and as a picture."""

from __future__ import annotations

import builtins
import io
import sys
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from rmr1.bench.published import TITLES, Standing, place
from rmr1.errors import ConfigError
from rmr1.report import leaderboard_plot
from rmr1.report.leaderboard import print_leaderboard
from rmr1.report.leaderboard_plot import draw_leaderboard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN = "my-judge-7b"


def standing_of(benchmark: str, value: float, **more: Any) -> Standing:
    standing = place(benchmark, value, **more)
    assert standing is not None
    return standing


def printed(standing: Standing, name: str = OWN, **more: Any) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    print_leaderboard(console, standing, name, **more)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("benchmark", list(TITLES))
@pytest.mark.parametrize("as_published", [False, True])
def test_table_fits_100_columns_and_cuts_no_figure(benchmark: str, as_published: bool) -> None:
    standing = standing_of(benchmark, 0.7931, interval=(0.785, 0.801), as_published=as_published)
    text = printed(standing, "/some/long/folder/with/" + "a" * 80 + "/my-judge-7b")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in text
    ranked = [line for line in lines if line[:2].strip().isdigit()]
    assert len(ranked) == standing.total
    (own,) = [line for line in ranked if "> " in line]
    assert own.split()[:2] == [str(standing.rank), ">"] and "my-judge-7b" in own and "79.3" in own
    for row, line in zip(standing.field, [line for line in ranked if line is not own], strict=True):
        assert f" {row.overall} " in line
        for group in row.parts.values():
            for figure in group.values():
                assert f" {100 * figure.value:.1f} " in line
    assert sum(line.startswith(" - ") for line in lines) == len(standing.apart)
    assert ("scored another way:" in text) == bool(standing.apart)


def test_table_ranks_and_places_the_judge() -> None:
    text = printed(standing_of("rmb", 0.551), parts={"Help BoN": 0.4567, "Harm pair": 0.61})
    lines = text.splitlines()
    own = next(number for number, line in enumerate(lines) if f"> {OWN}" in line)
    # The judge is level with the next row: both are 29th, nobody is 30th.
    assert lines[own].split() == ["29", ">", OWN, "55.1", "45.7", "61.0"]
    assert lines[own - 1].split()[:2] == ["28", "Gemini-1.5-pro"]
    assert lines[own + 1].split()[:2] == ["29", "RM-R1-DeepSeek-Distilled-Qwen-7B"]
    assert lines[own + 2].split()[:2] == ["31", "JudgeLRM"]
    # Equal published rows share a rank, with the judge above them counted in.
    assert [line.split()[0] for line in lines if "DeepSeek-GRM-27B-RFT" in line] == ["19"]
    assert "d  its parts do not give its overall" in lines
    assert "level with RM-R1-DeepSeek-Distilled-Qwen-7B" in text


def test_hostile_names_stay_inert() -> None:
    text = printed(standing_of("rewardbench2", 0.5), "[red]x[/red]\x1b[31m")
    assert "> [red]x[/red]\\x1b[31m" in text and "\x1b" not in text


def figure_of(*standings: Standing, name: str = OWN) -> Figure:
    figure = leaderboard_plot.build_figure(standings, name)
    figure.draw_without_rendering()
    return figure


def labels_of(axes: Axes) -> list[str]:
    ticks = sorted(axes.get_yticklabels(), key=lambda one: -one.get_position()[1])
    return [tick.get_text() for tick in ticks]


def dots_of(axes: Axes) -> dict[str, tuple[float, float]]:
    """Model -> (percent, y); the judge itself is `own`."""
    found = {}
    for line in axes.get_lines():
        label = str(line.get_label())
        if not label.startswith("_"):
            ((x, y),) = np.asarray(line.get_xydata(), dtype=float)
            found[label] = (float(x), float(y))
    return found


def test_dots_stand_at_their_figures_best_at_the_top() -> None:
    standing = standing_of("rewardbench", 0.874, interval=(0.862, 0.886))
    (axes,) = figure_of(standing).axes
    dots = dots_of(axes)
    assert dots.pop("own") == (pytest.approx(87.4), -22)
    assert {model: x for model, (x, _) in dots.items()} == pytest.approx(
        {row.model: 100 * row.overall.value for row in standing.field}
    )
    heights = [dots[row.model][1] for row in standing.field]
    assert heights == sorted(heights, reverse=True) and -22 not in heights
    labels = labels_of(axes)
    assert labels[:2] == ["Skywork-Reward-V2-Llama-3.1-8B-40M", "INF-ORM-Llama3.1-70B"]
    assert labels[21:24] == ["Internlm2-7b-reward", OWN, "DeepSeek-PairRM-27B"]
    values = {round(text.get_position()[1]): text.get_text() for text in axes.texts}
    assert (values[0], values[-2], values[-22]) == ("97.8 s", "93.8 c", "87.4")
    low, high = axes.get_xlim()
    assert low < 70.4 and high > 97.8


def test_the_judge_is_highlighted_with_its_interval() -> None:
    from matplotlib.container import ErrorbarContainer

    standing = standing_of("rewardbench", 0.874, interval=(0.862, 0.886))
    (axes,) = figure_of(standing).axes
    (band,) = axes.patches
    assert band.get_extents().transformed(axes.transData.inverted()).intervalx == pytest.approx([86.2, 88.6])
    (bar,) = axes.containers
    assert isinstance(bar, ErrorbarContainer)
    ((start, end),) = [segment for lines in bar.lines[2] for segment in lines.get_segments()]
    assert [start[0], end[0], start[1]] == pytest.approx([86.2, 88.6, -22])
    own = next(tick for tick in axes.get_yticklabels() if tick.get_text() == OWN)
    others = [tick for tick in axes.get_yticklabels() if tick.get_text() != OWN]
    assert own.get_color() == leaderboard_plot.OWN_COLOUR and own.get_fontweight() == "bold"
    assert all(tick.get_fontweight() == "normal" for tick in others)
    (without,) = figure_of(standing_of("rewardbench", 0.874)).axes
    assert not without.patches and not without.containers


def test_kinds_have_their_colours_and_shapes() -> None:
    standing = standing_of("rm-bench", 0.7)
    figure = figure_of(standing)
    lines = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    for row in standing.field:
        assert lines[row.model].get_color() == leaderboard_plot.COLOURS[row.kind]
        assert lines[row.model].get_marker() == leaderboard_plot.SHAPES[row.kind]
        assert lines[row.model].get_markerfacecolor() == leaderboard_plot.COLOURS[row.kind]
    assert len({*leaderboard_plot.COLOURS.values(), leaderboard_plot.OWN_COLOUR}) == 4
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "this judge",
        "scalar reward model",
        "generative judge",
        "reasoning judge",
        "scored another way",
    ]


def test_rows_scored_another_way_are_hollow_and_last() -> None:
    standing = standing_of("rm-bench", 0.99)
    (axes,) = figure_of(standing).axes
    dots = dots_of(axes)
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    lowest = min(dots[row.model][1] for row in standing.field)
    assert standing.apart
    for row in standing.apart:
        assert dots[row.model][1] < lowest - 1
        assert lines[row.model].get_markerfacecolor() == "white"
    texts = [text.get_text() for text in axes.texts]
    assert "scored another way, not ranked" in texts and "83.9 x" in texts


def test_footnotes_give_marks_scoring_and_sources() -> None:
    figure = figure_of(standing_of("rm-bench", 0.7), standing_of("rmb", 0.6))
    text = " ".join(figure.texts[-1].get_text().split())
    assert "s quoted from another paper or a leaderboard, not rechecked" in text
    assert "RM-Bench: scored by the official rule" in text
    assert "RM-R1 (arXiv 2505.02387, ICLR 2026), RMB" in text
    assert "possibly contaminated" not in text


def test_everything_stands_inside_the_picture_and_labels_are_apart() -> None:
    every = [standing_of(name, 0.7, interval=(0.5, 0.9)) for name in TITLES]
    for standings in (every[:1], every[:2], every):
        figure = figure_of(*standings, name="/some/folder/W" + "W" * 60)
        width, height = figure.bbox.width, figure.bbox.height
        boxes = [text.get_window_extent() for text in figure.texts]
        for legend in figure.legends:
            boxes.append(legend.get_window_extent())
        for axes in figure.axes:
            ticks = [tick.get_window_extent() for tick in axes.get_yticklabels()]
            boxes += ticks + [text.get_window_extent() for text in axes.texts]
            boxes += [axes.title.get_window_extent(), axes.xaxis.label.get_window_extent()]
            ticks.sort(key=lambda box: box.y0)
            for below, above in pairwise(ticks):
                assert below.y1 <= above.y0 + 1
        for box in boxes:
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        panels = [(axes.get_tightbbox(), axes.title.get_text()) for axes in figure.axes]
        for (first, title), (second, name) in combinations(panels, 2):
            assert first is not None and second is not None
            assert not first.overlaps(second), f"{title} overlaps {name}"


def test_every_standing_has_a_panel(tmp_path: Path) -> None:
    standings = [standing_of("rewardbench", 0.8), standing_of("rmb", 0.6)]
    path = draw_leaderboard(standings, tmp_path / "plots/board.svg", OWN)
    text = path.read_text(encoding="utf-8")
    found = ["".join(one.itertext()) for one in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert "RewardBench" in found and "RMB" in found and "RM-Bench" not in found
    assert found.count(OWN) == 2
    with pytest.raises(ConfigError, match="nothing to draw, because no overall is complete"):
        draw_leaderboard([], tmp_path / "none.png", OWN)
    assert not (tmp_path / "none.png").exists()


def test_files_are_of_the_named_kind_and_repeat(tmp_path: Path) -> None:
    standing = standing_of("rewardbench2", 0.7, interval=(0.6, 0.8))
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    for suffix, start in starts.items():
        first = draw_leaderboard([standing], tmp_path / f"one{suffix}", "a_$b$ \u5224").read_bytes()
        second = draw_leaderboard([standing], tmp_path / f"two{suffix}", "a_$b$ \u5224").read_bytes()
        assert first.startswith(start) and first == second
    with pytest.raises(ConfigError, match=r"board\.gif: a plot is written as \.png, \.svg, \.pdf"):
        draw_leaderboard([standing], tmp_path / "board.gif", OWN)


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **more: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *args, **more)

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"a plot needs matplotlib, .*pip install 'rmr1\[plot\]'"):
        draw_leaderboard([standing_of("rmb", 0.6)], tmp_path / "board.png", OWN)


def test_nothing_is_imported_until_something_is_drawn() -> None:
    import subprocess

    code = "import sys, rmr1.report.leaderboard_plot; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
