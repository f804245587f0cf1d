"""`Ranking`: the answers of a question in order, and what that was found from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rmr1.judge.ranking.contest import Contest, read_result
from rmr1.judge.ranking.methods import Comparison, Outcome, Places
from rmr1.records import Candidates
from rmr1.rewards.strengths import PRIOR_SD, fit_strengths, group_alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was asked and answered."""

    comparisons: int = 0
    """Pairs, or groups of four, that were judged; those that are found stored count too."""
    texts: int = 0
    """Texts of the judge that were read, or scores; of a cascade those of the stage that decided."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    """Whether any tokens are reckoned from characters."""
    cached: int = 0
    """Comparisons from a cache. Their tokens are not counted again."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            comparisons=self.comparisons + other.comparisons,
            texts=self.texts + other.texts,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            is_estimated=self.is_estimated or other.is_estimated,
            cached=self.cached + other.cached,
        )


NOTHING = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The order of a question's answers. Answers are named by their places in `candidates.responses`, from 0."""

    candidates: Candidates
    method: str
    order: tuple[tuple[int, ...], ...]
    """The best first; answers that share a place stand together."""
    unranked: tuple[int, ...] = ()
    """Answers about which no comparison has a verdict."""
    strengths: tuple[float | None, ...]
    """Bradley-Terry strengths of all answers, in log-odds, which sum to 0 over the different ones; None of an unranked
    answer, and if all are equal."""
    errors: tuple[float | None, ...]
    """Their standard errors."""
    prior_sd: float = PRIOR_SD
    """Standard deviation of the strengths' prior."""
    ties: int = 0
    """Comparisons that the judge called a tie."""
    splits: int = 0
    """Comparisons whose votes or orders contradict each other: taken as a tie."""
    without_verdict: dict[str, int] = field(default_factory=dict)
    """Reason -> comparisons that have no verdict for it, which count for nothing."""
    cycles: tuple[tuple[int, ...], ...] = ()
    """Groups of answers of which each beats another one in a circle."""
    spent: Spent = NOTHING

    @property
    def best(self) -> int | None:
        """The answer that is better than all others; None if several share the first place, or none has one."""
        return self.order[0][0] if self.order and len(self.order[0]) == 1 else None

    @property
    def is_right(self) -> bool | None:
        """Whether the labelled best answer is alone in the first place; None without a label."""
        label = self.candidates.best
        return None if label is None else self.best == label

    def find_ends(self) -> tuple[int, int] | None:
        """(best answer, worst answer), the strongest and the weakest of the first and the last place; None if they are
        not told apart."""
        if len(self.order) < 2:
            return None
        first, last = (
            sorted(group, key=lambda place: (-(self.strengths[place] or 0.0), place))
            for group in (self.order[0], self.order[-1])
        )
        return first[0], last[-1]


def conclude(
    contest: Contest,
    method: str,
    places: Places,
    found: Sequence[tuple[Comparison, Outcome]],
    spent: Spent,
    *,
    prior_sd: float = PRIOR_SD,
) -> Ranking:
    """The ranking that a plan's places and all its comparisons give."""
    results = [one for comparison, outcome in found if (one := read_result(comparison, outcome)) is not None]
    fitted = fit_strengths(len(contest), results, prior_sd=prior_sd)
    is_known = [value is not None for value in fitted.values]
    if len(contest) == 1:
        is_known = [True]  # equal answers: nothing to compare
    order = []
    for level in sorted({places.levels[one] for one, known in enumerate(is_known) if known}):
        group = [one for one, known in enumerate(is_known) if known and places.levels[one] == level]
        groups = [list(range(len(group)))]
        if places.is_by_strength:
            groups = [list(one) for one in group_alike([fitted.values[one] or 0.0 for one in group])]
        order += [[group[index] for index in one] for one in groups]
    problems = Counter(str(outcome.problem) for _, outcome in found if not outcome.is_known)
    splits = sum(outcome.problem == "split_vote" for _, outcome in found)
    undecided = sum(outcome.is_known and outcome.winner is None for _, outcome in found)
    return Ranking(
        candidates=contest.candidates,
        method=method,
        order=tuple(_list_places(contest, group) for group in order),
        unranked=_list_places(contest, [one for one, known in enumerate(is_known) if not known]),
        strengths=contest.spread(fitted.values),
        errors=contest.spread(fitted.errors),
        prior_sd=prior_sd,
        ties=undecided - splits,
        splits=splits,
        without_verdict=dict(sorted(problems.items())),
        cycles=tuple(sorted(_list_places(contest, one) for one in find_cycles(len(contest), found))),
        spent=spent,
    )


def find_cycles(num_answers: int, found: Sequence[tuple[Comparison, Outcome]]) -> list[list[int]]:
    """Groups of answers that are joined by wins in both directions, over however many others."""
    reaches_NN = np.zeros((num_answers, num_answers), dtype=bool)
    for comparison, outcome in found:
        if outcome.winner is not None:
            for one in comparison:
                reaches_NN[outcome.winner, one] |= one != outcome.winner
    for middle in range(num_answers):
        reaches_NN |= np.outer(reaches_NN[:, middle], reaches_NN[middle])
    mutual_NN = reaches_NN & reaches_NN.T
    groups = {tuple(np.flatnonzero(mutual_NN[one]).tolist()) for one in range(num_answers)}
    return [list(group) for group in sorted(groups) if group]


def _list_places(contest: Contest, answers: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(place for one in answers for place in contest.places[one]))
