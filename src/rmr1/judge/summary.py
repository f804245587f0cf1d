"""Judgments -> the counts of summary.json, one pass, flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmr1.forecast.prices import Price, compute_cost
from rmr1.judge.base import PairJudge
from rmr1.judge.consistency import OrderCounts
from rmr1.judge.reliability import ReliabilityTally
from rmr1.records import NO_TEXT, Judgment
from rmr1.store.runs import RunWriter, read_judgments

MOST_REASONS = 50
"""Reasons that are counted apart; the rest are counted together."""
OTHER_REASONS = "other reasons"


def list_failures(judgment: Judgment) -> tuple[str, ...]:
    """The different reasons why an engine gave an error, in the order of a cascade's stages and of the votes; an over-long
    prompt is no failure.

    A judgment that holds one is what `--retry-failed` judges again. It may have a winner by its other votes, or by
    another stage.
    """
    errors = [one.error for one in judgment.stages if one.error is not None]
    errors += [
        vote.generation.error or "no reason given"
        for vote in judgment.votes
        if vote.generation.finish_reason == "error"
    ]
    return tuple(dict.fromkeys(errors))


def has_answer(judgment: Judgment) -> bool:
    """Whether the model has answered: with a text, whatever it says, or with scores."""
    return judgment.scores is not None or any(
        vote.generation.finish_reason not in NO_TEXT for vote in judgment.votes
    )


def is_unanswered(items: int, problems: Mapping[str, int]) -> bool:
    """Whether the model has answered none of so many items: everything has failed, is too long for it, or is without the
    probabilities that were to decide."""
    unanswered = ("generation_failed", "prompt_too_long", "no_probability")
    return 0 < items == sum(problems.get(name, 0) for name in unanswered)


@dataclass(slots=True)
class Tally:
    """Counts that grow judgment by judgment."""

    items: int = 0
    labelled: int = 0
    correct: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    winners: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    """Judgments in which the engine gave an error."""
    failures: Counter[str] = field(default_factory=Counter)
    """Reason -> judgments that have it; one may have several."""
    subsets: dict[str, list[int]] = field(default_factory=dict)
    """subset -> [labelled, correct]."""
    criteria: Counter[str] = field(default_factory=Counter)
    """Counts of texts that were given criteria: `texts`, `complete` texts, `asked` criteria, one for each text that was to score
    it, and `scored` ones, for both answers."""
    orders: OrderCounts = field(default_factory=OrderCounts)
    stages: Counter[str] = field(default_factory=Counter)
    """Stage of a cascade -> pairs that it decided."""
    stage_problems: dict[str, Counter[str]] = field(default_factory=dict)
    """Stage -> problem -> pairs of which it told no winner for this reason."""
    stage_tokens: dict[str, list[int]] = field(default_factory=dict)
    """Stage -> [prompt tokens, completion tokens]."""
    cached: int = 0
    """Judgments from a cache. Their tokens are not counted."""
    reliability: ReliabilityTally = field(default_factory=ReliabilityTally)

    def add(self, judgment: Judgment) -> None:
        self.items += 1
        if judgment.stages and judgment.winner is not None:
            self.stages[judgment.stages[-1].stage] += 1
        for one in judgment.stages:
            if one.problem is not None:
                self.stage_problems.setdefault(one.stage, Counter())[one.problem] += 1
            tokens = self.stage_tokens.setdefault(one.stage, [0, 0])
            if not judgment.is_cached:
                tokens[0] += one.prompt_tokens
                tokens[1] += one.completion_tokens
        self.cached += judgment.is_cached
        if not judgment.is_cached:
            self.prompt_tokens += judgment.prompt_tokens
            self.completion_tokens += judgment.completion_tokens
            self.is_estimated |= judgment.is_estimated
        self.winners[judgment.winner or "none"] += 1
        if judgment.problem is not None:
            self.problems[judgment.problem] += 1
        self.orders.add(judgment)
        for vote in judgment.votes if judgment.criteria else ():
            if vote.generation.finish_reason not in NO_TEXT:
                asked, scores = len(judgment.criteria), vote.verdict.trace.scores
                scored = sum(one.is_complete for one in scores)
                self.criteria.update(texts=1, complete=scored == asked, asked=asked, scored=scored)
        reasons = list_failures(judgment)
        self.failed += bool(reasons)
        for reason in reasons:
            # A reason may name its item: without a limit there could be as many as items.
            is_counted = reason in self.failures or len(self.failures) < MOST_REASONS
            self.failures[reason if is_counted else OTHER_REASONS] += 1
        self.reliability.add(judgment, judgment.pair.label)
        if judgment.correct is None:
            return
        self.labelled += 1
        self.correct += judgment.correct
        counts = self.subsets.setdefault(judgment.pair.subset or "", [0, 0])
        counts[0] += 1
        counts[1] += judgment.correct

    @property
    def unparsed(self) -> int:
        return sum(self.problems.values())

    @property
    def accuracy(self) -> float | None:
        return self.correct / self.labelled if self.labelled else None

    def summary(self) -> dict[str, Any]:
        reliability = self.reliability.describe()
        return {
            "items": self.items,
            "labelled": self.labelled,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "winners": dict(sorted(self.winners.items())),
            "unparsed": self.unparsed,
            "problems": dict(sorted(self.problems.items())),
            "failed": self.failed,
            "failures": dict(self.failures.most_common()),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "is_estimated": self.is_estimated,
            "subsets": {
                name: {"labelled": labelled, "correct": correct, "accuracy": correct / labelled}
                for name, (labelled, correct) in sorted(self.subsets.items())
            },
            "cached": self.cached,
            **({"stages": dict(self.stages)} if self.stages or self.problems["abstained"] else {}),
            **({"criteria": dict(self.criteria)} if self.criteria else {}),
            **({"stage_problems": self._list_stage_problems()} if self.stage_problems else {}),
            **({"stage_tokens": self._list_stage_tokens()} if self.stage_tokens else {}),
            **({"orders": self.orders.describe()} if self.orders.asked else {}),
            **({} if reliability is None else {"reliability": reliability}),
        }

    def _list_stage_problems(self) -> dict[str, dict[str, int]]:
        return {name: dict(found.most_common()) for name, found in self.stage_problems.items()}

    def _list_stage_tokens(self) -> dict[str, dict[str, int]]:
        return {
            name: {"prompt_tokens": read, "completion_tokens": written}
            for name, (read, written) in self.stage_tokens.items()
        }


def summarize_run(run: RunWriter, tally: Tally, judge: PairJudge) -> dict[str, Any]:
    """The summary of the whole run, of which `tally` counted what was judged just now."""
    if run.num_resumed:
        tally = Tally()
        for _, judgment in read_judgments(run.folder):
            tally.add(judgment)
    summary = tally.summary()
    return {**summary, **describe_cost(summary, judge)}


def describe_cost(summary: Mapping[str, Any], judge: PairJudge) -> dict[str, Any]:
    """`cost_usd` of a summary's tokens and the `price_usd` of a million; both None without a price, and nothing for a judge
    that nobody bills. Of a cascade the price is that of each billed stage, by its name."""
    prices: dict[str, Price | None] | None = getattr(judge, "prices", None)
    if prices is not None:
        return _describe_stage_costs(summary, prices)
    engine: Any = getattr(judge, "engine", None)
    if not hasattr(engine, "price"):
        return {}
    price: Price | None = engine.price
    if price is None:
        return {"cost_usd": None, "price_usd": None}
    cost = compute_cost(
        price, prompt_tokens=summary["prompt_tokens"], completion_tokens=summary["completion_tokens"]
    )
    return {"cost_usd": round(cost, 6), "price_usd": price._asdict()}


def _describe_stage_costs(summary: Mapping[str, Any], prices: Mapping[str, Price | None]) -> dict[str, Any]:
    known = {name: price for name, price in prices.items() if price is not None}
    if not prices:
        return {}
    if len(known) < len(prices):
        return {"cost_usd": None, "price_usd": None}
    stages = summary.get("stage_tokens", {})
    cost = sum(compute_cost(price, **stages[name]) for name, price in known.items() if name in stages)
    return {"cost_usd": round(cost, 6), "price_usd": {name: price._asdict() for name, price in known.items()}}
