"""What a hostile or broken client sends: it is refused in JSON, with no 500, and no secret is told or logged."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from rmr1.server.keys import Keys
from rmr1.server.settings import ServeSettings
from tests.integration.served import Numbers, Served, serving

PAIR = {"question": "Which is larger?", "a": "3", "b": "7"}
KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> object:
    settings = ServeSettings(
        body_seconds=0.5, group_size=4, seconds=2.0, jobs=tmp_path_factory.mktemp("jobs")
    )
    with serving(Numbers(), settings) as one:
        yield one


def send(served: Served, request: bytes, *, then: bytes = b"", pause: float = 0.0) -> bytes:
    """What comes back for raw bytes."""
    with socket.create_connection(
        ("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=10
    ) as connection:
        connection.sendall(request)
        if then:
            time.sleep(pause)
            connection.sendall(then)
        connection.settimeout(5)
        received = b""
        try:
            while b"\r\n\r\n" not in received and (part := connection.recv(1 << 16)):
                received += part
        except TimeoutError:
            pass
        return received


LARGE = "1" + "0" * 30


@pytest.mark.parametrize(
    ("path", "body", "statuses"),
    [
        ("/v1/judge", r'{"question": "\ud800", "a": "3", "b": "7"}', {400}),
        ("/v1/judge", r'{"question": "x", "a": "\ud83d\ude00 3", "b": "7"}', {200}),
        ("/v1/judge", r'{"question": "x", "a": "\u0000 3", "b": "7"}', {200}),
        ("/v1/judge", '{"question": "x", "a": "3", "b": "7", "timeout": NaN}', {400}),
        ("/v1/judge", '{"question": "x", "a": "3", "b": "7", "timeout": Infinity}', {400}),
        ("/v1/judge", '{"question": "x", "a": "3", "b": "7", "timeout": 1e999}', {200, 400, 422}),
        ("/v1/judge", '{"question": "x", "a": "3", "b": "7", "timeout": "soon"}', {422}),
        ("/v1/judge", '{"question": {"role": "user"}, "a": "3", "b": "7"}', {422}),
        ("/v1/judge", '{"question": [{"role": "user"}], "a": "3", "b": "7"}', {422}),
        ("/v1/judge", '{"question": [{"role": 7, "content": [[]]}], "a": "3", "b": "7"}', {422}),
        ("/v1/judge", "null", {422}),
        ("/v1/judge", "7", {422}),
        ("/v1/judge", "", {422}),
        ("/v1/rank", '{"question": "x", "answers": ["1", "2"], "method": ""}', {422}),
        ("/v1/rank", f'{{"question": "x", "answers": ["1", "2"], "seed": {LARGE}}}', {200, 422}),
        ("/v1/rank", f'{{"question": "x", "answers": ["1", "2"], "seed": -{LARGE}}}', {200, 422}),
        ("/v1/rank", '{"question": "x", "answers": ["1", "2"], "seed": %s}' % ("9" * 5000), {400, 422}),
        (
            "/v1/group/score",
            '{"question": "x", "group": "%s", "size": 2, "index": 0, "answer": "1"}' % ("g" * 501),
            {422},
        ),
        ("/v1/group/score", '{"question": "x", "group": "g", "size": 2, "index": -1, "answer": "1"}', {422}),
        (
            "/v1/group/score",
            f'{{"question": "x", "group": "g", "size": {LARGE}, "index": 0, "answer": "1"}}',
            {422},
        ),
        ("/v1/group/score", '{"question": "x", "answers": ["1"]}', {422}),
        ("/v1/group/score", '{"question": "x", "answers": ["1"], "method": "reference"}', {422}),
        (
            "/v1/chat/completions",
            f'{{"messages": [{{"role": "user", "content": "silent"}}], "seed": {LARGE}}}',
            {200, 422},
        ),
        (
            "/v1/chat/completions",
            f'{{"messages": [{{"role": "user", "content": "silent"}}], "max_tokens": {LARGE}}}',
            {200, 422},
        ),
        ("/v1/chat/completions", '{"messages": [{}]}', {422}),
        ("/v1/decisions", '{"input": [{"type": "function_call"}], "questions": [{"type": "choice"}]}', {422}),
        (
            "/get_reward",
            '{"query": ["x 1"], "prompts": ["x "], "labels": ["{\\"group\\": 1, \\"size\\": 1e99}"]}',
            {422},
        ),
        (
            "/get_reward",
            f'{{"query": ["x 1"], "prompts": ["x "], "labels": ["{{\\"group\\": 1, \\"size\\": {LARGE}}}"]}}',
            {422},
        ),
        ("/get_reward", '{"query": ["x 1"], "prompts": ["x "], "labels": ["%s"]}' % ("[" * 5000), {422}),
        (
            "/get_reward",
            '{"query": ["x 1"], "prompts": ["x "], "labels": ["{\\"reference\\": \\" \\"}"]}',
            {422},
        ),
        (
            "/get_reward",
            r'{"query": ["x 1"], "prompts": ["x "], "labels": ["{\"reference\": \"\\ud800 2\"}"]}',
            {200, 422},
        ),
        ("/verify", '{"responses_create_params": {"input": "x"}, "response": {"output": 7}}', {422}),
        (
            "/verify",
            '{"responses_create_params": {"input": {"a": 1}}, "response": {"output": [{"content": "4"}]}, "reference": "3"}',
            {422},
        ),
        (
            "/verify",
            '{"responses_create_params": {"input": "x"}, "response": {"output": [{"content": "4"}]}, "_ng_task_index": 1, '
            f'"_ng_rollout_index": -7, "group_size": {LARGE}}}',
            {422},
        ),
        ("/aggregate_metrics", '{"verify_responses": [{"reward": 1e308}, {"reward": 1e308}, 7]}', {200}),
        ("/compare", '{"conversation_history": [{}], "response_objs": [{}, {}]}', {422}),
        ("/v1/responses", '{"input": "x", "metadata": {"response_1": [], "response_2": "2"}}', {422}),
        ("/rm", '{"prompt": "x", "response": " ", "label": "2"}', {422}),
    ],
)
def test_odd_values_are_answered_and_make_no_mistake(
    served: Served, path: str, body: str, statuses: set[int]
) -> None:
    with served.client() as client:
        reply = client.post(path, content=body.encode(), headers={"content-type": "application/json"})
    assert reply.status_code in statuses, reply.text
    told = reply.json()
    assert reply.status_code == 200 or ("\n" not in told["error"]["message"] and len(reply.content) < 5000)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file:///tmp/x.png", "/etc/x.png", "ftp://x/y.png"])
def test_a_picture_is_no_way_to_our_files(served: Served, url: str) -> None:
    picture = [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "?"}],
        }
    ]
    with served.client() as client:
        for path, body in (
            ("/v1/judge", {**PAIR, "question": picture}),
            ("/v1/rank", {"question": picture, "answers": ["1", "2"]}),
            ("/v1/chat/completions", {"messages": picture}),
        ):
            reply = client.post(path, json=body)
            assert reply.status_code == 422 and "picture" in reply.json()["error"]["message"], reply.text


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "\u00e9", ""]
)
def test_json_is_read_whatever_it_is_called_and_nothing_else_is(served: Served, kind: str) -> None:
    headers = {b"content-type": kind.encode("latin-1")}
    with served.client() as client:
        assert client.post("/v1/judge", json=PAIR, headers=headers).status_code == 200
        assert client.post("/v1/judge", content=b"--x\r\n\r\n", headers=headers).status_code == 400


def test_a_page_of_somebody_else_cannot_use_a_server_without_keys(served: Served) -> None:
    own = served.url
    with served.client() as client:

        def ask(**headers: str) -> int:
            return client.post("/v1/judge", json=PAIR, headers=headers).status_code

        assert ask(Origin=own) == 200 and ask() == 200
        assert ask(Origin="https://evil.example") == 403 and ask(Origin="null") == 403
        # A name that was made to lead here.
        assert ask(Origin="http://evil.example:8300", Host="evil.example:8300") == 403
        assert client.get("/v1/models", headers={"Host": "evil.example:8300"}).status_code == 403


def test_a_slow_body_is_not_waited_for(served: Served) -> None:
    head = b"POST /v1/judge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"
    started = time.monotonic()
    reply = send(served, head)
    assert b" 408 " in reply.split(b"\r\n")[0] and time.monotonic() - started < 3


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /v1/judge HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/judge HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /v1/judge HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["large", "negative", "two lengths", "chunk", "TLS"],
)
def test_broken_heads_are_refused_and_the_next_is_answered(served: Served, head: bytes) -> None:
    reply = send(served, head)
    assert not reply or b" 4" in reply.split(b"\r\n")[0]
    with served.client() as client:
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "name", ["..", "../..", "..%2f..%2fetc", "%00", "jobs", "." * 300, "%2e%2e", "A" * 32, "0" * 32, "é"]
)
def test_a_job_is_no_way_out_of_its_folder(served: Served, name: str) -> None:
    for method, path in (("GET", f"/v1/jobs/{name}/judgments"), ("DELETE", f"/v1/jobs/{name}")):
        reply = send(served, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert reply.split(b" ")[1] in (b"404", b"405", b"400"), reply


def test_thousands_of_groups_are_kept_small_and_nobody_else_waits(served: Served) -> None:
    with served.client() as client:
        for number in range(300):
            body = {
                "question": "x" * 1000,
                "group": str(number),
                "size": 2,
                "index": 0,
                "answer": "1",
                "timeout": 0.001,
            }
            assert client.post("/v1/group/score", json=body).status_code == 503
        assert client.post("/v1/judge", json=PAIR).status_code == 200


def test_no_secret_is_logged_or_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").write_text(f"alice: {KEY}\n")
    with serving(Numbers(), keys=Keys(tmp_path / "keys")) as served, served.client() as client:
        replies = []
        for header in (f"Bearer {KEY}", f"Basic {KEY}", f"Bearer {KEY}x", KEY, "Bearer " + "k" * 60_000):
            for path in ("/v1/judge", f"/v1/jobs/{KEY}", f"/nowhere?key={KEY}"):
                replies.append(
                    client.post(path, json={**PAIR, "odd": KEY}, headers={"Authorization": header})
                )
        assert {one.status_code for one in replies} <= {401, 404, 405, 422, 501}
        told = "".join(one.text + json.dumps(dict(one.headers)) for one in replies)
    assert KEY not in told + "".join(served.log) + "".join(capfd.readouterr())


def test_an_answer_is_of_bounded_length_however_much_is_wrong(served: Served) -> None:
    pairs: list[Any] = [{"question": 1, "a": [], "b": {}, "more": 1}] * 5000
    with served.client() as client:
        reply = client.post("/v1/judge", json={"pairs": pairs})
    assert reply.status_code == 422 and len(reply.content) < 10_000
