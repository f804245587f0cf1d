"""Siblings over real HTTP: shuffled, repeated, late, missing, from two clients; and the formats of trainers."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from rmr1.integrations.client import NoRewardError, RewardClient
from rmr1.integrations.openrlhf import make_label
from rmr1.judge.judge import Judge
from rmr1.server.settings import ServeSettings
from rmr1.server.wire.nemo_gym import grade
from tests.integration.served import Numbers, Served, serving

QUESTION = "Name a large number."
ANSWERS = ["10 apples", "70", "30 or so", "70 pears", "5"]


def direct(answers: list[str] = ANSWERS, **more: Any) -> list[float | None]:
    with Judge(Numbers()) as judge:
        return list(judge.group_rewards(QUESTION, answers, **more).rewards)


def sibling(index: int, group: str = "g", answers: list[str] = ANSWERS, **more: Any) -> dict[str, Any]:
    body = {"question": QUESTION, "group": group, "size": len(answers), "index": index}
    return {**body, "answer": answers[index], **more}


def post(served: Served, bodies: list[dict[str, Any]], *, pause: float = 0.0) -> list[httpx.Response]:
    """Send all at once, or with a pause between them, over two clients by turns."""

    async def ask() -> list[httpx.Response]:
        async with served.async_client() as one, served.async_client() as other:

            async def send(number: int, body: dict[str, Any]) -> httpx.Response:
                await asyncio.sleep(pause * number)
                return await (one, other)[number % 2].post("/v1/group/score", json=body)

            return list(await asyncio.gather(*(send(*one) for one in enumerate(bodies))))

    return asyncio.run(ask())


def rewards(replies: list[httpx.Response]) -> list[float]:
    assert [one.status_code for one in replies] == [200] * len(replies), [one.text for one in replies]
    return [one.json()["reward"] for one in replies]


@pytest.fixture(scope="module")
def served() -> object:
    with serving(Numbers()) as one:
        yield one


@pytest.mark.parametrize("method", ["win_rate", "bradley_terry"])
def test_a_whole_group_is_rewarded_as_the_judge_rewards_it(served: Served, method: str) -> None:
    with served.client() as client:
        body = {"question": QUESTION, "answers": ANSWERS, "method": method}
        told = client.post("/v1/group/score", json=body).json()
    assert told["rewards"] == pytest.approx(direct(method=method)) and told["problems"] == [None] * 5


def test_answers_are_ranked_as_the_judge_ranks_them(served: Served) -> None:
    with served.client() as client, Judge(Numbers()) as judge:
        told = client.post("/v1/rank", json={"question": QUESTION, "answers": ANSWERS}).json()
        ranking = judge.rank(QUESTION, ANSWERS)
    assert [tuple(one) for one in told["order"]] == list(ranking.order)
    assert told["order"][0] in ([1], [3], [1, 3]) and 4 in told["order"][-1]


@pytest.mark.parametrize("seed", range(4))
def test_siblings_in_any_sequence_get_the_rewards_of_their_group(served: Served, seed: int) -> None:
    order = random.Random(seed).sample(range(5), 5)
    bodies = [sibling(index, f"shuffled {seed}") for index in order]
    found = rewards(post(served, bodies, pause=0.02 * seed))
    assert dict(zip(order, found, strict=True)) == pytest.approx(dict(enumerate(direct())))


def test_a_repeated_request_joins_the_first_and_asks_nothing_twice() -> None:
    engine = Numbers(seconds=0.01)
    with serving(engine) as served:
        bodies = [sibling(index) for index in (0, 1, 2, 0, 3, 4, 4, 1)]
        found = rewards(post(served, bodies))
        asked = engine.num_asked
        assert found == pytest.approx([direct()[index] for index in (0, 1, 2, 0, 3, 4, 4, 1)])
        # Answers 1 and 3 are equal numbers but other texts: all ten pairs, in both orders.
        assert asked == 20
        assert rewards(post(served, bodies[:3])) == found[:3] and engine.num_asked == asked


def test_each_is_told_at_once_how_it_does_against_a_reference(served: Served) -> None:
    more = {"baseline": "40", "method": "reference"}
    found = rewards(post(served, [sibling(1, "lone", **more), sibling(0, "lone", **more)]))
    assert found == [0.5, -0.5]


def test_missing_siblings_are_left_out_or_fail_by_policy() -> None:
    bodies = [sibling(index, timeout=0.5) for index in (0, 1, 4)]
    with serving(Numbers()) as served:
        replies = post(served, bodies)
        assert rewards(replies) == pytest.approx(direct([ANSWERS[0], ANSWERS[1], ANSWERS[4]]))
        assert {one.json()["status"] for one in replies} == {"partial"}
        (late,) = post(served, [sibling(2)])
        assert late.status_code == 410 and late.json()["error"]["type"] == "group_closed"
        (alone,) = post(served, [sibling(0, "alone", timeout=0.2)])
        assert alone.status_code == 503 and alone.json()["error"]["retryable"]
    with serving(Numbers(), ServeSettings(on_missing="fail")) as served:
        replies = post(served, bodies)
        assert {one.status_code for one in replies} == {503}
        assert replies[0].json()["error"]["type"] == "missing_siblings"
        # Tried again, with those that were missing: the group is whole then.
        found = rewards(post(served, [sibling(index) for index in range(5)]))
        assert found == pytest.approx(direct())


def test_siblings_that_contradict_one_another_are_refused(served: Served) -> None:
    first = post(served, [sibling(0, "odd", timeout=0.3)])
    assert first[0].status_code == 503
    for wrong in (
        {**sibling(0, "odd"), "answer": "another one"},
        {**sibling(1, "odd"), "question": "another one"},
        {**sibling(1, "odd"), "size": 4},
        {**sibling(1, "odd"), "method": "bradley_terry"},
    ):
        (reply,) = post(served, [wrong])
        assert (reply.status_code, reply.json()["error"]["type"]) == (409, "conflict")
    (beyond,) = post(served, [{**sibling(0, "beyond"), "index": 5}])
    assert beyond.status_code == 422
    (large,) = post(served, [{**sibling(0, "large"), "size": 65}])
    assert large.status_code == 422


def test_an_answer_without_a_comparison_has_no_reward_and_is_compared_again_when_asked_for_again() -> None:
    answers = ["10", "70 broken", "30"]
    engine = Numbers(failures=4)
    with serving(engine) as served:
        replies = post(served, [sibling(index, answers=answers) for index in range(3)])
        assert [one.status_code for one in replies] == [200, 502, 200]
        assert [one.json()["reward"] for one in replies if one.status_code == 200] == [-0.5, 0.5]
        error = replies[1].json()["error"]
        assert (error["type"], error["retryable"], error["problem"]) == (
            "no_reward",
            True,
            "generation_failed",
        )
        again = post(served, [sibling(1, answers=answers)])
        assert rewards(again) == [0.5]


def test_openrlhf_gets_numbers_for_rollouts_that_are_not_numbered() -> None:
    answers = ["10", "70", "10", "30"]
    label = make_label(group=17)

    async def ask(served: Served) -> list[httpx.Response]:
        async with served.async_client() as client:
            bodies = [
                {"query": [f"{QUESTION}\n{one}"], "prompts": [f"{QUESTION}\n"], "labels": [label]}
                for one in answers
            ]
            return list(await asyncio.gather(*(client.post("/get_reward", json=one) for one in bodies)))

    with serving(Numbers(), ServeSettings(group_size=4)) as served:
        replies = asyncio.run(ask(served))
        with Judge(Numbers()) as judge:
            wanted = judge.group_rewards(f"{QUESTION}\n", answers).rewards
        assert [one.json()["rewards"] for one in replies] == [[pytest.approx(one)] for one in wanted]
        nothing = {"judge_failed_comparisons": [0.0], "judge_partial": [0.0], "judge_replaced_by_mean": [0.0]}
        assert replies[0].json()["extra_logs"] == nothing
        again = asyncio.run(ask(served))
        assert [one.json() for one in again] == [one.json() for one in replies]
        with served.client() as client:
            body = {"query": ["Q 3"], "prompts": ["Q "], "labels": [make_label(reference="2")]}
            assert client.post("/get_reward", json=body).json()["rewards"] == [0.5]
            wrong = client.post("/get_reward", json={**body, "labels": ["4"]})
            assert wrong.status_code == 422 and "a label has to be JSON" in wrong.json()["error"]["message"]


@pytest.mark.parametrize(("policy", "status"), [("error", 502), ("mean", 200)])
def test_what_failed_is_an_error_or_the_mean_by_policy_and_counted(policy: Any, status: int) -> None:
    answers = ["10", "silent", "30"]

    async def ask(served: Served) -> list[httpx.Response]:
        async with served.async_client() as client:
            label = make_label(group=1, size=3)
            bodies = [{"query": [f"Q {one}"], "prompts": ["Q "], "labels": [label]} for one in answers]
            return list(await asyncio.gather(*(client.post("/get_reward", json=one) for one in bodies)))

    with serving(Numbers(), ServeSettings(on_failure=policy)) as served:
        replies = asyncio.run(ask(served))
        assert [one.status_code for one in replies] == [200, status, 200]
        assert [one.json()["rewards"] for one in (replies[0], replies[2])] == [[-0.5], [0.5]]
        logs = replies[0].json()["extra_logs"]
        assert logs["judge_failed_comparisons"] == [2.0] and logs["judge_replaced_by_mean"] == [0.0]
        if policy == "mean":
            assert replies[1].json()["rewards"] == [0.0]
            assert replies[1].json()["extra_logs"]["judge_replaced_by_mean"] == [1.0]
        with served.client() as client:
            counted = 'rmr1_rewards_total{outcome="replaced_by_mean"} 1.0' in client.get("/metrics").text
        assert counted == (policy == "mean")


def test_slime_gets_a_number_against_the_reference(served: Served) -> None:
    with served.client() as client:
        sample = {"prompt": QUESTION, "response": "70", "label": "40"}
        assert client.post("/rm", json=sample).json() == 0.5
        turns = [{"role": "user", "content": QUESTION}]
        assert client.post("/rm", json={**sample, "prompt": turns, "response": "7"}).json() == -0.5
        assert client.post("/rm", json={**sample, "label": None}).status_code == 422


def output(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"output": [{"type": "message", "role": "assistant", "content": content}]}


def test_nemo_gym_gets_rewards_and_a_failure_by_its_name() -> None:
    answers = ["10", "silent", "30"]
    create = {"input": [{"role": "user", "content": QUESTION}]}

    async def ask(served: Served) -> list[dict[str, Any]]:
        async with served.async_client() as client:
            bodies = [
                {
                    "responses_create_params": create,
                    "response": output(answer),
                    "_ng_task_index": 3,
                    "_ng_rollout_index": number,
                }
                for number, answer in enumerate(answers)
            ]
            replies = await asyncio.gather(*(client.post("/verify", json=one) for one in bodies))
            return [one.json() for one in replies]

    with serving(Numbers(), ServeSettings(group_size=3)) as served, served.client() as client:
        assert client.post("/seed_session", json={}).json() == {}
        told = asyncio.run(ask(served))
        assert [one["reward"] for one in told] == [-0.5, 0.0, 0.5]
        assert [one.get("_ng_failure_class") for one in told] == [None, "judge_failed", None]
        assert [one.get("judge_failed_comparisons") for one in told] == [2, None, 2]
        assert told[0]["judge_status"] == "scored"
        assert told[0]["response"] == output("10") and told[0]["_ng_task_index"] == 3
        metrics = client.post("/aggregate_metrics", json={"verify_responses": told}).json()["metrics"]
        assert metrics == {"mean_reward": 0.0, "scored": 2, "failed": 1}
        compared = client.post(
            "/compare",
            json={
                "conversation_history": create["input"],
                "response_objs": [output("10"), output("30")],
                "principle": "Larger is better.",
            },
        ).json()
        assert compared["rewards"] == [-0.5, 0.5]
        metadata = {"response_1": "10", "response_2": "30"}
        reply = client.post("/v1/responses", json={"input": create["input"], "metadata": metadata}).json()
        assert json.loads(reply["output"][0]["content"][0]["text"]) == grade(0.0)


def test_a_reward_that_rests_on_fewer_comparisons_can_be_told_from_a_whole_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = ["10", "silent", "30"]
    with serving(Numbers()) as served, served.client() as client:
        whole = client.post("/v1/group/score", json={"question": QUESTION, "answers": answers}).json()
        assert (whole["rewards"], whole["failed"]) == ([-0.5, None, 0.5], 2)
        assert whole["problems"][1] is not None
        ones = post(served, [sibling(number, answers=answers) for number in range(3)])
        assert [one.status_code for one in ones] == [200, 502, 200]
        assert [ones[0].json()[name] for name in ("reward", "status", "failed")] == [-0.5, "scored", 2]
        rewards = asyncio.run(RewardClient(served.url).score_group(QUESTION, answers))
        assert rewards == [-0.5, None, 0.5]
        assert "2 comparisons of a group have no verdict" in caplog.text
        caplog.clear()
        asyncio.run(RewardClient(served.url).score_group(QUESTION, ["10", "30"]))
        late = RewardClient(served.url, seconds=0.5)

        async def ask_two_of_three() -> None:
            siblings = (
                late.score_sibling(QUESTION, answers[number], group="late", size=3, index=number)
                for number in (0, 2)
            )
            assert list(await asyncio.gather(*siblings)) == [-0.5, 0.5]

        assert not caplog.text
        asyncio.run(ask_two_of_three())
        assert "without all of its siblings: 2 came in time" in caplog.text


def test_the_client_tries_again_and_says_why_there_is_no_reward() -> None:
    with serving(Numbers(failures=4)) as served:
        client = RewardClient(served.url, seconds=20)

        async def ask() -> list[float]:
            answers = ["10 broken", "70"]
            return list(
                await asyncio.gather(
                    *(
                        client.score_sibling(QUESTION, answer, group="again", size=2, index=index)
                        for index, answer in enumerate(answers)
                    )
                )
            )

        assert asyncio.run(ask()) == [-0.5, 0.5]
        with pytest.raises(NoRewardError, match=r"HTTP 422: answers\[1\] is empty"):
            asyncio.run(client.score_group(QUESTION, ["1", " "]))
    with pytest.raises(NoRewardError, match="ConnectError"):
        asyncio.run(RewardClient(served.url, seconds=1).score_group(QUESTION, ["1", "2"]))
