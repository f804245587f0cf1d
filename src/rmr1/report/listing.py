"""A judgment as one line of a list: key, what came out, verdict and label, confidence, id, question.

On a terminal a line fits its width; elsewhere nothing is cut.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from rmr1.audit.filters import has_flipped, winner_confidence
from rmr1.console import cut
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import inert, one_line

_OUTCOME, _VERDICT, _CONFIDENCE = 5, 10, 4
_FEWEST_ID, _MOST_ID = 8, 24
_NARROW = 100
"""Columns below which a key is cut to eight characters, of which six name a judgment."""
_STYLES = {"right": "green", "wrong": "red", "none": "yellow", "flip": "magenta"}


def tell_outcome(judgment: Judgment) -> str:
    """`flip` if the orders disagree, `none` without a verdict, `right` or `wrong` against the label, else a dash."""
    if has_flipped(judgment):
        return "flip"
    if judgment.winner is None:
        return "none"
    return {True: "right", False: "wrong", None: "-"}[judgment.correct]


def format_header(width: int) -> Text:
    """The names of the columns, for a terminal."""
    return Text(_join("KEY", "", "VERDICT", "CONF", "ID", "QUESTION", width).rstrip(), style="bold")


def format_line(key: str, judgment: Judgment, width: int | None = None) -> Text:
    """The line, in at most `width` columns; None cuts nothing."""
    outcome, label = tell_outcome(judgment), judgment.pair.label
    verdict = one_line(judgment.winner or "-") + (f" vs {one_line(label)}" if label else "")
    confidence = winner_confidence(judgment) if judgment.winner is not None else None
    question = " ".join(inert(judgment.pair.prompt[-1].text).split()) if judgment.pair.prompt else ""
    if reasons := list_failures(judgment):
        question = f"({one_line('; '.join(reasons))}) {question}"
    elif judgment.winner is None and outcome != "flip":
        problem = judgment.problem or "unknown"
        question = f"({PROBLEM_TEXTS.get(problem, one_line(problem))}) {question}"
    line = Text(
        _join(
            one_line(key),
            outcome,
            verdict,
            "-" if confidence is None else f"{confidence:.2f}",
            one_line(judgment.pair.id),
            question,
            width,
        )
    )
    start = _count_key(width) + 2
    line.stylize(_STYLES.get(outcome, "dim"), start, start + _OUTCOME)
    return line


def _count_key(width: int | None) -> int:
    return 8 if width is not None and width < _NARROW else 12


def _join(
    key: str, outcome: str, verdict: str, confidence: str, id: str, question: str, width: int | None
) -> str:
    key = set_cell_size(key, _count_key(width))
    start = f"{key}  {outcome:<{_OUTCOME}}  {verdict:<{_VERDICT}}  {confidence:<{_CONFIDENCE}}  "
    if width is None:
        return f"{start}{id + ' ' * (_MOST_ID - cell_len(id))}  {question}"
    space = min(_MOST_ID, max(_FEWEST_ID, width // 6))
    return cut(f"{start}{set_cell_size(cut(id, space), space)}  {question}", width)
