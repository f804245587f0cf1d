"""A model of no use is noticed early: one that fails at everything, gives no verdicts, or has stopped answering."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from rmr1.judge.summary import has_answer, list_failures
from rmr1.records import Judgment, StageResult

FIRST_ALIKE = 20
"""Items that a run begins with, all of which fail in the same way, until it is stopped."""

FIRST_FAILED = 40
"""The same number as `FIRST_ALIKE`, for items that fail in whatever ways."""
ALIKE_IN_A_ROW = 50
"""Items in a row that fail in the same way until a run is stopped."""

_KIND_CHARS = 100
"""What follows in a failure's text may repeat the item, or be cut off."""
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|(?<!HTTP )\b\S*\d\S*")
"""What tells apart two failures of one kind: quotations, numbers and identifiers, but not an HTTP status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why there is no use in going on."""

    pairs: int
    what: str
    """What befell so many pairs."""
    reason: str
    """The failure, or the commonest reason for missing verdicts."""

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class Alarm:
    """Looks at judgments as they come. Its `cause` says why to stop, once there is no use in going on.

    - After `num_alike` items (0: never, nor after so many in a row) that all failed in the same way, or `FIRST_FAILED`
      in any way, if the run holds no answer.
    - After `ALIKE_IN_A_ROW` items in a row that failed in the same way, those left out that were refused for what they say.
    - After `num_alike` items about which a stage of a cascade was asked, and failed at all of them.
    - After `num_useless` items in a row without a verdict (0: never), if none had a verdict before or all of them
      failed: a model may refuse many pairs of one kind, but does not fail at all of them unless it is gone.
    """

    def __init__(
        self,
        *,
        num_alike: int = FIRST_ALIKE,
        num_useless: int = 0,
        has_answers: bool = False,
        advice: str | None = None,
    ):
        """`has_answers`: of an earlier start. `advice`: what to try if there never is an answer."""
        self.cause: Cause | None = None
        self._num_alike = 0 if has_answers else num_alike
        self._most_alike = ALIKE_IN_A_ROW if num_alike else 0
        self._num_useless = num_useless
        self._advice = advice
        self._num_first = 0
        self._kinds: set[str] = set()
        self._row = ("", 0)
        """The kind of the last failure, and how many of it came in a row."""
        self._has_verdict = False
        self._num_failed = 0
        self._reasons: Counter[str] = Counter()
        self._first_of_stage = num_alike
        self._stages: dict[str, int] = {}
        """Stage -> the failures that it began with; -1 once it has answered."""

    def update(self, judgment: Judgment) -> None:
        for stage in judgment.stages:
            self._watch_stage(stage)
        if has_answer(judgment):
            self._num_alike, self._row = 0, ("", 0)
        elif failures := list_failures(judgment):
            self._watch_failures(failures[0], any(vote.generation.is_refused for vote in judgment.votes))
        if self._num_useless:
            self._watch_verdicts(judgment)

    def _watch_failures(self, failure: str, is_refused: bool) -> None:
        kind = level_failure(failure)
        if self._num_alike:
            self._num_first += 1
            self._kinds.add(kind)
            is_alike = len(self._kinds) == 1
            if self._num_first >= (self._num_alike if is_alike else max(self._num_alike, FIRST_FAILED)):
                in_what_way = ", all in the same way" if is_alike else ""
                reason = failure if self._advice is None else f"{failure}; {self._advice}"
                what = f"the first {self._num_first} items failed{in_what_way}"
                self.cause = Cause(pairs=self._num_first, what=what, reason=reason)
        if self._most_alike and not is_refused:
            number = self._row[1] + 1 if kind == self._row[0] else 1
            self._row = (kind, number)
            if number >= self._most_alike and self.cause is None:
                what = f"{number} items in a row failed in the same way"
                self.cause = Cause(pairs=number, what=what, reason=failure)

    def _watch_stage(self, result: StageResult) -> None:
        before = self._stages.get(result.stage, 0)
        self._stages[result.stage] = number = before + 1 if result.error is not None and before >= 0 else -1
        if 0 < self._first_of_stage <= number:
            what = f"stage {result.stage!r} failed at the first {number} items"
            self.cause = Cause(pairs=number, what=what, reason=result.error or "")

    def _watch_verdicts(self, judgment: Judgment) -> None:
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
        pairs = self._reasons.total()
        if (self._num_failed if self._has_verdict else pairs) >= self._num_useless:
            what = f"no verdict for {pairs:,} pairs in a row"
            self.cause = Cause(pairs=pairs, what=what, reason=self._reasons.most_common(1)[0][0])


def level_failure(text: str) -> str:
    """What failures of one kind have in common.

    >>> level_failure("HTTP 400 after 7 tries: no model 'x-7' (request req_8f2a)")
    'HTTP 400 after # tries: no model # (request #'
    """
    return _VARYING.sub("#", text)[:_KIND_CHARS]
