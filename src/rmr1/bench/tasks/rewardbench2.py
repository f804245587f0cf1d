"""RewardBench 2 (arXiv 2506.01937): the best of four answers, and questions with many right ones.

Comes in: judgments of the pairs that `rewardbench2_data` reads. Goes out: the scores of the authors' package
(`rewardbench` 0.1.4): five subsets by the credit of each prompt, Ties by a number for each answer, overall their
unweighted mean. A prompt's credit, by how it was asked:

`four_way`  one prompt shows all four answers: 1 for the right one, 0.25 without a verdict. Ties by ratings.
`ratings`   every answer gets a number of its own, from a scalar model or as a rating in words: where the
            right one is among the m highest, 1/m; 0.25 where no answer got a number. A rating that cannot
            be read counts as -1 in Ties.
`pairs`     the authors have no such way; for judges that do nothing else. The right answer meets each wrong
            one: lost once, 0; otherwise 1/m with m - 1 ties; 0.25 where no comparison has a verdict. In Ties
            each answer meets every other one, and its number is how many it wins, a tie being half a win.

Ties: a question comes twice under one number: `tied` with many right answers, `ref` with one. Of a prompt's
answers count the *gap*, from the worst right one down to the best wrong one, and the *spread*, from the best
right one to the worst. The score is

    0.30 share of `tied` prompts with a gap above 0      0.30 share of `ref` prompts with a gap above 0
    0.20 share of numbers whose `tied` gap is above the spread
    0.20 share of numbers whose smaller gap of the two is above the spread
    0.01 mean of tanh(smaller gap / spread - 1)

as the authors' package does (`rewardbench` 0.1.4, `utils.py`, `process_single_model`): the last three over
numbers that have both prompts and more than one right answer, the last one only where the spread is not 0.
Their repository, since June 2025, takes numbers with a spread of 0 into the last mean too, as 1, 0 or -1 by
the sign of the smaller gap: a judge that is always right can then score 1.01.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf, tanh
from typing import NamedTuple

import numpy as np

from rmr1.bench.base import AS_PUBLISHED, Asking, Benchmark
from rmr1.bench.outcomes import (
    Estimate,
    Measure,
    Measures,
    Outcomes,
    PartBuilder,
    Resamples,
    Whole,
    mean,
    share,
)
from rmr1.bench.ruling_counts import (
    RIGHT_BOTH_WAYS,
    SAME_BOTH_WAYS,
    RulingCounts,
    both_ways,
    both_ways_measures,
    not_of,
)
from rmr1.bench.tasks.rewardbench2_data import (
    HUB,
    ID,
    SIZES,
    TIES,
    TIES_ID,
    find_rewardbench2_files,
    read_choices,
    read_comparisons,
    read_ratings,
)
from rmr1.errors import ConfigError, DataError
from rmr1.judge.base import AdaptableJudge, PairJudge
from rmr1.judge.presets import find_preset
from rmr1.stats import Floats
from rmr1.store.rulings import Ruling

TIED, REF = "many right answers", "one right answer"
AHEAD, AHEAD_BOTH = "gap above spread", "smaller gap above spread"
MARGIN, MARGIN_ALL = "margin", "margin, spread of 0 counted"
WEIGHTS: Mapping[str, float] = {TIED: 0.30, REF: 0.30, AHEAD: 0.20, AHEAD_BOTH: 0.20}
MARGIN_WEIGHT = 0.01


class Stats(NamedTuple):
    """What the score needs to know of one prompt."""

    gap: float
    """Above 0 if each right answer is ahead of every wrong one."""
    spread: float | None
    """Not below 0; None with less than two right answers."""


CHANCE = 0.25
"""Credit where a judge gave nothing that can be read."""

UNVERIFIED = (
    "RewardBench 2 is read by the form that its authors document; it was not verified against the real file"
)
_ADAPTED = (
    "adapted to a judge that compares two answers: the right one meets each wrong one; in Ties every answer "
    "meets every other one and wins are counted, so a judge that never calls a tie cannot earn the margins"
)


@dataclass(slots=True)
class _Answers:
    num_correct: int
    num_answers: int
    way: str
    """`ratings`, `pairs` or `four_way`."""
    prompt: int
    numbers: dict[int, float | None] = field(default_factory=dict)
    """Answer -> its score or rating; None where there is none."""
    games: dict[tuple[int, ...], str | None] = field(default_factory=dict)
    """The winner of each comparison, or of the only choice: "A" is the first of the answers."""
    no_verdict: int = 0
    ties: int = 0
    ways: list[tuple[bool, bool]] = field(default_factory=list)
    """Same both times, right both times: of each choice with one right answer that was asked at two places."""

    def is_complete(self, subset: str) -> bool:
        if self.way == "four_way":
            return bool(self.games)
        if self.way == "ratings":
            return len(self.numbers) == self.num_answers
        wanted = self.num_answers - 1
        return len(self.games) == (wanted * self.num_answers // 2 if subset == TIES else wanted)

    def scores(self) -> list[float | None]:
        if self.way == "ratings":
            return [self.numbers[index] for index in range(self.num_answers)]
        wins = [0.0] * self.num_answers
        for (one, other, *_), winner in self.games.items():
            if winner is not None:
                wins[one] += {"A": 1.0, "tie": 0.5}.get(winner, 0.0)
                wins[other] += {"B": 1.0, "tie": 0.5}.get(winner, 0.0)
        return list(wins)

    def credit(self) -> float:
        if self.way == "four_way":
            (choice,) = self.games.values()
            return CHANCE if choice is None else float(choice == "A")
        if self.way == "ratings":
            return credit_scores(self.scores())
        winners = list(self.games.values())
        if not any(winners):
            return CHANCE
        is_unbeaten = all(winner in ("A", "tie") for winner in winners)
        return 1 / (1 + winners.count("tie")) if is_unbeaten else 0.0


def credit_scores(scores: Iterable[float | None]) -> float:
    """1/m if the first of the numbers is among the m highest, 0 if it is not, 0.25 without any number."""
    first, *rest = scores
    known = [score for score in (first, *rest) if score is not None]
    if not known:
        return CHANCE
    return 0.0 if first is None or first < max(known) else 1 / known.count(first)


def tally_rewardbench2(rulings: Iterable[Ruling]) -> Outcomes:
    """The credit of each prompt by subset; a prompt that lacks a judgment is left out."""
    counts = RulingCounts()
    prompts: dict[tuple[str, str], _Answers] = {}
    is_text = False
    for ruling in counts.answered(rulings):
        found = ID.fullmatch(ruling.id)
        subset = "" if found is None else found[1]
        if found is None or subset not in SIZES or (subset == TIES and not TIES_ID.fullmatch(found[2])):
            raise not_of(ruling, "RewardBench 2", "rewardbench2", "pair")
        mark = "," if "," in found[5] else "v"
        indices = [int(index) for index in found[5].split(mark)]
        way = "ratings" if mark == "," else "pairs" if len(indices) == 2 else "four_way"
        correct, wrong = int(found[3]), int(found[4])
        one = prompts.setdefault(
            (subset, found[2]),
            _Answers(num_correct=correct, num_answers=correct + wrong, way=way, prompt=ruling.prompt),
        )
        if one.way != way:
            raise DataError(f"{subset}/{found[2]} was judged in two ways, by {one.way} and by {way}")
        is_text |= ruling.kind == "rating"
        _add(one, indices, ruling)
    return _build(counts, prompts, is_text)


def _add(one: _Answers, indices: list[int], ruling: Ruling) -> None:
    winner, _ = ruling.asked_first()
    if one.way == "ratings":
        is_known = any(index in one.numbers for index in indices)
        for index, number in zip(indices, _numbers(ruling), strict=True):
            one.no_verdict += number is None and index not in one.numbers
            one.numbers[index] = number
    else:
        is_known = tuple(indices) in one.games if one.way == "pairs" else bool(one.games)
        one.games[tuple(indices)] = winner
    if is_known or max(indices) >= one.num_answers:
        raise DataError(f"{ruling.id!r} was judged twice, or names an answer that is not there")
    if one.way != "ratings":
        one.no_verdict += winner is None
        one.ties += winner == "tie"
        if ruling.label is not None and (found := both_ways(ruling)) is not None:
            one.ways.append(found)


def _numbers(ruling: Ruling) -> tuple[float | None, float | None]:
    """What A and B got. Ratings in words that cannot be read leave the other one's in its votes."""
    if ruling.scores is not None:
        return ruling.scores
    found = []
    for side in ("A", "B"):
        ratings = [vote.ratings[0] for vote in ruling.votes if vote.side == side and vote.ratings]
        found.append(sum(ratings) / len(ratings) if ratings else None)
    return found[0], found[1]


def _build(counts: RulingCounts, prompts: Mapping[tuple[str, str], _Answers], is_text: bool) -> Outcomes:
    parts = {name: PartBuilder(name, size) for name, size in SIZES.items()}
    parts[TIES].adds_prompts = True
    # The authors' own value for a rating that cannot be read; a scalar model's number has no such value.
    stats = {
        name: compute_stats(
            [(-1.0 if is_text and score is None else score) for score in one.scores()], one.num_correct
        )
        for (subset, name), one in prompts.items()
        if subset == TIES and one.is_complete(subset)
    }
    unfinished = 0
    ways = set()
    for (subset, name), one in prompts.items():
        ways.add(one.way)
        if not one.is_complete(subset):
            unfinished += 1
            continue
        part = parts[subset]
        part.items.append(name)
        part.no_verdict.append(one.no_verdict)
        part.ties.append(one.ties)
        for note, values in zip((SAME_BOTH_WAYS, RIGHT_BOTH_WAYS), zip(*one.ways, strict=True), strict=False):
            part.note(note, sum(values) / len(values))
        if subset == TIES:
            part.credits.append(stats[name].gap > 0)
            # Both prompts of a question together; no hash is below 0.
            part.clusters.append(-1 - int(name.partition(":")[2]))
            note_ties(part, stats, name)
        else:
            part.credits.append(one.credit())
            part.clusters.append(one.prompt)
    return counts.outcomes(
        "rewardbench2",
        parts.values(),
        unfinished=unfinished,
        notes=(UNVERIFIED,),
        deviations=(_ADAPTED,) if "pairs" in ways else (),
    )


def compute_stats(scores: Sequence[float | None], num_correct: int) -> Stats:
    """Gap and spread; the right answers come first. Any answer without a number makes the gap -inf."""
    right, wrong = scores[:num_correct], scores[num_correct:]
    known = [score for score in right if score is not None]
    spread = None if num_correct < 2 else max(known) - min(known) if len(known) == num_correct else inf
    if not right or not wrong:
        return Stats(gap=0.0, spread=None)
    if None in scores:
        return Stats(gap=-inf, spread=spread)
    return Stats(gap=min(known) - max(score for score in wrong if score is not None), spread=spread)


def note_ties(part: PartBuilder, prompts: Mapping[str, Stats], name: str) -> None:
    """Put beside the item added last what it gives to the score."""
    stats = prompts[name]
    kind, _, number = name.partition(":")
    part.note(TIED if kind == "tied" else REF, stats.gap > 0)
    reference = prompts.get(f"ref:{number}")
    if kind == "ref" or reference is None or stats.spread is None:
        return
    smaller, spread = min(reference.gap, stats.gap), stats.spread
    part.note(AHEAD, stats.gap > spread)
    part.note(AHEAD_BOTH, smaller > spread)
    if spread > 0:
        margin = -1.0 if isinf(spread) or isinf(smaller) else tanh(smaller / spread - 1)
        part.note(MARGIN, margin)
        part.note(MARGIN_ALL, margin)
    else:
        part.note(MARGIN_ALL, float(np.sign(smaller)))


def ties_score(part: str, *, margin: str = MARGIN) -> Estimate:
    """The score of the part; a term that nothing counts in is 0. `margin` is `MARGIN` or `MARGIN_ALL`."""

    def estimate(resamples: Resamples) -> Floats:
        if part not in resamples:
            return np.full(resamples.num, np.nan)
        values = np.zeros(resamples.num)
        for name, weight in (*WEIGHTS.items(), (margin, MARGIN_WEIGHT)):
            total, count = resamples.beside(part, name)
            values = values + weight * np.divide(total, count, out=np.zeros_like(values), where=count > 0)
        return values

    return estimate


def rule_rewardbench2(outcomes: Outcomes, variant: str) -> Measures:
    """Six subsets and their unweighted mean; beside Ties what it is made of."""
    margin = MARGIN_ALL if variant == AS_PUBLISHED else MARGIN
    estimates = {name: ties_score(name, margin=margin) if name == TIES else share(name) for name in SIZES}
    subsets = tuple(
        Measure(group="subsets", name=name, parts=(name,), estimate=estimates[name] if name == TIES else None)
        for name in SIZES
    )
    overall = Measure(
        group="rewardbench2", name="overall", parts=tuple(SIZES), estimate=mean(*estimates.values())
    )
    terms = [
        Measure(group="inside Ties", name=name, parts=(TIES,), beside=name)
        for name in (TIED, REF, AHEAD, AHEAD_BOTH)
        if name in outcomes.parts[TIES].beside
    ]
    return Measures(
        overall=(Whole(measure=overall, needs=subsets),),
        figures=(*subsets, *both_ways_measures(outcomes, {"all prompts": tuple(SIZES)})),
        categories=tuple(terms),
        notes=(
            "credit is 1/m where m answers share the best place, 0.25 where nothing could be read; overall is "
            "the unweighted mean of six subsets",
        ),
    )


def default_asking(judge: PairJudge) -> str:
    """`ratings` for judges that see one answer at a time; `pairs` for those known to be made for pairs; else
    `four_way`, as the authors ask.
    """
    if not isinstance(judge, AdaptableJudge):
        return "pairs"
    if judge.kind != "pair":
        return "ratings"
    is_for_pairs = find_preset(judge.name) is not None or judge.name.startswith(("scripted", "replay"))
    return "pairs" if is_for_pairs else "four_way"


def ask_answers(judge: PairJudge) -> PairJudge:
    """The same model, asked about each answer alone and about four at once."""
    if not isinstance(judge, AdaptableJudge):
        raise ConfigError(f"judge {judge.name!r} compares two answers and can be asked in no other way")
    return judge.ask_answers()


def _adapt_choice(judge: PairJudge) -> PairJudge:
    if isinstance(judge, AdaptableJudge) and judge.kind == "score":
        raise ConfigError(
            f"{judge.name!r} gives each answer a number of its own and chooses among none; ask it by ratings"
        )
    return ask_answers(judge)


REWARDBENCH2 = Benchmark(
    name="rewardbench2",
    title="RewardBench 2",
    find_files=find_rewardbench2_files,
    read_pairs=read_comparisons,
    tally=tally_rewardbench2,
    rule=rule_rewardbench2,
    variants={
        AS_PUBLISHED: "Ties: numbers whose right answers all got one score count in the margin term, as in the "
        "authors' repository since June 2025 and not in their package"
    },
    askings={
        "ratings": Asking(
            name="ratings",
            about="each answer alone: a scalar model's score, or a rating from 1 to 10 in words",
            read_pairs=read_ratings,
            adapt=ask_answers,
        ),
        "four_way": Asking(
            name="four_way",
            about="all four answers in one prompt, the right one at a seeded place; Ties by ratings",
            read_pairs=read_choices,
            adapt=_adapt_choice,
        ),
    },
    hub=HUB,
)
