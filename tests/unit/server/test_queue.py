"""Tickets: shared, bounded, dropped when nobody waits, and the worker that works through them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine, load_scripted
from rmr1.errors import GenerationError, RMR1Error
from rmr1.judge.judge import Judge
from rmr1.judge.load import load_judge
from rmr1.messages import assistant, user
from rmr1.records import Generation, PreferencePair
from rmr1.server.queue import ClosedError, QueueFullError, TicketQueue
from rmr1.server.worker import JudgeWorker, key_of


def make_pair(question: str, a: str = "yes", b: str = "no, never") -> PreferencePair:
    return PreferencePair(
        id="0", prompt=(user(question),), response_a=(assistant(a),), response_b=(assistant(b),)
    )


def ask(queue: TicketQueue, pair: PreferencePair, **more: Any) -> Any:
    key = key_of(pair)
    return queue.ask(key, lambda askings: askings.find().ask(key, pair), **more)


def nothing(asking: object) -> object:
    return asking


def test_equal_keys_share_a_ticket_and_every_caller_has_a_future_of_its_own() -> None:
    queue = TicketQueue(most_waiting=10)
    first, second = queue.ask("k", nothing), queue.ask("k", nothing)
    assert queue.num_waiting == 1
    first.cancel()
    ticket = queue.take(wait=False)
    assert ticket is not None and queue.num_at_work == 1
    queue.finish(ticket, 7)
    assert second.result(0) == 7
    with pytest.raises(CancelledError):
        first.result(0)


def test_a_ticket_that_nobody_waits_for_is_never_taken() -> None:
    queue = TicketQueue(most_waiting=10)
    queue.ask("gone", nothing).cancel()
    queue.ask("kept", nothing)
    ticket = queue.take(wait=False)
    assert ticket is not None and ticket.key == "kept"
    assert queue.take(wait=False) is None


def test_the_queue_is_bounded_and_says_when_to_come_again() -> None:
    queue = TicketQueue(most_waiting=2)
    first = queue.ask("1", nothing)
    queue.ask("2", nothing)
    with pytest.raises(QueueFullError, match="2 requests are waiting") as error:
        queue.ask("3", nothing)
    assert 1 <= error.value.seconds <= 60
    queue.ask("job", nothing, in_background=True)  # beyond the bound
    first.cancel()
    queue.ask("3", nothing)  # in the place of the one that nobody wants any more
    taken = [queue.take(wait=False) for _ in range(3)]
    assert [one.key for one in taken if one] == ["2", "3", "job"]


def test_who_waits_for_a_background_ticket_brings_it_to_the_front() -> None:
    queue = TicketQueue(most_waiting=5)
    queue.ask("a", nothing, in_background=True)
    queue.ask("b", nothing, in_background=True)
    queue.ask("b", nothing)
    ticket = queue.take(wait=False)
    assert ticket is not None and ticket.key == "b"


def test_a_closed_queue_takes_nothing_and_lets_waiting_workers_go() -> None:
    queue = TicketQueue(most_waiting=5)
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take(wait=True)))
    thread.start()
    queue.close()
    thread.join(5)
    assert taken == [None]
    with pytest.raises(ClosedError):
        queue.ask("late", nothing)


def test_a_worker_judges_as_a_judge_does() -> None:
    queue = TicketQueue(most_waiting=100)
    worker = JudgeWorker(lambda: load_judge("scripted:hash"), queue)
    worker.wait_until_loaded()
    pairs = [make_pair(f"question {number}") for number in range(30)]
    futures = [ask(queue, pair) for pair in pairs]
    found = [future.result(10) for future in futures]
    with Judge("scripted:hash") as judge:
        direct = list(judge.judge(pairs))
    assert [(one.winner, one.votes) for one in found] == [(one.winner, one.votes) for one in direct]
    assert len({one.winner for one in found}) == 2
    queue.close()
    assert worker.join(5)


class SlowEngine(ScriptedEngine):
    """Answers as many as it was given, then asks for more; notes how many came at a time."""

    def __init__(self) -> None:
        super().__init__(lambda prompt, _: "<answer>[[A]]</answer>", "slow")
        self.batches: list[int] = []

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        stream = iter(requests)
        while batch := list(stream):
            self.batches.append(len(batch))
            time.sleep(0.05)
            yield from super().generate(batch, params)


def test_what_comes_meanwhile_joins_the_stream_of_the_engine() -> None:
    engine = SlowEngine()
    queue = TicketQueue(most_waiting=100)
    worker = JudgeWorker(lambda: load_judge(engine), queue)
    worker.wait_until_loaded()
    futures = []
    for number in range(20):
        futures.append(ask(queue, make_pair(f"question {number}")))
        time.sleep(0.01)
    assert all(future.result(10).winner for future in futures)
    assert sum(engine.batches) == 20 and max(engine.batches) > 1
    queue.close()
    assert worker.join(5)


def test_an_engine_that_dies_fails_its_tickets_and_is_asked_again() -> None:
    scripted = load_scripted("longer")

    class Mortal(ScriptedEngine):
        def __init__(self) -> None:
            super().__init__(lambda prompt, _: "", "mortal")
            self.is_dead = True

        def generate(self, requests: Any, params: SamplingParams) -> Any:
            if self.is_dead:
                next(iter(requests))
                self.is_dead = False
                raise GenerationError("mortal: the engine died")
            return scripted.generate(requests, params)

    queue = TicketQueue(most_waiting=100)
    worker = JudgeWorker(lambda: load_judge(Mortal()), queue)
    worker.wait_until_loaded()
    with pytest.raises(RMR1Error, match="the engine died"):
        ask(queue, make_pair("first")).result(10)
    assert worker.failure == "mortal: the engine died" and worker.num_failures == 1
    assert ask(queue, make_pair("second")).result(10).winner == "B"
    assert worker.failure is None
    queue.close()
    assert worker.join(5)


def test_an_item_that_cannot_be_asked_takes_no_other_along() -> None:
    queue = TicketQueue(most_waiting=100)
    worker = JudgeWorker(lambda: load_judge("scripted:longer"), queue)
    worker.wait_until_loaded()

    def fail(asking: object) -> object:
        raise RMR1Error("this one is wrong")

    bad, good = queue.ask("bad", fail), ask(queue, make_pair("good"))
    assert good.result(10).winner == "B"
    with pytest.raises(RMR1Error, match="this one is wrong"):
        bad.result(10)
    assert worker.failure is None
    queue.close()
    assert worker.join(5)


def test_a_judge_that_cannot_be_loaded_says_so() -> None:
    worker = JudgeWorker(lambda: load_judge("scripted:unknown"), TicketQueue(most_waiting=1))
    with pytest.raises(RMR1Error, match="'unknown' is not known"):
        worker.wait_until_loaded()
