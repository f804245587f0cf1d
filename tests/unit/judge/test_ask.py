"""The loop that asks: what is on the wire, what is stored and when, and when it gives up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from rmr1.distill.run import run_distill
from rmr1.engines.base import Request, SamplingParams, Score, ScoreRequest
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import StoppedError
from rmr1.judge import GenerativeJudge, JudgeSettings, ScalarJudge
from rmr1.judge.alarm import FIRST_ALIKE, Alarm, level_failure
from rmr1.judge.ask import Ask, Steps, ask_all
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Generation, JudgePrompt, Judgment, PreferencePair, Verdict, Vote
from rmr1.store.keys import content_digest, format_key, seed_for
from rmr1.store.runs import open_run, read_judgments
from tests.unit.distill.pairs import good_text, make_recipe, write_pairs

VERDICT = "<answer>[[A]]</answer>"


def make_pairs(number: int, others: int = 0) -> list[PreferencePair]:
    return [
        PreferencePair(
            id=str(index),
            prompt=(user(f"q{index}"),),
            response_a=(assistant("a"),),
            response_b=(assistant("b"),),
            others=tuple((assistant(f"other {other}"),) for other in range(others)),
        )
        for index in range(number)
    ]


class Server(ScriptedEngine):
    """Answers in windows, backwards, and keeps what it was asked; `failures` by the number of the request."""

    def __init__(self, failures: dict[int, str] | None = None, *, text: str = VERDICT, window: int = 1):
        super().__init__([text], "server")
        self.failures = failures or {}
        self.asked: list[Request] = []
        self.window = window
        self.notes: tuple[str, ...] = ()
        self.is_cancelled = False

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        stream = iter(requests)
        try:
            while window := list(islice(stream, self.window)):
                numbers = range(len(self.asked), len(self.asked) + len(window))
                self.asked += window
                for number, request in reversed(list(zip(numbers, window, strict=True))):
                    # As an engine in another process does it: what comes back is equal, not the same.
                    yield replace(request), self._give(number, request.prompt, params)
        finally:
            self.is_cancelled = True

    def _give(self, number: int, prompt: JudgePrompt, params: SamplingParams) -> tuple[Generation, ...]:
        reason = self.failures.get(number)
        if reason is None:
            return tuple(self._answer(prompt, sample, params) for sample in range(params.num_samples))
        kind = "skipped" if reason.startswith("prompt of") else "error"
        return (Generation(text="", finish_reason=kind, error=reason),) * params.num_samples


class Scores:
    """A scorer that fails as it is told."""

    name = "scores"

    def __init__(self, failures: Sequence[str | None]):
        self.failures = failures
        self.asked: list[ScoreRequest] = []

    def fingerprint(self) -> dict[str, object]:
        return {}

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        for request in requests:
            reason = self.failures[len(self.asked)]
            self.asked.append(request)
            if reason is None:
                yield request, Score(value=float(len(self.asked)))
            else:
                yield request, Score(value=None, problem="generation_failed", error=reason)

    def close(self) -> None: ...


def make_judge(engine: ScriptedEngine, **settings: Any) -> GenerativeJudge:
    return GenerativeJudge(engine, load_family("direct"), JudgeSettings(**settings))


def key_of(pair: PreferencePair) -> str:
    return format_key(content_digest(pair), 0)


def test_keys_and_seeds_on_the_wire_are_those_of_old_runs(tmp_path: Path) -> None:
    """Idempotency keys and sampling seeds are made of them: a run that goes on asks as it has begun."""
    (one,), (four,) = make_pairs(1), make_pairs(1, others=2)
    engine = Server()
    list(make_judge(engine, order="both", seed=7).run([one]))
    assert {(request.key, request.seed) for request in engine.asked} == {
        (f"{key_of(one)}/{order}", seed_for(7, "sampling", key_of(one), order))
        for order in ("given", "swapped")
    }
    engine = Server()
    settings = JudgeSettings(order="given", seed=3)
    rating, choice = load_family("rating"), load_family("four_way")
    list(GenerativeJudge(engine, rating, settings, choice=choice).run([one, four]))
    assert [(request.key, request.seed) for request in engine.asked] == [
        (f"{key_of(pair)}/{order}", seed_for(3, "sampling", key_of(pair), order))
        for pair, order in ((one, "given"), (one, "swapped"), (four, "given"))
    ]
    scorer = Scores([None, None])
    list(ScalarJudge(scorer).run([one]))
    assert [request.key for request in scorer.asked] == [f"{key_of(one)}/A", f"{key_of(one)}/B"]
    engine, second = Server(text=good_text("B")), Server(text=good_text("A"))
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "A"), seed=5)
    run_distill(recipe, tmp_path / "out", engines={1: engine, 2: second})
    ((key, _),) = read_judgments(tmp_path / "out", file="pass1.jsonl")
    assert [(one.key, one.seed) for one in (*engine.asked, *second.asked)] == [
        (f"{key}/given/{number}", seed_for(5, f"pass{number}", key, "given")) for number in (1, 2)
    ]


def test_answers_find_their_items_in_whatever_sequence_they_come() -> None:
    pairs = make_pairs(9)
    engine = Server({number: f"HTTP 500: {number}" for number in range(0, 18, 2)}, window=18)
    judged = list(make_judge(engine, order="both").run(pairs))
    assert [judgment.pair.id for _, judgment in judged] == [str(number) for number in range(9)][::-1]
    for key, judgment in judged:
        assert key == key_of(judgment.pair)
        first, second = judgment.votes
        # The drawn order is asked first, and stands first; it is the one that fails.
        assert first.generation.error == f"HTTP 500: {2 * int(judgment.pair.id)}"
        assert second.generation.text == VERDICT and {first.order, second.order} == {"given", "swapped"}


def test_items_that_want_the_same_answer_wait_for_one_request() -> None:
    seen: list[str] = []

    def steps(name: str) -> Steps[Request, tuple[Generation, ...]]:
        prompt = JudgePrompt(pair_id=name, family="direct", order="given", messages=(user("q"),))
        ((first,),) = yield (Request(key="shared", prompt=prompt),)
        ((second,),) = yield (Request(key=name, prompt=prompt),)
        seen.append(f"{name} {first.text == second.text == VERDICT}")
        return Judgment(pair=make_pairs(1)[0], family="direct", rule="tagged", winner="A")

    engine = Server(window=3)
    asks = [Ask(key=name, steps=steps(name)) for name in "abcd"]
    done = ask_all(asks, lambda requests: engine.generate(requests, SamplingParams()), models=(engine,))
    assert sorted(key for key, _ in done) == ["a", "b", "c", "d"]
    # of those that came before the first answer, and of those that came behind it
    keys = [request.key for request in engine.asked]
    assert sorted(seen) == [f"{name} True" for name in "abcd"] and sorted(set(keys)) == [
        "a",
        "b",
        "c",
        "d",
        "shared",
    ]
    assert len(keys) == 5


def test_a_judgment_is_on_disk_before_it_is_handed_out_and_the_rest_is_cancelled(tmp_path: Path) -> None:
    engine = Server()
    with open_run(tmp_path / "run", {"model": {}}) as run:
        judgments: Any = make_judge(engine).run(make_pairs(5), run=run)
        for number, (key, judgment) in enumerate(judgments, 1):
            assert list(read_judgments(tmp_path / "run"))[-1] == (key, judgment)
            # Pulled one by one, never ahead of the engine.
            assert len(engine.asked) == number
            if number == 3:
                break
        assert not engine.is_cancelled
        judgments.close()
        assert engine.is_cancelled and len(engine.asked) == 3


def test_what_was_found_out_about_a_server_is_kept_with_the_run(tmp_path: Path) -> None:
    engine, folder = Server(), tmp_path / "run"

    def notes() -> list[str]:
        return json.loads((folder / "run.json").read_text()).get("notes", [])

    with open_run(folder, {"model": {"m": 1}}) as run:
        for number, _ in enumerate(make_judge(engine).run(make_pairs(4), run=run)):
            # At once, so that a kill loses none.
            assert notes() == [f"server: {note}" for note in engine.notes]
            engine.notes = ("no n",) if number < 2 else ("no n", "no seed")
    engine.notes = ("no seed", "no top_p")
    with open_run(folder, {"model": {"m": 1}}) as run:
        list(make_judge(engine).run(make_pairs(5), run=run))
    assert notes() == ["server: no n", "server: no seed", "server: no top_p"]
    engine.notes = tuple(f"item {number} is odd" for number in range(99))
    with open_run(folder, {"model": {"m": 1}}) as run:
        list(make_judge(engine).run(make_pairs(6), run=run))
    assert len(notes()) == 50 and notes()[:3] == ["server: no n", "server: no seed", "server: no top_p"]


SAME = [
    f"HTTP 500 after {number} tries: no worker for 'req {number}' (id chatcmpl-{number}f)"
    for number in range(120)
]


def judge_some(
    failures: dict[int, str], number: int = 40, **options: Any
) -> tuple[list[Judgment], str | None]:
    judged: list[Judgment] = []
    try:
        for _, judgment in make_judge(Server(failures, **options)).run(make_pairs(number)):
            judged.append(judgment)
    except StoppedError as error:
        return judged, str(error)
    return judged, None


def test_twenty_failures_alike_stop_a_run_that_has_no_answer() -> None:
    judged, said = judge_some(dict(enumerate(SAME)))
    assert len(judged) == FIRST_ALIKE == 20
    # The last one, as it was: numbers and quotations are levelled to compare, not to tell.
    assert said == f"stopped: the first 20 items failed, all in the same way: {SAME[19]}"


@pytest.mark.parametrize(
    "failures",
    [
        pytest.param(dict(enumerate(SAME[:19])), id="the first 19"),
        pytest.param(dict(enumerate(SAME)) | {0: "HTTP 503: busy"}, id="another first"),
        pytest.param(dict(enumerate(SAME)) | {19: SAME[0].replace("500", "502")}, id="another status"),
        pytest.param({number: one for number, one in enumerate(SAME) if number != 7}, id="one answer"),
        pytest.param({number: f"prompt of {number} tokens" for number in range(40)}, id="too long"),
    ],
)
def test_a_run_with_an_answer_or_other_failures_goes_on(failures: dict[int, str]) -> None:
    judged, said = judge_some(failures, number=39)
    assert said is None and len(judged) == 39


@pytest.mark.parametrize(
    "failures",
    [
        pytest.param(
            ["HTTP 500: no luck, trace " + "abcdefgh"[n % 8] + "xyz"[n % 3] for n in range(60)], id="letters"
        ),
        pytest.param(
            [SAME[n].replace("500", "502") if n % 2 else SAME[n] for n in range(60)], id="two kinds"
        ),
    ],
)
def test_forty_failures_of_any_kind_stop_a_run_that_has_no_answer(failures: list[str]) -> None:
    judged, said = judge_some(dict(enumerate(failures)), number=60)
    assert len(judged) == 40 and said == f"stopped: the first 40 items failed: {failures[39]}"
    # One answer, and they are the items' own matter.
    judged, said = judge_some({n: one for n, one in enumerate(failures) if n != 38}, number=60)
    assert len(judged) == 60 and said is None


def test_fifty_failures_alike_in_a_row_stop_a_run_that_has_answers() -> None:
    failures = {number: SAME[number] for number in range(30, 120)}
    judged, said = judge_some(failures, number=120)
    assert len(judged) == 80 and said == f"stopped: 50 items in a row failed in the same way: {SAME[79]}"
    # An answer, or another way to fail, begins a row anew; a prompt that is too long does neither.
    for between, is_stopped in ((None, False), ("HTTP 502: gone", False), ("prompt of 9 tokens", True)):
        changed = {**failures, **dict.fromkeys((70, 110), between)}
        kept = {number: reason for number, reason in changed.items() if reason is not None}
        judged, said = judge_some(kept, number=120)
        assert (said is not None) is is_stopped and len(judged) == (81 if is_stopped else 120)


def test_what_a_server_refuses_for_its_content_stops_no_run_that_has_answers() -> None:
    alarm = Alarm(has_answers=True)
    for is_refused, is_stopped in ((True, False), (False, True)):
        failed = Generation(text="", finish_reason="error", error="HTTP 400: flagged", is_refused=is_refused)
        (pair,) = make_pairs(1)
        vote = Vote(order="given", sample=0, generation=failed, verdict=Verdict(winner=None))
        for _ in range(60):
            alarm.update(Judgment(pair=pair, family="direct", rule="final", winner=None, votes=(vote,)))
        assert (alarm.cause is not None) is is_stopped


def test_prompts_that_are_too_long_say_nothing_of_the_server() -> None:
    failures = {number: f"prompt of {number} tokens" if number % 2 else SAME[number] for number in range(40)}
    judged, said = judge_some(failures)
    assert said is not None and len(judged) == 39


def test_fewer_than_twenty_items_end_as_any_run() -> None:
    judged, said = judge_some(dict(enumerate(SAME)), number=19)
    assert said is None and len(judged) == 19 and {one.problem for one in judged} == {"generation_failed"}


def test_what_the_run_held_before_counts(tmp_path: Path) -> None:
    """A run with one answer goes on for longer; one whose items failed all is stopped again."""
    for name, first, is_stopped in (("answered", {}, False), ("failed", dict(enumerate(SAME)), True)):
        with open_run(tmp_path / name, {"model": {}}) as run:
            list(make_judge(Server(first)).run(make_pairs(1), run=run))
        with open_run(tmp_path / name, {"model": {}}) as run:
            judgments = make_judge(Server(dict(enumerate(SAME)))).run(make_pairs(41), run=run)
            if is_stopped:
                with pytest.raises(
                    StoppedError, match="retry_failed=True asks again, without it a repetition goes on"
                ):
                    list(judgments)
            else:
                assert len(list(judgments)) == 40
        assert len(list(read_judgments(tmp_path / name))) == (21 if is_stopped else 41)
        with open_run(tmp_path / name, {"model": {}}, retry_failed=True) as run:
            assert len(list(make_judge(Server()).run(make_pairs(41), run=run))) == (41 if is_stopped else 40)
        assert all(one.winner for _, one in read_judgments(tmp_path / name))


def test_scores_that_fail_alike_stop_a_run_as_well() -> None:
    scorer = Scores([f"conversation has token {number}" for number in range(80)])
    judged = []
    with pytest.raises(StoppedError, match=r"failed, all in the same way: conversation has token 38$"):
        judged += ScalarJudge(scorer).run(make_pairs(40))
    assert len(scorer.asked) == 40  # two answers an item
    scorer = Scores([*SAME[:38], None, None, *SAME[:39], *SAME[:39]])
    assert len(list(ScalarJudge(scorer).run(make_pairs(40)))) == 40


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("HTTP 500 after 1 try: boom", "HTTP 500 after 1 try: boom", True),
        ("no complete answer within 30 s", "no complete answer within 60 s", True),
        ("HTTP 500: request 8f3a-17 failed", "HTTP 500: request 99c failed", True),
        ("HTTP 400: invalid value 'the sky'", "HTTP 400: invalid value 'a sea'", True),
        ('HTTP 400: no "a" for `b`', 'HTTP 400: no "c" for `d`', True),
        ("HTTP 500: " + "x" * 90 + " a", "HTTP 500: " + "x" * 90 + " b", True),
        ("HTTP 500: boom", "HTTP 502: boom", False),
        ("HTTP 500: boom", "HTTP 500: bang", False),
        ("connection lost", "no connection", False),
    ],
)
def test_failures_of_one_kind(one: str, other: str, is_same: bool) -> None:
    assert (level_failure(one) == level_failure(other)) is is_same
