"""Several models in one asking loop: names of stages, whose requests go where, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from math import log
from pathlib import Path
from typing import Any

import pytest

from rmr1 import Judge
from rmr1.engines.base import Request, SamplingParams, Score, ScoreRequest
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.judge import routing
from rmr1.judge.alarm import Alarm
from rmr1.judge.calibrate import CascadeThresholds, identify_judge, write_calibration
from rmr1.judge.cascade import CascadeJudge
from rmr1.judge.config import JudgeConfig
from rmr1.judge.decision import DecisionJudge
from rmr1.judge.identity import begin_run, describe_run
from rmr1.judge.load import load_judge, plan_stages
from rmr1.judge.routing import Routed, answer_together
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.stages import StageName, needs_own_model, parse_stage, parse_stages
from rmr1.judge.summary import Tally, describe_cost
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Generation, JudgePrompt, PreferencePair, StageResult
from rmr1.store.runs import open_run

URL = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("text", "family", "votes", "model"),
    [
        ("direct", "direct", 1, None),
        ("votes:8", None, 8, None),
        ("direct@tiny", "direct", 1, "tiny"),
        ("votes:8@openai:big@" + URL, None, 8, "openai:big@" + URL),
        ("@tiny-scalar", None, 1, "tiny-scalar"),
        ("decisions:a@b@" + URL, None, 1, "decisions:a@b@" + URL),
        ("own@decisions:m@" + URL, "own", 1, "decisions:m@" + URL),
        ("@vllm:org/name", None, 1, "vllm:org/name"),
    ],
)
def test_names_of_stages(text: str, family: str | None, votes: int, model: str | None) -> None:
    assert parse_stage(text) == StageName(text=text, family=family, votes=votes, model=model)


def test_a_path_that_exists_is_a_family(tmp_path: Path) -> None:
    folder = tmp_path / "prompts@home"
    folder.mkdir()
    assert parse_stage(str(folder)) == StageName(text=str(folder), family=str(folder))


@pytest.mark.parametrize("text", ["", "direct@", "votes:x@tiny", "votes:1@tiny"])
def test_malformed_stages_do_not_show_a_password(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        parse_stage(text)
    with pytest.raises(ConfigError) as caught:
        parse_stages([f"rubric@openai:m@http://me:secret@host/v1 {text}"] * 2)
    assert "secret" not in str(caught.value) and "host/v1" in str(caught.value)


def test_whether_the_own_model_is_asked() -> None:
    assert needs_own_model(None) and needs_own_model(["direct", "direct@tiny"])
    assert not needs_own_model(["@tiny-scalar", "direct@tiny"])


class Decides:
    """P(the prompt's A) by a table of the first response's text."""

    name = "decides"
    least_label_mass = 0.5
    notes = ("it is a table",)

    def __init__(self, table: dict[str, float], mass: float | None = None):
        self.table = table
        self.mass = mass
        self.batches: list[list[str]] = []
        self.is_closed = False

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "table", "table": self.table}

    def decide(self, requests: Iterable[Request]) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        self.batches.append([])
        source = iter(requests)
        while window := list(islice(source, 4)):
            self.batches[-1] += [one.key for one in window]
            yield from map(self._answer, reversed(window))

    def _answer(self, request: Request) -> tuple[Request, tuple[Generation, ...]]:
        text = request.prompt.messages[-1].text
        shown = text.partition("Chatbot A's Response]\n")[2].partition("\n")[0]
        p = self.table[shown] if shown in self.table else 1 - self.table["a"]
        if p < 0:
            return request, (Generation(text="", finish_reason="error", error="it declines"),)
        logprobs = tuple((label, log(q) if q else -9999.0) for label, q in (("A", p), ("B", 1 - p)))
        return (
            request,
            (
                Generation(
                    text="",
                    finish_reason="stop",
                    prompt_tokens=7,
                    completion_tokens=1,
                    verdict_logprobs=logprobs,
                    verdict_mass=self.mass,
                ),
            ),
        )

    def close(self) -> None:
        self.is_closed = True


class Scores:
    name = "scores"

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "lengths"}

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        for request in requests:
            yield request, Score(value=float(len(request.messages[-1].text)), prompt_tokens=3)

    def close(self) -> None:
        pass


def pair(number: int, a: str = "a", b: str = "b", label: Any = "A") -> PreferencePair:
    return PreferencePair(
        id=str(number),
        prompt=(user(f"q{number}"),),
        response_a=(assistant(a),),
        response_b=(assistant(b),),
        label=label,
    )


def decision(p: float, mass: float | None = None) -> DecisionJudge:
    settings = JudgeSettings(order="given")
    return DecisionJudge(Decides({"a": p}, mass), load_family("decision"), settings)


@pytest.mark.parametrize(
    ("p", "mass", "winner", "problem", "probability"),
    [
        (0.75, None, "A", None, 0.75),
        (0.25, 0.5, "B", None, 0.25),
        (0.75, 0.49, None, "no_verdict", None),
        (0.5, None, None, "ambiguous", None),
        (1.0, 1.0, "A", None, 1.0),
        (-1.0, None, None, "generation_failed", None),
    ],
)
def test_a_decision_is_a_vote_without_a_text(
    p: float, mass: float | None, winner: str | None, problem: str | None, probability: float | None
) -> None:
    from rmr1.verdicts.probability import tell_probability

    ((_, one),) = decision(p, mass).run([pair(0)])
    assert (one.winner, one.problem, one.family, one.rule) == (winner, problem, "decision", "decision")
    assert tell_probability(one) == (None if probability is None else pytest.approx(probability))
    from rmr1.judge.votes import read_again

    assert read_again(one, "tail") is one


def test_both_orders_see_the_place() -> None:
    """P(first) is 0.9 for "a" first and 0.6 for "b" first: the pair's A by the mean of 0.9 and 0.4."""
    model = Decides({"a": 0.9, "b": 0.6})
    for vote_by, winner in (("majority", None), ("probability", "A")):
        settings = JudgeSettings(
            order="both",
            vote_by=vote_by,  # type: ignore[arg-type]
            sampling=SamplingParams(verdict_logprobs=True),
        )
        ((_, one),) = DecisionJudge(model, load_family("decision"), settings).run([pair(0)])
        assert one.winner == winner
        tally = Tally()
        tally.add(one)
        assert (tally.orders.decided, tally.orders.first, tally.orders.second) == (1, 1, 0)
    assert one.confidence == pytest.approx(0.65)


def cascade(
    monkeypatch: pytest.MonkeyPatch, names: list[str], models: dict[str, Any], **more: Any
) -> CascadeJudge:
    """The cascade with these models for its names."""
    kinds = {Decides: "decides", Scores: "scores"}
    monkeypatch.setattr(
        "rmr1.judge.load.find_kind",
        lambda model, options=None: (
            kinds.get(type(models[model]), "writes") if isinstance(model, str) else "writes"
        ),
    )
    for load in ("load_engine", "load_scorer", "load_decider"):
        monkeypatch.setattr(f"rmr1.judge.load.{load}", lambda model, options: models[model])
    judge = load_judge(more.pop("model", None), cascade=names, **more)
    assert isinstance(judge, CascadeJudge)
    return judge


def test_three_kinds_of_models_in_one_cascade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = Decides({"a": 0.95, "aa": 0.6, "aaa": 0.2, "no": -1.0})
    writes = ScriptedEngine(["<answer>[[B]]</answer>"], "writes")
    models = {"first": table, "second": Scores(), "third": writes}
    names = ["@first", "@second", "direct@third"]
    judge = cascade(monkeypatch, names, models, settings=JudgeSettings(order="given"))
    described = judge.describe()
    assert described["model"] == {
        "stages": {
            "@first": table.fingerprint(),
            "@second": {"engine": "lengths"},
            "direct@third": writes.fingerprint(),
        }
    }
    assert described["model_name"] == judge.name == "decides, second, writes"
    assert [one["rule"] for one in described["settings"]["cascade"]] == ["decision", "scores", "tagged"]
    judge.thresholds = (0.9, 0.8, None)
    # Scores differ by the answers' lengths: 1 is not sure enough (0.73), 2 is (0.88).
    pairs = [
        pair(0, "a", "bb"),
        pair(1, "aa", "bbbb", label="B"),
        pair(2, "aa", "bbb"),
        pair(3, "no", "bb"),
    ]
    description = describe_run("judge", judge, data=None)
    with open_run(tmp_path / "run", description) as run:
        found = {one.pair.id: one for _, one in judge.run(pairs, run=run)}
    asked = {name: [result.stage for result in one.stages] for name, one in found.items()}
    assert asked == {"0": names[:1], "1": names[:2], "2": names, "3": names}
    assert (found["0"].winner, found["0"].kind) == ("A", "pair")
    assert (found["1"].winner, found["1"].kind, found["1"].scores) == ("B", "score", (2.0, 4.0))
    assert (found["2"].winner, found["2"].problem) == (None, "abstained")
    assert found["3"].stages[0].error == "it declines" and found["3"].stages[0].problem == "generation_failed"
    assert found["1"].prompt_tokens == 7 + 6
    tally = Tally()
    for one in found.values():
        tally.add(one)
    summary = tally.summary()
    assert summary["stages"] == {"@first": 1, "@second": 1}
    assert summary["stage_problems"]["@first"] == {"generation_failed": 1}
    assert (summary["failed"], summary["failures"]) == (1, {"it declines": 1})
    assert summary["stage_tokens"]["@second"] == {"prompt_tokens": 18, "completion_tokens": 0}
    assert describe_cost(summary, judge) == {}  # nobody bills
    assert (tmp_path / "run" / "run.json").read_text().count("it is a table") == 1
    judge.close()
    assert table.is_closed


def test_costs_are_those_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    from rmr1.forecast.prices import Price

    table, writes = Decides({"a": 0.6}), ScriptedEngine(["<answer>[[B]]</answer>"], "writes")
    table.price = Price(1.0, 0.0)  # type: ignore[attr-defined]
    judge = cascade(monkeypatch, ["@first", "direct@third"], {"first": table, "third": writes})
    summary = {"stage_tokens": {"@first": {"prompt_tokens": 10**6, "completion_tokens": 5}}}
    told = describe_cost(summary, judge)
    assert told["cost_usd"] == 1.0 and [*told["price_usd"]] == ["@first"]
    writes.price = None  # type: ignore[attr-defined]
    assert describe_cost(summary, judge) == {"cost_usd": None, "price_usd": None}


def test_models_are_asked_in_large_batches_and_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MOST_WAITING", 8)
    pulled: list[int] = []

    def stream() -> Iterator[PreferencePair]:
        for number in range(100):
            pulled.append(number)
            yield pair(number)

    first, second = Decides({"a": 0.6}), Decides({"a": 0.7})
    second.name = "other"
    judge = cascade(monkeypatch, ["@first", "@second"], {"first": first, "second": second})
    done = 0
    most_ahead = 0
    for _, one in judge.run(stream()):
        done += 1
        most_ahead = max(most_ahead, len(pulled) - done)
        assert [result.probability for result in one.stages] == pytest.approx([0.6, 0.7])
    assert done == 100
    keys = [sorted(key for batch in model.batches for key in batch) for model in (first, second)]
    assert keys[0] == keys[1] and len(keys[0]) == 100  # each model about each pair, once
    assert 8 <= max(map(len, second.batches)) <= 16 and most_ahead <= 32


def test_one_stream_serves_every_stage_of_a_model() -> None:
    """Requests for two places, an answer to one of which brings a request for the other."""
    served: list[list[str]] = [[], []]

    def serve(place: int) -> Any:
        def answer(requests: Iterator[Any]) -> Iterator[tuple[Any, str]]:
            for one in requests:
                served[place].append(one.key)
                yield one, f"{place}:{one.key}"

        return answer

    def request(key: str, place: int) -> Routed:
        prompt = JudgePrompt(pair_id=key, family="f", order="given", messages=())
        return Routed(key=key, place=place, request=Request(key=key, prompt=prompt))

    asked = [request("a", 0), request("b", 1), request("c", 0), request("d", 1)]
    answers = [(one.key, said) for one, said in answer_together([serve(0), serve(1)], iter(asked))]
    assert sorted(answers) == [("a", "0:a"), ("b", "1:b"), ("c", "0:c"), ("d", "1:d")]
    assert served == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize(
    ("names", "model", "told"),
    [
        (["rubric@first", "direct"], "third", "gives each answer a number .* leave the family out: '@first'"),
        (["votes:4@first", "direct"], "third", "and is asked once"),
        (["direct@second", "direct"], "third", "'direct' asks for a verdict in writing"),
        (["votes:4@second", "direct"], "third", "and is asked once"),
        (["@first", "direct@third"], "third", "the judge's own model would mean nothing"),
        (["@first", "direct"], "first", "leave cascade out"),
        (["@first", "rating@third"], None, "shows 1 answers, not 2"),
    ],
)
def test_stages_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, names: list[str], model: str | None, told: str
) -> None:
    models = {"first": Scores(), "second": Decides({}), "third": ScriptedEngine(["[[A]]"], "third")}
    with pytest.raises(ConfigError, match=told):
        cascade(monkeypatch, names, models, model=model)


def test_vllm_holds_one_model() -> None:
    with pytest.raises(ConfigError, match="vLLM holds one model in a process"):
        load_judge(None, cascade=["direct@vllm:a/b", "direct@vllm:a/c"])


def test_python_and_thresholds_of_another_cascade(tmp_path: Path) -> None:
    names = ["direct@scripted:longer", "rubric@scripted:hash"]
    judge = Judge(cascade=names)  # no model is named, and none is missing
    one = judge.compare("q", "a", "longer")
    assert [result.stage for result in one.stages] == names
    fitted = CascadeThresholds(
        thresholds=(0.9, None),
        stages=tuple(names),
        risk=0.1,
        delta=0.1,
        judge=identify_judge(judge.pair_judge.describe()),
        pairs=40,
        accepted=(30, 0),
        wrong=(0, 0),
    )
    write_calibration(tmp_path / "c.json", fitted)
    loaded = Judge(calibration=tmp_path / "c.json").pair_judge
    assert isinstance(loaded, CascadeJudge) and loaded.thresholds == (0.9, None)
    for other in (
        ["direct@scripted:longer", "rubric@scripted:always-a"],
        ["direct@scripted:longer", "rubric"],
    ):
        with pytest.raises(ConfigError, match="fitted for another judge"):
            Judge(
                "scripted:hash" if other[-1] == "rubric" else None,
                cascade=other,
                calibration=tmp_path / "c.json",
            )


def test_a_stage_that_fails_from_the_start_raises_the_alarm() -> None:
    alarm, judgment = Alarm(num_alike=3), next(one for _, one in decision(0.7).run([pair(0)]))
    from dataclasses import replace

    failed = StageResult(stage="x", winner=None, probability=None, error="HTTP 500")
    for number in range(3):
        assert alarm.cause is None, number
        alarm.update(replace(judgment, stages=(failed,)))
    assert alarm.cause is not None and "stage 'x' failed at the first 3 items: HTTP 500" in str(alarm.cause)
    calm = Alarm(num_alike=3)
    calm.update(replace(judgment, stages=(replace(failed, error=None, winner="A"),)))
    for _ in range(9):
        calm.update(replace(judgment, stages=(failed,)))
    assert calm.cause is None


def test_the_time_of_each_model_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dated(ScriptedEngine):
        begun: Any = "never"

        def begin_run(self, stored: Any) -> None:
            self.begun = stored

    one, two = Dated(["[[A]]"], "one"), Dated(["[[A]]"], "two")
    judge = cascade(monkeypatch, ["direct@one", "direct@two"], {"one": one, "two": two})
    begin_run(judge, {"stages": {"direct@one": {"template_time": 1}, "direct@two": {"template_time": 2}}})
    assert (one.begun, two.begun) == ({"template_time": 1}, {"template_time": 2})
    alone = load_judge(Dated(["[[A]]"], "alone"), cascade=["direct", "rubric"])
    begin_run(alone, {"template_time": 3})
    assert alone.engine.begun == {"template_time": 3}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "model", "limit"),
    [
        ({}, "tiny", 1024),
        ({"cascade": ["@tiny-scalar", "direct"]}, "tiny", 1024),
        ({"cascade": ["@tiny-scalar", "direct@scripted:hash"]}, None, 8192),
        ({"model": "scripted:longer", "cascade": ["direct", "rubric"]}, "scripted:longer", 8192),
        ({"cascade": ["votes:1"]}, "tiny", 1024),  # which loading the judge refuses
    ],
)
def test_the_bundled_model_is_not_meant_where_stages_name_all(
    values: dict[str, Any], model: str | None, limit: int
) -> None:
    config = JudgeConfig.from_values(values, "test")
    assert (config.asked_model, config.sampling.max_new_tokens) == (model, limit)


def test_a_stage_writes_no_more_than_its_model_can() -> None:
    names = ["direct@tiny", "votes:4@scripted:hash"]
    plans = plan_stages(names, None, None, JudgeSettings())
    limits = [one.settings.sampling.max_new_tokens for one in plans]
    assert limits == [1024, 8192] and [one.settings.sampling.num_samples for one in plans] == [1, 4]
    assert [one.family.name for one in plans if one.family is not None] == ["direct", "rubric"]
