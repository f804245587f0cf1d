"""Judgments in the order of their pairs, though they finish in another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

from rmr1.data.keys import number_items
from rmr1.records import Judgment, PreferencePair

Judging = Callable[[Iterable[PreferencePair]], Iterator[tuple[str, Judgment]]]


def judge_in_order(
    pairs: Iterable[PreferencePair],
    judge: Judging,
    *,
    find_stored: Callable[[str], Judgment | None] = lambda _: None,
) -> Generator[Judgment, None, None]:
    """Yield what `judge` makes of the pairs, each as soon as all before it are there. Only what has overtaken another
    is held. If judging ends with an error, what is finished comes first.

    Args:
        judge: yields `(key, judgment)` as they finish, and passes over pairs that are stored.
        find_stored: the judgment that is stored under a key, or None.
    """
    expected: deque[tuple[str, ...]] = deque()
    early: dict[str, Judgment] = {}

    def watch() -> Iterator[PreferencePair]:
        for keys, pair in number_items(pairs):
            expected.append(keys)
            yield pair

    def find(keys: tuple[str, ...]) -> Judgment | None:
        found = (early.pop(key) if key in early else find_stored(key) for key in keys)
        return next((one for one in found if one is not None), None)

    stream = judge(watch())
    try:
        for key, judgment in stream:
            early[key] = judgment
            while expected and (found := find(expected[0])) is not None:
                expected.popleft()
                yield found
        yield from (found for keys in expected if (found := find(keys)) is not None)
    except Exception:
        yield from (found for keys in expected if (found := find(keys)) is not None)
        raise
    finally:
        if close := getattr(stream, "close", None):
            close()
