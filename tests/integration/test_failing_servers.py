"""A server that fails at everything, or at some of it, as a user of `judge`, `bench` and `distill` meets it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.cli.main import main
from rmr1.data.read import read_pairs
from rmr1.errors import StoppedError

from ..unit.distill.pairs import good_text, write_pairs
from .faulty_server import Answer, Call, FaultyServer, failure, good

LOGIN = b"""<!DOCTYPE html>
<html><head><title>Sign in</title></head>
<body class="login"><form action="/login">Please sign in to go on</form></body></html>"""
CONCURRENCY = 4
READ_AHEAD = 4
ENGINE = {"max_retries": 1, "backoff_seconds": 0.01, "concurrency": CONCURRENCY}
FILES = {"judge": "judgments.jsonl", "bench": "judgments.jsonl", "distill": "pass1.jsonl"}
VERBS = list(FILES)


def answer(call: Call) -> Answer:
    return good(text=good_text("A"))


def log_in(call: Call) -> Answer:
    return Answer(body=LOGIN)


def break_down(call: Call) -> Answer:
    number = int(hashlib.sha256(call.item.encode()).hexdigest()[:4], 16)
    return Answer(status=500, body=f"<html><h1>Oops</h1>request {number}</html>".encode())


def number_of(call: Call) -> int:
    found = re.search(r"Question (\d+)\?", call.item)
    assert found is not None
    return int(found[1])


class User:
    """One of the verbs, its pairs and its folder."""

    def __init__(
        self, verb: str, folder: Path, number: int, capsys: pytest.CaptureFixture[str], server: FaultyServer
    ):
        self.verb, self.folder, self.capsys, self.server = verb, folder, capsys, server
        self.run_folder = folder / "run"
        self.pairs = write_pairs(folder / "pairs.jsonl", "A" * number)
        self.url = server.base_url

    def type(self, *more: str, output: bool = True) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        model = f"openai:judge@{self.url}"
        out = ["-o", str(self.run_folder)] if output else []
        if self.verb == "distill":
            recipe = self.folder / "recipe.toml"
            options = "\n".join(f"{name} = {value}" for name, value in ENGINE.items())
            recipe.write_text(
                f'[data]\ntrain = "{self.pairs}"\norder = "given"\n[pass1]\nteacher = "{model}"\n[pass1.engine]\n{options}\n'
            )
            words = ["distill", "run", str(recipe)]
        else:
            words = ["judge"] if self.verb == "judge" else ["bench", "pairs"]
            settings = [
                part for name, value in ENGINE.items() for part in ("--set", f"engine.{name}={value}")
            ]
            words += [str(self.pairs), "-m", model, *settings]
        code = main([*words, *out, *more])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def stored(self) -> list[dict[str, Any]]:
        lines = (self.run_folder / FILES[self.verb]).read_text().splitlines()
        return [json.loads(line) for line in lines]

    def failed(self) -> list[str]:
        return sorted(
            one["pair"]["id"]
            for one in self.stored()
            if any(vote["generation"]["finish_reason"] == "error" for vote in one["votes"])
        )

    def finish(self, number: int) -> None:
        """The server works, and what failed is asked again: each of it once, and nothing else."""
        failed, before = self.failed(), {one["pair"]["id"] for one in self.stored()}
        self.server.behaviour = answer
        seen = -1
        while seen != len(self.server.calls):  # what the stopped run had sent still arrives
            seen = len(self.server.calls)
            time.sleep(0.3)
        self.server.calls.clear()
        code, out, err = self.type("--retry-failed")
        assert code == 0, (out, err)
        assert len(self.stored()) == number and not self.failed()
        asked = sorted(f"p{number_of(call)}" for call in self.server.calls)
        assert asked == sorted({*failed, *({f"p{one}" for one in range(number)} - before)})


Make = Callable[[str, int, Callable[[Call], Answer]], User]


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    servers: list[FaultyServer] = []

    def make(verb: str, number: int, behaviour: Callable[[Call], Answer]) -> User:
        server = FaultyServer(behaviour).__enter__()
        servers.append(server)
        return User(verb, tmp_path, number, capsys, server)

    yield make
    for server in servers:
        server.stop()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("behaviour", "seen"),
    [
        (
            log_in,
            "no usable reply after 2 tries: the reply is not valid JSON: '<!DOCTYPE html> <html><head><title>Sign in",
        ),
        (break_down, "HTTP 500 after 2 tries: Oops request "),
    ],
)
def test_a_server_that_fails_at_everything_is_given_up_after_twenty(
    make: Make, verb: str, behaviour: Callable[[Call], Answer], seen: str
) -> None:
    user = make(verb, 70, behaviour)
    code, out, err = user.type()
    assert code == 1
    assert len(user.stored()) == len(user.failed()) == 20
    # Two tries of each, and of those in flight.
    assert len(user.server.calls) <= 2 * (20 + CONCURRENCY + READ_AHEAD)
    said = [line for line in (out + err).splitlines() if "stopped: " in line]
    assert len(said) == 1 and seen in said[0] and "goes on" in said[0]
    assert "/v1?" not in said[0]
    assert "20/70 · " in err and " · 0 without verdict · 20 failed · " in err and "% right" not in err
    user.finish(70)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "broken",
    [log_in, break_down, lambda call: Answer(status=429, body=b"used up", headers={"Retry-After": "86400"})],
    ids=["login", "500", "quota"],
)
def test_a_server_that_breaks_in_the_middle_is_given_up_after_fifty(
    make: Make, verb: str, broken: Callable[[Call], Answer]
) -> None:
    user = make(verb, 150, lambda call: answer(call) if len(user.server.calls) <= 10 else broken(call))
    code, out, err = user.type()
    assert code == 1
    said = "50 items in a row failed in the same way"
    assert verb == "distill" or said in out + err  # which has an alarm of its own as well
    stored = len(user.stored())
    # A last good answer may come behind the first failures of those in flight with it, and the row begins anew.
    assert stored <= 64 and 50 <= len(user.failed()) <= 54
    # One that goes on with such a run holds answers, and is stopped likewise.
    code, out, err = user.type()
    assert code == 1 and (verb == "distill" or said in out + err)
    assert len(user.stored()) == stored + 50
    user.finish(150)


@pytest.mark.parametrize("verb", VERBS)
def test_a_url_without_a_version_gets_a_hint(make: Make, verb: str) -> None:
    user = make(verb, 30, break_down)
    url = user.url
    user.url = url.removesuffix("/v1")
    code, out, err = user.type()
    assert code == 1 and f"is it openai:judge@{url}?" in out + err


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_in_which_everything_failed_has_not_succeeded(make: Make, verb: str) -> None:
    user = make(verb, 12, break_down)
    code, out, err = user.type()
    assert code == 1 and "stopped" not in out + err
    (said,) = [line for line in out.splitlines() if line.startswith(SAID[verb])]
    assert "--retry-failed" in out
    assert "12/12 · " in err and " · 12 failed · " in err
    if verb == "judge":
        assert "right: " not in out  # what failed is no share
    code, out, err = user.type()
    assert code == 1 and said in out.splitlines()  # as long as it is so
    user.finish(12)


SAID = {
    "judge": "none of 12 pairs is judged: the model has answered nothing",
    "bench": "own pairs: nothing is scored, because the model has answered nothing",
    "distill": "12 of 12 pairs got no text from their teacher",
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_third_that_fails_is_counted_and_asked_again(make: Make, verb: str) -> None:
    user = make(verb, 60, lambda call: failure(500, "boom") if number_of(call) % 10 < 3 else answer(call))
    code, out, err = user.type()
    # A distillation with failed pairs is not done, as ever.
    assert code == (1 if verb == "distill" else 0)
    assert len(user.stored()) == 60 and len(user.failed()) == 18
    assert " · 0 without verdict · 18 failed · " in err and "--retry-failed" in out
    user.finish(60)


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_warms_up_for_nineteen_pairs_is_waited_for(make: Make, verb: str) -> None:
    user = make(verb, 60, lambda call: failure(503, "loading") if number_of(call) < 19 else answer(call))
    code, _, err = user.type()
    assert code == (1 if verb == "distill" else 0)
    assert len(user.stored()) == 60 and len(user.failed()) == 19 and " · 19 failed · " in err
    user.finish(60)


@pytest.mark.parametrize("verb", VERBS)
def test_replies_without_a_text_are_asked_again_and_prompts_that_are_too_long_are_not(
    make: Make, verb: str
) -> None:
    def behave(call: Call) -> Answer:
        number = number_of(call)
        if number == 3:
            return Answer(body={"choices": []})
        return failure(413, "context length exceeded") if number == 5 else answer(call)

    user = make(verb, 8, behave)
    user.type()
    assert user.failed() == ["p3"]
    (long,) = [one for one in user.stored() if one["pair"]["id"] == "p5"]
    assert long["problem"] == "prompt_too_long"
    user.finish(8)
    assert long in user.stored()


def test_a_run_of_prompts_that_are_all_too_long_has_not_succeeded(make: Make) -> None:
    user = make("judge", 30, lambda call: failure(413, "context length exceeded"))
    code, out, err = user.type()
    assert code == 1 and "stopped" not in err and len(user.stored()) == 30
    assert out.startswith("none of 30 pairs is judged: the model has answered nothing\n")
    assert "without verdict: 30 (prompt_too_long 30)\n" in out


@pytest.mark.parametrize("number", [1, 30])
def test_judgments_that_are_printed_fail_likewise(make: Make, number: int) -> None:
    user = make("judge", number, break_down)
    code, out, err = user.type("--json", output=False)
    assert code == 1 and len(out.splitlines()) == min(number, 20)
    # Nothing is stored that another command could go on with.
    assert ("stopped: " in err) is (number == 30) and "goes on" not in err
    user.server.behaviour = answer
    assert user.type("--json", output=False)[0] == 0


def test_python_meets_an_error_and_keeps_what_is_stored(make: Make) -> None:
    from rmr1 import Judge

    user = make("judge", 30, log_in)
    judge = Judge(f"openai:judge@{user.url}", options=ENGINE)
    with pytest.raises(StoppedError, match="Sign in"):
        list(judge.judge(read_pairs(user.pairs), run=user.run_folder))
    judge.close()
    assert len(user.stored()) == 20


def test_python_keeps_the_order_inside_a_running_event_loop(make: Make) -> None:
    from rmr1 import Judge

    user = make("judge", 12, lambda call: failure(400, "no") if number_of(call) == 3 else answer(call))

    async def cell() -> list[tuple[str, str | None]]:
        with Judge(f"openai:judge@{user.url}", options=ENGINE) as judge:
            return [(one.pair.prompt[-1].text, one.problem) for one in judge.judge(user.pairs)]

    found = asyncio.run(cell())
    assert [text for text, _ in found] == [pair.prompt[-1].text for pair in read_pairs(user.pairs)]
    assert [problem for _, problem in found].count("generation_failed") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_what_was_found_out_about_a_server_is_in_the_run(make: Make, verb: str) -> None:
    user = make(verb, 5, lambda call: good(text=good_text("A"), usage=None))
    for _ in range(2):
        assert user.type("--quiet")[0] == 0
        (note,) = json.loads((user.run_folder / "run.json").read_text())["notes"]
        assert note.startswith(f"openai:judge@{user.url}: ") and "how many tokens" in note


def test_verdicts_that_contradict_each_other_are_not_missing(make: Make) -> None:
    user = make("judge", 4, lambda call: answer(call) if number_of(call) else good(text="I cannot say."))
    code, out, _ = user.type("--order", "both")
    assert code == 0
    assert "without verdict: 1 (no_verdict 1); they count as wrong\n" in out
    assert "undecided: 3, whose verdicts contradict each other; they count as wrong\n" in out
