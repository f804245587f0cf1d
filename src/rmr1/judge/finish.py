"""What is done about an item besides asking: its judgment may be in a cache, and its probability may be calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rmr1.judge.ask import Ask, AskPair, Keyed, Steps
from rmr1.judge.calibrate import Calibration
from rmr1.records import Judgment, PreferencePair
from rmr1.store.cache import JudgmentCache, make_keys

R = TypeVar("R", bound=Keyed)
A = TypeVar("A")


@dataclass(slots=True)
class Finish:
    """A judge's cache and its calibration, if it has them."""

    cache: JudgmentCache | None = None
    calibration: Calibration | None = None

    def wrap(
        self,
        ask: Callable[[str, PreferencePair], Steps[R, A]],
        describe: Callable[[], dict[str, Any]],
        *,
        accepts: Callable[[PreferencePair, Judgment], bool] = lambda *_: True,
    ) -> AskPair[R, A]:
        """What `ask` asks about an item, unless it is in the cache of the judge that is described, and is accepted."""
        keys = None if self.cache is None else make_keys(describe())

        def begin(key: str, pair: PreferencePair) -> Ask[R, A]:
            found = None if keys is None else keys(key)
            return Ask(key=key, steps=self._finish(pair, found, ask(key, pair), accepts))

        return begin

    def _finish(
        self,
        pair: PreferencePair,
        key: bytes | None,
        steps: Steps[R, A],
        accepts: Callable[[PreferencePair, Judgment], bool],
    ) -> Steps[R, A]:
        judgment: Judgment | None = None
        if self.cache is not None and key is not None:
            judgment = self.cache.find(key, pair)
        if judgment is None or not accepts(pair, judgment):
            judgment = yield from steps
            if self.cache is not None and key is not None:
                self.cache.keep(key, judgment)
        if self.calibration is not None:
            judgment = replace(judgment, calibrated=self.calibration.apply(judgment))
        return judgment

    def describe(self) -> dict[str, Any]:
        """What a run keeps of it among its settings: a hash of the calibration. A cache changes no judgment."""
        return {} if self.calibration is None else {"calibration": self.calibration.digest}

    def close(self) -> None:
        if self.cache is not None:
            self.cache.close()
