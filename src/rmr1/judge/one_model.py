"""What judges of one model share, be it one that writes, scores or decides: how they are run, described and closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from rmr1.engines.base import Model
from rmr1.judge.ask import Asking, Keyed, Steps
from rmr1.judge.base import unfinished_pairs
from rmr1.judge.finish import Finish
from rmr1.records import Judgment, PreferencePair
from rmr1.store.runs import RunWriter

R = TypeVar("R", bound=Keyed)
A = TypeVar("A")


class OneModelJudge(ABC, Generic[R, A]):
    """A judge that asks one model."""

    finish: Finish
    """Its cache and its calibration."""

    @property
    @abstractmethod
    def model(self) -> Model:
        """The model that is asked."""

    @abstractmethod
    def describe_asking(self) -> dict[str, Any]:
        """`describe` without what is done besides asking: what decides a judgment, by which a cache knows it."""

    @abstractmethod
    def ask(self, key: str, pair: PreferencePair) -> Steps[R, A]:
        """The steps in which a pair is asked about, by its key."""

    @abstractmethod
    def answer(self, requests: Iterator[R]) -> Iterator[tuple[R, A]]:
        """What the model makes of the requests, as they finish."""

    def describe(self) -> dict[str, Any]:
        """See `rmr1.judge.base.PairJudge`."""
        values = self.describe_asking()
        return {**values, "settings": {**values["settings"], **self.finish.describe()}}

    def begin(self, run: RunWriter | None = None) -> Asking[R, A]:
        """See `rmr1.judge.ask.ServableJudge`."""
        ask = self.finish.wrap(self.ask, self.describe_asking)
        return Asking(ask=ask, answer=self.answer, models=(self.model,))

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """See `rmr1.judge.base.PairJudge`."""
        return self.begin(run).run(unfinished_pairs(pairs, run), run)

    def close(self) -> None:
        """Release the model."""
        self.finish.close()
        self.model.close()
