"""Judgments in the order of their pairs, though they finish in another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

from rmr1.data.keys import KeyCounter, content_digest, format_key
from rmr1.records import Judgment, PreferencePair

Judging = Callable[[Iterable[PreferencePair]], Iterator[tuple[str, Judgment]]]


def judge_in_order(
    pairs: Iterable[PreferencePair], judge: Judging, *, is_finished: Callable[[str], bool] = lambda _: False
) -> Generator[Judgment, None, None]:
    """Yield what `judge` makes of the pairs, each as soon as all before it are there. Only what has overtaken another
    is held. If judging ends with an error, what is finished comes first.

    Args:
        judge: yields `(key, judgment)` as they finish, and passes over pairs whose key `is_finished`.
    """
    expected: deque[str] = deque()
    early: dict[str, Judgment] = {}
    occurrences = KeyCounter()

    def watch() -> Iterator[PreferencePair]:
        for pair in pairs:
            digest = content_digest(pair)
            key = format_key(digest, occurrences.increment(digest))
            if not is_finished(key):
                expected.append(key)
            yield pair

    stream = judge(watch())
    try:
        for key, judgment in stream:
            early[key] = judgment
            while expected and expected[0] in early:
                yield early.pop(expected.popleft())
    except Exception:
        for key in expected:
            if key in early:
                yield early.pop(key)
        raise
    finally:
        if close := getattr(stream, "close", None):
            close()
