"""What is done about an item besides asking: its judgment may be in a cache, and its probability may be calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rmr1.judge.ask import A, Ask, R, Steps
from rmr1.judge.calibrate import Calibration
from rmr1.records import Judgment, PreferencePair
from rmr1.store.cache import JudgmentCache, make_keys


@dataclass(slots=True)
class Finish:
    """A judge's cache and its calibration, if it has them."""

    cache: JudgmentCache | None = None
    calibration: Calibration | None = None

    def wrap(
        self,
        pairs: Iterable[tuple[str, PreferencePair]],
        ask: Callable[[str, PreferencePair], Steps[R, A]],
        describe: Callable[[], dict[str, Any]],
    ) -> Iterator[Ask[R, A]]:
        """What `ask` asks about each item, unless it is in the cache of the judge that is described."""
        keys = None if self.cache is None else make_keys(describe())
        for key, pair in pairs:
            yield Ask(key=key, steps=self._finish(pair, None if keys is None else keys(key), ask(key, pair)))

    def _finish(self, pair: PreferencePair, key: bytes | None, steps: Steps[R, A]) -> Steps[R, A]:
        judgment: Judgment | None = None
        if self.cache is not None and key is not None:
            judgment = self.cache.find(key, pair)
        if judgment is None:
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
