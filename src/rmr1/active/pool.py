"""A judged pool -> the questions that people are asked about it: an `Asker`.

A share of the pairs is drawn at random, once, from the seed and the keys; these are asked about in between, for a label alone,
so that what is measured on them stands for the whole pool. Of the others the strategy chooses. What was asked is what
labels.jsonl says, so a page that was killed goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.active.asking import Task
from rmr1.active.choose import Chooser
from rmr1.active.items import PoolItem, read_items
from rmr1.active.judging import judge_pool, list_rubric_folders, read_pool_description, tell_retry
from rmr1.active.settings import PoolSettings
from rmr1.errors import DataError
from rmr1.judge.base import PairJudge, Watcher
from rmr1.records import PreferencePair
from rmr1.store.keys import seed_for
from rmr1.store.labels import HumanLabel

_OVERRIDDEN = 0.5
"""A pair with an override counts at least this share of what the pair with the most information does."""
_ONE_SIDED_95 = 1.645
_LEAST_UNSURE = 10
"""Pairs of which the judge is unsure, from which on it is told whether its rubrics differ."""
_CHECKING = "Drawn at random, so that what is measured stands for all pairs."
_REASONS = {
    "sums": "The criteria add up to one answer, and the judge names the other.",
    "untouched": "The criteria rate both answers alike, and the judge still tells them apart.",
    "rubric": "By some sets of criteria one answer is better, by others the other.",
    "place": "The verdict depends on which answer stands first.",
    "unsure": "The judge is unsure of this pair, whatever it goes by.",
    "sure": "The judge is sure of this pair.",
}
"""What is said of a pair; nothing of it tells a verdict."""


class Pool:
    """Asks about the pairs of a folder that `prepare_pool` judged."""

    def __init__(self, folder: Path, settings: PoolSettings, items: Sequence[PoolItem]):
        """Ask about these items; those that cannot be asked about are left out, and `notes` count them."""
        self.folder = folder
        self.settings = settings
        self.items = {item.key: item for item in items}
        self._askable = {item.key: item for item in items if item.information is not None}
        if not self._askable:
            found = Counter(problem for item in items for problem in item.problems).most_common(2)
            told = ", ".join(f"{problem} {count}" for problem, count in found)
            raise DataError(
                f"{folder}: none of {len(items)} pairs has verdicts in both orders under two rubrics ({told}), so nothing can "
                f"be chosen; read some with rmr1 show {folder}/rubric-1"
            )
        self._checks = {key for key in self._askable if _draw(settings.seed, key) < settings.check}
        self.total = min(settings.number, len(self._askable))
        self._value = self._find_values()
        by_distance = settings.strategy == "information"
        self._chooser = Chooser(
            list(self._askable),
            np.array([self._value[key] for key in self._askable]),
            [item.pair for item in self._askable.values()],
            beta=settings.beta if by_distance else 0.0,
            seed=settings.seed,
        )
        self._sequence = sorted(self._checks, key=lambda key: _draw(settings.seed, key))

    def choose(self, labels: Sequence[HumanLabel], who: str) -> Task | None:
        """The person's next question; one that others were asked and too few have answered comes first."""
        last = {(one.key, one.who): one for one in labels if one.key in self._askable}
        last = {place: one for place, one in last.items() if not one.is_undone}
        mine = [key for key, name in last if name == who]
        if len(mine) >= self.total:
            return None
        answered: dict[str, int] = {}
        for (key, _), one in last.items():
            answered[key] = answered.get(key, 0) + (one.label is not None)
        open_keys = [
            key
            for key in self._askable
            if (key, who) not in last and answered.get(key, 0) < self.settings.people
        ]
        begun = [key for key in open_keys if answered.get(key, 0) > 0]
        chosen = self._choose_among(begun or open_keys, [key for key, _ in last], mine)
        return None if chosen is None else self.find(chosen)

    def find(self, key: str) -> Task | None:
        """The question about an item of the pool; None if it is not asked about."""
        item = self._askable.get(key)
        if item is None:
            return None
        pair = replace(item.pair, label=None)
        if key in self._checks:
            return Task(key=key, pair=pair, reason=_CHECKING)
        asks_criterion = self.settings.ask == "always" or item.asks_criterion
        return Task(
            key=key,
            pair=pair,
            ask="criterion" if asks_criterion else "label",
            criteria=item.list_choices() if asks_criterion else (),
            reason=_REASONS[item.doubt],
        )

    def is_check(self, key: str) -> bool:
        """Whether the pair was drawn at random."""
        return key in self._checks

    def check_labels(self, labels: Iterable[HumanLabel]) -> None:
        """
        Raises:
            DataError: one of them is of an item that the pool does not hold.
        """
        outside = [one for one in labels if one.key not in self.items]
        if outside:
            raise DataError(
                f"{self.folder}: {len(outside)} labels are of items that the pool does not hold, the first by "
                f"{outside[0].who!r} of {outside[0].key!r}; take them out of labels.jsonl, or open the pool they were given for"
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the pool, a sentence each."""
        return tuple(self._list_notes())

    def describe(self) -> dict[str, Any]:
        """The figures of the pool, as JSON values; information in bits, the mean of all pairs that can be asked about."""
        found = [item.information for item in self._askable.values() if item.information is not None]
        doubts = Counter(str(item.doubt) for item in self._askable.values())
        return {
            "settings": self.settings.describe(),
            "pairs": len(self.items),
            "askable": len(self._askable),
            "failed": sum(item.has_failed for item in self.items.values()),
            "no_verdict": sum(
                item.information is None and not item.has_failed for item in self.items.values()
            ),
            "check": len(self._checks),
            "total": self.total,
            "entropy": round(float(np.mean([one.total for one in found])), 6),
            "about_rubric": round(float(np.mean([one.about_rubric for one in found])), 6),
            "doubts": {name: doubts[name] for name in _REASONS},
            "do_rubrics_differ": self._do_rubrics_differ(),
            "notes": list(self.notes),
        }

    def _choose_among(
        self, open_keys: Sequence[str], asked: Sequence[str], mine: Sequence[str]
    ) -> str | None:
        is_open = set(open_keys)
        checks = [key for key in self._sequence if key in is_open]
        others = [key for key in open_keys if key not in self._checks]
        share, number = self.settings.check, len(mine)
        is_check_due = int((number + 1) * share) > int(number * share)
        if checks and (is_check_due or not others):
            return checks[0]
        return self._chooser.choose(others, asked)

    def _find_values(self) -> dict[str, float]:
        """What each pair counts for the strategy."""
        found = {key: item.information for key, item in self._askable.items() if item.information}
        if self.settings.strategy == "random":
            return dict.fromkeys(found, 0.0)
        if self.settings.strategy == "uncertainty":
            return {key: one.total for key, one in found.items()}
        value = {key: max(one.about_rubric, 0.0) for key, one in found.items()}
        bar = _OVERRIDDEN * max(value.values())
        return {key: max(one, bar) if self._askable[key].overrides else one for key, one in value.items()}

    def _do_rubrics_differ(self) -> bool:
        """Whether the rubrics differ by more than chance, over all pairs of which the judge is unsure: whether the mean of the
        adjusted information, which is 0 by chance, is above 0 (one-sided, 5%). Of a few pairs nothing is said."""
        found = [item.information for item in self._askable.values() if item.information]
        value_I = np.array([one.about_rubric for one in found if one.total > 0])
        if len(value_I) < _LEAST_UNSURE:
            return False
        return bool(value_I.mean() > _ONE_SIDED_95 * value_I.std(ddof=1) / np.sqrt(len(value_I)))

    def _list_notes(self) -> Iterator[str]:
        failed = sum(item.has_failed for item in self.items.values())
        if failed:
            yield f"{failed} pairs are left out, for which the engine gave an error under a rubric; {tell_retry()}"
        if silent := sum(item.information is None and not item.has_failed for item in self.items.values()):
            yield f"{silent} pairs are left out, without verdicts in both orders under two rubrics"
        if any(item.pair.label for item in self.items.values()):
            yield "pairs of the pool have labels already, which count for nothing here"
        if not any(item.information and item.information.total for item in self._askable.values()):
            yield (
                f"the judge says the same of each of {len(self._askable)} pairs under every rubric and in every vote: "
                "nothing tells which pay, so they are asked about by distance alone"
            )
        elif self.settings.strategy == "information" and not self._do_rubrics_differ():
            yield (
                "over the whole pool the judge's rubrics differ by no more than chance would have it, so what is chosen may be "
                "little better than chance; more votes or rubrics tell smaller differences"
            )


def prepare_pool(
    pairs: Sequence[PreferencePair],
    judge: PairJudge,
    folder: str | Path,
    settings: PoolSettings,
    *,
    data: dict[str, Any] | None = None,
    watcher: Watcher | None = None,
    retry_failed: bool = False,
) -> Pool:
    """Judge what is not judged yet, as `rmr1.active.judging.judge_pool` does, and open the pool. Raises as both do."""
    judge_pool(pairs, judge, folder, settings, data=data, watcher=watcher, retry_failed=retry_failed)
    return open_pool(folder)


def open_pool(folder: str | Path, *, settings: PoolSettings | None = None) -> Pool:
    """The pool of a folder, as it was judged; `settings` instead of the stored ones, for simulations.

    Raises:
        RunError: the folder is no pool, or one that is not judged to its end.
        DataError: no pair of it can be asked about.
    """
    _, stored, number = read_pool_description(folder)
    runs = list(list_rubric_folders(folder, stored.rubrics))
    return Pool(Path(folder), settings or stored, read_items(runs, number, seed=stored.seed))


def _draw(seed: int, key: str) -> float:
    """A number in [0, 1) that the seed and the key draw."""
    return seed_for(seed, "check", key) / 2**63
