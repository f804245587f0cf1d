"""What a progress line says."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest
from rich.cells import cell_len

from rmr1.console import Display, PairProgress, Progress, describe_loss
from rmr1.screen import format_seconds

from ..store.test_runs import make_judgment
from .test_pager import run_in_terminal


def test_a_line_counts_what_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(4, done=1, label="judged") as progress:
        for number in range(2):
            progress.update(make_judgment(number))
        line = progress.line()
    assert line.startswith("judged 3/4 · ") and "0 without verdict" in line
    assert "100.0% right" in line and line.endswith("left")
    assert "judged 3/4" in capsys.readouterr().err


def test_votes_that_contradict_each_other_are_verdicts() -> None:
    with Progress(2, quiet=True) as progress:
        progress.tally.add(replace(make_judgment(0), winner=None, problem="split_vote"))
        progress.tally.add(replace(make_judgment(1), winner=None, problem="no_verdict"))
        assert " · 1 without verdict · 1 undecided · " in progress.line()


def test_failures_are_counted_apart_and_are_no_share() -> None:
    failed = replace(make_judgment(0), winner=None, problem="generation_failed")
    generation = replace(failed.votes[0].generation, text="", finish_reason="error", error="HTTP 500")
    failed = replace(failed, votes=(replace(failed.votes[0], generation=generation),))
    with Progress(9, quiet=True) as progress:
        assert "failed" not in progress.line()
        progress.tally.add(failed)
        assert " · 0 without verdict · 1 failed · " in progress.line() and "right" not in progress.line()
        progress.tally.add(replace(make_judgment(1), winner=None, problem="no_verdict"))
        assert " · 1 without verdict · 1 failed · 0.0% right" in progress.line()
        # One order failed, the other one has a verdict.
        progress.tally.add(replace(failed, winner="A", problem=None))
        assert " · 1 without verdict · 2 failed · 33.3% right" in progress.line()


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1, quiet=True) as progress:
        progress.update(make_judgment())
    assert capsys.readouterr().err == "" and progress.tally.items == 1


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (132, "2m12s"), (11_100, "3h05m")])
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize("width", [79, 59, 39, 12])
def test_lines_of_trainings_and_of_pairs_fit(width: int) -> None:
    from rmr1.train.grpo.metrics import describe_step

    step = {
        "step": 123_456,
        "loss": 1234.5678,
        "lr": 1e-6,
        "tokens_per_second": 123_456.0,
        "reward": -0.5,
        "accuracy": 0.5,
        "length": 8192.0,
        "entropy": 0.1,
        "kl": 0.5,
        "unparsed": 0.25,
        "live_groups": 1024,
        "groups": 1024,
        "rollout_tokens_per_second": 1e6,
        "update_tokens_per_second": 1e6,
    }
    for describe in (describe_loss, describe_step):
        display = Display(999_999, done=1, quiet=True, describe=describe)
        display.update(step)
        line = display.line(width)
        assert cell_len(line) <= width and line.startswith("step 123456"[: width - 1])
        if width >= 39:
            assert line.startswith("step 123456/999999 · ") and line.endswith(" left")
    for stage in ("comparing similar pairs of " + "日本語" * 40, "x" * 500, "reading\nown"):
        progress = PairProgress(quiet=True)
        progress.report(stage, 1_234_567)
        line = progress.line(width)
        assert cell_len(line) <= max(width, cell_len(": 1,234,567 pairs · 0s")) and "\n" not in line
        assert ": 1,234,567 pairs · " in line


LIVE = """
import sys, time
from dataclasses import replace
from rmr1.console import Display, PairProgress, Progress
from tests.unit.store.test_runs import make_judgment

failed = replace(make_judgment(0), winner=None, problem="generation_failed")
vote = failed.votes[0]
error = replace(vote.generation, text="", finish_reason="error", error="HTTP 500")
failed = replace(failed, votes=(replace(vote, generation=error),))
with Progress(2_000_000, done=1_000_000, label="judged") as progress:
    for number in range(12):
        progress.update(failed if number % 3 == 0 else make_judgment(number))
        time.sleep(0.05)
with Display(999_999) as display:
    for step in range(1, 8):
        display.update({"step": step, "loss": 1234.5, "lr": 1e-6, "tokens_per_second": 123456.0})
        time.sleep(0.05)
with PairProgress() as progress:
    for stage in ("reading a source with a long name and more", "comparing similar pairs of the other sources"):
        for done in (0, 100_000, 1_234_567):
            progress.report(stage, done)
            time.sleep(0.25)
"""


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_no_line_wraps_in_a_terminal(columns: int) -> None:
    """Each line between two movements of the cursor is narrower than the screen, and nothing goes up more than one."""
    got, code = run_in_terminal([sys.executable, "-c", LIVE], pager="cat", columns=columns)
    assert code == 0 and "judged" in got and "step 7/999999" in got and "comparing" in got and "failed" in got
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "\n", got)
    lines = [line for part in plain.split("\n") for line in part.split("\r")]
    assert max(map(cell_len, lines)) < columns
    assert got.count("\x1b[1A") == 3 and "\x1b[2A" not in got  # one line is cleared at the end of each
