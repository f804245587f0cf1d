"""Every model of the zoo by every path: exact, slow but right, refused, or wrong."""

from __future__ import annotations

import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from transformers.utils import logging as transformers_logging

from rmr1.errors import RMR1Error
from tests.zoo.configs import Case
from tests.zoo.paths import PATHS
from tests.zoo.truth import Truth

Verdict = Literal["exact", "slow", "refused", "WRONG", "crashed", "not built"]
SECONDS = 60
"""For one path of one model; more is a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One model by one path."""

    case: str
    path: str
    verdict: Verdict
    difference: float | None = None
    """As a share of what is tolerated."""
    reason: str = ""
    """Why it was refused, is slow, crashed, or could not be built."""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        return self.verdict in ("WRONG", "crashed")


def examine(case: Case, paths: Iterable[str] = PATHS) -> list[Cell]:
    """A cell for each path; one, "not built", if there is no such model."""
    began = time.perf_counter()
    try:
        with _quiet(), _at_most(SECONDS):
            truth = Truth(case)
            is_causal = truth.is_causal()
    except (Exception, _TooLong) as error:
        return [Cell(case=case.name, path="-", verdict="not built", reason=_describe(error))]
    if not is_causal:
        return [Cell(case=case.name, path="-", verdict="not built", reason="looks at later tokens")]
    seconds = time.perf_counter() - began
    found = []
    for path in paths:
        found.append(_examine_path(case, truth, path, seconds))
        seconds = 0.0
    return found


def _examine_path(case: Case, truth: Truth, path: str, seconds: float) -> Cell:
    began = time.perf_counter() - seconds

    def cell(verdict: Verdict, difference: float | None = None, reason: str = "") -> Cell:
        return Cell(
            case=case.name,
            path=path,
            verdict=verdict,
            difference=difference,
            reason=reason,
            seconds=time.perf_counter() - began,
        )

    try:
        with _quiet(), _at_most(SECONDS):
            outcome = PATHS[path](case, truth)
    except RMR1Error as error:
        return cell("refused", reason=str(error))
    except (Exception, _TooLong) as error:
        return cell("crashed", reason=_describe(error))
    if not outcome.difference <= 1:
        return cell("WRONG", outcome.difference, "; ".join(outcome.notes))
    return cell("slow" if outcome.notes else "exact", outcome.difference, "; ".join(outcome.notes))


def print_table(
    cases: Sequence[Case], paths: Sequence[str], *, reasons: bool, say: Callable[[str], None]
) -> int:
    """Print a line per model as it is examined, then what went wrong, why and how often; 1 if anything did."""
    wide = max(len(case.name) for case in cases)
    say(" ".join([f"{'model':<{wide}}", *(f"{path:<13}" for path in paths), "seconds"]))
    cells: list[Cell] = []
    for case in cases:
        own = examine(case, paths)
        cells += own
        if own[0].verdict == "not built":
            say(f"{case.name:<{wide}} not built: {own[0].reason}")
            continue
        shown = [f"{_show(one):<13}" for one in own]
        say(" ".join([f"{case.name:<{wide}}", *shown, f"{sum(one.seconds for one in own):.1f}"]))
    for verdict in ("WRONG", "crashed", *(("refused", "slow") if reasons else ())):
        chosen = [one for one in cells if one.verdict == verdict]
        if chosen:
            say(f"\n{verdict}")
            for one in chosen:
                size = "" if one.difference is None else f" {one.difference:.3g} times what is tolerated"
                say(f"  {one.case} {one.path}{size} {one.reason}".rstrip())
    say("\npaths   " + count(one.verdict for one in cells if one.verdict != "not built"))
    say("models  " + count(worst(group) for group in group_cases(cells)))
    return int(any(one.is_bad for one in cells))


def worst(cells: Sequence[Cell]) -> str:
    """The verdict on a model: that on its worst path."""
    order = ("crashed", "WRONG", "refused", "slow", "exact", "not built")
    return min((one.verdict for one in cells), key=order.index)


def group_cases(cells: Iterable[Cell]) -> list[list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for one in cells:
        found.setdefault(one.case, []).append(one)
    return list(found.values())


def count(values: Iterable[str]) -> str:
    return ", ".join(f"{number} {value}" for value, number in Counter(values).most_common())


def _show(cell: Cell) -> str:
    if cell.difference is None:
        return cell.verdict
    return f"{cell.verdict} {cell.difference:.1g}"


def _describe(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {lines[0][:160]}{place}"


class _TooLong(BaseException):
    """A path does not come to an end; nothing takes this for an error of the model's."""


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        transformers_logging.set_verbosity(verbosity)
