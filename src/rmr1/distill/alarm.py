"""A teacher of no use is noticed early: one that gives no verdicts from the first pair on, or has stopped answering."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rmr1.records import Judgment


class Alarm:
    """Counts pairs in a row without a verdict.

    Raised after `limit` of them (0: never) where none had a verdict before, or where all of them failed: in the middle of
    a run a teacher may refuse many pairs of one kind, but does not fail at all of them unless it is gone.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.is_raised = False
        self._has_verdict = False
        self._num_failed = 0
        self._reasons: Counter[str] = Counter()

    def update(self, judgment: Judgment) -> None:
        if any(vote.verdict.winner is not None for vote in judgment.votes):
            self._has_verdict = True
            self._num_failed = 0
            self._reasons.clear()
            return
        generations = [vote.generation for vote in judgment.votes]
        is_failed = any(one.finish_reason == "error" and not one.is_refused for one in generations)
        self._num_failed = self._num_failed + 1 if is_failed else 0
        error = next((one.error for one in generations if one.error), None)
        self._reasons[error or judgment.problem or "no verdict"] += 1
        num_useless = self._num_failed if self._has_verdict else self._reasons.total()
        self.is_raised = 0 < self.limit <= num_useless

    def describe(self) -> dict[str, Any]:
        return {"pairs": self._reasons.total(), "reason": self._reasons.most_common(1)[0][0]}
