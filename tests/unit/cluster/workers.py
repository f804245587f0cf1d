"""A stand-in for the pool of actors: threads of this process, each with a judge of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from rmr1.cluster.actor import Desk
from rmr1.cluster.blocks import Answer, Block, decode
from rmr1.cluster.outline import Profile
from rmr1.judge.load import LoadedJudge


class ThreadWorkers:
    """`Workers` whose blocks travel as bytes, as they do over Ray, and are answered by whoever is free."""

    def __init__(self, load: Callable[[], LoadedJudge], number: int = 2, *, answer_twice: bool = False):
        self.most = number
        self.is_closed = False
        self.num_blocks = 0
        self.asked: list[str] = []
        """The keys of all items that were sent."""
        self._answer_twice = answer_twice
        self._blocks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._desks = [Desk(load()) for _ in range(number)]
        for desk in self._desks:
            for _ in range(2):
                threading.Thread(target=self._work, args=(desk,), daemon=True).start()

    def wait_for_profile(self) -> Profile:
        return self._desks[0].profile

    def put(self, block: Block) -> None:
        self.num_blocks += 1
        self.asked += [key for key, _ in block.items]
        self._blocks.put(block.encode())

    def get(self, seconds: float | None = None) -> Answer | None:
        try:
            answer: Answer = decode(self._answers.get(timeout=seconds or 60))
        except queue.Empty:
            return None
        return answer

    def close(self) -> None:
        self.is_closed = True

    def _work(self, desk: Desk) -> None:
        while True:
            answer = desk.judge(decode(self._blocks.get())).encode()
            self._answers.put(answer)
            if self._answer_twice:
                self._answers.put(answer)
