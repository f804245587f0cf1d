"""What a progress line says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rmr1.cli.progress import Progress, format_seconds

from ..data.test_runs import make_judgment


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
