"""RewardBench 2: reading, hand-worked credits and Ties scores, known-answer judges through the whole path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import tanh
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from rmr1.bench.base import AS_PUBLISHED, Asking, BenchmarkScores, score_judgments, score_outcomes
from rmr1.bench.draws import bootstrap, gather_prompts
from rmr1.bench.outcomes import estimate_values
from rmr1.bench.run import open_benchmark_run, stored_data, suit_asking
from rmr1.bench.tasks.rewardbench2 import (
    MARGIN_ALL,
    REWARDBENCH2,
    compute_stats,
    credit_scores,
    default_asking,
    tally_rewardbench2,
    ties_score,
)
from rmr1.bench.tasks.rewardbench2_data import (
    ID,
    SIZES,
    find_rewardbench2_files,
    read_choices,
    read_comparisons,
    read_prompts,
    read_ratings,
)
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError, DataError, RunError, StoppedError
from rmr1.judge import GenerativeJudge, JudgeSettings, PairJudge, ScalarJudge
from rmr1.judge.load import load_judge
from rmr1.prompts import load_family
from rmr1.records import JudgePrompt, Judgment
from rmr1.store.rulings import CastVote, Ruling, ruling_of
from tests.unit.judge.test_scalar import TableScorer

Row = dict[str, Any]


def row(name: str, subset: str, right: int = 1, wrong: int = 3) -> Row:
    return {
        "id": name,
        "prompt": f"question {name}",
        "chosen": [f"RIGHT {number} of {name}" for number in range(right)],
        "rejected": [f"WRONG {number} of {name}" for number in range(wrong)],
        "num_correct": right,
        "num_incorrect": wrong,
        "total_completions": right + wrong,
        "models": ["m"] * (right + wrong),
        "subset": subset,
        "additional_metadata": None,
    }


def write(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def small(path: Path, per_subset: int = 4, numbers: int = 3) -> Path:
    rows = [row(str(index), subset) for subset in SIZES if subset != "Ties" for index in range(per_subset)]
    for number in range(numbers):
        rows += [row(f"ref:{number}", "Ties", 1, 3), row(f"tied:{number}", "Ties", 3, 2)]
    return write(path / "rows.jsonl", rows)


# reading ------------------------------------------------------------------------------------------


def test_rows_become_prompts_with_the_right_answers_first(tmp_path: Path) -> None:
    data = write(
        tmp_path / "rows.jsonl", [row("7", "precise instruction following"), row("tied:3", "Ties", 2, 3)]
    )
    first, second = read_prompts(data)
    assert (first.subset, first.id, first.num_correct, len(first.answers)) == ("Precise IF", "7", 1, 4)
    assert (second.subset, second.id, second.num_correct, len(second.answers)) == ("Ties", "tied:3", 2, 5)
    assert [answer[0].text[:5] for answer in second.answers] == ["RIGHT"] * 2 + ["WRONG"] * 3


def test_what_each_way_asks_about(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [row("7", "Math"), row("tied:3", "Ties", 2, 1)])
    compared = list(read_comparisons(data))
    assert [pair.id for pair in compared] == [
        *(f"Math/7#1+3/0v{other}" for other in (1, 2, 3)),
        *(f"Ties/tied:3#2+1/{games}" for games in ("0v1", "0v2", "1v2")),
    ]
    assert [pair.label for pair in compared] == ["A", "A", "A", None, "A", "A"]
    rated = list(read_ratings(data))
    assert [pair.id.rpartition("/")[2] for pair in rated] == ["0,1", "2,3", "0,1", "2,2"]
    assert rated[3].response_a == rated[3].response_b
    chosen = list(read_choices(data))
    assert [pair.id.rpartition("/")[2] for pair in chosen] == ["0v1v2v3", "0,1", "2,2"]
    assert [message.text for (message,) in chosen[0].responses] == [
        "RIGHT 0 of 7",
        *(f"WRONG {number} of 7" for number in range(3)),
    ]
    for pair in (*compared, *rated, *chosen):
        assert ID.fullmatch(pair.id) and pair.subset in SIZES


def test_a_limit_counts_prompts_of_a_subset_and_numbers_of_ties(tmp_path: Path) -> None:
    rows = [row(str(index), subset) for index in range(3) for subset in ("Math", "Focus")]
    rows += [row(f"ref:{number}", "Ties") for number in range(3)]
    rows += [row(f"tied:{number}", "Ties", 3) for number in range(3)]
    found = [f"{one.subset}/{one.id}" for one in read_prompts(write(tmp_path / "rows.jsonl", rows), 2)]
    assert found == [
        *("Math/0", "Focus/0", "Math/1", "Focus/1"),
        *("Ties/ref:0", "Ties/ref:1", "Ties/tied:0", "Ties/tied:1"),
    ]


def test_ids_that_repeat_are_told_apart(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [row("1", "Math"), row("1", "Math"), row("1", "Focus")])
    assert [(one.subset, one.id) for one in read_prompts(data)] == [
        ("Math", "1"),
        ("Math", "1~2"),
        ("Focus", "1"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subset": "Chat"}, "subset 'Chat' is none of RewardBench 2's"),
        ({"num_correct": 2}, "num_correct is 2, but there are 1 such answers"),
        ({"num_incorrect": 5}, "num_incorrect is 5, but there are 3 such answers"),
        ({"chosen": []}, "'chosen' is a list, expected a list of texts"),
        ({"subset": "Ties"}, "is not 'ref:NUMBER' or 'tied:NUMBER'"),
    ],
)
def test_rows_of_another_form(tmp_path: Path, change: Row, message: str) -> None:
    data = write(tmp_path / "rows.jsonl", [row("0", "Math"), row("1", "Math") | change])
    with pytest.raises(DataError) as error:
        list(read_prompts(data))
    assert message in str(error.value) and str(error.value).startswith(f"{data}:2: ")


def test_a_choice_needs_one_right_answer_of_four(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [row("0", "Math", 2, 2)])
    with pytest.raises(
        DataError, match="Math/0: 2 right and 2 wrong answers; a choice among four needs 1 and 3"
    ):
        list(read_choices(data))
    assert len(list(read_ratings(data))) == 2


def test_files_are_found(tmp_path: Path) -> None:
    file = small(tmp_path)
    assert find_rewardbench2_files(tmp_path) == find_rewardbench2_files(file) == [file]
    (tmp_path / "hub" / "data").mkdir(parents=True)
    other = write(tmp_path / "hub" / "data" / "test.jsonl", [row("1", "Math")])
    write(tmp_path / "hub" / "data" / "dataset_info.json", [{"splits": 1}])
    assert find_rewardbench2_files(tmp_path / "hub") == [other]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file with RewardBench 2's columns in it"):
        find_rewardbench2_files(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder; expected rows of allenai/reward-bench-2"):
        find_rewardbench2_files(tmp_path / "nothing")


# credits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "credit"),
    [
        ([4.0, 3.0, 2.0, 1.0], 1),
        ([4.0, 4.0, 2.0, 1.0], 1 / 2),
        ([4.0, 4.0, 4.0, 1.0], 1 / 3),
        ([4.0, 4.0, 4.0, 4.0], 1 / 4),
        ([3.0, 4.0, 2.0, 1.0], 0),
        ([None, 4.0, 2.0, 1.0], 0),
        ([1.0, None, None, None], 1),
        ([None, None, None, None], 0.25),
    ],
)
def test_credit_of_four_numbers(scores: list[float | None], credit: float) -> None:
    assert credit_scores(scores) == credit


def ruling(name: str, winner: str | None = None, **fields: Any) -> Ruling:
    values: Row = {
        "id": name,
        "label": None,
        "source": "rewardbench2",
        "subset": None,
        "winner": winner,
        "problem": None if winner or fields.get("scores") else "no_verdict",
        "votes": (CastVote("given", winner, None, None),),
        "scores": None,
        "kind": "pair",
        "prompt": int(crc32(name.encode())),
    }
    return Ruling(**values | fields)


def credits(*rulings: Ruling, subset: str = "Math") -> list[float]:
    return tally_rewardbench2(rulings).parts[subset].credits[:, 0].tolist()


@pytest.mark.parametrize(
    ("winners", "credit"),
    [
        (("A", "A", "A"), 1),
        (("A", "tie", "A"), 1 / 2),
        (("tie", "tie", "A"), 1 / 3),
        (("tie", "tie", "tie"), 1 / 4),
        (("A", "B", "A"), 0),
        (("A", None, "A"), 0),
        ((None, None, None), 0.25),
    ],
)
def test_credit_of_three_comparisons(winners: tuple[str | None, ...], credit: float) -> None:
    games = [ruling(f"Math/0#1+3/0v{other}", winner) for other, winner in enumerate(winners, 1)]
    assert credits(*games) == [credit]
    outcomes = tally_rewardbench2(games)
    assert outcomes.parts["Math"].no_verdict.tolist() == [winners.count(None)]
    assert outcomes.parts["Math"].ties.tolist() == [winners.count("tie")]
    assert any("adapted to a judge that compares two answers" in one for one in outcomes.deviations)


def test_credit_of_a_choice() -> None:
    for winner, credit in (("A", 1), ("B", 0), ("D", 0), (None, 0.25)):
        outcomes = tally_rewardbench2([ruling("Math/0#1+3/0v1v2v3", winner)])
        assert outcomes.parts["Math"].credits.tolist() == [[credit]]
        assert not outcomes.deviations


def test_ratings_in_words_of_which_one_cannot_be_read() -> None:
    votes = (CastVote("given", None, "no_ratings", None, "A"), CastVote("given", None, None, (9.0,), "B"))
    broken = ruling("Math/0#1+3/2,3", votes=votes, kind="rating")
    whole = ruling("Math/0#1+3/0,1", "tie", scores=(8.0, 8.0), kind="rating")
    assert credits(whole, broken) == [0]  # answer 3 has 9
    outcomes = tally_rewardbench2([whole, broken])
    assert outcomes.parts["Math"].no_verdict.tolist() == [1]
    assert dict(outcomes.orders) == {"scores": 2}


def test_a_prompt_that_lacks_judgments_is_left_out() -> None:
    outcomes = tally_rewardbench2([ruling("Math/0#1+3/0v1", "A"), ruling("Math/0#1+3/0v3", "A")])
    assert (len(outcomes.parts["Math"]), outcomes.unfinished, outcomes.judgments) == (0, 1, 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Math/0#1+3/0v1", "Math/0#1+3/0v1"), "was judged twice"),
        (("Math/0#1+3/0,1", "Math/0#1+3/1,2"), "was judged twice"),
        (("Math/0#1+3/0v7",), "names an answer that is not there"),
        (("Math/0#1+3/0v1", "Math/0#1+3/2,3"), "in two ways, by pairs and by ratings"),
        (("Maths/0#1+3/0v1",), "is no pair of RewardBench 2"),
        (("Ties/4#1+3/0v1",), "is no pair of RewardBench 2"),
        (("pair 7",), "is no pair of RewardBench 2"),
    ],
)
def test_judgments_of_other_pairs_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        tally_rewardbench2([ruling(name, "A") for name in names])


# Ties ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "num_correct", "gap", "spread"),
    [
        ([8.0, 7.0, 5.0], 2, 2.0, 1.0),
        ([4.0, 6.0], 1, -2.0, None),
        ([7.0, 7.0, 7.0], 2, 0.0, 0.0),
        ([8.0, None, 5.0], 2, -np.inf, np.inf),
        ([8.0, 7.0, None], 2, -np.inf, 1.0),
        ([8.0, 7.0], 2, 0.0, None),
    ],
)
def test_gap_and_spread(
    scores: list[float | None], num_correct: int, gap: float, spread: float | None
) -> None:
    assert compute_stats(scores, num_correct) == (gap, spread)


def rated(name: str, right: list[float], wrong: list[float], kind: str = "score") -> list[Ruling]:
    numbers = [*right, *wrong]
    last = len(numbers) - 1
    return [
        ruling(
            f"Ties/{name}#{len(right)}+{len(wrong)}/{one},{min(one + 1, last)}",
            scores=(numbers[one], numbers[min(one + 1, last)]),
            votes=(),
            kind=kind,
        )
        for one in range(0, last + 1, 2)
    ]


WORKED = [
    *rated("ref:0", [9.0], [3.0]),  # gap 6
    *rated("tied:0", [8.0, 7.0], [5.0]),  # gap 2, spread 1: ahead, and the smaller gap, 2, is too
    *rated("ref:1", [4.0], [6.0]),  # gap -2
    *rated("tied:1", [9.0, 5.0], [2.0]),  # gap 3, spread 4
    *rated("ref:2", [10.0], [1.0]),  # gap 9
    *rated("tied:2", [7.0, 7.0, 7.0], [7.0]),  # gap 0, spread 0
]


def scores_of(rulings: Iterable[Ruling], variant: str = "official") -> BenchmarkScores:
    return score_outcomes(REWARDBENCH2, tally_rewardbench2(rulings), variant=variant, num_resamples=200)


def value(scores: BenchmarkScores, name: str) -> float | None:
    return next(one.value for one in (*scores.figures, *scores.categories) if one.name == name)


def test_ties_by_hand() -> None:
    scores = scores_of(WORKED)
    parts = 0.3 * 2 / 3 + 0.3 * 2 / 3 + 0.2 / 3 + 0.2 / 3
    margins = [tanh(2 / 1 - 1), tanh(-2 / 4 - 1)]
    assert value(scores, "Ties") == pytest.approx(parts + 0.01 * sum(margins) / 2, abs=1e-15)
    published = scores_of(WORKED, AS_PUBLISHED)
    assert value(published, "Ties") == pytest.approx(parts + 0.01 * sum(margins) / 3, abs=1e-15)
    assert value(scores, "many right answers") == value(scores, "one right answer") == 2 / 3
    assert value(scores, "gap above spread") == value(scores, "smaller gap above spread") == 1 / 3
    (ties,) = (one for one in scores.figures if one.name == "Ties")
    assert (ties.total, ties.official) == (6, 102)
    low, high = ties.interval or (0, 0)
    assert low < 0.53 < high


def test_one_score_for_all_right_answers_is_a_whole_point_by_the_package_and_more_by_the_repository() -> None:
    best = [*rated("ref:0", [9.0], [1.0]), *rated("tied:0", [9.0, 9.0], [1.0])]
    assert value(scores_of(best), "Ties") == pytest.approx(1.0)
    assert value(scores_of(best, AS_PUBLISHED), "Ties") == pytest.approx(1.01)


def test_a_prompt_without_its_other_half_counts_in_its_own_share_alone() -> None:
    alone = [*rated("ref:0", [9.0], [1.0]), *rated("tied:1", [9.0, 8.0], [1.0])]
    assert value(scores_of(alone), "Ties") == pytest.approx(0.6)
    assert value(scores_of(alone[:1] + alone[1:2]), "Math") is None


def test_a_rating_that_cannot_be_read_is_minus_one_and_a_missing_score_is_nothing() -> None:
    votes = (CastVote("given", None, "no_ratings", None, "A"), CastVote("given", None, None, (9.0,), "B"))
    reference = rated("ref:0", [9.0], [1.0], "rating")
    # right: 9 and an unread one; wrong: an unread one. Gap -1 - -1 = 0, spread 10.
    words = [
        ruling("Ties/tied:0#2+1/0,1", scores=None, votes=tuple(reversed_votes(votes)), kind="rating"),
        ruling("Ties/tied:0#2+1/2,2", scores=None, votes=votes[:1], kind="rating"),
    ]
    outcomes = tally_rewardbench2([*reference, *words])
    assert outcomes.parts["Ties"].no_verdict.tolist() == [0, 2]
    score = estimate_values(outcomes, [REWARDBENCH2.rule(outcomes, "official").figures[-1]])[0]
    assert score == pytest.approx(0.3 + 0.01 * tanh(0 / 10 - 1))
    scalar = [
        *rated("ref:0", [9.0], [1.0]),
        ruling("Ties/tied:0#2+1/0,1", scores=None, votes=(), kind="score"),
        *rated("tied:0", [9.0, 8.0], [1.0])[1:],
    ]
    assert value(scores_of(scalar), "Ties") == pytest.approx(0.3 - 0.01)


def reversed_votes(votes: tuple[CastVote, ...]) -> Iterator[CastVote]:
    for vote in votes:
        yield vote._replace(side="B" if vote.side == "A" else "A")


def test_both_prompts_of_a_number_are_drawn_together() -> None:
    outcomes = tally_rewardbench2(
        [
            *rated("ref:0", [9.0], [1.0]),
            *rated("tied:0", [9.0, 9.0], [1.0]),
            *rated("ref:1", [1.0], [9.0]),
            *rated("tied:1", [1.0, 1.0], [9.0]),
            *rated("ref:2", [1.0], [9.0]),
            *rated("tied:2", [1.0, 1.0], [9.0]),
        ]
    )
    ((sample,),) = bootstrap(gather_prompts([outcomes]), num=500, seed=0)
    drawn = ties_score("Ties")(sample)
    assert set(np.round(drawn, 12)) == {0.0, 0.5, 1.0}
    # Two of three are drawn: the one that is right once in 4 of 9 draws.
    assert np.mean(drawn == 0.5) == pytest.approx(4 / 9, abs=0.08)
    assert set(np.round(ties_score("Ties", margin=MARGIN_ALL)(sample), 12)) == {-0.01, 0.5, 1.01}


def test_wins_are_the_numbers_of_a_judge_that_compares() -> None:
    # Three answers, right ones first: 0 beats 2, ties with 1; 1 beats 2. Wins 1.5, 1.5, 0.
    games = [
        ruling(f"Ties/tied:0#2+1/{game}", winner)
        for game, winner in (("0v1", "tie"), ("0v2", "A"), ("1v2", "A"))
    ]
    games.append(ruling("Ties/ref:0#1+1/0v1", "A"))  # wins 1 and 0: gap 1
    scores = scores_of(games)
    assert value(scores, "Ties") == pytest.approx(1.0)
    games[0] = ruling("Ties/tied:0#2+1/0v1", "B")  # wins 1, 2, 0: gap 1, spread 1
    assert value(scores_of(games), "Ties") == pytest.approx(0.6 + 0.01 * tanh(0))
    assert value(scores_of(games[1:]), "Ties") == pytest.approx(0.3)  # tied:0 is not finished


# known-answer judges through the whole path ---------------------------------------------------------


def show(prompt: JudgePrompt) -> dict[str, str]:
    """Label -> the answer that stands there."""
    found = re.findall(r"\[The Start of Chatbot (.)'s Response\]\n(.*)\n", prompt.messages[-1].text)
    return dict(found)


def answer_right(prompt: JudgePrompt, sample: int) -> str:
    """Of two right answers, or two wrong ones, the first of the row."""
    answers = show(prompt)
    if len(answers) == 1:
        return "9" if answers["A"].startswith("RIGHT") else "<answer>[[2]]</answer>"
    return f"<answer>[[{min(answers, key=lambda label: answers[label])}]]</answer>"


def ask_each(engine: ScriptedEngine, data: Path, way: str, **settings: Any) -> Iterator[Judgment]:
    judge: PairJudge = GenerativeJudge(engine, load_family("direct"), JudgeSettings(**settings))
    pairs = REWARDBENCH2.read_pairs(data, None)
    if way != "pairs":
        asking = REWARDBENCH2.askings[way]
        judge, pairs = asking.adapt(judge), asking.read_pairs(data, None)
    for _, judgment in judge.run(pairs):
        yield judgment


def ask(engine: ScriptedEngine, data: Path, way: str, **settings: Any) -> list[Judgment]:
    return list(ask_each(engine, data, way, **settings))


def score(judgments: Iterable[Judgment]) -> BenchmarkScores:
    return score_judgments(REWARDBENCH2, judgments, num_resamples=0)


@pytest.mark.parametrize("way", ["pairs", "ratings", "four_way"])
def test_an_always_right_judge(tmp_path: Path, way: str) -> None:
    scores = score(ask(ScriptedEngine(answer_right), small(tmp_path), way))
    for subset in SIZES:
        # One that compares and calls no tie has a spread of 2 among three right answers, and a gap of 1.
        expected = 0.6 + 0.01 * tanh(1 / 2 - 1) if (subset, way) == ("Ties", "pairs") else 1.0
        assert value(scores, subset) == pytest.approx(expected, abs=1e-12)
    (overall,) = scores.overall
    assert (overall.value, overall.status) == (None, "partial: 26 of 1865")
    assert any("not verified against the real file" in note for note in scores.notes)


def test_whole_data_has_an_overall(tmp_path: Path) -> None:
    rows = [
        row(str(index), subset) for subset, size in SIZES.items() if subset != "Ties" for index in range(size)
    ]
    rows += [
        one
        for number in range(51)
        for one in (row(f"ref:{number}", "Ties"), row(f"tied:{number}", "Ties", 2))
    ]
    judge = ScalarJudge(_Knowing())
    asking = REWARDBENCH2.askings["ratings"]
    data = write(tmp_path / "rows.jsonl", rows)
    judgments = [judgment for _, judgment in asking.adapt(judge).run(asking.read_pairs(data, None))]
    (overall,) = score(judgments).overall
    assert (overall.status, overall.total, overall.official) == ("complete", 1865, 1865)
    # Scores are 2 for the first right answer, 1 for others, 0 for wrong ones: spread 1, gap 1.
    assert overall.value == pytest.approx((5 + 0.6 + 0.01 * tanh(0)) / 6)


class _Knowing(TableScorer):
    def _answer(self, window: list[Any]) -> Iterator[Any]:
        for request in window:
            text = request.messages[-1].text
            self.table[text] = 2.0 if text.startswith("RIGHT 0") else float(text.startswith("RIGHT"))
        yield from super()._answer(window)


def test_a_judge_that_always_names_the_first_place(tmp_path: Path) -> None:
    data = small(tmp_path, per_subset=40)
    judgments = ask(ScriptedEngine("<answer>[[A]]</answer>"), data, "four_way", seed=11)
    chosen = [one for one in judgments if one.pair.others]
    first = {}
    for subset in SIZES:
        places = [one.votes[0].order for one in chosen if one.pair.subset == subset]
        first[subset] = sum(place == "given" for place in places) / len(places) if places else None
    scores = score(judgments)
    for subset, expected in first.items():
        if subset != "Ties":
            assert value(scores, subset) == expected
    assert 0.15 < sum(one.votes[0].order == "given" for one in chosen) / 200 < 0.35
    # No text about one answer is a rating: every answer has -1, no gap is above 0.
    assert value(scores, "Ties") == 0.0
    assert dict(scores.problems) == {"no_ratings": 3 * (2 + 3)}


def test_planted_errors(tmp_path: Path) -> None:
    """Right but for prompt 1 (named wrongly) and prompt 2 (no verdict) of each subset of four."""

    def planted(prompt: JudgePrompt, sample: int) -> str:
        name = prompt.pair_id.partition("/")[2].partition("#")[0]
        answers = show(prompt)
        if name == "1":
            wrong = max(answers, key=lambda label: answers[label])
            return f"<answer>[[{wrong}]]</answer>" if len(answers) > 1 else "5"
        return "I cannot say" if name == "2" else answer_right(prompt, sample)

    data = small(tmp_path)
    for way, expected in (("four_way", 2.25 / 4), ("pairs", 2.25 / 4), ("ratings", 2.5 / 4)):
        scores = score(ask(ScriptedEngine(planted), data, way))
        for subset in SIZES:
            if subset != "Ties":
                assert value(scores, subset) == expected, (way, subset)


def test_stored_judgments_score_as_live_ones(tmp_path: Path) -> None:
    from rmr1.judge.identity import describe_run
    from rmr1.store.rulings import read_rulings
    from rmr1.store.runs import open_run

    data = small(tmp_path)
    for way, asking in REWARDBENCH2.askings.items():
        engine = ScriptedEngine(answer_right)
        judge = asking.adapt(GenerativeJudge(engine, load_family("direct"), JudgeSettings()))
        folder = tmp_path / way
        with open_run(folder, describe_run("bench", judge, data=None)) as run:
            live = [judgment for _, judgment in judge.run(asking.read_pairs(data, None), run=run)]
        stored = tally_rewardbench2(read_rulings(folder))
        assert score_outcomes(REWARDBENCH2, stored, num_resamples=100) == score_judgments(
            REWARDBENCH2, live, num_resamples=100
        )
        assert [ruling_of(judgment).winner for judgment in live] == [
            one.winner for one in read_rulings(folder)
        ]


def test_a_folder_is_not_gone_on_with_in_another_way_of_asking(tmp_path: Path) -> None:
    data, folder = small(tmp_path), tmp_path / "run"
    plain = GenerativeJudge(ScriptedEngine(answer_right), load_family("direct"), JudgeSettings())
    ways: dict[str, Asking | None] = {"pairs": None, **REWARDBENCH2.askings}
    for way, asking in ways.items():
        judge = plain if asking is None else asking.adapt(plain)
        with open_benchmark_run(REWARDBENCH2, data, judge, folder / way, asking=asking):
            assert stored_data(folder / way)["asked"] == way
    ratings = REWARDBENCH2.askings["ratings"]
    with (
        pytest.raises(RunError, match=r"data.asked was 'four_way', now 'ratings'"),
        open_benchmark_run(REWARDBENCH2, data, ratings.adapt(plain), folder / "four_way", asking=ratings),
    ):
        pass


def test_a_judge_whose_prompt_for_pairs_is_named_is_asked_by_pairs() -> None:
    settings = JudgeSettings()
    judge = GenerativeJudge(ScriptedEngine("x", name="Qwen/Qwen3-8B"), load_family("rubric"), settings)
    assert suit_asking(REWARDBENCH2, judge, "rubric") is None
    assert suit_asking(REWARDBENCH2, judge, None) == REWARDBENCH2.askings["four_way"]
    assert suit_asking(REWARDBENCH2, ScalarJudge(TableScorer()), None) == REWARDBENCH2.askings["ratings"]
    rated = load_judge("scripted:hash", family="rating")
    assert suit_asking(REWARDBENCH2, rated, "rating") == REWARDBENCH2.askings["ratings"]


def test_how_a_judge_is_asked_if_nothing_is_said() -> None:
    assert default_asking(ScalarJudge(TableScorer())) == "ratings"
    assert default_asking(load_judge("scripted:hash", family="rating")) == "ratings"
    assert default_asking(load_judge("scripted:hash")) == "pairs"
    engine = ScriptedEngine("x", name="gaotang/RM-R1-Qwen2.5-Instruct-7B")
    assert default_asking(GenerativeJudge(engine, load_family("rubric"), JudgeSettings())) == "pairs"
    engine = ScriptedEngine("x", name="Qwen/Qwen3-8B")
    assert default_asking(GenerativeJudge(engine, load_family("rubric"), JudgeSettings())) == "four_way"
    with pytest.raises(ConfigError, match="chooses among none; ask it by ratings"):
        REWARDBENCH2.askings["four_way"].adapt(ScalarJudge(TableScorer()))


@pytest.mark.parametrize("way", ["pairs", "four_way"])
def test_what_two_places_say_stands_beside_the_official_figures(tmp_path: Path, way: str) -> None:
    data = small(tmp_path)
    beside = {}
    for name, script in (("right", answer_right), ("first", lambda prompt, sample: "<answer>[[A]]</answer>")):
        scores = score(ask(ScriptedEngine(script), data, way, order="both"))
        beside[name] = {one.name: one.value for one in scores.figures if one.group == "all prompts"}
        drawn = score(ask(ScriptedEngine(script), data, way, order="seeded"))
        assert [one.value for one in scores.figures if one.group == "subsets"] == [
            one.value for one in drawn.figures
        ]
    assert beside == {
        "right": {"same verdict both ways": 1, "right both ways": 1},
        "first": {"same verdict both ways": 0, "right both ways": 0},
    }


def test_two_places_by_hand() -> None:
    def both(first: str | None, second: str | None) -> tuple[CastVote, ...]:
        return (CastVote("given", first, None, None), CastVote("swapped", second, None, None))

    games = [("A", "A"), ("B", "B"), ("A", "B")]
    scores = scores_of(
        ruling(f"Math/7#1+3/0v{other}", label="A", votes=both(*said)) for other, said in enumerate(games, 1)
    )
    # One prompt: two of its three comparisons say the same at both places, one is right at both.
    assert value(scores, "same verdict both ways") == pytest.approx(2 / 3)
    assert value(scores, "right both ways") == pytest.approx(1 / 3)


@pytest.mark.parametrize("way", ["pairs", "ratings", "four_way"])
def test_what_the_engine_did_not_answer_earns_nothing(tmp_path: Path, way: str) -> None:
    """Nor does it earn the quarter of a text that cannot be read."""
    judgments: list[Judgment] = []
    with suppress(StoppedError):
        judgments += ask_each(ScriptedEngine(answer_right, fail_every=1), small(tmp_path), way)
    scores = score(judgments)
    assert scores.failed == scores.judgments == len(judgments) > 0
    assert all((one.value, one.total) == (None, 0) for one in scores.figures)
    some = score(ask(ScriptedEngine(answer_right, fail_every=7), small(tmp_path), way))
    assert 0 < some.failed < some.judgments and some.unfinished > 0
    assert {one.value for one in some.figures if one.name != "Ties" and one.total} == {1.0}
