"""Pairs in, judgments out: the streaming loop of every judge that writes.

Pairs are pulled as the engine asks for prompts and leave as soon as their last vote is in, so memory
holds only what is in flight. With a run folder, items that are already finished are passed over, and
each new judgment is on disk before it is yielded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rmr1.data.keys import seed_for
from rmr1.data.runs import RunWriter
from rmr1.engines.base import Engine, Request
from rmr1.judge.base import unfinished_pairs
from rmr1.judge.compare import cast_vote, count_usage, decide, orders_for
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import PromptFamily, render_prompt
from rmr1.records import Judgment, Order, PreferencePair, Usage, Vote


@dataclass(slots=True)
class _InFlight:
    pair: PreferencePair
    orders: tuple[Order, ...]
    started: float
    votes: dict[Order, tuple[Vote, ...]] = field(default_factory=dict)


def run_judge(
    pairs: Iterable[PreferencePair],
    engine: Engine,
    family: PromptFamily,
    settings: JudgeSettings,
    *,
    run: RunWriter | None = None,
) -> Iterator[tuple[str, Judgment]]:
    """Yield `(key, judgment)` for every pair, in the order they finish.

    Raises:
        GenerationError: the engine as a whole failed. What was finished is stored.
        RunError: a judgment could not be stored.
    """
    in_flight: dict[str, _InFlight] = {}
    special_tokens = settings.all_control_tokens(engine.special_tokens())

    def requests() -> Iterator[Request]:
        for key, pair in unfinished_pairs(pairs, run):
            orders = orders_for(settings.order, seed=settings.seed, key=key)
            in_flight[key] = _InFlight(pair, orders, time.perf_counter())
            for order in orders:
                prompt = render_prompt(pair, family, order=order, special_tokens=special_tokens)
                yield Request(
                    key=f"{key}/{order}",
                    prompt=prompt,
                    seed=seed_for(settings.seed, "sampling", key, order),
                )

    for request, generations in engine.generate(requests(), settings.sampling):
        key = request.key.rpartition("/")[0]
        item = in_flight[key]
        order = request.prompt.order
        item.votes[order] = tuple(
            cast_vote(
                generation, order=order, sample=sample, rule=settings.rule, labels=request.prompt.labels
            )
            for sample, generation in enumerate(generations)
        )
        if len(item.votes) < len(item.orders):
            continue
        judgment = _conclude(in_flight.pop(key), family, settings)
        if run is not None:
            run.append(key, judgment)
        yield key, judgment


def _conclude(item: _InFlight, family: PromptFamily, settings: JudgeSettings) -> Judgment:
    votes = tuple(vote for order in item.orders for vote in item.votes[order])
    decision = decide(votes)
    usage = sum((count_usage(item.votes[order]) for order in item.orders), Usage())
    return Judgment(
        pair=item.pair,
        family=family.name,
        rule=settings.rule,
        winner=decision.winner,
        problem=decision.problem,
        confidence=decision.confidence,
        votes=votes,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_estimated=usage.is_estimated,
        seconds=round(time.perf_counter() - item.started, 4),
    )
