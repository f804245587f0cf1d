"""Judgments -> the counts of summary.json, one pass, flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rmr1.data.runs import RunWriter, read_judgments
from rmr1.records import Judgment


@dataclass(slots=True)
class Tally:
    """Counts that grow judgment by judgment."""

    items: int = 0
    labelled: int = 0
    correct: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    winners: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    subsets: dict[str, list[int]] = field(default_factory=dict)
    """subset -> [labelled, correct]."""

    def add(self, judgment: Judgment) -> None:
        self.items += 1
        self.prompt_tokens += judgment.prompt_tokens
        self.completion_tokens += judgment.completion_tokens
        self.winners[judgment.winner or "none"] += 1
        if judgment.problem is not None:
            self.problems[judgment.problem] += 1
        if judgment.correct is None:
            return
        self.labelled += 1
        self.correct += judgment.correct
        counts = self.subsets.setdefault(judgment.pair.subset or "", [0, 0])
        counts[0] += 1
        counts[1] += judgment.correct

    @property
    def unparsed(self) -> int:
        return sum(self.problems.values())

    @property
    def accuracy(self) -> float | None:
        return self.correct / self.labelled if self.labelled else None

    def summary(self) -> dict[str, Any]:
        return {
            "items": self.items,
            "labelled": self.labelled,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "winners": dict(sorted(self.winners.items())),
            "unparsed": self.unparsed,
            "problems": dict(sorted(self.problems.items())),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "subsets": {
                name: {"labelled": labelled, "correct": correct, "accuracy": correct / labelled}
                for name, (labelled, correct) in sorted(self.subsets.items())
            },
        }


def summarize_judgments(judgments: Iterable[Judgment]) -> dict[str, Any]:
    """The summary of finished judgments: a missing verdict on a labelled pair counts as wrong."""
    tally = Tally()
    for judgment in judgments:
        tally.add(judgment)
    return tally.summary()


def summarize_run(run: RunWriter, tally: Tally) -> dict[str, Any]:
    """The summary of the whole run, of which `tally` counted what was judged just now.

    What was finished before is read back; a run that was made in one go is not read again.
    """
    if run.num_resumed:
        return summarize_judgments(judgment for _, judgment in read_judgments(run.folder))
    return tally.summary()
