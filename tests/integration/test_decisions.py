"""Decision endpoints from a shell: both forms, what is stored, what is refused, and cascades with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.cli.main import main
from rmr1.store.runs import read_judgments
from tests.integration.faulty_server import Answer, Call, FaultyServer, failure, good
from tests.integration.runs import write_pairs

QUICK = ("--set", "engine.backoff_seconds=0.01", "--set", "engine.max_backoff_seconds=0.02")
MISSING = Answer(status=404, body={"detail": "Not Found"})


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", 40)


def answer_of(call: Call) -> str:
    """The text of Chatbot A's response in the prompt."""
    (found,) = re.findall(r"\[The Start of Chatbot A's Response\]\n(.*?)\n\[The End", call.item, re.DOTALL)
    return str(found)


def count_tokens(item: str) -> int:
    """Those that the servers here bill for a prompt."""
    return len(item) // 4


def decide(p: Callable[[Call], float] = lambda call: 0.8, *, mass: float = 0.9) -> Callable[[Call], Answer]:
    """A server of both forms; `p` gives P(the prompt's A)."""

    def behave(call: Call) -> Answer:
        a = p(call)
        chosen = "Chatbot A" if a >= 0.5 else "Chatbot B"
        usage = {"input_tokens": count_tokens(call.item), "output_tokens": 1}
        if call.path.endswith("/decisions"):
            listed = [{"value": f"Chatbot {one}", "probability": q} for one, q in (("A", a), ("B", 1 - a))]
            answer = {"type": "choice", "name": "better", "choice": chosen, "confidence": 0.1}
            told: Any = [{**answer, "probabilities": listed}]
            return Answer(body={"answers": told, "model": "judge", "usage": usage}, is_billed=True)
        told = {
            "type": "choice",
            "choice": chosen,
            "probabilities": {"Chatbot A": a, "Chatbot B": 1 - a},
        }
        diagnostics = {"better": {"label_mass": mass, "argmax_is_label": True}}
        body = {"answers": {"better": told}, "model": "judge", "usage": usage, "diagnostics": diagnostics}
        return Answer(body=body, is_billed=True)

    return behave


def only(form: str, behave: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    """The same server without the other route."""
    return lambda call: behave(call) if call.path == f"/v1/{form}" else MISSING


def judge(server: FaultyServer, *arguments: object) -> int:
    return main(["judge", *map(str, arguments), "-m", f"decisions:judge@{server.base_url}", *QUICK])


@pytest.mark.parametrize("form", ["decisions", "systemone"])
def test_a_run_in_both_orders(
    form: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def longer(call: Call) -> float:
        return 0.9 if len(answer_of(call)) > 80 else 0.3

    with FaultyServer(only(form, decide(longer))) as server:
        assert judge(server, pairs, "--order", "both", "-o", run, "--set", "engine.concurrency=4") == 0
    printed = capsys.readouterr()
    asked = [call for call in server.calls if call.path == f"/v1/{form}"]
    assert len(asked) == 80  # a read for each order
    assert len(server.calls) - len(asked) <= (4 if form == "systemone" else 0)  # the first ones found it out
    (note,) = json.loads((run / "run.json").read_text())["notes"]
    assert f"decisions are asked at /{form}, in" in note
    described = json.loads((run / "run.json").read_text())
    assert described["settings"]["rule"] == "decision" and described["prompt"]["family"] == "decision"
    assert "consistency:" in printed.out and "position bias:" in printed.out and "ECE" in printed.out
    for _, one in read_judgments(run):
        assert one.kind == "pair" and len(one.votes) == 2 and one.completion_tokens == 2
        assert one.prompt_tokens == sum(vote.generation.prompt_tokens for vote in one.votes) > 0
        first, second = one.votes
        for vote in one.votes:
            assert vote.generation.text == "" and vote.generation.billed is not None
            assert vote.generation.billed.completion_tokens == 1
            long_first = len((one.pair if vote.order == "given" else one.pair.swap()).response_a[0].text) > 80
            share = 0.9 if long_first else 0.3
            assert vote.verdict.winner == ("A" if long_first else "B")
            assert vote.probability == pytest.approx(share if vote.order == "given" else 1 - share)
            assert vote.generation.verdict_mass == (0.9 if form == "systemone" else None)
        assert one.problem == ("split_vote" if first.winner != second.winner else None)
    assert main(["show", str(run), "--limit", "1"]) == 0
    assert "chose" in capsys.readouterr().out
    assert main(["calibrate", str(run), "-o", str(tmp_path / "c.json")]) == 0
    with FaultyServer(only(form, decide(longer))) as server:
        # Going on asks nothing, and re-reading by another rule changes nothing.
        assert judge(server, pairs, "--order", "both", "-o", run) == 2  # another address is another server
    assert "base_url" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behave", "problem", "reason"),
    [
        (only("systemone", decide(mass=0.4)), "no_verdict", None),
        (decide(lambda call: 0.5), "ambiguous", None),
        (
            lambda call: Answer(body={"answers": [{"type": "choice", "choice": "Chatbot A"}]}),
            "generation_failed",
            "the answer has no probabilities: 'None' tells only its choice",
        ),
        (
            lambda call: failure(422, "questions: input should be an object"),
            "generation_failed",
            "HTTP 422: questions: input should be an object",
        ),
        (
            lambda call: failure(400, "This model's maximum context length is 512 tokens, not 900"),
            "prompt_too_long",
            None,
        ),
    ],
)
def test_what_is_no_verdict_is_counted(
    behave: Callable[[Call], Answer], problem: str, reason: str | None, pairs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with FaultyServer(behave) as server:
        code = judge(server, pairs, "-o", run, "--limit", 8)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["problems"] == {problem: 8} and summary["winners"] == {"none": 8}
    assert list(summary["failures"]) == ([] if reason is None else [reason])
    assert code == (0 if problem in ("no_verdict", "ambiguous") else 1)
    assert "reliability" not in summary


def test_a_refusal_is_a_failure_of_its_pair(pairs: Path, tmp_path: Path) -> None:
    plain = decide()

    def behave(call: Call) -> Answer:
        if "Question 3:" in call.item:
            return Answer(body={"answers": [{"type": "refusal", "name": "better"}], "model": "judge"})
        return plain(call)

    run = tmp_path / "run"
    with FaultyServer(behave) as server:
        assert judge(server, pairs, "-o", run, "--limit", 8) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["failures"] == {"the model declined to answer (refusal)": 1}
    assert summary["problems"] == {"generation_failed": 1}


@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (
            lambda call: MISSING,
            "has no decision endpoint for 'judge': /decisions answers HTTP 404: Not Found; "
            "/systemone answers HTTP 404: Not Found",
        ),
        (
            lambda call: (
                MISSING
                if call.path.endswith("/decisions")
                else failure(501, "The model does not support the structured decision API")
            ),
            "/systemone answers HTTP 501: The model does not support the structured decision API",
        ),
        (lambda call: failure(401, "bad key"), "refuses the key: HTTP 401: bad key; set the environment"),
        (lambda call: Answer(body={"error": "Unexpected endpoint"}), "has no decision endpoint for 'judge'"),
    ],
)
def test_a_server_of_no_use_ends_the_run_in_one_line(
    behave: Callable[[Call], Answer],
    told: str,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FaultyServer(behave) as server:
        assert judge(server, pairs, "-o", tmp_path / "run", "--quiet") != 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rmr1:")]
    assert len(lines) == 1 and told in lines[0]


def test_a_model_that_is_not_served_is_named(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultyServer(lambda call: failure(404, "no such model"), models=("other",)) as server:
        assert judge(server, pairs) != 0
    assert "does not serve model 'judge'; it serves other" in capsys.readouterr().err


def test_a_run_that_fails_at_everything_is_stopped(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = {"answers": [{"type": "choice", "choice": "Chatbot A"}], "model": "judge"}
    with FaultyServer(lambda call: Answer(body=silent)) as server:
        assert judge(server, pairs, "-o", tmp_path / "run", "--quiet") == 1
    assert "the first 20 items failed, all in the same way: the answer has no prob" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("-n", "4"), "leave temperature, num_samples out"),
        (("--temperature", "0.5"), "leave temperature out"),
        (("--guide",), "leave guide out"),
        (("--rule", "tail"), "leave rule out"),
        (("--max-new-tokens", "5"), "leave max_new_tokens out"),
        (("--family", "direct"), "'direct' asks for a verdict in writing"),
        (("--family", "rating"), "shows 1 answers"),
        (("--device", "cpu"), "unknown key 'engine.device'"),
    ],
)
def test_what_means_nothing_to_a_decision_is_refused(
    given: tuple[str, ...], told: str, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["judge", str(pairs), "-m", "decisions:m@http://127.0.0.1:9/v1", *given])
    printed = capsys.readouterr()
    assert code == 2 and told in printed.err and printed.err.count("\n") == 1


def test_a_dry_run_counts_requests(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = "decisions:gpt-4o@http://127.0.0.1:9/v1"
    command = ["judge", str(pairs), "-m", model, "--order", "both", "--dry-run"]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["prompts"], said["texts"]) == (80, 0) and said["completion_tokens"]["most"] == 0
    assert said["cost_usd"]["expected"] == said["cost_usd"]["most"] > 0
    assert said["seconds"] == 2.5  # 80 requests, 32 at a time, a second each
    assert main(command) == 0
    assert "80 (order both, a request each)" in capsys.readouterr().out


def test_the_doctor_asks_for_a_decision(capsys: pytest.CaptureFixture[str]) -> None:
    with FaultyServer(only("systemone", decide(mass=0.125))) as server:
        name = f"decisions:judge@{server.base_url}"
        assert main(["doctor", name]) == 0
        told = capsys.readouterr().out
        assert "decisions are asked at /systemone" in told and "labels have 0.125 of the probability" in told
        assert f"can judge: rmr1 judge pairs.jsonl -m {name}" in told
        assert main(["doctor", f"decisions:jugde@{server.base_url}"]) == 1
        assert "did you mean 'judge'?" in capsys.readouterr().out
    with FaultyServer(lambda call: MISSING) as server:
        assert main(["doctor", f"decisions:judge@{server.base_url}"]) == 1
        assert "has no decision endpoint for 'judge'" in capsys.readouterr().out


def test_a_cascade_over_two_servers(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def small(call: Call) -> float:
        return 0.95 if len(answer_of(call)) > 80 else 0.55

    def writes(call: Call) -> Answer:
        return good(usage={"prompt_tokens": count_tokens(call.item), "completion_tokens": 5})

    with FaultyServer(decide(small)) as first, FaultyServer(writes) as second:
        cheap, dear = f"decisions:judge@{first.base_url}", f"openai:judge@{second.base_url}"
        command = ["judge", str(pairs), "--cascade", f"{cheap},direct@{dear}", "--quiet"]
        assert main([*command, "-o", str(tmp_path / "all")]) == 0
        assert (len(first.calls), len(second.calls)) == (40, 40)
        summary = json.loads((tmp_path / "all" / "summary.json").read_text())
        asked = [sum(count_tokens(call.item) for call in server.calls) for server in (first, second)]
        tokens = summary["stage_tokens"]
        assert tokens[cheap] == {"prompt_tokens": asked[0], "completion_tokens": 40}
        assert tokens[f"direct@{dear}"] == {"prompt_tokens": asked[1], "completion_tokens": 200}
        assert summary["prompt_tokens"] == sum(asked) and summary["cost_usd"] is None
        described = json.loads((tmp_path / "all" / "run.json").read_text())
        assert [*described["model"]["stages"]] == [cheap, f"direct@{dear}"]
        assert described["model_name"] == f"{cheap}, {dear}"
        assert described["notes"] == [f"{cheap}: decisions are asked at /decisions, in OpenAI's form"]
        thresholds = tmp_path / "cascade.json"
        values = {
            "thresholds": [0.9, 0.5],
            "stages": [cheap, f"direct@{dear}"],
            "risk": 0.1,
            "delta": 0.1,
            "judge": {name: described[name] for name in ("model", "prompt", "settings")},
            "pairs": 40,
            "accepted": [10, 0],
            "wrong": [0, 0],
        }
        values["judge"]["settings"].pop("seed")
        thresholds.write_text(json.dumps(values))
        run = tmp_path / "some"
        first.calls.clear()
        second.calls.clear()
        calibrated = ["judge", str(pairs), "--calibration", str(thresholds)]
        assert main([*calibrated, "--quiet", "-o", str(run)]) == 0
        judgments = [one for _, one in read_judgments(run)]
        sure = [one for one in judgments if len(one.stages) == 1]
        assert 0 < len(sure) < 40 == len(first.calls) and len(second.calls) == 40 - len(sure)
        for one in sure:
            assert one.votes[0].verdict.winner == "A" and one.stages[0].probability in (
                pytest.approx(0.95),
                pytest.approx(0.05),
            )
        # Another model in a stage is another cascade.
        other = [
            *command[:3],
            f"{cheap},direct@openai:other@{second.base_url}",
            "--calibration",
            str(thresholds),
        ]
        capsys.readouterr()
        assert main(other) == 2
        assert "fitted for another judge: model.stages" in capsys.readouterr().err
        # What is known before the run: the first stage for all pairs, and at most both.
        assert main([*calibrated, "--dry-run", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["at_least"]["prompts"], said["at_most"]["prompts"]) == (40, 80)
        assert [one["stage"] for one in said["stages"]] == [cheap, f"direct@{dear}"]
        assert said["at_least"]["completion_tokens"]["most"] == 0
        assert said["at_most"]["completion_tokens"]["most"] == 40 * 8192
        assert main([*command[:-1], "--dry-run"]) == 0
        told = capsys.readouterr().out
        assert "every stage is asked about every pair" in told and "In all, at most" in told


def test_a_first_stage_that_never_answers_is_not_passed_over_in_silence(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = decide()

    def behave(call: Call) -> Answer:
        return failure(422, "no") if "Question 3:" in call.item else plain(call)

    run = tmp_path / "run"
    with FaultyServer(behave) as first, FaultyServer(lambda call: good()) as second:
        stages = f"decisions:judge@{first.base_url},direct@openai:judge@{second.base_url}"
        command = ["judge", str(pairs), "--cascade", stages, "--quiet"]
        assert main([*command, "-o", str(run), "--limit", "8"]) == 0
        printed = capsys.readouterr().out
        assert "no verdict of 1 pairs (generation_failed 1)" in printed and "failed: 1" in printed
        summary = json.loads((run / "summary.json").read_text())
        assert summary["failures"] == {"HTTP 422: no": 1}
        assert "none" not in summary["winners"]  # the second stage has decided it
        first.behaviour = lambda call: failure(422, "never")
        assert main([*command, "-o", str(tmp_path / "never")]) == 1
    assert "failed at the first 20 items: HTTP 422: never" in capsys.readouterr().err
