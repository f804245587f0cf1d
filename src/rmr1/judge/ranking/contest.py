"""A question's answers as a contest: answers in a drawn sequence, comparisons as pairs, judgments as outcomes.

The sequence follows from the seed and what the question and the answers say, not from where the answers stand: so the
same are asked about in the same way however a list was sorted. Equal answers are one; they tie without being asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from rmr1.data.ids import OwnId
from rmr1.errors import DataError
from rmr1.judge.ranking.methods import Comparison, Outcome
from rmr1.messages import Messages
from rmr1.records import Candidates, Judgment, PreferencePair
from rmr1.rewards.strengths import Result
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import seed_for

_NAMES = "ABCD"


class Contest:
    """The different answers of a list, numbered from 0 in the drawn sequence."""

    def __init__(self, candidates: Candidates, seed: int):
        self.candidates = candidates
        question = identify(candidates.prompt)
        places: dict[str, list[int]] = {}
        for place, answer in enumerate(candidates.responses):
            places.setdefault(identify(answer), []).append(place)
        self._names = sorted(places, key=lambda one: (seed_for(seed, "ranking", question, one), one))
        self.places = tuple(tuple(places[name]) for name in self._names)
        """The places in the list of each different answer."""
        # Answers that say the same may be written in different parts.
        self._texts = [
            min((candidates.responses[place] for place in group), key=_write) for group in self.places
        ]

    def __len__(self) -> int:
        return len(self.places)

    def pair(self, comparison: Comparison) -> PreferencePair:
        """The item that a judge is asked about; its A is the first of the comparison."""
        first, second, *others = (self._texts[one] for one in comparison)
        candidates = self.candidates
        id = f"{candidates.id}/{'-'.join(self._names[one][:8] for one in comparison)}"
        return PreferencePair(
            id=OwnId(id) if isinstance(candidates.id, OwnId) else id,
            prompt=candidates.prompt,
            response_a=first,
            response_b=second,
            others=tuple(others),
            source=candidates.source,
            subset=candidates.subset,
        )

    def spread(self, values: Sequence[float | None]) -> tuple[float | None, ...]:
        """A value for each different answer as one for each place of the list."""
        found: list[float | None] = [None] * len(self.candidates.responses)
        for group, value in zip(self.places, values, strict=True):
            for place in group:
                found[place] = value
        return tuple(found)


def identify(messages: Messages) -> str:
    """32 hex digits for what a question or an answer says: roles and texts."""
    said = [(message.role, message.text) for message in messages]
    return hashlib.blake2b(dumps(said), digest_size=16).hexdigest()


def _write(messages: Messages) -> bytes:
    return dumps([dump_record(message) for message in messages])


def list_pairs(candidates: Candidates) -> Iterator[PreferencePair]:
    """Every answer in some pair, as the list has them: for looking at what a judge will be shown."""
    first, *others = candidates.responses or ((),)
    for other in others or [first]:
        yield PreferencePair(id=candidates.id, prompt=candidates.prompt, response_a=first, response_b=other)


def read_outcome(judgment: Judgment, comparison: Comparison) -> Outcome:
    """What a judgment says of the answers that were compared."""
    named = judgment.winner if judgment.winner in tuple(_NAMES) else None
    return Outcome(
        winner=None if named is None else comparison[_NAMES.index(named)], problem=judgment.problem
    )


def read_result(comparison: Comparison, outcome: Outcome) -> Result | None:
    """The outcome as data of the strengths: a split vote is a tie, and no verdict is nothing."""
    return Result(answers=comparison, winner=outcome.winner) if outcome.is_known else None


def check_answers(candidates: Candidates, *, fewest: int = 2) -> Candidates:
    """
    Raises:
        DataError: there are too few answers, or one is empty.
    """
    number = len(candidates.responses)
    if number < fewest:
        raise DataError(
            f"{number} answer{'' if number == 1 else 's'}: to compare needs {fewest} or more; add others, or leave "
            "the question out"
        )
    for place, answer in enumerate(candidates.responses):
        if not any(message.text.strip() for message in answer):
            raise DataError(f"'responses[{place}]' is empty; leave it out")
    return candidates
