"""A model of no use is noticed early: one that fails at everything, gives no verdicts, or has stopped answering."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from rmr1.judge.summary import has_answer, list_failures
from rmr1.records import Judgment

FIRST_ALIKE = 20
"""Items that a run begins with, all of which fail in the same way, until it is stopped."""

_KIND_CHARS = 100
"""Of a failure's text; what follows may repeat the item, or be cut off."""
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

    - After `num_alike` items (0: never) that all failed in the same way, if the run holds no answer.
    - After `num_useless` items in a row without a verdict (0: never), if none had a verdict before or all of
      them failed: in the middle of a run a model may refuse many pairs of one kind, but does not fail at all
      of them unless it is gone.
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
        self._num_useless = num_useless
        self._advice = advice
        self._kinds: list[str] = []
        self._has_verdict = False
        self._num_failed = 0
        self._reasons: Counter[str] = Counter()

    def update(self, judgment: Judgment) -> None:
        if self._num_alike:
            self._watch_first(judgment)
        if self._num_useless:
            self._watch_verdicts(judgment)

    def _watch_first(self, judgment: Judgment) -> None:
        if failures := list_failures(judgment):
            self._kinds.append(level_failure(failures[0]))
        if has_answer(judgment) or len(set(self._kinds)) > 1:
            self._num_alike = 0
        elif len(self._kinds) == self._num_alike:
            what = f"the first {len(self._kinds)} items failed, all in the same way"
            reason = failures[0] if self._advice is None else f"{failures[0]}; {self._advice}"
            self.cause = Cause(pairs=len(self._kinds), what=what, reason=reason)

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
        num_useless = self._num_failed if self._has_verdict else self._reasons.total()
        if num_useless >= self._num_useless:
            pairs = self._reasons.total()
            what = f"no verdict for {pairs:,} pairs in a row"
            self.cause = Cause(pairs=pairs, what=what, reason=self._reasons.most_common(1)[0][0])


def level_failure(text: str) -> str:
    """What failures of one kind have in common.

    >>> level_failure("HTTP 400 after 7 tries: no model 'x-7' (request req_8f2a)")
    "HTTP 400 after # tries: no model # (request #"
    """
    return _VARYING.sub("#", text)[:_KIND_CHARS]
