"""Judgments made by hand, for the scoring tests."""

from __future__ import annotations

from pathlib import Path

from rmr1.bench.base import Benchmark, BenchmarkScores
from rmr1.bench.run import judge_benchmark, summarize_run
from rmr1.judge.base import PairJudge
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Label, Order, PreferencePair, Verdict, Vote, swap_label
from rmr1.store.runs import RunWriter
from rmr1.verdicts.votes import decide


def make_pair(
    pair_id: str, label: Label | None = "A", *, prompt: str | None = None, **fields: str
) -> PreferencePair:
    """A pair whose prompt is that of its item, what stands in its id before a colon, if none is said."""
    return PreferencePair(
        id=pair_id,
        prompt=(user(prompt or f"Q {pair_id.partition(':')[0]}"),),
        response_a=(assistant("one"),),
        response_b=(assistant("two"),),
        label=label,
        **fields,
    )


def judge(
    pair: PreferencePair, *winners: str | None, orders: tuple[Order, ...] = ("given", "swapped")
) -> Judgment:
    """A judgment whose orders say `winners`, in the pair frame; None is no verdict."""
    votes = []
    for order, winner in zip(orders, winners, strict=False):
        said = winner if order == "given" else swap_label(winner)
        verdict = Verdict(winner=said, problem=None if winner else "no_verdict")
        votes.append(
            Vote(order=order, sample=0, generation=Generation(text="", finish_reason="stop"), verdict=verdict)
        )
    decision = decide(votes)
    return Judgment(
        pair=pair,
        family="rubric",
        rule="tagged",
        winner=decision.winner,
        problem=decision.problem,
        confidence=decision.confidence,
        votes=tuple(votes),
    )


def run_benchmark(
    benchmark: Benchmark, data: Path, judge: PairJudge, writer: RunWriter, *, limit: int | None = None
) -> BenchmarkScores:
    """Judge and score, as the command line does."""
    judge_benchmark(benchmark, data, judge, writer, limit=limit)
    return summarize_run(benchmark, writer, judge).scores
