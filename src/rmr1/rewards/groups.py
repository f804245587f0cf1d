"""Rewards of a group of answers to one question, out of their comparisons: pure arithmetic, no judge and no torch.

    win_rate        mean over the opponents j of P(i beats j) - 1/2: in [-1/2, 1/2], and the group's sum is 0 if no
                    comparison failed
    bradley_terry   the answer's Bradley-Terry strength less the group's mean: in log-odds, and the sum is 0
    reference       P(i beats the reference answer) - 1/2

An answer with no comparison left has no reward but the reason why; a comparison that failed counts for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rmr1.records import Judgment, Problem, Vote
from rmr1.rewards.strengths import Result
from rmr1.verdicts.probability import sigmoid
from rmr1.verdicts.votes import combine_probabilities

RewardMethod = Literal["win_rate", "bradley_terry", "reference"]
REWARD_METHODS: tuple[RewardMethod, ...] = ("win_rate", "bradley_terry", "reference")

_SHARES = {"A": 1.0, "tie": 0.5, "B": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What one comparison says of two answers."""

    probability: float | None
    """P(the first is better), in [0, 1]; None if the comparison failed."""
    problem: Problem | None = None
    """Why there is none."""
    is_decided: bool = False
    """Whether the verdict names one of the two; else, if it did not fail, it is a tie or a split vote."""
    first_won: bool = False

    def flip(self) -> Preference:
        """The same of the two answers the other way round."""
        return replace(
            self,
            probability=None if self.probability is None else 1 - self.probability,
            first_won=self.is_decided and not self.first_won,
        )


EQUAL = Preference(probability=0.5)
"""What is known of equal answers without asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """One reward for each answer, or None and the reason."""

    values: tuple[float | None, ...]
    problems: tuple[Problem | None, ...]
    """The commonest reason why the comparisons of an answer without reward failed."""


def read_preference(judgment: Judgment) -> Preference:
    """P(A is better) of a judgment, by probability if one is known, else by verdict.

    Known is it by a calibration, by the scores of a scalar model, or by the log-probabilities of all verdicts. Else a
    verdict counts 1, 0.5 (tie) or 0, averaged over the samples of each order and then over the orders; so orders that
    contradict each other give 0.5. A comparison that was asked in both orders and has a verdict in one of them has
    failed: it would tell the place from the answer no more.
    """
    if judgment.problem is not None and judgment.problem != "split_vote":
        return Preference(probability=None, problem=judgment.problem)
    if judgment.kind == "pair" and (lost := _find_silent_order(judgment)) is not None:
        return Preference(probability=None, problem=lost)
    probability = judgment.calibrated
    if probability is None and judgment.kind == "score" and judgment.scores is not None:
        probability = sigmoid(judgment.scores[0] - judgment.scores[1])
    if probability is None and judgment.kind == "pair":
        probability = _average_votes([vote for vote in judgment.votes if vote.winner is not None])
    if probability is None:
        probability = _SHARES.get(judgment.winner or "", 0.5)
    return Preference(
        probability=probability,
        is_decided=judgment.winner in ("A", "B"),
        first_won=judgment.winner == "A",
    )


def _find_silent_order(judgment: Judgment) -> Problem | None:
    """Why one of the orders that were asked has no verdict; None if each has one."""
    heard = {vote.order for vote in judgment.votes if vote.winner is not None}
    return next((vote.problem for vote in judgment.votes if vote.order not in heard), None)


def _average_votes(said: Sequence[Vote]) -> float | None:
    if not said:
        return None
    if all(vote.probability is not None for vote in said):
        return combine_probabilities(said)
    by_order: dict[str, list[float]] = {}
    for vote in said:
        by_order.setdefault(vote.order, []).append(_SHARES.get(vote.winner or "", 0.5))
    return sum(sum(ones) / len(ones) for ones in by_order.values()) / len(by_order)


def reward_win_rates(num_answers: int, found: Mapping[tuple[int, int], Preference]) -> Rewards:
    """`found` holds a preference for every two answers, the first of which has the lower number.

    >>> sure = Preference(probability=1.0, is_decided=True, first_won=True)
    >>> reward_win_rates(3, {(0, 1): sure, (0, 2): sure, (1, 2): EQUAL}).values
    (0.5, -0.25, -0.25)
    """
    chances: list[list[float]] = [[] for _ in range(num_answers)]
    for (one, other), preference in found.items():
        if preference.probability is not None:
            chances[one].append(preference.probability)
            chances[other].append(1 - preference.probability)
    values = [sum(ones) / len(ones) - 0.5 if ones else None for ones in chances]
    return _with_problems(values, found)


def reward_strengths(
    strengths: Sequence[float | None], found: Mapping[tuple[int, int], Preference]
) -> Rewards:
    """The strengths of all answers less their mean; `found` as for `reward_win_rates`, for the reasons of those that
    have none.

    >>> reward_strengths([0.5, None, 0.0], {(0, 1): Preference(probability=None, problem="truncated")})
    Rewards(values=(0.25, None, -0.25), problems=(None, 'truncated', None))
    """
    known = [one for one in strengths if one is not None]
    mean = sum(known) / len(known) if known else 0.0
    return _with_problems([None if one is None else one - mean for one in strengths], found)


def reward_against(preferences: Sequence[Preference]) -> Rewards:
    """The same of each answer against a reference, which is the second of every comparison."""
    values = [None if one.probability is None else one.probability - 0.5 for one in preferences]
    return Rewards(values=tuple(values), problems=tuple(one.problem for one in preferences))


def list_results(found: Mapping[tuple[int, int], Preference]) -> list[Result]:
    """The comparisons that did not fail, as data of the strengths."""
    return [
        Result(answers=pair, winner=pair[0 if preference.first_won else 1] if preference.is_decided else None)
        for pair, preference in found.items()
        if preference.probability is not None
    ]


def _with_problems(values: Sequence[float | None], found: Mapping[tuple[int, int], Preference]) -> Rewards:
    reasons: list[Counter[Problem]] = [Counter() for _ in values]
    for pair, preference in found.items():
        if preference.problem is not None:
            for one in pair:
                reasons[one][preference.problem] += 1
    problems = [
        None if value is not None else counted.most_common(1)[0][0]
        for value, counted in zip(values, reasons, strict=True)
    ]
    return Rewards(values=tuple(values), problems=tuple(problems))
