"""A judge asked about a group of answers: rewards for all, and the strength of one among answers that are known.

Every comparison is asked in both orders, so that the place of an answer is worth nothing. The arithmetic is
`rmr1.rewards.groups`; pairs, keys and the cache are those of a ranking (`rmr1.judge.ranking`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.base import AdaptableJudge, PairJudge
from rmr1.judge.calibrate import identify_judge
from rmr1.judge.ranking.contest import Contest, check_answers, identify
from rmr1.judge.ranking.record import NOTHING, Spent
from rmr1.judge.ranking.waves import count_spent, name_item
from rmr1.messages import Messages
from rmr1.nearest import suggest
from rmr1.records import Candidates, Problem
from rmr1.rewards.groups import (
    EQUAL,
    REWARD_METHODS,
    Preference,
    RewardMethod,
    Rewards,
    list_results,
    read_preference,
    reward_against,
    reward_strengths,
    reward_win_rates,
)
from rmr1.rewards.strengths import PRIOR_SD, fit_strengths, place_among
from rmr1.store.identity import describe_differences

Two = tuple[int, int]
"""Answers of a contest, in ascending sequence."""
Found = dict[Two, Preference]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRewards:
    """The rewards of a group, in the sequence of its answers."""

    method: RewardMethod
    rewards: tuple[float | None, ...]
    """None of an answer about which no comparison is left."""
    problems: tuple[Problem | None, ...]
    """Why an answer has no reward: the commonest reason for which its comparisons failed."""
    failed: int = 0
    """Comparisons without verdict in both orders, which count for nothing."""
    undecided: int = 0
    """Comparisons that name neither answer: ties, and orders or votes that contradict each other."""
    spent: Spent = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Answers to one question whose strengths were fitted once, to measure others by."""

    question: Messages
    answers: tuple[Messages, ...]
    strengths: tuple[float, ...]
    """Strengths in log-odds, which sum to 0 over the different answers."""
    errors: tuple[float, ...]
    prior_sd: float = PRIOR_SD
    judge: Mapping[str, Any]
    """What decides how the judge compares (`rmr1.judge.calibrate.identify_judge`)."""
    spent: Spent = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredScore:
    """The strength of one answer among anchors."""

    strength: float | None
    """Strength in log-odds, on the anchors' scale; None if no comparison has a verdict."""
    error: float | None
    """Its standard error, the anchors taken as exact."""
    problem: Problem | None = None
    """Why there is no strength: the commonest reason for which the comparisons failed."""
    failed: int = 0
    undecided: int = 0
    spent: Spent = NOTHING


def reward_group(
    judge: PairJudge,
    candidates: Candidates,
    *,
    method: str = "win_rate",
    baseline: Messages | None = None,
    seed: int = 0,
    prior_sd: float = PRIOR_SD,
) -> GroupRewards:
    """The rewards of all answers, by all their comparisons, or with a `baseline` by one for each.

    Raises:
        ConfigError: there is no such method, or it does not go with the baseline or the judge.
        DataError: an answer is empty, or there is one alone.
    """
    if method not in REWARD_METHODS:
        advice = suggest(method, REWARD_METHODS) or f"; expected one of {', '.join(REWARD_METHODS)}"
        raise ConfigError(f"{name_option('method', method)} is unknown{advice}")
    if (method == "reference") != (baseline is not None):
        needs = "needs a reference answer" if baseline is None else "compares the answers with one another"
        raise ConfigError(
            f"{name_option('method', method)} {needs}; {'pass' if baseline is None else 'leave out'} {name_option('baseline')}"
        )
    judge = place_both(judge)
    if baseline is not None:
        preferences, spent = _ask_against(judge, candidates, (baseline,), seed)
        each = [one for (one,) in preferences]
        return _collect("reference", reward_against(each), each, spent)
    contest = Contest(check_answers(candidates), seed)
    found, spent = ask_preferences(judge, contest, combinations(range(len(contest)), 2))
    by_place = _spread(contest, found)
    if method == "win_rate":
        rewards = reward_win_rates(len(candidates.responses), by_place)
        return _collect("win_rate", rewards, found.values(), spent)
    strengths: Sequence[float | None] = (0.0,) * len(contest)
    if len(contest) > 1:
        strengths = fit_strengths(len(contest), list_results(found), prior_sd=prior_sd).values
    return _collect(
        "bradley_terry", reward_strengths(contest.spread(strengths), by_place), found.values(), spent
    )


def fit_anchors(
    judge: PairJudge, candidates: Candidates, *, seed: int = 0, prior_sd: float = PRIOR_SD
) -> Anchors:
    """Compare all answers with one another, once, and keep their strengths.

    Raises:
        DataError: there are less than two different answers, one is empty, or no comparison of one has a verdict.
    """
    judge = place_both(judge)
    contest = Contest(check_answers(candidates), seed)
    if len(contest) < 2:
        raise DataError("all anchors are the same answer; give two or more that differ")
    found, spent = ask_preferences(judge, contest, combinations(range(len(contest)), 2))
    fitted = fit_strengths(len(contest), list_results(found), prior_sd=prior_sd)
    strengths, errors = contest.spread(fitted.values), contest.spread(fitted.errors)
    for place, value in enumerate(strengths):
        if value is None:
            raise DataError(f"answers[{place}] is no anchor: no comparison of it has a verdict; leave it out")
    return Anchors(
        question=candidates.prompt,
        answers=candidates.responses,
        strengths=tuple(value for value in strengths if value is not None),
        errors=tuple(value for value in errors if value is not None),
        prior_sd=prior_sd,
        judge=identify_judge(judge.describe()),
        spent=spent,
    )


def score_against(
    judge: PairJudge, candidates: Candidates, anchors: Anchors, *, seed: int = 0
) -> AnchoredScore:
    """The strength of the only answer of `candidates`, given those of the anchors.

    Raises:
        DataError: the anchors are answers to another question. ConfigError: they were fitted with another judge.
    """
    if identify(candidates.prompt) != identify(anchors.question):
        raise DataError("the anchors are answers to another question; fit some for this one")
    judge = place_both(judge)
    if (difference := describe_differences(anchors.judge, identify_judge(judge.describe()))) is not None:
        raise ConfigError(f"the anchors were fitted with another judge: {difference}; fit them with this one")
    ((*preferences,),), spent = _ask_against(judge, candidates, anchors.answers, seed)
    results = [
        (strength, 0.5 if not one.is_decided else float(one.first_won))
        for strength, one in zip(anchors.strengths, preferences, strict=True)
        if one.probability is not None
    ]
    failed, undecided = _count(preferences)
    if not results:
        return AnchoredScore(
            strength=None,
            error=None,
            problem=_find_commonest(preferences),
            failed=failed,
            spent=spent,
        )
    strength, error = place_among(*zip(*results, strict=True), prior_sd=anchors.prior_sd)
    return AnchoredScore(strength=strength, error=error, failed=failed, undecided=undecided, spent=spent)


def place_both(judge: PairJudge) -> PairJudge:
    """The judge, asked in both orders if it sees two answers at once.

    Raises:
        ConfigError: it has a calibration or thresholds that were fitted in one order, or cannot be asked in both.
    """
    if judge.order in (None, "both"):
        return judge
    finish = getattr(judge, "finish", None)
    is_fitted = getattr(finish, "calibration", None) or getattr(judge, "thresholds", None)
    if is_fitted or not isinstance(judge, AdaptableJudge):
        why = "was calibrated in one" if is_fitted else "cannot be"
        raise ConfigError(
            f"a group is asked in both orders, and judge {judge.name!r} {why}; use one with "
            f"{name_option('order', 'both')}"
        )
    return judge.place("both")


def ask_preferences(judge: PairJudge, contest: Contest, comparisons: Iterable[Two]) -> tuple[Found, Spent]:
    """What the judge says of pairs of different answers."""
    keys = {name_item(contest.pair(one)): one for one in comparisons}
    found: Found = {}
    spent = NOTHING
    for key, judgment in judge.run(map(contest.pair, keys.values())):
        found[keys[key]] = read_preference(judgment)
        spent += count_spent(judgment)
    return {one: found[one] for one in keys.values()}, spent


def _ask_against(
    judge: PairJudge, candidates: Candidates, others: Sequence[Messages], seed: int
) -> tuple[list[list[Preference]], Spent]:
    """Each answer against each of the others: the first of every preference is the answer."""
    check_answers(candidates, fewest=1)
    number = len(candidates.responses)
    contest = Contest(replace(candidates, responses=(*candidates.responses, *others)), seed)
    at = {place: one for one, group in enumerate(contest.places) for place in group}
    wanted = [[(at[place], at[number + other]) for other in range(len(others))] for place in range(number)]
    games = {(min(pair), max(pair)) for row in wanted for pair in row if pair[0] != pair[1]}
    found, spent = ask_preferences(judge, contest, sorted(games))

    def look_up(one: int, other: int) -> Preference:
        if one == other:
            return EQUAL
        return found[one, other] if one < other else found[other, one].flip()

    return [[look_up(*pair) for pair in row] for row in wanted], spent


def _spread(contest: Contest, found: Found) -> Found:
    """Every two places of the list, the lower first."""
    at = {place: one for one, group in enumerate(contest.places) for place in group}
    by_place = {}
    for first, second in combinations(sorted(at), 2):
        one, other = at[first], at[second]
        if one == other:
            by_place[first, second] = EQUAL
        else:
            by_place[first, second] = found[one, other] if one < other else found[other, one].flip()
    return by_place


def _collect(
    method: RewardMethod, rewards: Rewards, preferences: Iterable[Preference], spent: Spent
) -> GroupRewards:
    failed, undecided = _count(preferences)
    return GroupRewards(
        method=method,
        rewards=rewards.values,
        problems=rewards.problems,
        failed=failed,
        undecided=undecided,
        spent=spent,
    )


def _count(preferences: Iterable[Preference]) -> tuple[int, int]:
    """(failed, undecided)"""
    found = [one for one in preferences if one is not EQUAL]
    failed = sum(one.probability is None for one in found)
    return failed, sum(not one.is_decided for one in found) - failed


def _find_commonest(preferences: Sequence[Preference]) -> Problem | None:
    problems = [one.problem for one in preferences if one.problem is not None]
    return max(problems, key=problems.count, default=None)
