"""The server when more comes than it can take, when clients leave, and when engines fail: no number is wrong, nothing hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest

from rmr1.judge.judge import Judge
from rmr1.server.settings import ServeSettings
from tests.integration.served import Numbers, Served, serving

QUESTION = "Name a large number."


def direct(answers: list[str]) -> list[float | None]:
    with Judge(Numbers()) as judge:
        return list(judge.group_rewards(QUESTION, answers).rewards)


def post_all(served: Served, path: str, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=served.url, timeout=60, limits=limits) as client:
            return list(await asyncio.gather(*(client.post(path, json=body) for body in bodies)))

    return asyncio.run(ask())


def leave(served: Served, path: str, bodies: list[dict[str, Any]], seconds: float, **headers: str) -> None:
    """Send requests and close their connections before they are answered."""

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=served.url, timeout=seconds, headers=headers) as client:
            sent = (client.post(path, json=body) for body in bodies)
            replies = await asyncio.gather(*sent, return_exceptions=True)
            assert all(isinstance(one, httpx.ReadTimeout) for one in replies), set(map(repr, replies))

    asyncio.run(ask())


def test_siblings_of_many_groups_get_whole_rewards_though_the_queue_is_short() -> None:
    groups = {f"g{number}": [str(10 * number + one) for one in (3, 1, 9, 5)] for number in range(6)}
    bodies = [
        {"question": QUESTION, "group": name, "size": 4, "index": index, "answer": answer}
        for name, answers in groups.items()
        for index, answer in enumerate(answers)
    ]
    with serving(Numbers(seconds=0.005), ServeSettings(most_waiting=4)) as served:
        replies = post_all(served, "/v1/group/score", bodies)
    assert [one.status_code for one in replies] == [200] * len(bodies), {one.text for one in replies}
    found = [one.json()["reward"] for one in replies]
    assert found == [reward for answers in groups.values() for reward in direct(answers)]


def test_a_group_may_have_more_comparisons_than_the_queue_has_room() -> None:
    answers = [str(number) for number in range(8)]
    with serving(Numbers(), ServeSettings(most_waiting=5)) as served:
        (reply,) = post_all(served, "/v1/group/score", [{"question": QUESTION, "answers": answers}])
        (ranked,) = post_all(served, "/v1/rank", [{"question": QUESTION, "answers": answers}])
    assert reply.status_code == 200, reply.text
    assert reply.json()["rewards"] == direct(answers)
    with Judge(Numbers()) as judge:
        assert [tuple(one) for one in ranked.json()["order"]] == list(judge.rank(QUESTION, answers).order)


def test_clients_that_leave_take_no_thread_with_them() -> None:
    bodies = [{"question": QUESTION, "answers": [str(number), "7"]} for number in range(100, 170)]
    with serving(Numbers(seconds=0.8)) as served:
        leave(served, "/v1/group/score", bodies, 0.5)
        started = time.monotonic()
        (reply,) = post_all(served, "/v1/group/score", [{"question": QUESTION, "answers": ["1", "2"]}])
        assert reply.json()["rewards"] == [-0.5, 0.5] and time.monotonic() - started < 6


def test_a_request_that_comes_again_after_its_client_left_is_answered() -> None:
    pair = {"question": QUESTION, "a": "3", "b": "7"}
    with serving(Numbers(seconds=1.0)) as served:
        leave(served, "/v1/judge", [pair], 0.3, **{"Idempotency-Key": "one"})
        time.sleep(0.2)
        with served.client(headers={"Idempotency-Key": "one"}) as client:
            again = client.post("/v1/judge", json=pair)
        assert again.status_code == 200 and again.json()["winner"] == "B"


def test_those_that_joined_a_request_are_answered_when_its_client_leaves() -> None:
    pair = {"question": QUESTION, "a": "3", "b": "7"}
    engine = Numbers(seconds=1.0)
    with serving(engine) as served:
        first = threading.Thread(
            target=leave, args=(served, "/v1/judge", [pair], 0.5), kwargs={"Idempotency-Key": "one"}
        )
        first.start()
        time.sleep(0.2)

        async def ask() -> list[httpx.Response]:
            async with served.async_client(headers={"Idempotency-Key": "one"}) as client:
                return list(await asyncio.gather(*(client.post("/v1/judge", json=pair) for _ in range(3))))

        replies = asyncio.run(ask())
        first.join()
    assert [one.status_code for one in replies] == [200] * 3
    assert len({one.content for one in replies}) == 1


def test_a_deadline_before_all_comparisons_makes_a_part_and_says_so() -> None:
    answers = ["10", "70", "30", "50", "20"]
    bodies = [
        {"question": QUESTION, "group": "g", "size": 5, "index": index, "answer": answer, "timeout": 1.0}
        for index, answer in enumerate(answers)
    ]
    with serving(Numbers(seconds=0.15)) as served:
        replies = post_all(served, "/v1/group/score", bodies)
    assert {one.json().get("status") for one in replies if one.status_code == 200} == {"partial"}


def test_a_sibling_that_nobody_was_compared_with_does_not_close_its_group() -> None:
    bodies = [
        {"question": QUESTION, "group": "g", "size": 3, "index": index, "answer": answer}
        for index, answer in enumerate(["10", "70", "30"])
    ]
    with serving(Numbers()) as served:
        (alone,) = post_all(served, "/v1/group/score", [{**bodies[0], "timeout": 0.2}])
        assert alone.status_code == 503
        replies = post_all(served, "/v1/group/score", bodies)
    assert [one.json().get("reward") for one in replies] == direct(["10", "70", "30"])


def test_the_same_rows_in_a_later_epoch_are_groups_of_their_own() -> None:
    label = '{"group": "row-3"}'
    with serving(Numbers(), ServeSettings(group_size=3)) as served:
        for answers in (["10", "70", "30"], ["11", "70", "5"], ["10", "12", "14"]):
            bodies = [
                {"query": [f"{QUESTION}\n{one}"], "prompts": [f"{QUESTION}\n"], "labels": [label]}
                for one in answers
            ]
            replies = post_all(served, "/get_reward", bodies)
            found = [one.json().get("rewards") for one in replies]
            assert found == [[reward] for reward in direct(answers)], answers


def test_a_mistake_of_ours_is_json_too() -> None:
    with serving(Numbers()) as served:
        served.service.count_failures = None  # type: ignore[method-assign,assignment]
        with served.client() as client:
            reply = client.get("/metrics")
        assert reply.status_code == 500 and reply.json()["error"]["type"] == "internal"
        with served.client() as client:
            assert client.get("/health").status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_a_worker_nothing_is_taken() -> None:
    class Ends(Numbers):
        def generate(self, *_: Any) -> Any:
            raise SystemExit

    with serving(Ends()) as served, served.client() as client:
        pair = {"question": QUESTION, "a": "3", "b": "7"}
        assert client.post("/v1/judge", json=pair).status_code == 502
        deadline = time.monotonic() + 5
        while served.service.is_ready and time.monotonic() < deadline:
            time.sleep(0.05)
        reply = client.post("/v1/judge", json={**pair, "timeout": 5})
        assert reply.status_code == 503 and reply.json()["error"]["type"] == "not_ready"
        assert client.get("/ready").status_code == 503


@pytest.mark.parametrize("path", ["/v1/judge", "/v1/group/score"])
def test_an_engine_that_hangs_is_a_deadline(path: str) -> None:
    body = {"question": QUESTION, "timeout": 0.3}
    body |= {"a": "3", "b": "7"} if path == "/v1/judge" else {"answers": ["3", "7"]}
    with serving(Numbers(seconds=3.0)) as served:
        started = time.monotonic()
        (reply,) = post_all(served, path, [body])
        assert (reply.status_code, reply.json()["error"]["type"]) == (504, "deadline")
        assert time.monotonic() - started < 2


def test_rollouts_of_one_row_are_each_compared_with_its_reference() -> None:
    label = '{"reference": "40"}'
    bodies = [
        {"query": [f"{QUESTION}\n{one}<|im_end|>"], "prompts": [f"{QUESTION}\n"], "labels": [label]}
        for one in ("10", "70", "10", "90")
    ]
    with serving(Numbers()) as served:
        replies = post_all(served, "/get_reward", bodies)
    assert [one.json().get("rewards") for one in replies] == [[-0.5], [0.5], [-0.5], [0.5]]


def test_an_engine_that_fails_as_a_whole_makes_no_reward_of_the_rest() -> None:
    class Dies(Numbers):
        is_dying = True

        def generate(self, requests: Any, params: Any) -> Any:
            for answered in super().generate(requests, params):
                if self.num_asked >= 3 and self.is_dying:
                    raise RuntimeError("the engine is gone")
                yield answered

    bodies = [
        {"question": QUESTION, "group": "g", "size": 3, "index": index, "answer": answer}
        for index, answer in enumerate(["10", "70", "30"])
    ]
    engine = Dies()
    with serving(engine) as served:
        replies = post_all(served, "/v1/group/score", bodies)
        assert [one.status_code for one in replies] == [502] * 3
        assert (
            replies[0].json()["error"]["type"] == "engine_failed" and replies[0].json()["error"]["retryable"]
        )
        engine.is_dying = False
        again = post_all(served, "/v1/group/score", bodies)
    assert [one.json().get("reward") for one in again] == direct(["10", "70", "30"])


def test_rollouts_of_nemo_gym_in_a_later_epoch_are_a_group_of_their_own() -> None:
    create = {"input": [{"role": "user", "content": QUESTION}]}

    def rollout(index: int, text: str) -> dict[str, Any]:
        content = [{"type": "output_text", "text": text}]
        output = [{"type": "message", "role": "assistant", "content": content}]
        row = {"responses_create_params": create, "response": {"output": output}}
        return {**row, "_ng_task_index": 3, "_ng_rollout_index": index}

    with serving(Numbers(), ServeSettings(group_size=3)) as served:
        for answers in (["10", "70", "30"], ["10", "7", "5"]):
            bodies = [rollout(*one) for one in enumerate(answers)]
            told = [one.json() for one in post_all(served, "/verify", bodies)]
            assert [one["reward"] for one in told] == direct(answers)
            assert not any("_ng_failure_class" in one for one in told)
