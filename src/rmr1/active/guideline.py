"""The criteria that people name -> those that a judge is to go by beside its own rubrics, as long as it judges no worse.

Candidates are taken in the sequence of how often people name them. Each is tried behind those that were kept before, on the
pairs that were drawn at random and that people labelled, under the rubrics of the same seeds: so what differs is the criterion
alone. It is kept if the share of right verdicts is not smaller. Weights, by how often each was named, are kept if it is larger.

    DIR/guideline/DIGEST/rubric-1 ...   the judgments of each try, ordinary run folders that go on where they were
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmr1.active.judging import (
    check_pool_judge,
    list_rubric_folders,
    refuse_another_judge,
    rubric_seed,
    vary_seed,
)
from rmr1.active.pool import Pool
from rmr1.audit.evidence import find_twins
from rmr1.judge.base import PairJudge, Watcher
from rmr1.judge.criteria import weigh_criteria
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.identity import describe_run
from rmr1.records import Judgment, Label, RubricItem
from rmr1.rubrics.count import name_criterion
from rmr1.stats import clustered_mean_interval
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import question_digest
from rmr1.store.labels import HumanLabel
from rmr1.store.runs import open_run, read_judgments

Floats = NDArray[np.float64]

GUIDELINE_FOLDER = "guideline"
LEAST_HELD_OUT = 20
"""Labelled pairs, of those drawn at random, that a guideline is tried on at least."""
MOST_TRIED = 8
"""Criteria that are tried."""
MOST_SEEDS = 3
"""Rubrics of each question under which it is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A criterion that people name."""

    item: RubricItem
    named: int
    """Answers that name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of trying a criterion, or weights."""

    what: str
    is_kept: bool
    named: int
    pairs: int
    """Labelled pairs that it was tried on."""
    before: float
    """The share of right verdicts without it, over pairs and rubrics."""
    after: float
    interval: tuple[float, float] | None
    """95% interval of after - before, by question."""
    better: int
    """Pairs that are judged right more often with it."""
    worse: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Guideline:
    """What people's criteria became."""

    criteria: tuple[RubricItem, ...]
    """Those that were kept behind those that the judge had already, as a file of criteria holds them; empty if none was."""
    candidates: tuple[Candidate, ...]
    decisions: tuple[Decision, ...] = ()
    problem: str | None = None
    """Why nothing was tried."""

    def describe(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "criteria": [dump_record(one) for one in self.criteria],
            "candidates": [{"named": one.named, **dump_record(one.item)} for one in self.candidates],
            "decisions": [asdict(one) for one in self.decisions],
            **({} if self.problem is None else {"problem": self.problem}),
        }


def list_candidates(pool: Pool, labels: Sequence[HumanLabel]) -> tuple[Candidate, ...]:
    """The criteria that people name, near-equal ones together, the commonest first. What is named of a pair that was drawn at
    random is left out: these pairs tell whether a criterion helps."""
    last = {(one.key, one.who): one for one in labels if one.key in pool.items}
    wordings: dict[str, RubricItem] = {}
    counts: Counter[str] = Counter()
    for one in last.values():
        said = (one.criterion or "").strip()
        if not said or one.is_undone or pool.is_check(one.key):
            continue
        shown = (item for item, _ in pool.items[one.key].criteria if said in (item.name, item.text))
        item = next(shown, RubricItem(text=said))
        name = name_criterion(item)
        wordings.setdefault(name, item)
        counts[name] += 1
    names = [name for name, _ in counts.most_common()]
    return tuple(_join_twins([Candidate(item=wordings[name], named=counts[name]) for name in names]))


def try_guideline(
    pool: Pool,
    candidates: Sequence[Candidate],
    labels: Mapping[str, Label],
    judge: PairJudge,
    *,
    watcher: Watcher | None = None,
) -> Guideline:
    """Try the candidates on the labelled pairs that were drawn at random.

    Args:
        labels: item's key -> its settled label.
        judge: the one that judged the pool; it is asked about these pairs again for each try.

    Raises:
        ConfigError: the judge writes no rubrics.
        RunError: a run folder holds something else, or the judge is another one.
    """
    writer = check_pool_judge(judge)
    refuse_another_judge(pool.folder, writer)
    held_out = {key: label for key, label in labels.items() if pool.is_check(key)}
    if not candidates or len(held_out) < LEAST_HELD_OUT:
        told = (
            "nobody named a criterion"
            if not candidates
            else f"{len(held_out)} of the pairs that were drawn at random have a label; expected {LEAST_HELD_OUT} or more"
        )
        return Guideline(criteria=(), candidates=tuple(candidates), problem=told)
    trying = _Trying(pool, held_out, writer, watcher)
    base = kept = writer.settings.criteria
    counts: list[int] = []
    decisions = []
    before_PS = trying.judge(())
    for candidate in candidates[:MOST_TRIED]:
        tried = (*kept, _weigh_like(base, candidate.item))
        after_PS = trying.judge(tried)
        what = candidate.item.name or candidate.item.text
        decision = trying.decide(what, candidate.named, before_PS, after_PS, is_free=True)
        decisions.append(decision)
        if decision.is_kept:
            kept, before_PS = tried, after_PS
            counts.append(candidate.named)
    if len(set(counts)) > 1 and not base:
        weighed = tuple(replace(item, weight=float(count)) for item, count in zip(kept, counts, strict=True))
        decision = trying.decide("weights", sum(counts), before_PS, trying.judge(weighed), is_free=False)
        decisions.append(decision)
        kept = weighed if decision.is_kept else kept
    return Guideline(
        criteria=kept if kept != base else (), candidates=tuple(candidates), decisions=tuple(decisions)
    )


def read_tried(pool: Pool, criteria: Sequence[RubricItem]) -> Iterator[tuple[str, Judgment]]:
    """(key, judgment) of the pairs on which these criteria were tried, under the first rubric; of the pool if there are none."""
    (folder, *_) = _list_folders(pool, criteria)
    return read_judgments(folder)


class _Trying:
    """The labelled pairs, and a judge that is asked about them with other criteria each time."""

    def __init__(
        self, pool: Pool, labels: Mapping[str, Label], judge: GenerativeJudge, watcher: Watcher | None
    ):
        self._pool, self._labels, self._judge, self._watcher = pool, labels, judge, watcher
        self._keys = sorted(labels)
        questions = [question_digest(pool.items[key].pair) for key in self._keys]
        self._question_P = np.unique(questions, return_inverse=True)[1]

    def judge(self, criteria: tuple[RubricItem, ...]) -> Floats:
        """right_PS of each pair under each rubric, in [0, 1]."""
        folders = _list_folders(self._pool, criteria)
        columns = []
        for place, folder in enumerate(folders[:MOST_SEEDS], start=1):
            if criteria:
                self._ask(criteria, place, folder)
            winners = {key: one.winner for key, one in read_judgments(folder) if key in self._labels}
            columns.append([float(winners.get(key) == self._labels[key]) for key in self._keys])
        return np.array(columns).T

    def decide(
        self, what: str, named: int, before_PS: Floats, after_PS: Floats, *, is_free: bool
    ) -> Decision:
        """Whether it is kept; `is_free` if it has to do no harm only."""
        change_P = after_PS.mean(axis=1) - before_PS.mean(axis=1)
        change = float(change_P.sum())
        sums_Q, items_Q = (
            np.bincount(self._question_P, weights).astype(np.float64) for weights in (change_P, None)
        )
        return Decision(
            what=what,
            named=named,
            is_kept=change > -1e-9 if is_free else change > 1e-9,
            pairs=len(change_P),
            before=round(float(before_PS.mean()), 6),
            after=round(float(after_PS.mean()), 6),
            interval=clustered_mean_interval(sums_Q, items_Q),
            better=int(np.count_nonzero(change_P > 0)),
            worse=int(np.count_nonzero(change_P < 0)),
        )

    def _ask(self, criteria: tuple[RubricItem, ...], place: int, folder: Path) -> None:
        judge = GenerativeJudge(
            self._judge.engine,
            self._judge.family,
            replace(self._judge.settings, criteria=weigh_criteria(criteria)),
            finish=self._judge.finish,
        )
        judge = vary_seed(judge, rubric_seed(self._pool.settings.seed, place))
        with open_run(
            folder, describe_run("label", judge, data=None, folder=folder), keys=lambda: self._pool.items
        ) as run:
            items = ((key, self._pool.items[key].pair) for key in self._keys if not run.is_finished(key))
            for _, judgment in judge.begin(run).run(items, run):
                if self._watcher is not None:
                    self._watcher.update(judgment)


def _list_folders(pool: Pool, criteria: Sequence[RubricItem]) -> list[Path]:
    if not criteria:
        return list(list_rubric_folders(pool.folder, pool.settings.rubrics))
    text = dumps([dump_record(one) for one in criteria])
    name = hashlib.blake2b(text, digest_size=6).hexdigest()
    return list(list_rubric_folders(pool.folder / GUIDELINE_FOLDER / name, pool.settings.rubrics))


def _weigh_like(base: Sequence[RubricItem], item: RubricItem) -> RubricItem:
    """The criterion with the mean weight of those that are there; with none if they have none."""
    weights = [one.weight for one in base if one.weight is not None]
    return replace(item, weight=sum(weights) / len(weights)) if weights else item


def _join_twins(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    twins = find_twins(tuple(one.item.text for one in candidates))
    kept = [place for place in range(len(candidates)) if place not in twins]
    named = {place: candidates[place].named for place in kept}
    for twin in sorted(twins):
        texts = [(place, (candidates[place].item.text, candidates[twin].item.text)) for place in kept]
        like = next(place for place, pair in texts if find_twins(pair))
        named[like] += candidates[twin].named
    return (replace(candidates[place], named=named[place]) for place in sorted(kept, key=lambda p: -named[p]))
