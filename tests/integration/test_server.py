"""The server over real HTTP: what is asked, what is refused, and what is left when something goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from rmr1.errors import ConfigError
from rmr1.judge.judge import Judge
from rmr1.server.keys import Keys
from rmr1.server.settings import ServeSettings
from tests.integration.served import Numbers, Served, Sure, serving

PAIR = {"question": "Which is larger?", "a": "3", "b": "7"}


@pytest.fixture(scope="module")
def served() -> object:
    with serving("scripted:longer") as one:
        yield one


def test_a_pair_is_judged_as_the_judge_does_it(served: Served) -> None:
    with served.client() as client, Judge("scripted:longer") as judge:
        told = client.post("/v1/judge", json=PAIR).json()
        direct = judge.compare(PAIR["question"], PAIR["a"], PAIR["b"])
    assert told["winner"] == direct.winner
    assert [vote["generation"]["text"] for vote in told["votes"]] == [
        vote.generation.text for vote in direct.votes
    ]


def test_several_pairs_and_conversations_are_judged_in_their_sequence(served: Served) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    longer = {"question": [*turns, {"role": "user", "content": "More?"}], "a": "a long answer", "b": "no"}
    with served.client() as client:
        told = client.post("/v1/judge", json={"pairs": [PAIR, longer, {**PAIR, "b": "33"}]}).json()
    winners = [one["winner"] for one in told["judgments"]]
    assert winners[1:] == ["A", "B"] and told["judgments"][1]["pair"]["prompt"][0]["content"] == "Hello"


def test_the_trace_comes_as_events(served: Served) -> None:
    with served.client() as client:
        reply = client.post("/v1/judge", json={**PAIR, "b": "777", "stream": True})
    events = [block.split("\n") for block in reply.text.strip().split("\n\n")]
    names = [lines[0] for lines in events]
    assert set(names[:-2]) == {"event: text"} and names[-2:] == ["event: vote", "event: judgment"]
    assert "<answer>[[" in json.loads(events[-2][1].removeprefix("data: "))["text"]
    assert json.loads(events[-1][1].removeprefix("data: "))["winner"] == "B"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"question": "x"}, "expected question, a and b, or pairs"),
        ({**PAIR, "pairs": [PAIR]}, "expected question, a and b, or pairs"),
        ({**PAIR, "order": "both"}, "order: Extra inputs are not permitted"),
        ({**PAIR, "a": " "}, "'a' is empty"),
        ({**PAIR, "timeout": -1}, "timeout"),
        ({"pairs": []}, "pairs"),
        ([1, 2], "body"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_and_not_repeated(
    served: Served, body: object, message: str
) -> None:
    with served.client() as client:
        reply = client.post("/v1/judge", json=body)
    assert reply.status_code == 422
    error = reply.json()["error"]
    assert message in error["message"] and not error["retryable"] and "\n" not in error["message"]


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b'{"question": "\xff"}', 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"[" * 100 + b"]" * 100, 400, "malformed"),
        (b'{"question": "' + b'\\"' * 3_000_000, 400, "malformed"),
        (b"x" * (9 << 20), 413, "too_large"),
    ],
    ids=["not UTF-8", "not JSON", "deep", "a string without end", "large"],
)
def test_bodies_that_are_no_json_or_too_much_are_refused(
    served: Served, content: bytes, status: int, kind: str
) -> None:
    started = time.monotonic()
    with served.client() as client:
        reply = client.post("/v1/judge", content=content)
    assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
    assert time.monotonic() - started < 5


def test_brackets_in_a_text_are_no_depth(served: Served) -> None:
    with served.client() as client:
        assert client.post("/v1/judge", json={**PAIR, "a": "[" * 500}).status_code == 200


def test_a_body_of_unknown_length_is_bounded_too(served: Served) -> None:
    def endless() -> object:
        for _ in range(200):
            yield b"x" * (1 << 20)

    # The server may have closed the connection meanwhile.
    with served.client() as client, suppress(httpx.WriteError):
        assert client.post("/v1/judge", content=endless()).status_code == 413


def test_state_is_told(served: Served) -> None:
    with served.client() as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").json() == {"status": "ready", "model": "scripted:longer"}
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["scripted:longer"]
        client.post("/v1/judge", json={**PAIR, "b": "for the counters"})
        counted = client.get("/metrics").text
        assert 'rmr1_judgments_total{outcome="B"}' in counted
        assert "/v1/judge" in client.get("/openapi.json").json()["paths"]
        assert "<form>" in client.get("/").text
        assert client.get("/nowhere").json()["error"]["type"] == "not_found"
        assert client.get("/v1/judge").json()["error"]["type"] == "method_not_allowed"


def test_the_log_has_a_line_for_each_request_and_no_text(served: Served) -> None:
    with served.client() as client:
        reply = client.post("/v1/judge", json={**PAIR, "question": "a secret question"})
    line = next(line for line in served.log if reply.headers["x-request-id"] in line)
    told = json.loads(line)
    assert (told["route"], told["status"], told["method"]) == ("/v1/judge", 200, "POST")
    assert "secret" not in "".join(served.log)


def test_keys_let_in_whom_they_name_and_nobody_else_but_for_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text("alice: 0123456789abcdef\n# a comment\nfedcba9876543210\n")
    monkeypatch.setenv("RMR1_SERVE_KEYS", "env:key-of-the-environment")
    with serving("scripted:longer", keys=Keys(file)) as served, served.client() as client:
        assert client.get("/health").status_code == 200
        for path in ("/ready", "/metrics", "/v1/models", "/openapi.json", "/", "/v1/jobs"):
            assert client.get(path).status_code == 401, path

        def ask(key: str) -> int:
            return client.post("/v1/judge", json=PAIR, headers={"Authorization": f"Bearer {key}"}).status_code

        assert [ask("0123456789abcdef"), ask("fedcba9876543210"), ask("key-of-the-environment")] == [200] * 3
        assert [ask("x"), ask("0123456789abcdeg"), ask("alice: 0123456789abcdef")] == [401] * 3
        file.write_text("bob: 0000111122223333\n")
        os.utime(file, (1, 1))
        deadline = time.monotonic() + 5
        while ask("0123456789abcdef") != 401 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert [ask("0123456789abcdef"), ask("0000111122223333")] == [401, 200]
        file.unlink()
        time.sleep(1.1)
        assert [ask("0000111122223333"), ask("key-of-the-environment")] == [401, 200]
        assert "0123456789abcdef" not in "".join(served.log)
        assert '"key": "alice"' in "".join(served.log)


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n"])
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match="key"):
        Keys(tmp_path / "keys")


def test_a_repeated_request_is_answered_once(tmp_path: Path) -> None:
    engine = Numbers(seconds=0.2)
    with serving(engine) as served:

        async def ask() -> list[httpx.Response]:
            async with served.async_client(headers={"Idempotency-Key": "one"}) as client:
                return list(await asyncio.gather(*(client.post("/v1/judge", json=PAIR) for _ in range(3))))

        replies = asyncio.run(ask())
        assert {one.status_code for one in replies} == {200} and len({one.content for one in replies}) == 1
        assert engine.num_asked == 1
        with served.client(headers={"Idempotency-Key": "one"}) as client:
            assert client.post("/v1/judge", json=PAIR).content == replies[0].content
            other = client.post("/v1/judge", json={**PAIR, "a": "4"})
        assert other.status_code == 422 and other.json()["error"]["type"] == "idempotency_mismatch"
        assert engine.num_asked == 1


def test_what_is_too_much_is_told_to_come_again() -> None:
    with serving(Numbers(seconds=0.3), ServeSettings(most_waiting=2)) as served:

        async def ask() -> list[httpx.Response]:
            async with served.async_client() as client:
                return list(
                    await asyncio.gather(
                        *(client.post("/v1/judge", json={**PAIR, "a": str(number)}) for number in range(8))
                    )
                )

        replies = asyncio.run(ask())
    statuses = [one.status_code for one in replies]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 2
    refused = next(one for one in replies if one.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1 and refused.json()["error"]["retryable"]


def test_a_deadline_is_kept_and_what_nobody_waits_for_is_not_asked() -> None:
    engine = Numbers(seconds=0.5)
    with serving(engine) as served:

        async def ask() -> list[httpx.Response]:
            async with served.async_client() as client:
                return list(
                    await asyncio.gather(
                        *(
                            client.post("/v1/judge", json={**PAIR, "a": str(number), "timeout": 0.2})
                            for number in range(4)
                        )
                    )
                )

        replies = asyncio.run(ask())
        assert {one.status_code for one in replies} == {504}
        assert replies[0].json()["error"] == {
            "type": "deadline",
            "message": "the deadline passed before the judgment was there",
            "retryable": True,
        }
        with served.client() as client:
            assert client.post("/v1/judge", json={**PAIR, "a": "99"}).json()["winner"] == "A"
        assert engine.num_asked < 5


def test_a_client_that_leaves_is_not_worked_for() -> None:
    engine = Numbers(seconds=0.4)
    with serving(engine) as served:
        port = int(served.url.rpartition(":")[2])

        def leave(number: int) -> None:
            body = json.dumps({**PAIR, "a": str(number)}).encode()
            head = (
                f"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head + body)
                time.sleep(0.1)

        threads = [threading.Thread(target=leave, args=(number,)) for number in range(10, 16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with served.client() as client:
            assert client.post("/v1/judge", json=PAIR).status_code == 200
        assert engine.num_asked < 6
        deadline = time.monotonic() + 5
        while '"status": 499' not in "".join(served.log) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert '"status": 499' in "".join(served.log)


def test_a_failure_of_the_engine_is_told_as_one_and_the_next_is_answered() -> None:
    with serving(Numbers(failures=1)) as served, served.client() as client:
        broken = {**PAIR, "a": "3 broken"}
        first = client.post("/v1/judge", json=broken)
        assert first.status_code == 502 and first.json()["error"]["message"] == "the engine broke"
        assert client.post("/v1/judge", json=broken).json()["winner"] == "B"


def test_a_pair_without_verdict_is_an_answer_of_its_own(served: Served) -> None:
    with serving(Numbers()) as served, served.client() as client:
        told = client.post("/v1/judge", json={**PAIR, "a": "silent"}).json()
    assert (told.get("winner"), told["problem"]) == (None, "no_verdict")


def test_the_model_itself_is_asked_as_openai_asks(served: Served) -> None:
    with serving(Numbers()) as served, served.client() as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "silent"}], "n": 2, "seed": 1}
        told = client.post("/v1/chat/completions", json=body).json()
        assert [one["message"]["content"] for one in told["choices"]] == ["I would rather not say."] * 2
        assert told["usage"]["completion_tokens"] > 0
        long = client.post("/v1/chat/completions", json={**body, "max_tokens": 10**6})
        assert long.status_code == 422 and "at most 8192" in long.json()["error"]["message"]
        refused = client.post("/v1/chat/completions", json={**body, "tools": [{"type": "function"}]})
        assert refused.status_code == 422 and "tools is not supported" in refused.json()["error"]["message"]


def test_jobs_are_run_folders_and_go_on_after_a_stop(tmp_path: Path) -> None:
    pairs = [{**PAIR, "a": str(number)} for number in range(10)]
    settings = ServeSettings(jobs=tmp_path / "jobs")
    with serving(Numbers(seconds=0.1), settings) as served, served.client() as client:
        started = client.post("/v1/jobs", json={"pairs": pairs})
        assert started.status_code == 202
        name = started.json()["id"]
        assert client.post("/v1/judge", json=PAIR).json()["winner"] == "B"
        while not client.get(f"/v1/jobs/{name}").json()["judged"]:
            time.sleep(0.05)
        stopped = client.delete(f"/v1/jobs/{name}").json()
        assert stopped["status"] == "stopped" and 0 < stopped["judged"] < 10
        assert client.get("/v1/jobs/..%2Fjobs").status_code == 404
    with serving(Numbers(), settings) as served, served.client() as client:
        deadline = time.monotonic() + 10
        while client.get(f"/v1/jobs/{name}").json()["status"] != "finished":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lines = client.get(f"/v1/jobs/{name}/judgments").text.splitlines()
        assert len({json.loads(line)["key"] for line in lines}) == len(lines) == 10
    assert (tmp_path / "jobs" / name / "run" / "summary.json").exists()


def test_a_server_without_a_folder_takes_no_jobs(served: Served) -> None:
    with served.client() as client:
        assert client.post("/v1/jobs", json={"pairs": [PAIR]}).status_code == 501


def choose(*answers: str, **more: object) -> dict[str, object]:
    choices = [{"value": f"v{number}", "description": text} for number, text in enumerate(answers)]
    return {"type": "choice", "instructions": "Which is larger?", "choices": choices, **more}


def test_a_decision_between_two_answers_is_a_pair_with_a_probability() -> None:
    with serving(Sure()) as served, served.client() as client:
        body = {
            "model": "m",
            "input": PAIR["question"],
            "questions": [choose("3", "7", name="q"), choose("9", "7")],
        }
        told = client.post("/v1/decisions", json=body).json()
        first, second = told["answers"]
        assert (first["type"], first["name"], first["choice"]) == ("choice", "q", "v1")
        assert [one["probability"] for one in first["probabilities"]] == pytest.approx([0.2, 0.8])
        assert (second["choice"], second["confidence"]) == ("v0", pytest.approx(0.8))
        assert told["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
        silent = client.post("/v1/decisions", json={**body, "questions": [choose("silent", "7")]}).json()
        assert silent["answers"] == [{"type": "refusal", "name": None}]
        turns = [
            {"type": "message", "role": "developer", "content": "Be exact."},
            {"role": "user", "content": [{"type": "input_text", "text": "Add 2 and 3."}]},
            {"type": "function_call", "call_id": "1", "name": "add", "arguments": "[2, 3]"},
            {"type": "function_call_output", "call_id": "1", "output": "5"},
        ]
        assert client.post("/v1/decisions", json={**body, "input": turns}).status_code == 200
        images = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
        assert client.post("/v1/decisions", json={**body, "input": images}).status_code == 422
    with serving("scripted:longer") as served, served.client() as client:
        refused = client.post("/v1/decisions", json=body)
        assert refused.json()["error"]["type"] == "no_probability"


def test_other_questions_are_answered_only_by_a_model_that_can() -> None:
    levels = [{"label": "poor"}, {"label": "fair", "description": "this one"}, {"label": "good"}]
    asked = [
        {"type": "predicate", "instructions": "It is this one."},
        choose("first", "second: this one", "third"),
        {"type": "score", "name": "s", "instructions": "How good?", "levels": levels},
        choose("none", "of", "them"),
    ]
    body = {"model": "m", "input": "Is it?", "questions": asked}
    with serving(Sure()) as served, served.client() as client:
        refused = client.post("/v1/decisions", json=body)
        assert (refused.status_code, refused.json()["error"]["type"]) == (422, "unsupported_question")
    with serving(Sure(), ServeSettings(answers_questions=True)) as served, served.client() as client:
        predicate, choice, score, none = client.post("/v1/decisions", json=body).json()["answers"]
        assert predicate == {"type": "refusal", "name": None}
        assert (choice["choice"], choice["confidence"]) == ("v1", pytest.approx(0.8))
        assert [one["probability"] for one in choice["probabilities"]] == pytest.approx([0.1, 0.8, 0.1])
        assert (score["name"], score["score"]) == ("s", pytest.approx(1.0))
        assert [one["value"] for one in score["probabilities"]] == [0, 1, 2]
        assert none["type"] == "refusal"
        alone = {**body, "questions": [{**asked[2], "levels": levels[:1]}]}
        assert "expected 2 to 26" in client.post("/v1/decisions", json=alone).json()["error"]["message"]
