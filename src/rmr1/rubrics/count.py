"""Judgments -> how often each criterion occurs, what it weighs, and how the verdicts go with its scores; in one pass.

What is counted are texts, the judge's votes: each has a rubric of its own or criteria that the judge was given, and a
verdict of its own. Scores are only given by the latter (`Judgment.criteria`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rmr1.records import NO_TEXT, CriterionScores, Judgment, RubricItem
from rmr1.verdicts.scores import share_weights, weigh_scores

Origin = Literal["own", "shared", "given"]
"""Whose a criterion is: the judge wrote it in the text, or for the question; or a user gave it."""

_MOST_NAME = 80
_BREAKS = (":", "：", " - ", " – ", " — ")


@dataclass(slots=True, kw_only=True)
class Figures:
    """What is known of a criterion, or of several together: numbers of texts."""

    uses: int = 0
    """How often it stands in a text's rubric; of several criteria counted as one a text may have more than one."""
    origins: Counter[str] = field(default_factory=Counter)
    wordings: Counter[str] = field(default_factory=Counter)
    weighed: int = 0
    """Texts in which it has a share of the whole weight, that is if all criteria of the rubric have a weight, or none."""
    weight: float = 0.0
    """The sum of these shares."""
    scored: int = 0
    """Those that score both answers by it."""
    parted: int = 0
    """Those among them that give the answers different scores and have a verdict for one of them."""
    followed: int = 0
    """Those among them whose verdict is for the answer with the higher score."""
    weighable: int = 0
    """Texts that score both answers by every criterion, one of several, and whose verdict is on the side of the weighted
    sum."""
    turned: int = 0
    """Those among them whose weighted sum would not be on that side without it."""

    def add(self, other: Figures) -> None:
        """Count the other's texts too."""
        self.origins.update(other.origins)
        self.wordings.update(other.wordings)
        for name in ("uses", "weighed", "weight", "scored", "parted", "followed", "weighable", "turned"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class RubricCounts:
    """Counts that grow judgment by judgment."""

    judgments: int = 0
    texts: int = 0
    """Texts of theirs, whatever they hold."""
    with_rubric: int = 0
    """Texts with a rubric of their own, or with criteria that the judge was given."""
    criteria: dict[str, Figures] = field(default_factory=dict)
    """Name of a criterion (`name_criterion`) -> what is known of it."""
    sums: Counter[str] = field(default_factory=Counter)
    """Texts that score both answers by every criterion and have a verdict for one, by whether their weighted sum is with it
    (`with`), for the other answer (`against`), or `level`."""

    def add(self, judgment: Judgment, *, is_shared: bool = False) -> None:
        """Count a judgment; `is_shared` says that the criteria which it was given are the question's shared rubric."""
        self.judgments += 1
        given: Origin = "shared" if is_shared else "given"
        for vote in judgment.votes:
            if vote.generation.finish_reason in NO_TEXT or vote.problem == "no_rubric":
                continue
            self.texts += 1
            trace = vote.trace
            rubric, origin = (judgment.criteria, given) if judgment.criteria else (trace.rubric, "own")
            if rubric:
                self.with_rubric += 1
                self._add_text(rubric, origin, trace.scores, vote.winner)

    def _add_text(
        self,
        rubric: Sequence[RubricItem],
        origin: str,
        scores: Sequence[CriterionScores],
        winner: str | None,
    ) -> None:
        shares, by_number = share_weights(rubric), {one.criterion: one for one in scores}
        whole = weigh_scores(rubric, scores) if scores else None
        is_with = False
        if whole is not None and winner in ("A", "B"):
            side = _side(*whole)
            is_with = side == winner
            self.sums["with" if is_with else "level" if side is None else "against"] += 1
        for number, item in enumerate(rubric, start=1):
            name, one = name_criterion(item), by_number.get(number)
            figures = Figures(uses=1, origins=Counter([origin]), wordings=Counter([_wording(item)]))
            if shares is not None:
                figures.weighed, figures.weight = 1, shares[number - 1]
            if one is not None and one.a is not None and one.b is not None:
                figures.scored = 1
                if one.a != one.b and winner in ("A", "B"):
                    figures.parted, figures.followed = 1, int(_side(one.a, one.b) == winner)
            if is_with and len(rubric) > 1:
                rest = weigh_scores(rubric, scores, without=number)
                figures.weighable, figures.turned = 1, int(rest is None or _side(*rest) != winner)
            self.criteria.setdefault(name, Figures()).add(figures)


def count_rubrics(judgments: Iterable[Judgment], *, is_shared: bool = False) -> RubricCounts:
    """The counts of one run's judgments."""
    counts = RubricCounts()
    for judgment in judgments:
        counts.add(judgment, is_shared=is_shared)
    return counts


def name_criterion(item: RubricItem) -> str:
    """What a criterion is known by: its name, or else the title of its text (`cut_title`), in lower case.

    >>> name_criterion(RubricItem(text="Factual accuracy: does it get the year right?"))
    'factual accuracy'
    """
    title = cut_title(_wording(item))
    return title.casefold()


def cut_title(wording: str) -> str:
    """What stands before the first colon or dash of the first line, if that is short, or else the line."""
    line = wording.split("\n")[0]
    cuts = [place for mark in _BREAKS if 0 < (place := line.find(mark)) <= _MOST_NAME]
    return " ".join((line[: min(cuts)] if cuts else line).strip(" .*_").split()) or line


def describe_figures(figures: Figures, counts: RubricCounts) -> dict[str, Any]:
    """A criterion's figures as JSON values; shares are in [0, 1], and None if nothing could be counted."""
    return {
        "uses": figures.uses,
        "per_text": _divide(figures.uses, counts.with_rubric),
        "from": dict(figures.origins),
        "weight": _divide(figures.weight, figures.weighed),
        "scored": figures.scored,
        "parted": figures.parted,
        "followed": _divide(figures.followed, figures.parted),
        "weighable": figures.weighable,
        "turned": _divide(figures.turned, figures.weighable),
    }


def _divide(part: float, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _wording(item: RubricItem) -> str:
    return item.text if item.name is None else f"{item.name}: {item.text}"


def _side(a: float, b: float) -> str | None:
    if abs(a - b) < 1e-9:
        return None
    return "A" if a > b else "B"
