"""Rankings as preferences to train on, and the comparisons that a ranking will ask for, as far as they can be known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rmr1.judge.ranking.contest import Contest
from rmr1.judge.ranking.methods import METHODS, Outcome
from rmr1.judge.ranking.record import Ranking
from rmr1.records import Candidates, PreferencePair
from rmr1.store.codec import dump_record
from rmr1.store.keys import seed_for


def preference_row(ranking: Ranking) -> dict[str, Any] | None:
    """The best answer and the worst in TRL's conversational form (`prompt`, `chosen`, `rejected`); None if they are not
    told apart."""
    if (ends := ranking.find_ends()) is None:
        return None
    candidates = ranking.candidates
    parts = {
        "prompt": candidates.prompt,
        "chosen": candidates.responses[ends[0]],
        "rejected": candidates.responses[ends[1]],
    }
    return {name: [dump_record(message) for message in messages] for name, messages in parts.items()}


def foresee_pairs(questions: Iterable[Candidates], *, method: str, seed: int) -> Iterator[PreferencePair]:
    """The pairs that would be asked about if every verdict was drawn by lot: about as many as there will be."""
    for question in questions:
        contest = Contest(question, seed)
        if len(contest) == 1:
            continue
        plan = METHODS[method](len(contest))
        comparisons = next(plan)
        while True:
            yield from map(contest.pair, comparisons)
            lots = [one[seed_for(seed, "lot", question.id, *map(str, one)) % len(one)] for one in comparisons]
            try:
                comparisons = plan.send([Outcome(winner=one) for one in lots])
            except StopIteration:
                break
