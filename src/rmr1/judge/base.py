"""What a judge is: anything that maps a pair to a `Judgment`.

The command line, the benchmarks and `rmr1.Judge` know this protocol alone. Behind it is a model that writes its
reasoning (`judge/generative.py`), or one that scores (`judge/scalar.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from rmr1.judge.settings import Placement
from rmr1.records import Judgment, Kind, PreferencePair
from rmr1.store.keys import number_items
from rmr1.store.runs import RunWriter

Items = Iterable[tuple[str, PreferencePair]]
"""Pairs with the keys that they have in their run."""


@runtime_checkable
class PairJudge(Protocol):
    """What every judge offers."""

    name: str
    """What was typed to get it."""
    order: Placement | None
    """The rule for which answer it sees first; None if it sees one answer at a time."""

    def describe(self) -> dict[str, Any]:
        """The sections of run.json. A run goes on only under equal ones, `model_name` aside."""
        ...

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        """Yield `(key, judgment)` for every pair, in the order they finish.

        With `run`, pairs that are finished there are passed over, and a judgment is stored before it is yielded.

        Raises:
            GenerationError: the model as a whole failed. What was finished is stored.
            RunError: a judgment could not be stored.
        """
        ...

    def close(self) -> None:
        """Release the model."""
        ...


@runtime_checkable
class AdaptableJudge(PairJudge, Protocol):
    """A judge of ours, which can be asked in several ways."""

    kind: Kind
    """What it is asked of a pair."""

    def place(self, order: Placement) -> AdaptableJudge:
        """The same model with another placement; one that sees an answer at a time has none."""
        ...

    def ask_answers(self) -> AdaptableJudge:
        """The same model, asked about each answer alone, and if it writes about four at once."""
        ...


def list_keys(pairs: Iterable[PreferencePair]) -> Iterator[str]:
    """The keys of all pairs, which say what data a run is of, those of earlier versions among them."""
    return (key for keys, _ in number_items(pairs) for key in keys)


def unfinished_pairs(
    pairs: Iterable[PreferencePair],
    run: RunWriter | None,
    *,
    on_finished: Callable[[str, PreferencePair], None] | None = None,
) -> Iterator[tuple[str, PreferencePair]]:
    """`(key, pair)` of every pair that the run does not hold; identical pairs are told apart by number. The run is told
    the place of each.

    `on_finished` is called with those that it holds, in the sequence of the data.
    """
    for place, (keys, pair) in enumerate(number_items(pairs)):
        held = None if run is None else next(filter(run.is_finished, keys), None)
        if held is None:
            if run is not None:
                run.expect(keys[0], place)
            yield keys[0], pair
        elif on_finished is not None:
            on_finished(held, pair)


class Watcher(Protocol):
    """Sees judgments as they come."""

    def update(self, judgment: Judgment) -> None: ...
