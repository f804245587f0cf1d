"""One pair: which orders to ask in, and what the votes add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rmr1.judge.settings import Placement
from rmr1.prompts.thinking import Pair
from rmr1.records import Generation, Judgment, Order, PreferencePair, Problem, Usage, Verdict, Vote
from rmr1.store.keys import seed_for
from rmr1.verdicts import parse_verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a set of votes says, in the pair frame."""

    winner: str | None
    problem: Problem | None
    confidence: float | None


def orders_for(placement: Placement, *, seed: int, key: str) -> tuple[Order, ...]:
    """The orders an item is asked in; of both the drawn one comes first. A draw depends on the seed and the
    item's key alone, so neither resuming nor reading the data in another sequence changes it."""
    if placement == "given":
        return ("given",)
    drawn: tuple[Order, Order] = (
        ("swapped", "given") if seed_for(seed, "placement", key) % 2 else ("given", "swapped")
    )
    return drawn if placement == "both" else drawn[:1]


def cast_vote(
    generation: Generation,
    *,
    order: Order,
    sample: int,
    rule: str,
    labels: Sequence[str],
    thinking: Sequence[Pair] = (),
) -> Vote:
    """Read one generation by `rule`; `thinking` holds a user's own forms of thinking."""
    if generation.finish_reason == "error":
        verdict = Verdict(winner=None, problem="generation_failed")
    elif generation.finish_reason == "skipped":
        verdict = Verdict(winner=None, problem="prompt_too_long")
    else:
        verdict = parse_verdict(
            generation.text,
            rule,
            labels=labels,
            truncated=generation.finish_reason == "length",
            thinking=thinking,
        )
    return Vote(order=order, sample=sample, generation=generation, verdict=verdict)


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
    pair: PreferencePair, votes: Sequence[Vote], seconds: float = 0.0, *, family: str, rule: str
) -> Judgment:
    """The judgment that a pair's votes add up to, those of one order being samples of one prompt."""
    decision = decide(votes)
    orders = dict.fromkeys(vote.order for vote in votes)
    usage = sum((count_usage([vote for vote in votes if vote.order == order]) for order in orders), Usage())
    return Judgment(
        pair=pair,
        family=family,
        rule=rule,
        winner=decision.winner,
        problem=decision.problem,
        confidence=decision.confidence,
        votes=tuple(votes),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_estimated=usage.is_estimated,
        seconds=seconds,
    )


def decide(votes: Sequence[Vote]) -> Decision:
    """The side with the most votes; "tie" is a side of its own.

    Votes without a verdict name no side but count in the confidence. No votes for any side gives the
    commonest problem among them; an even split between sides gives `split_vote`, never a tie: a judge
    that contradicts itself has not called the answers equal.
    """
    counts = Counter(vote.winner for vote in votes if vote.winner is not None)
    if not counts:
        problems = Counter(vote.verdict.problem for vote in votes)
        problem = problems.most_common(1)[0][0] if problems else "generation_failed"
        return Decision(winner=None, problem=problem, confidence=None)
    ranked = counts.most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return Decision(winner=None, problem="split_vote", confidence=None)
    winner, count = ranked[0]
    return Decision(winner=winner, problem=None, confidence=count / len(votes))
