"""What a server counts, in the form of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rmr1.records import Judgment
from rmr1.server.queue import TicketQueue

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """The counters of one server."""

    def __init__(self, queue: TicketQueue):
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "rmr1_requests", "HTTP requests by route and status", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "rmr1_request_seconds",
            "Seconds from the head of a request to the end of its answer",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.judgments = Counter(
            "rmr1_judgments",
            "Judgments by winner, or by the reason why there is none",
            ("outcome",),
            registry=registry,
        )
        self.tokens = Counter(
            "rmr1_tokens", "Tokens of judgments, read and written", ("kind",), registry=registry
        )
        self.rewards = Counter(
            "rmr1_rewards", "Rewards of answers by what came of them", ("outcome",), registry=registry
        )
        self.engine_failures = Counter(
            "rmr1_engine_failures", "How often the engine failed as a whole", registry=registry
        )
        waiting = Gauge("rmr1_waiting", "Judgments that wait for the engine", registry=registry)
        waiting.set_function(lambda: queue.num_waiting)
        at_work = Gauge("rmr1_at_work", "Judgments that the engine works at", registry=registry)
        at_work.set_function(lambda: queue.num_at_work)

    def count(self, judgment: Judgment) -> None:
        outcome = judgment.winner or judgment.problem or "none"
        self.judgments.labels(outcome).inc()
        if not judgment.is_cached:
            self.tokens.labels("read").inc(judgment.prompt_tokens)
            self.tokens.labels("written").inc(judgment.completion_tokens)

    def render(self) -> bytes:
        return generate_latest(self.registry)
