"""The run folders of a pool -> its pairs, each with what the rubrics make of it, without the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rmr1.active.information import Information, Orders, measure_information, read_votes
from rmr1.active.overrides import Doubts, Override, count_doubts, find_overrides
from rmr1.audit.evidence import find_twins
from rmr1.errors import RunError
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment, PreferencePair, Problem, RubricItem
from rmr1.rubrics.count import name_criterion
from rmr1.store.keys import seed_for
from rmr1.store.runs import JUDGMENTS_FILE, read_finished, read_judgments

Doubt = Literal["sums", "untouched", "rubric", "place", "unsure", "sure"]
"""What a pair is asked about for, the first that holds."""

MOST_CHOICES = 9
"""Criteria that a person is offered, one for each key from 1 to 9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolItem:
    """A pair of a pool."""

    key: str
    pair: PreferencePair
    has_failed: bool
    """Whether the engine gave an error under one of the rubrics."""
    information: Information | None
    """None if it cannot be told, and the pair is not asked about."""
    problems: tuple[Problem, ...]
    """Why there were no verdicts, for each rubric's judgment without a winner."""
    overrides: tuple[Override, ...]
    criteria: tuple[tuple[RubricItem, float], ...]
    """Those of all rubrics, near-equal ones once, each with the mean |score of A - score of B| by it, in their sequence."""

    @property
    def doubt(self) -> Doubt:
        """The reason for which it is asked about."""
        if "sums" in self.overrides:
            return "sums"
        if "untouched" in self.overrides:
            return "untouched"
        if self.information is not None and self.information.is_about_rubric:
            return "rubric"
        if "place" in self.overrides:
            return "place"
        return "unsure" if self.information is not None and self.information.total > 0 else "sure"

    @property
    def asks_criterion(self) -> bool:
        """Whether it is the rubric that is in doubt, so that a criterion tells more than a label."""
        return self.doubt in ("sums", "untouched", "rubric")

    def list_choices(self) -> tuple[RubricItem, ...]:
        """The criteria that part the answers most, in the sequence of the rubrics."""
        gaps = sorted((-gap, place) for place, (_, gap) in enumerate(self.criteria))[:MOST_CHOICES]
        return tuple(self.criteria[place][0] for place in sorted(place for _, place in gaps))


@dataclass(slots=True)
class _Gathered:
    """What the runs say of a pair, one after the other."""

    pair: PreferencePair
    votes: list[Orders] = field(default_factory=list)
    doubts: list[Doubts] = field(default_factory=list)
    criteria: list[RubricItem] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    has_failed: bool = False

    def add(self, judgment: Judgment) -> None:
        self.votes.append(read_votes(judgment))
        self.doubts.append(count_doubts(judgment))
        self.problems += () if judgment.problem is None else (judgment.problem,)
        self.has_failed = self.has_failed or bool(list_failures(judgment))
        for number, item in enumerate(judgment.criteria, start=1):
            found = [
                abs(one.a - one.b)
                for vote in judgment.votes
                for one in vote.trace.scores
                if one.criterion == number and one.a is not None and one.b is not None
            ]
            self.criteria.append(item)
            self.gaps.append(sum(found) / len(found) if found else 0.0)


def read_items(folders: Sequence[Path], number: int, *, seed: int = 0) -> list[PoolItem]:
    """The items of a pool of so many pairs, in the sequence of the first run.

    Raises:
        RunError: one of the runs is not there, or holds fewer pairs.
    """
    gathered: dict[str, _Gathered] = {}
    for folder in folders:
        num_judged = len(read_finished(folder / JUDGMENTS_FILE).keys)
        if num_judged < number:
            raise RunError(
                f"{folder}: holds {num_judged} of {number} pairs; go on with the command that judged the pool"
            )
        for key, judgment in read_judgments(folder):
            gathered.setdefault(key, _Gathered(judgment.pair)).add(judgment)
    return [_make_item(key, one, seed) for key, one in gathered.items()]


def _make_item(key: str, gathered: _Gathered, seed: int) -> PoolItem:
    information = None
    if not gathered.has_failed:
        information = measure_information(gathered.votes, seed=seed_for(seed, "chance", key))
    return PoolItem(
        key=key,
        pair=gathered.pair,
        has_failed=gathered.has_failed,
        information=information,
        problems=tuple(gathered.problems),
        overrides=() if information is None else find_overrides(information, gathered.doubts),
        criteria=_join(gathered.criteria, gathered.gaps),
    )


def _join(criteria: Sequence[RubricItem], gaps: Sequence[float]) -> tuple[tuple[RubricItem, float], ...]:
    """Near-equal criteria once, in the first one's words, with the mean of their gaps."""
    first: dict[str, int] = {}
    members: dict[int, list[int]] = {}
    for place, item in enumerate(criteria):
        members.setdefault(first.setdefault(name_criterion(item), place), []).append(place)
    places = list(members)
    twins = find_twins(tuple(criteria[place].text for place in places))
    kept = [place for number, place in enumerate(places) if number not in twins]
    return tuple(
        (
            RubricItem(text=criteria[place].text, name=criteria[place].name),
            sum(gaps[one] for one in members[place]) / len(members[place]),
        )
        for place in kept
    )
