"""Many contests at once: the rounds of all questions at hand are one stream of pairs to a judge.

So a judge's batches stay full while each question is asked one round after the other. With a run folder every judgment
is stored as any other; what is stored is not asked again, and a contest that was cut short is played again from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.base import PairJudge
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.ranking.contest import Contest, check_answers, read_outcome
from rmr1.judge.ranking.methods import LISTWISE, METHODS, Comparison, Outcome, Places
from rmr1.judge.ranking.record import NOTHING, Ranking, Spent, conclude
from rmr1.nearest import suggest
from rmr1.prompts import load_family
from rmr1.prompts.families import FOUR_WAY
from rmr1.records import Candidates, Judgment, PreferencePair
from rmr1.rewards.strengths import PRIOR_SD
from rmr1.store.keys import format_key, item_digest
from rmr1.store.runs import RunWriter, key_digest, read_judgments

CHUNK = 1000
"""Questions that are asked about at the same time."""

Watch = Callable[[Judgment], object]


class Known:
    """What the comparisons of a call gave, and those that its run folder holds, without their texts."""

    def __init__(self, run: RunWriter | None = None):
        self._found: dict[bytes, Judged] = {}
        if run is not None and run.num_resumed:
            for key, judgment in read_judgments(run.folder):
                self.add(key, judgment)

    def add(self, key: str, judgment: Judgment) -> None:
        self._found[key_digest(key)] = Judged(
            outcome=read_outcome(judgment, tuple(range(4))), spent=count_spent(judgment)
        )

    def find(self, key: str) -> Judged | None:
        return self._found.get(key_digest(key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is kept of a judgment; `outcome` names the answers by their places in the comparison."""

    outcome: Outcome
    spent: Spent


def check_method(method: str) -> None:
    """
    Raises:
        ConfigError: there is no such method.
    """
    if method not in METHODS:
        advice = suggest(method, METHODS) or f"; expected one of {', '.join(METHODS)}"
        raise ConfigError(f"{name_option('method', method)} is unknown{advice}")


def prepare_judge(judge: PairJudge, method: str) -> PairJudge:
    """The judge as the method asks it: listwise shows four answers at once, with the family `four_way`.

    Raises:
        ConfigError: there is no such method, or the judge cannot be asked so.
    """
    check_method(method)
    if method != LISTWISE:
        return judge
    if not isinstance(judge, GenerativeJudge) or judge.kind != "pair":
        others = ", ".join(name for name in METHODS if name != LISTWISE)
        raise ConfigError(
            f"{name_option('method', LISTWISE)} shows four answers at once, and judge {judge.name!r} has no family for "
            f"that: it scores or rates them one by one, or is a cascade; choose {others}"
        )
    four_way = load_family(FOUR_WAY)
    return GenerativeJudge(judge.engine, judge.family, judge.settings, choice=four_way, finish=judge.finish)


def rank_all(
    questions: Iterable[Candidates],
    judge: PairJudge,
    *,
    method: str,
    seed: int,
    prior_sd: float = PRIOR_SD,
    run: RunWriter | None = None,
    watch: Watch | None = None,
) -> Iterator[Ranking]:
    """Yield the ranking of every question, in the sequence of the questions.

    Args:
        judge: what `prepare_judge` made of a judge.
        watch: is called with every judgment that is made.

    Raises:
        DataError: a question has less than two answers, or an empty one.
        GenerationError, RunError: as of `PairJudge.run`; what was judged is stored.
    """
    known = Known(run)
    stream = iter(questions)
    while chunk := list(islice(stream, CHUNK)):
        games = [_Game(Contest(check_answers(one), seed), method) for one in chunk]
        while waiting := [game for game in games if game.round]:
            pairs = {name_item(pair): pair for game in waiting for pair in map(game.contest.pair, game.round)}
            ask(judge, pairs, known, run, watch)
            for game in waiting:
                game.go_on(known)
        yield from (game.conclude(prior_sd) for game in games)


def ask(
    judge: PairJudge,
    pairs: Mapping[str, PreferencePair],
    known: Known,
    run: RunWriter | None = None,
    watch: Watch | None = None,
) -> None:
    """Have every pair judged that is not known."""
    new = (pair for key, pair in pairs.items() if known.find(key) is None)
    for key, judgment in judge.run(new, run=run):
        known.add(key, judgment)
        if watch is not None:
            watch(judgment)


def name_item(pair: PreferencePair) -> str:
    """The key of a pair that occurs once."""
    return format_key(item_digest(pair), 0)


def count_spent(judgment: Judgment) -> Spent:
    """What one comparison took."""
    is_asked = not judgment.is_cached
    return Spent(
        comparisons=1,
        texts=is_asked * (len(judgment.votes) if judgment.scores is None or judgment.votes else 2),
        prompt_tokens=is_asked * judgment.prompt_tokens,
        completion_tokens=is_asked * judgment.completion_tokens,
        is_estimated=is_asked and judgment.is_estimated,
        cached=int(judgment.is_cached),
    )


class _Game:
    """A contest that is being played."""

    def __init__(self, contest: Contest, method: str):
        self.contest = contest
        self.round: tuple[Comparison, ...] = ()
        """The comparisons that are wanted now; none at the end."""
        self._method = method
        self._found: list[tuple[Comparison, Outcome]] = []
        self._spent = NOTHING
        self._places = Places(levels=(0.0,) * len(contest))
        self._plan = METHODS[method](len(contest))
        if len(contest) > 1:
            self.round = next(self._plan)

    def go_on(self, known: Known) -> None:
        """Take in the outcomes of the round; the next one is wanted then."""
        outcomes = []
        for comparison in self.round:
            judged = known.find(name_item(self.contest.pair(comparison)))
            assert judged is not None, "a judge yields every pair"
            place = judged.outcome.winner
            winner = None if place is None else comparison[place]
            outcomes.append(Outcome(winner=winner, problem=judged.outcome.problem))
            self._spent += judged.spent
        self._found += zip(self.round, outcomes, strict=True)
        self.round = self._send(outcomes)

    def _send(self, outcomes: Sequence[Outcome]) -> tuple[Comparison, ...]:
        while True:
            try:
                wanted = self._plan.send(outcomes)
            except StopIteration as end:
                self._places = end.value
                return ()
            if wanted:
                return wanted
            outcomes = ()  # a round without comparisons, in which all sit out

    def conclude(self, prior_sd: float) -> Ranking:
        return conclude(self.contest, self._method, self._places, self._found, self._spent, prior_sd=prior_sd)
