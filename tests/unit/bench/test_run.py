"""Live runs with known-answer judges, resuming, and scoring what exists."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, log

import pytest

from rmr1.bench.results import check_baseline
from rmr1.bench.run import (
    check_placement,
    count_pairs,
    find_asking,
    fingerprint_data,
    load_benchmark,
    open_benchmark_run,
    place_answers,
    read_again,
    read_finished,
    read_outcomes,
    read_pairs,
    score_finished,
)
from rmr1.engines.scripted import ScriptedEngine, load_scripted
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.prompts import load_family, parse_blocks
from rmr1.records import Judgment
from rmr1.store.rulings import read_rulings, ruling_of
from rmr1.store.runs import read_judgments
from rmr1.verdicts.probability import read_probability, tell_probability
from tests.unit.bench.judgments import run_benchmark

JUDGEBENCH = load_benchmark("judgebench")
RMB = load_benchmark("rmb")
REWARDBENCH = load_benchmark("rewardbench")
RM_BENCH = load_benchmark("rm-bench")
MODEL = "gpt-4o-2024-05-13"


@pytest.fixture
def jb_data(tmp_path):
    """Five pairs: labels A, A, A, B, B; the right answer says so."""
    folder = tmp_path / "judgebench"
    folder.mkdir()
    with (folder / "gpt.jsonl").open("w") as file:
        for index, label in enumerate("AAABB"):
            texts = (
                {"A": "RIGHT", "B": "WRONG and long"}
                if label == "A"
                else {"A": "WRONG and long", "B": "RIGHT"}
            )
            row = {
                "pair_id": f"p{index}",
                "source": "livebench-math",
                "question": f"Q{index}",
                "response_model": MODEL,
                "response_A": texts["A"],
                "response_B": texts["B"],
                "label": "A>B" if label == "A" else "B>A",
            }
            file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def rmb_data(tmp_path):
    """Eight pairs and two lists of two and three losers, all with the same question."""
    conversation = [{"role": "user", "content": "Q"}]
    good = {"answer": "RIGHT"}
    pairs = [
        {"conversation_input": conversation, "chosen": good, "reject": {"answer": f"WRONG {index}"}}
        for index in range(8)
    ]
    lists = [
        {
            "conversation_input": conversation,
            "bon_best": good,
            "loser_list": [{"answer": f"WRONG {n}"} for n in range(k)],
        }
        for k in (2, 3)
    ]
    for name, rows in (
        ("Pairwise_set/Harmlessness/S1", pairs),
        ("BoN_set/Helpfulness/Chat/Discussion", lists),
    ):
        path = tmp_path / "rmb" / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(rows))
    return tmp_path / "rmb"


def perfect(prompt, sample):
    blocks = parse_blocks(prompt.messages[-1].text)
    return f"<answer>[[{'A' if 'RIGHT' in blocks.response_a else 'B'}]]</answer>"


def live(benchmark, data, engine, folder, *, order=None, limit=None):
    settings = JudgeSettings(order=order or benchmark.order)
    judge = GenerativeJudge(engine, load_family("direct"), settings)
    with open_benchmark_run(benchmark, data, judge, folder) as writer:
        return run_benchmark(benchmark, data, judge, writer, limit=limit)


@pytest.fixture
def rb_data(tmp_path):
    """Ten pairs of two subsets; the last three of each are marked HARD."""
    folder = tmp_path / "rewardbench"
    folder.mkdir()
    with (folder / "filtered.jsonl").open("w") as file:
        for subset in ("donotanswer", "hep-go"):
            for index in range(10):
                row = {
                    "id": index,
                    "subset": subset,
                    "prompt": f"Q{index}" + " HARD" * (index >= 7),
                    "chosen": "RIGHT",
                    "rejected": f"WRONG {index}",
                }
                file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def rm_data(tmp_path):
    """Two items of chat; the wrong answer in Markdown is marked STYLE."""
    folder = tmp_path / "rm-bench"
    folder.mkdir()
    rows = [
        {
            "id": index,
            "prompt": f"Q{index}",
            "chosen": [f"RIGHT {style}" for style in range(3)],
            "rejected": ["WRONG 0", "WRONG 1", "WRONG STYLE"],
        }
        for index in range(2)
    ]
    (folder / "chat_filtered.json").write_text(json.dumps(rows))
    return folder


def planted(prompt, sample):
    """Right, but for what is marked: HARD questions, and answers in STYLE win."""
    blocks = parse_blocks(prompt.messages[-1].text)
    right = "A" if "RIGHT" in blocks.response_a else "B"
    if "HARD" in prompt.messages[-1].text or "STYLE" in prompt.messages[-1].text:
        right = "B" if right == "A" else "A"
    return f"<answer>[[{right}]]</answer>"


def figure(scores, name, group=MODEL):
    return next(one for one in scores.figures if one.name == name and one.group == group)


def test_perfect_judge_is_always_right(jb_data, rmb_data, tmp_path):
    scores = live(JUDGEBENCH, jb_data, ScriptedEngine(perfect), tmp_path / "jb")
    assert figure(scores, "Math").value == 1
    assert figure(scores, "right both ways").value == 1
    scores = live(RMB, rmb_data, ScriptedEngine(perfect), tmp_path / "rmb-run")
    assert [(one.group, one.name, one.correct, one.total) for one in scores.figures if one.total] == [
        ("harmlessness", "pairwise", 8, 8),
        ("helpfulness", "best of N", 2, 2),
        ("helpfulness", "pairs inside best of N", 5, 5),
    ]


@pytest.mark.parametrize(
    ("engine", "order", "right"),
    [
        # Both ways, a judge of places contradicts itself on every pair.
        ("always-a", "both", 0),
        ("always-b", "both", 0),
        # As given, it is right on that side's labels: three A, two B.
        ("always-a", "given", 3),
        ("always-b", "given", 2),
        # The wrong answer is the longer one.
        ("longer", "both", 0),
    ],
)
def test_judges_of_known_score_on_judgebench(jb_data, tmp_path, engine, order, right):
    scores = live(JUDGEBENCH, jb_data, load_scripted(engine), tmp_path / "run", order=order)
    assert (figure(scores, "Math").correct, figure(scores, "Math").total) == (right, 5)
    if order == "both":
        assert figure(scores, "same verdict both ways").correct == (5 if engine == "longer" else 0)


def faltering(prompt, sample):
    """Right, but for Q1, where the first answer always wins, Q3, where it says nothing if the right one stands first,
    and wherever "WRONG 2" is shown, which wins."""
    text = prompt.messages[-1].text
    right = "A" if "RIGHT" in parse_blocks(text).response_a else "B"
    if "Q3" in text and right == "A":
        return "I cannot say."
    wins = "A" if "Q1" in text else {"A": "B", "B": "A"}[right] if "WRONG 2" in text else right
    return f"<answer>[[{wins}]]</answer>"


def test_planted_errors_on_judgebench(jb_data, tmp_path):
    scores = live(JUDGEBENCH, jb_data, ScriptedEngine(faltering), tmp_path / "run")
    # Q1: right once and wrong once, sum 0. Q3: right once and nothing once, sum 1.
    math = figure(scores, "Math")
    assert (math.correct, math.total, math.no_verdict) == (4, 5, 1)
    assert figure(scores, "right both ways").correct == 3
    assert score_finished(JUDGEBENCH, tmp_path / "run") == scores


def test_planted_errors_on_rmb(rmb_data, tmp_path):
    scores = live(RMB, rmb_data, ScriptedEngine(faltering), tmp_path / "run")
    # One of eight pairs, and the list of three losers, holds "WRONG 2".
    assert [(one.group, one.name, one.correct, one.total) for one in scores.figures if one.total] == [
        ("harmlessness", "pairwise", 7, 8),
        ("helpfulness", "best of N", 1, 2),
        ("helpfulness", "pairs inside best of N", 4, 5),
    ]
    assert score_finished(RMB, tmp_path / "run") == scores


def test_judge_of_places_on_rmb(rmb_data, tmp_path):
    """Always A is right exactly where the better answer was shown first."""
    scores = live(RMB, rmb_data, load_scripted("always-a"), tmp_path / "run")
    stored = [judgment for _, judgment in read_judgments(tmp_path / "run")]
    shown_first = {judgment.pair.id for judgment in stored if judgment.orders == ("given",)}
    assert 0 < len(shown_first) < 13
    pairwise = sum(pair_id.startswith("Pairwise") for pair_id in shown_first)
    assert figure(scores, "pairwise", "harmlessness").correct == pairwise
    lists = [
        {f"BoN_set/Helpfulness/Chat/Discussion#{row}:{loser}/{k}" for loser in range(1, k + 1)}
        for row, k in ((0, 2), (1, 3))
    ]
    assert figure(scores, "best of N", "helpfulness").correct == sum(one <= shown_first for one in lists)


def test_known_judges_on_rewardbench(rb_data, tmp_path):
    scores = live(REWARDBENCH, rb_data, ScriptedEngine(perfect), tmp_path / "right")
    assert {one.name: one.value for one in scores.figures}["plain accuracy"] == 1
    scores = live(REWARDBENCH, rb_data, ScriptedEngine(planted), tmp_path / "planted")
    assert figure(scores, "plain accuracy", "all pairs").correct == 14
    assert [(one.name, one.value) for one in scores.categories] == [("donotanswer", 0.7), ("hep-go", 0.7)]
    scores = live(REWARDBENCH, rb_data, load_scripted("always-a"), tmp_path / "places")
    orders = [one.orders[0] for _, one in read_judgments(tmp_path / "places")]
    assert 0 < orders.count("given") < 20
    assert figure(scores, "plain accuracy", "all pairs").correct == orders.count("given")
    # Both ways it contradicts itself on every pair, and the official figure is that of the drawn order.
    both = live(REWARDBENCH, rb_data, load_scripted("always-a"), tmp_path / "both", order="both")
    official = orders.count("given")
    assert [one.correct for one in both.figures if one.group == "all pairs"] == [official, 0, 0]
    assert [one.value for one in both.categories] == [one.value for one in scores.categories]
    assert score_finished(REWARDBENCH, tmp_path / "both") == both


def test_known_judges_on_rm_bench(rm_data, tmp_path):
    scores = live(RM_BENCH, rm_data, ScriptedEngine(perfect), tmp_path / "right")
    assert figure(scores, "Chat", "domains").value == 1
    scores = live(RM_BENCH, rm_data, ScriptedEngine(planted), tmp_path / "planted")
    # Lost against style 2: cells 0-2 and 1-2 of hard, 2-2 of normal.
    assert {one.name: one.value for one in scores.categories} == pytest.approx(
        {"Easy": 1, "Normal": 2 / 3, "Hard": 1 / 3}
    )
    assert figure(scores, "Chat", "domains").value == pytest.approx(2 / 3)
    # As published, 0-2 stands twice in hard and 1-0, which is won, once.
    faulty = score_finished(RM_BENCH, tmp_path / "planted", variant="as-published")
    assert figure(faulty, "Chat", "domains").value == pytest.approx((1 + 2 / 3 + 1 / 3) / 3)
    assert score_finished(RM_BENCH, tmp_path / "planted") == scores
    scores = live(RM_BENCH, rm_data, load_scripted("always-b"), tmp_path / "places")
    swapped = [one.orders == ("swapped",) for _, one in read_judgments(tmp_path / "places")]
    chat = figure(scores, "Chat", "domains")
    assert chat.value == pytest.approx(sum(swapped) / 18)


def test_light_rows_are_what_judgments_give(jb_data, rmb_data, tmp_path):
    """Scoring reads a few fields of a line; it must see what the whole judgment says."""
    settings = {"order": "both"}
    live(JUDGEBENCH, jb_data, ScriptedEngine(planted, fail_every=3), tmp_path / "a", **settings)
    live(RMB, rmb_data, load_scripted("hash"), tmp_path / "b")
    for folder in (tmp_path / "a", tmp_path / "b"):
        whole = [ruling_of(one) for _, one in read_judgments(folder)]
        assert list(read_rulings(folder)) == whole
        assert len(whole) > 4


class Sure:
    """Writes the right answer with the probability 0.8, in every third text with none."""

    def __init__(self) -> None:
        self._engine, self._num_texts = ScriptedEngine(perfect), 0
        self.name, self.close = "sure", self._engine.close
        self.fingerprint, self.special_tokens = self._engine.fingerprint, self._engine.special_tokens

    def generate(self, requests, params):
        for request, (text,) in self._engine.generate(requests, params):
            self._num_texts += 1
            said = "A" if "[[A]]" in text.text else "B"
            chances = {"A": 0.2, "B": 0.2, said: 0.8}
            logprobs = tuple((label, log(chance)) for label, chance in chances.items())
            yield request, (replace(text, verdict_logprobs=logprobs if self._num_texts % 3 else None),)


@pytest.mark.parametrize("order", ["both", "seeded"])
def test_light_rows_tell_the_same_probabilities(jb_data, tmp_path, order):
    live(JUDGEBENCH, jb_data, Sure(), tmp_path / "run", order=order)
    whole = [one for _, one in read_judgments(tmp_path / "run")]
    told = [read_probability(one) for one in whole]
    rows = list(read_rulings(tmp_path / "run"))
    assert [read_probability(one) for one in rows] == told
    # The 3rd, 6th and 9th of ten texts, or the 3rd of five, are without. Of two votes one without counts both:
    # they agree, so each order is 1.5 / 2 for the label.
    expected = [0.8, 0.75, 0.75, 0.8, 0.75] if order == "both" else [0.8, 0.8, None, 0.8, 0.8]
    for one, probability, value in zip(whole, told, expected, strict=True):
        said = value if value is None or one.pair.label == "A" else 1 - value
        assert probability == pytest.approx(said)
    found = read_outcomes(JUDGEBENCH, tmp_path / "run").reliability
    assert found == json.loads((tmp_path / "run" / "summary.json").read_text())["reliability"]
    assert found["without"] == expected.count(None) and found["items"] + found["without"] == 5


def test_scores_and_calibrated_probabilities_of_light_rows(jb_data):
    (pair, *_) = read_pairs(JUDGEBENCH, jb_data)
    scored = Judgment(
        pair=pair,
        kind="score",
        family="",
        rule="scores",
        winner="A",
        confidence=None,
        votes=(),
        scores=(2.0, 0.5),
    )
    assert read_probability(ruling_of(scored)) == pytest.approx(1 / (1 + exp(-1.5)))
    calibrated = ruling_of(replace(scored, calibrated=0.6))
    assert (read_probability(calibrated), tell_probability(calibrated)) == (
        pytest.approx(1 / (1 + exp(-1.5))),
        0.6,
    )


def test_judge_is_placed_anew_for_each_benchmark():
    first = GenerativeJudge(load_scripted("longer"), load_family("direct"), JudgeSettings(order="seeded"))
    both = place_answers(first, "both")
    assert (both.order, both.engine, first.order) == ("both", first.engine, "seeded")
    with pytest.raises(ConfigError, match="is not asked by 'ratings'; it knows pairs"):
        find_asking(RMB, "ratings")


def test_what_the_engine_did_not_answer_is_left_out(jb_data, tmp_path):
    # Every third request fails, of the five pairs' ten the 3rd, 6th and 9th: the second, third and fifth pair.
    scores = live(JUDGEBENCH, jb_data, ScriptedEngine(perfect, fail_every=3), tmp_path / "run")
    assert (figure(scores, "Math").correct, figure(scores, "Math").total) == (2, 2)
    assert (scores.judgments, scores.failed, dict(scores.problems)) == (5, 3, {})
    assert dict(scores.orders) == {"both": 2}
    # All of them: nothing is known of the judge, and it has no score.
    none = live(JUDGEBENCH, jb_data, ScriptedEngine(perfect, fail_every=1), tmp_path / "none")
    assert (none.failed, none.is_complete, none.overall) == (5, False, ())
    assert not check_baseline(none, fail_under=1.5).is_passed


def test_resuming_gives_the_same_scores(rmb_data, tmp_path):
    whole = live(RMB, rmb_data, load_scripted("hash"), tmp_path / "whole")
    live(RMB, rmb_data, load_scripted("hash"), tmp_path / "parts", limit=1)
    before = (tmp_path / "parts" / "judgments.jsonl").read_bytes()
    assert before.count(b"\n") == 3
    parts = live(RMB, rmb_data, load_scripted("hash"), tmp_path / "parts")
    assert parts == whole
    assert (tmp_path / "parts" / "judgments.jsonl").read_bytes().startswith(before)


def test_summary_holds_counts_and_scores(jb_data, tmp_path):
    scores = live(JUDGEBENCH, jb_data, load_scripted("longer"), tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["items"] == 5
    assert summary["scores"] == json.loads(json.dumps(scores.describe()))
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["command"] == "bench judgebench"
    assert described["data"] == fingerprint_data(JUDGEBENCH, jb_data)


def test_other_data_is_refused(jb_data, tmp_path):
    live(JUDGEBENCH, jb_data, load_scripted("longer"), tmp_path / "run")
    file = jb_data / "gpt.jsonl"
    file.write_text(file.read_text().replace("RIGHT", "Right", 1))
    with pytest.raises(RunError, match=r"data\.sha256 was"):
        live(JUDGEBENCH, jb_data, load_scripted("longer"), tmp_path / "run")


def test_given_order_is_refused_for_rmb(rmb_data, tmp_path):
    with pytest.raises(ConfigError, match="names the better answer first"):
        check_placement(RMB, "given")
    check_placement(RMB, None)
    with pytest.raises(ConfigError, match="names the better answer first"):
        live(RMB, rmb_data, load_scripted("longer"), tmp_path / "run", order="given")
    assert not (tmp_path / "run").exists()


def test_counting_pairs(rmb_data, tmp_path):
    assert count_pairs(RMB, rmb_data) == 13
    assert count_pairs(RMB, rmb_data, 1) == 3
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="no pairs in it"):
        count_pairs(JUDGEBENCH, tmp_path / "empty.jsonl")


def test_unknown_benchmark():
    with pytest.raises(ConfigError, match="no benchmark 'x'; there are rewardbench, rm-bench, rmb"):
        load_benchmark("x")


def test_scoring_a_finished_run(jb_data, tmp_path):
    engine = ScriptedEngine(
        lambda prompt, sample: "[[B]] perhaps, but <answer>[[A]]</answer>", name="both marks"
    )
    scores = live(JUDGEBENCH, jb_data, engine, tmp_path / "run", order="given")
    assert figure(scores, "Math").correct == 3
    assert score_finished(JUDGEBENCH, tmp_path / "run") == scores
    assert score_finished(JUDGEBENCH, tmp_path / "run", data=jb_data) == scores
    # The published rule takes two marks for an error.
    again = score_finished(JUDGEBENCH, tmp_path / "run", rule="published", folder=tmp_path / "again")
    assert (figure(again, "Math").correct, figure(again, "Math").no_verdict) == (0, 5)
    assert dict(again.problems) == {"ambiguous": 5}
    assert score_finished(JUDGEBENCH, tmp_path / "again") == again
    described = json.loads((tmp_path / "again" / "run.json").read_text())
    assert described["settings"]["rule"] == "published"
    assert described["model_name"] == "both marks"


def test_finished_pairs_must_be_the_datas(jb_data, tmp_path):
    live(JUDGEBENCH, jb_data, load_scripted("longer"), tmp_path / "run")
    file = jb_data / "gpt.jsonl"
    file.write_text(file.read_text().replace("Q3", "Q33"))
    with pytest.raises(DataError, match="judged pair 'p3' is not in the data"):
        score_finished(JUDGEBENCH, tmp_path / "run", data=jb_data)


def test_reading_again_leaves_scores_alone(jb_data, tmp_path):
    live(JUDGEBENCH, jb_data, load_scripted("longer"), tmp_path / "run")
    judgment = next(read_finished(tmp_path / "run"))
    assert read_again(judgment, "tagged") == judgment
    with pytest.raises(ConfigError, match="rule 'x'"):
        read_again(judgment, "x")


def test_nothing_to_score(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        score_finished(RMB, tmp_path / "none")
