"""Pairs in, judgments out: every judge that writes and sees two answers at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from rmr1.engines.base import Engine, Recorded
from rmr1.judge.ask import ask_all, ask_prompts
from rmr1.judge.base import unfinished_pairs
from rmr1.judge.compare import cast_vote, conclude, orders_for
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import PromptFamily, render_prompt
from rmr1.records import Generation, JudgePrompt, Judgment, PreferencePair, Vote
from rmr1.store.runs import RunWriter


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
        GenerationError, RunError: as for every judge.
    """
    special_tokens = settings.all_control_tokens(engine.special_tokens())

    def render(key: str, pair: PreferencePair) -> Iterator[JudgePrompt]:
        for order in orders_for(settings.order, seed=settings.seed, key=key):
            yield render_prompt(pair, family, order=order, special_tokens=special_tokens)

    def cast(generation: Generation, prompt: JudgePrompt, sample: int) -> Vote:
        return cast_vote(
            generation,
            order=prompt.order,
            sample=sample,
            rule=settings.rule,
            labels=prompt.labels,
            thinking=settings.sampling.thinking,
        )

    recorded = engine if isinstance(engine, Recorded) else None

    def pass_over(key: str, pair: PreferencePair) -> None:
        if recorded is not None:
            for order in orders_for(settings.order, seed=settings.seed, key=key):
                recorded.pass_over(pair.id, order, settings.sampling)

    asks = (
        ask_prompts(
            key,
            tuple(render(key, pair)),
            seed=settings.seed,
            cast=cast,
            conclude=partial(conclude, pair, family=family.name, rule=settings.rule),
        )
        for key, pair in unfinished_pairs(pairs, run, on_finished=pass_over)
    )
    return ask_all(
        asks, lambda requests: engine.generate(requests, settings.sampling), engine=engine, run=run
    )
