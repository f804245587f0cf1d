"""Texts of an engine -> votes -> a judgment; and again from stored texts, by another rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rmr1.prompts.thinking import Pair
from rmr1.records import (
    NO_TEXT,
    Generation,
    JudgePrompt,
    Judgment,
    Kind,
    Order,
    PreferencePair,
    Problem,
    RubricItem,
    Side,
    Usage,
    Verdict,
    Vote,
)
from rmr1.verdicts.kinds import read_verdict, rule_of
from rmr1.verdicts.votes import VoteBy, decide

DECISION_RULE = "decision"
"""`Judgment.rule` of votes without a text, which are read from the probabilities of the labels."""


def cast_vote(
    generation: Generation,
    *,
    kind: Kind = "pair",
    order: Order,
    side: Side | None = None,
    sample: int,
    rule: str,
    labels: Sequence[str] = ("A", "B"),
    thinking: Sequence[Pair] = (),
    num_criteria: int = 0,
) -> Vote:
    """Read one generation by `rule`; `thinking` holds a user's own forms of thinking."""
    if generation.finish_reason == "error":
        verdict = Verdict(winner=None, problem="generation_failed")
    elif generation.finish_reason == "skipped":
        verdict = Verdict(winner=None, problem="prompt_too_long")
    else:
        is_cut = generation.finish_reason == "length"
        verdict = read_verdict(
            generation.text,
            kind,
            rule,
            labels=labels,
            truncated=is_cut,
            thinking=thinking,
            num_criteria=num_criteria,
        )
    return Vote(order=order, side=side, sample=sample, generation=generation, verdict=verdict)


def cast_answer(
    generation: Generation,
    prompt: JudgePrompt,
    sample: int,
    *,
    kind: Kind,
    rule: str,
    thinking: Sequence[Pair] = (),
) -> Vote:
    """The vote of a prompt's answer."""
    return cast_vote(
        generation,
        kind=kind,
        order=prompt.order,
        side=prompt.side,
        sample=sample,
        rule=rule,
        labels=prompt.labels,
        thinking=thinking,
        num_criteria=prompt.num_criteria,
    )


def cast_decision(generation: Generation, prompt: JudgePrompt, sample: int, *, least_mass: float) -> Vote:
    """The vote of a generation without a text (`rmr1.engines.base.Decider`): the label with the higher probability.

    It is no verdict (`no_verdict`) if the labels have less than `least_mass` of the probability, and `ambiguous` if two
    have the same.
    """
    if generation.finish_reason in NO_TEXT:
        return cast_answer(generation, prompt, sample, kind="pair", rule="tagged")
    shares = sorted(generation.verdict_logprobs or (), key=lambda one: -one[1])
    mass = 1.0 if generation.verdict_mass is None else generation.verdict_mass
    if mass < least_mass:
        verdict = Verdict(winner=None, problem="no_verdict")
    elif shares[0][1] == shares[1][1]:
        verdict = Verdict(winner=None, problem="ambiguous")
    else:
        verdict = Verdict(winner=shares[0][0])
    return Vote(order=prompt.order, sample=sample, generation=generation, verdict=verdict)


def count_usage(votes: Sequence[Vote]) -> Usage:
    """Tokens of one prompt's samples: what a server counted, or else the prompt once and every text."""
    generations = [vote.generation for vote in votes]
    billed = [one.billed for one in generations if one.billed is not None]
    if billed:
        return sum(billed, Usage())
    return Usage(
        prompt_tokens=generations[0].prompt_tokens,
        completion_tokens=sum(one.completion_tokens for one in generations),
    )


def conclude(
    pair: PreferencePair,
    votes: Sequence[Vote],
    seconds: float = 0.0,
    *,
    kind: Kind = "pair",
    family: str,
    rule: str,
    vote_by: VoteBy = "majority",
    criteria: Sequence[RubricItem] = (),
) -> Judgment:
    """The judgment that an item's votes add up to, those of one order and side being samples of one prompt."""
    samples: dict[tuple[Order, Side | None], list[Vote]] = {}
    for vote in votes:
        samples.setdefault((vote.order, vote.side), []).append(vote)
    usage = sum(map(count_usage, samples.values()), Usage())
    return settle(
        Judgment(
            pair=pair,
            kind=kind,
            family=family,
            rule=rule_of(kind, rule),
            winner=None,
            votes=tuple(votes),
            vote_by=vote_by,
            criteria=tuple(criteria),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            is_estimated=usage.is_estimated,
            seconds=seconds,
        )
    )


def settle(judgment: Judgment) -> Judgment:
    """The judgment with what its votes add up to: the winner by majority or probability, or the better mean rating."""
    if judgment.kind != "rating":
        found = decide(judgment.votes, judgment.vote_by)
        return replace(judgment, winner=found.winner, problem=found.problem, confidence=found.confidence)
    of_a = [vote for vote in judgment.votes if vote.side == "A"]
    of_b = [vote for vote in judgment.votes if vote.side == "B"] or of_a
    a, b = mean_rating(of_a), mean_rating(of_b)
    if a is None or b is None:
        failed = Counter(vote.problem for vote in (of_a if a is None else of_b))
        problem: Problem = failed.most_common(1)[0][0] or "no_ratings"
        return replace(judgment, winner=None, problem=problem, scores=None)
    winner = "tie" if a == b else "A" if a > b else "B"
    return replace(judgment, winner=winner, problem=None, scores=(a, b))


def mean_rating(votes: Sequence[Vote]) -> float | None:
    """The mean of the ratings that could be read; None if there is none."""
    found = [vote.verdict.ratings[0] for vote in votes if vote.verdict.ratings]
    return sum(found) / len(found) if found else None


def read_again(judgment: Judgment, rule: str) -> Judgment:
    """The judgment that the same texts give by another verdict rule; scores and decisions, which have none, stay as they
    are."""
    is_of_rubric = judgment.problem == "no_rubric"  # what its vote holds is no judgment
    has_no_text = judgment.kind == "score" or judgment.rule == DECISION_RULE
    if has_no_text or not judgment.votes or is_of_rubric:
        return judgment
    votes = tuple(
        cast_vote(
            vote.generation,
            kind=judgment.kind,
            order=vote.order,
            side=vote.side,
            sample=vote.sample,
            rule=rule,
            num_criteria=len(judgment.criteria),
        )
        for vote in judgment.votes
    )
    return settle(replace(judgment, votes=votes, rule=rule_of(judgment.kind, rule)))
