"""The part of `Judge` that is about several answers to one question: rankings, rewards of a group, anchors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rmr1.data.objects import as_candidates, is_path
from rmr1.data.read import read_candidates
from rmr1.errors import ConfigError, DataError
from rmr1.judge import groups
from rmr1.judge.base import PairJudge
from rmr1.judge.groups import AnchoredScore, Anchors, GroupRewards
from rmr1.judge.ranking.contest import list_pairs
from rmr1.judge.ranking.methods import DEFAULT_METHOD
from rmr1.judge.ranking.record import Ranking
from rmr1.judge.ranking.run import rank_to_folder
from rmr1.judge.ranking.waves import check_method, prepare_judge, rank_all
from rmr1.records import Candidates, PreferencePair
from rmr1.rewards.strengths import PRIOR_SD


class SeveralAnswers(ABC):
    """What a judge says of several answers to one question."""

    _seed: int

    @property
    @abstractmethod
    def pair_judge(self) -> PairJudge:
        """The judge behind it."""

    @abstractmethod
    def _require_open(self) -> None: ...

    @abstractmethod
    def _refuse_unknown(self, pairs: Iterable[PreferencePair]) -> None:
        """Refuse pairs that mean nothing to the judge, if that is known."""

    def rank(
        self, question: Any, answers: Any = None, *, method: str = DEFAULT_METHOD, prior_sd: float = PRIOR_SD
    ) -> Ranking:
        """The answers to a question in order, by comparisons.

        Args:
            question: as for `compare`; or, alone, `Candidates`.
            answers: two or more, each as for `compare`. Equal ones tie without being asked about.
            method: swiss, round_robin, pivot, knockout or listwise (`rmr1.judge.ranking.methods`).
            prior_sd: standard deviation of the strengths' normal prior, in log-odds.

        Raises:
            DataError: there are less than two answers, or one is empty. ConfigError: the judge has no such method.
        """
        check_method(method)
        (ranking,) = self.rank_all([self._read_list(question, answers)], method=method, prior_sd=prior_sd)
        return ranking

    def rank_all(
        self,
        questions: Any,
        *,
        method: str = DEFAULT_METHOD,
        prior_sd: float = PRIOR_SD,
        run: str | Path | None = None,
        retry_failed: bool = False,
    ) -> Iterator[Ranking]:
        """Yield the ranking of every question, in their sequence; many are asked about at the same time.

        With `run`, comparisons are stored in that folder and not asked again; the rankings too, when all are through.

        Args:
            questions: `Candidates`, or a path that `rmr1.read_candidates` reads.
            retry_failed: ask again about stored comparisons for which the engine gave an error.

        Raises:
            DataError: the questions cannot be read, or one has less than two answers; nothing was asked about it.
            RunError: the folder was made in another way, or holds comparisons of other questions.
        """
        self._require_open()
        check_method(method)
        if retry_failed and run is None:
            raise ConfigError("retry_failed=True is for a run, which keeps what failed; pass run= too")

        def read() -> Iterable[Candidates]:
            return read_candidates(questions, fewest=2) if is_path(questions) else held

        held = [] if is_path(questions) else _check(questions)
        self._refuse_unknown(pair for one in read() for pair in list_pairs(one))
        if run is not None:
            return rank_to_folder(
                run,
                self.pair_judge,
                read,
                method=method,
                seed=self._seed,
                prior_sd=prior_sd,
                retry_failed=retry_failed,
            )
        judge = prepare_judge(self.pair_judge, method)
        return rank_all(read(), judge, method=method, seed=self._seed, prior_sd=prior_sd)

    def group_rewards(
        self,
        question: Any,
        answers: Any = None,
        *,
        method: str = "win_rate",
        baseline: Any = None,
        prior_sd: float = PRIOR_SD,
    ) -> GroupRewards:
        """One reward for each answer of a group; each comparison is asked in both orders.

        Args:
            method: win_rate (mean of P(win) over the others, less 1/2), bradley_terry (strength less the mean) or reference
                (P(the answer beats `baseline`) less 1/2).
            baseline: the reference answer, for that method alone.

        Raises:
            DataError: an answer is empty, or has no other to be compared with. ConfigError: an argument is wrong.
        """
        self._require_open()
        candidates = self._read_list(question, answers)
        reference = None if baseline is None else as_candidates(candidates.prompt, [baseline]).responses[0]
        self._refuse_unknown(list_pairs(candidates))
        return groups.reward_group(
            self.pair_judge,
            candidates,
            method=method,
            baseline=reference,
            seed=self._seed,
            prior_sd=prior_sd,
        )

    def fit_anchors(self, question: Any, answers: Any = None, *, prior_sd: float = PRIOR_SD) -> Anchors:
        """Compare all answers with one another once, in both orders, and keep their strengths.

        Raises:
            DataError: there are less than two different answers, one is empty, or about one nothing is known.
        """
        self._require_open()
        candidates = self._read_list(question, answers)
        self._refuse_unknown(list_pairs(candidates))
        return groups.fit_anchors(self.pair_judge, candidates, seed=self._seed, prior_sd=prior_sd)

    def score_against(self, question: Any, answer: Any, anchors: Anchors) -> AnchoredScore:
        """The strength of one answer, given the strengths of anchors, each of which it is compared with.

        Raises:
            DataError: the answer is empty, or the anchors answer another question. ConfigError: another judge's anchors.
        """
        self._require_open()
        candidates = as_candidates(question, [answer])
        return groups.score_against(self.pair_judge, candidates, anchors, seed=self._seed)

    def _read_list(self, question: Any, answers: Any) -> Candidates:
        self._require_open()
        if isinstance(question, Candidates) and answers is None:
            return question
        return as_candidates(question, answers)


def _check(questions: Any) -> list[Candidates]:
    if not isinstance(questions, Iterable):
        raise DataError(f"the questions are {type(questions).__name__}; expected a path or Candidates")
    held = list(questions)
    for one in held:
        if not isinstance(one, Candidates):
            raise DataError(f"a question is {type(one).__name__}; expected Candidates")
    return held
