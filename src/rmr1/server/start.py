"""The workers of a server, loaded."""

from __future__ import annotations

from collections.abc import Callable

from rmr1.judge.base import PairJudge
from rmr1.server.queue import TicketQueue
from rmr1.server.worker import JudgeWorker


def start_workers(
    load: Callable[[], PairJudge], *, num_workers: int, most_waiting: int
) -> tuple[TicketQueue, list[JudgeWorker]]:
    """A queue and workers that have loaded a judge each, one after the other.

    Raises:
        RMR1Error: one cannot be loaded.
    """
    queue = TicketQueue(most_waiting)
    workers = []
    for number in range(num_workers):
        worker = JudgeWorker(load, queue, name=f"judge {number}")
        worker.wait_until_loaded()
        workers.append(worker)
    return queue, workers
