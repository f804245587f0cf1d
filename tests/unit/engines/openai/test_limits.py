"""The user's limits, and how many requests the server takes: rules one by one, and whole runs on a virtual clock."""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import pytest

from rmr1.engines.openai.limits import Pacer, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def take_all(pacer: Pacer, clock: Clock, tokens: list[float]) -> list[float]:
    """When each request starts that is sent as soon as it may be, from now on."""
    began = clock.now
    starts = []
    for num_tokens in tokens:
        while (seconds := pacer.take(num_tokens)) > 0:
            clock.now += seconds
        starts.append(clock.now - began)
    return starts


def test_requests_are_spaced_evenly() -> None:
    clock = Clock()
    pacer = Pacer(requests_per_minute=30, clock=clock)
    assert take_all(pacer, clock, [10_000, 10_000, 10_000]) == [0.0, 2.0, 4.0]
    clock.now += 60
    assert take_all(pacer, clock, [0, 0]) == [0.0, 2.0]


def test_a_moment_that_has_not_come_is_not_taken() -> None:
    clock = Clock()
    pacer = Pacer(requests_per_minute=30, tokens_per_minute=600, clock=clock)
    assert pacer.take(0) == 0.0
    assert [pacer.take(1000) for _ in range(3)] == [2.0] * 3
    clock.now += 2
    assert pacer.take(0) == 0.0


def test_tokens_are_spaced_by_their_number_and_corrected() -> None:
    clock = Clock()
    pacer = Pacer(tokens_per_minute=600, clock=clock)
    assert take_all(pacer, clock, [50, 10]) == [0.0, pytest.approx(5.0)]
    pacer.correct(-20)
    assert pacer.take(10) == 0.0
    pacer.correct(100)
    assert pacer.take(0) == pytest.approx(11.0)


def test_no_minute_holds_more_than_the_limits() -> None:
    clock = Clock()
    pacer = Pacer(requests_per_minute=100, tokens_per_minute=1000, clock=clock)
    sizes: list[float] = [3, 25, 8, 40] * 100
    starts = take_all(pacer, clock, sizes)
    for first in starts:
        window = [tokens for at, tokens in zip(starts, sizes, strict=True) if first <= at < first + 60]
        assert len(window) <= 100
        # The request that starts last may still be at work when the minute ends.
        assert sum(window[:-1]) <= 1000


def make_throttle(most: int = 8, **values: Any) -> tuple[Throttle, Clock]:
    clock = Clock()
    settings = {"hold_seconds": 1.0, "max_hold_seconds": 60.0, "fraction": lambda: 0.0, **values}
    return Throttle(most, clock=clock, **settings), clock


def repeat(count: int, call: Callable[..., None], *values: Any) -> None:
    for _ in range(count):
        call(*values)


def test_a_server_that_refuses_nothing_gets_as_many_as_allowed_at_once() -> None:
    throttle, _ = make_throttle(3)
    assert [throttle.wait(number) for number in range(4)] == [0.0, 0.0, 0.0, math.inf]
    repeat(1000, throttle.answer, 1.0)
    assert throttle.allowed == 3.0
    throttle.send()
    assert throttle.wait(2) == 0.0


def test_a_refusal_takes_one_off_and_answers_put_it_back() -> None:
    throttle, _ = make_throttle(32)
    throttle.answer(1.0)
    throttle.refuse(30.0)
    assert throttle.allowed == 31.0
    # Nobody else is held.
    assert throttle.wait(30) == 0.0 and throttle.wait(31) == math.inf
    repeat(20, throttle.answer, 1.0)
    assert 31.5 < throttle.allowed < 32.0
    repeat(20, throttle.answer, 1.0)
    assert throttle.allowed == 32.0


def test_a_burst_of_refusals_leaves_what_the_server_has_taken() -> None:
    throttle, _ = make_throttle(32)
    repeat(24, throttle.refuse, 1.0)
    assert throttle.allowed == 8.0
    assert throttle.wait(7) == 0.0 and throttle.wait(8) == math.inf


def test_many_answers_in_a_row_are_followed_by_more() -> None:
    throttle, _ = make_throttle(32)
    repeat(24, throttle.refuse, 1.0)
    repeat(64, throttle.answer, 1.0)
    slowly = throttle.allowed - 8.0
    repeat(64, throttle.answer, 1.0)
    assert slowly == pytest.approx(64 * 0.03, rel=0.05)
    assert throttle.allowed - 8.0 > 3 * slowly
    repeat(128, throttle.answer, 1.0)
    assert throttle.allowed == 32.0


def test_all_are_held_until_the_named_time_if_nothing_is_taken() -> None:
    throttle, clock = make_throttle(4, fraction=lambda: 0.5)
    repeat(7, throttle.refuse, 7.0)
    assert throttle.allowed <= 1 and throttle.wait(0) == 0.0
    throttle.refuse(7.0)
    # The random part comes on top: a promise is never cut short.
    assert throttle.wait(0) == pytest.approx(7.35)
    clock.now += 7.3
    throttle.refuse(1.0)
    assert throttle.wait(0) == pytest.approx(1.05)
    clock.now += 2
    assert throttle.wait(0) == 0.0 and throttle.wait(1) == math.inf


def test_a_few_refusals_after_an_answer_hold_nobody() -> None:
    throttle, _ = make_throttle(1)
    throttle.answer(1.0)
    repeat(7, throttle.refuse, 30.0)
    assert throttle.wait(0) < 2.0
    throttle.refuse(30.0)
    assert throttle.wait(0) == 30.0


def test_two_refusals_hold_all_if_most_tries_are_refused() -> None:
    throttle, clock = make_throttle(1)
    for _ in range(20):
        repeat(3, throttle.refuse, 0.0)
        throttle.answer(1.0)
    clock.now += 10
    throttle.refuse(30.0)
    assert throttle.wait(0) < 10.0
    throttle.refuse(30.0)
    assert throttle.wait(0) == 30.0


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_a_server_that_takes_nothing_after_several_holds_is_not_spared(seconds: float | None) -> None:
    throttle, clock = make_throttle(4, most_holds=3)
    waited = 0.0
    for _ in range(40):
        pause = throttle.wait(0)
        waited += pause
        clock.now += pause
        throttle.send()
        throttle.refuse(seconds)
    assert throttle.allowed == 4 and throttle.wait(0) == 0.0 and 3 <= waited <= 20
    # An answer ends that: what is refused afterwards counts again.
    throttle.answer(0.1)
    for _ in range(10):
        throttle.refuse(None)
    assert throttle.allowed <= 1


def test_a_hold_without_a_named_time_doubles_until_an_answer_comes() -> None:
    throttle, clock = make_throttle(1, hold_seconds=1.5, max_hold_seconds=5.0)
    repeat(7, throttle.refuse, None)
    waits = []
    for _ in range(4):
        throttle.refuse(None)
        waits.append(throttle.wait(0))
        clock.now += waits[-1]
    assert waits == [1.5, 3.0, 5.0, 5.0]
    throttle.answer(0.1)
    repeat(8, throttle.refuse, None)
    assert throttle.wait(0) == 1.5


def test_a_hold_without_a_named_time_is_short() -> None:
    """A server that loads its model may be ready at any moment; it is spared for as long as with longer holds."""
    throttle, clock = make_throttle(1)
    repeat(7, throttle.refuse, None)
    waits = []
    for _ in range(16):
        throttle.refuse(None)
        waits.append(throttle.wait(0))
        clock.now += waits[-1]
    assert waits[:6] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0] and max(waits) == 8.0
    assert 63 <= sum(waits) <= 90 and waits[-1] == 0.0
    throttle.answer(1.0)
    clock.now += 10
    repeat(8, throttle.refuse, 30.0)
    assert throttle.held == 30.0


def test_what_was_allowed_before_an_outage_is_soon_allowed_again() -> None:
    throttle, clock = make_throttle(32)
    repeat(100, throttle.answer, 1.0)
    repeat(40, throttle.refuse, 1.0)
    assert throttle.allowed < 1
    clock.now += 2
    repeat(32, throttle.answer, 1.0)
    assert throttle.allowed >= 31.0


def test_less_than_one_in_flight_is_a_pause_between_them() -> None:
    throttle, _ = make_throttle(2)
    throttle.answer(4.0)
    for _ in range(4):
        throttle.refuse(0.0)
    assert 0.5 < throttle.allowed < 1
    throttle.send()
    assert throttle.wait(1) == math.inf
    assert throttle.wait(0) == pytest.approx(0.6 * 4.0 / throttle.allowed)
    # It has an end however much is refused.
    repeat(50, throttle.refuse, 0.0)
    assert throttle.wait(0) == pytest.approx(0.6 * 4.0 / 0.25)


def test_tries_are_spread_once_some_were_refused() -> None:
    throttle, clock = make_throttle(10)
    throttle.answer(1.0)
    throttle.refuse(1.0)
    throttle.send()
    assert throttle.wait(1) == pytest.approx(0.6 / 9)
    clock.now += 0.6 / 9 + 1e-9
    assert throttle.wait(1) == 0.0


def test_what_is_no_answer_counts_as_taken_but_its_time_does_not() -> None:
    throttle, _ = make_throttle(10)
    throttle.answer(1.0)
    throttle.refuse(1.0)
    throttle.answer()
    assert throttle.allowed == pytest.approx(9.03)
    throttle.send()
    assert throttle.wait(1) == pytest.approx(0.6 / throttle.allowed)


# Whole runs. A server is a function from (seconds since the start, requests at work) to the seconds it asks to
# wait, None if it refuses without a time, or "ok".

Server = Callable[[float, int], float | str | None]
NUM_ITEMS, MOST, ANSWER_SECONDS = 1000, 32, 0.15
CLEAN_SECONDS = NUM_ITEMS / MOST * ANSWER_SECONDS


def run(server: Server, rng: random.Random, most: int = MOST) -> tuple[float, int, int]:
    """Seconds, tries, and the most tries of one item; the client is the session in small."""
    throttle, clock = make_throttle(most, fraction=rng.random)
    queue, events = deque(range(NUM_ITEMS)), []
    tries: Counter[int] = Counter()
    start, num_active, num_in_flight, num_done, number = clock.now, 0, 0, 0, 0

    def push(after: float, kind: str, item: int = -1, value: Any = None) -> None:
        nonlocal number
        number += 1
        heappush(events, (clock.now + after, number, kind, item, value))

    push(0.0, "look")
    while num_done < NUM_ITEMS:
        clock.now, _, kind, item, value = heappop(events)
        if kind == "arrive":
            verdict = server(clock.now - start, num_active)
            num_active += verdict == "ok"
            if verdict == "ok":
                push(ANSWER_SECONDS * rng.uniform(0.5, 1.5), "finish", item, value)
            else:
                push(0.001, "refused", item, verdict)
        elif kind == "finish":
            num_active -= 1
            num_in_flight -= 1
            num_done += 1
            throttle.answer(clock.now - value)
        elif kind == "refused":
            num_in_flight -= 1
            throttle.refuse(value)
            backoff = 2.0 ** (tries[item] - 1) * rng.uniform(0.5, 1.0)
            push(backoff if value is None else value * rng.uniform(1.0, 1.1), "back", item)
        elif kind == "back":
            queue.append(item)
        while queue and (seconds := throttle.wait(num_in_flight)) < math.inf:
            if seconds > 0:
                push(seconds + 1e-6, "look")
                break
            throttle.send()
            num_in_flight += 1
            item = queue.popleft()
            tries[item] += 1
            push(0.001, "arrive", item, clock.now)
    return clock.now - start, tries.total(), max(tries.values())


def refuse_at_random(rng: random.Random, share: float) -> Server:
    return lambda now, active: 1.0 if rng.random() < share else "ok"


def refuse_beyond(limit: int, seconds: float | None = 1.0) -> Server:
    return lambda now, active: seconds if active >= limit else "ok"


def refuse_in(first: float, last: float, seconds: float | None = 1.0) -> Server:
    return lambda now, active: seconds if first <= now < last else "ok"


def make_bucket(per_second: float, size: float) -> Server:
    saved, counted_at = size, 0.0

    def server(now: float, active: int) -> float | str:
        nonlocal saved, counted_at
        saved, counted_at = min(size, saved + per_second * (now - counted_at)), now
        if saved >= 1:
            saved -= 1
            return "ok"
        return float(math.ceil((1 - saved) / per_second))

    return server


@pytest.mark.parametrize(
    ("make_server", "least_seconds", "most_ratio", "most_tries"),
    [
        (lambda rng: refuse_at_random(rng, 0.02), CLEAN_SECONDS, 1.5, 1.04),
        (lambda rng: refuse_at_random(rng, 0.05), CLEAN_SECONDS, 2.0, 1.08),
        (lambda rng: refuse_at_random(rng, 0.10), CLEAN_SECONDS, 2.2, 1.16),
        (lambda rng: refuse_beyond(2), NUM_ITEMS / 2 * ANSWER_SECONDS, 1.2, 1.10),
        (lambda rng: refuse_beyond(8), NUM_ITEMS / 8 * ANSWER_SECONDS, 1.2, 1.10),
        (lambda rng: refuse_beyond(24), NUM_ITEMS / 24 * ANSWER_SECONDS, 1.3, 1.10),
        (lambda rng: refuse_beyond(8, None), NUM_ITEMS / 8 * ANSWER_SECONDS, 1.2, 1.10),
        (lambda rng: make_bucket(50, 10), NUM_ITEMS / 50, 1.2, 1.15),
        (lambda rng: make_bucket(50, 50), NUM_ITEMS / 50, 1.2, 1.15),
        (lambda rng: make_bucket(10, 10), NUM_ITEMS / 10, 1.2, 1.15),
        (lambda rng: refuse_in(0, 5), CLEAN_SECONDS + 5, 1.4, 1.06),
        (lambda rng: refuse_in(2, 7), CLEAN_SECONDS + 5, 1.5, 1.08),
        (lambda rng: refuse_in(0, 5, 5.0), CLEAN_SECONDS + 5, 1.4, 1.06),
        (lambda rng: refuse_in(0, 5, None), CLEAN_SECONDS + 5, 1.5, 1.06),
    ],
    ids=[
        "2% at random", "5% at random", "10% at random", "2 at once", "8 at once", "24 at once",
        "8 at once, no time named", "50 a second", "50 a second, as many saved up", "10 a second",
        "out at first", "out for a while", "out for a named time", "out for no named time",
    ],
)  # fmt: skip
def test_whole_runs(
    make_server: Callable[[random.Random], Server], least_seconds: float, most_ratio: float, most_tries: float
) -> None:
    """Time against that of a client that knew the server, and tries for each item."""
    for seed in range(5):
        rng = random.Random(seed)
        seconds, tries, most = run(make_server(rng), rng)
        assert seconds <= most_ratio * least_seconds
        assert tries <= most_tries * NUM_ITEMS
        # With seven tries for each item none would be lost.
        assert most <= 7


@pytest.mark.parametrize("most", [4, 8])
def test_many_refusals_at_random_hold_nobody(most: int) -> None:
    """Three tries in ten are refused by chance: with few at most, some in a row are soon met with one in flight."""
    ratios = []
    for seed in range(10):
        rng = random.Random(seed)
        seconds, _, _ = run(refuse_at_random(rng, 0.3), rng, most)
        ratios.append(seconds / (NUM_ITEMS / most * ANSWER_SECONDS))
    assert sum(ratios) / 10 <= 3.5 and max(ratios) <= 6, ratios
