"""Counts of criteria -> the listing of them, near-equal ones together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmr1.rubrics.count import Figures, RubricCounts, describe_figures
from rmr1.rubrics.group import MOST_GROUPED, group_names


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionGroup:
    """Criteria that are listed as one."""

    wording: str
    """The commonest wording."""
    names: tuple[str, ...]
    """Their names, the commonest first."""
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class RubricReport:
    """The criteria of one or several runs, the commonest first."""

    counts: RubricCounts
    groups: tuple[CriterionGroup, ...]
    not_compared: int
    """Rare names that were too many to be compared, and stand alone."""

    def describe(self, limit: int = 0) -> dict[str, Any]:
        """All of it as JSON values, at most `limit` criteria, if it is not 0."""
        counts = self.counts
        return {
            "judgments": counts.judgments,
            "texts": counts.texts,
            "with_rubric": counts.with_rubric,
            "weighted_sums": {name: counts.sums[name] for name in ("with", "against", "level")},
            "not_compared": self.not_compared,
            "num_criteria": len(self.groups),
            "criteria": [
                {
                    "criterion": group.wording,
                    "names": list(group.names),
                    **describe_figures(group.figures, counts),
                }
                for group in self.groups[: limit or None]
            ],
        }


def report_rubrics(counts: RubricCounts, *, similar: float) -> RubricReport:
    """The criteria in groups (`group_names`).

    Raises:
        ConfigError: as for `group_names`.
    """
    names = sorted(counts.criteria, key=lambda name: (-counts.criteria[name].uses, name))
    groups = []
    for group in group_names(names, similar):
        figures = Figures()
        for name in group:
            figures.add(counts.criteria[name])
        ((wording, _),) = figures.wordings.most_common(1)
        groups.append(CriterionGroup(wording=wording, names=tuple(group), figures=figures))
    groups.sort(key=lambda one: (-one.figures.uses, -one.figures.weight))
    not_compared = max(0, len(names) - MOST_GROUPED) if similar < 1 else 0
    return RubricReport(counts=counts, groups=tuple(groups), not_compared=not_compared)
