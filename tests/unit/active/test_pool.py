"""A judged pool: what it asks, of whom, and in which sequence."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rmr1.active.choose import Chooser
from rmr1.active.judging import count_judged, judge_pool
from rmr1.active.pool import Pool, open_pool
from rmr1.active.settings import PoolSettings, pool_judge_settings
from rmr1.errors import ConfigError, DataError, GenerationError, RunError
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.messages import assistant, user
from rmr1.records import PreferencePair
from rmr1.store.kinds import find_kind
from rmr1.store.labels import HumanLabel, append_label, read_labels
from rmr1.store.runs import read_judgments
from tests.unit.active.judges import RubricJudge, make_pairs, make_pool

WHEN = "2026-11-30T16:20:02Z"


def answer(pool: Pool, who: str, labels: list[HumanLabel], number: int = 1000, **said: object) -> list[str]:
    """Ids of the pairs that the person is asked about, all answered with A."""
    asked: list[str] = []
    while len(asked) < number and (task := pool.choose(labels, who)) is not None:
        asked.append(pool.items[task.key].pair.id)
        values = {"label": "A", **said}
        labels.append(HumanLabel(key=task.key, who=who, when=WHEN, **values))  # type: ignore[arg-type]
    return asked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool") / "p"
    make_pool(folder)
    return folder


def open_with(folder: Path, **changes: object) -> Pool:
    return open_pool(folder, settings=replace(open_pool(folder).settings, **changes))  # type: ignore[arg-type]


def test_what_is_asked_about_each_kind(folder: Path) -> None:
    pool = open_pool(folder)
    doubts = {kind: Counter[str]() for kind in ("clear", "rubric", "tie", "place")}
    for item in pool.items.values():
        doubts[item.pair.id.split("-")[0]][item.doubt] += 1
    assert doubts["clear"] == {"sure": 5} and doubts["place"] == {"place": 5}
    # six rubrics of one kind happen once in 32 times
    assert doubts["rubric"]["rubric"] >= 4 and doubts["tie"]["unsure"] >= 4


def test_the_rubric_is_asked_about_first(folder: Path) -> None:
    asked = answer(open_with(folder, number=5, beta=0.0), "ada", [])
    assert sum(one.startswith("rubric") for one in asked) >= 4
    # the place decides: asked about sooner than what varies by chance
    asked = answer(open_with(folder, number=10, beta=0.0), "ada", [])
    assert sum(one.startswith(("rubric", "place")) for one in asked) >= 9


def test_a_question_about_the_rubric_offers_its_criteria(folder: Path) -> None:
    pool = open_with(folder, beta=0.0)
    task = pool.choose([], "ada")
    assert task is not None and task.ask == "criterion" and task.pair.label is None
    assert sorted(one.text.partition(":")[0] for one in task.criteria) == ["Brevity", "Truth"]
    assert "better" in task.reason and task == pool.find(task.key)


def test_a_criterion_may_be_asked_for_always(folder: Path) -> None:
    pool = open_with(folder, strategy="random")
    asks = {item.pair.id: pool.find(key).ask for key, item in pool.items.items()}  # type: ignore[union-attr]
    assert asks["clear-0"] == "label" and asks["rubric-0"] == "criterion"
    always = open_with(folder, strategy="random", ask="always")
    tasks = [always.find(key) for key in always.items]
    assert all(task is not None and task.ask == "criterion" and task.criteria for task in tasks)


def test_uncertainty_does_not_tell_kinds_apart(folder: Path) -> None:
    asked = answer(open_with(folder, strategy="uncertainty", number=15), "ada", [])
    assert not any(one.startswith("clear") for one in asked)
    assert sum(one.startswith("place") for one in asked) == 5  # whose mean is a half


def test_random_goes_by_the_seed_alone(folder: Path) -> None:
    pool = open_with(folder, strategy="random", number=20)
    assert answer(pool, "ada", []) == answer(pool, "bob", []) and len(set(answer(pool, "ada", []))) == 20


def test_what_was_asked_is_what_the_labels_say(folder: Path, tmp_path: Path) -> None:
    whole = answer(open_with(folder, number=12), "ada", [])
    labels: list[HumanLabel] = []
    pieces = []
    while one := answer(open_with(folder, number=12), "ada", labels, number=1):  # opened anew each time
        pieces += one
    assert pieces == whole


def test_skips_and_what_is_taken_back(folder: Path) -> None:
    pool, labels = open_with(folder, number=20), list[HumanLabel]()
    (first,) = answer(pool, "ada", labels, number=1, label=None, is_skipped=True)
    (second,) = answer(pool, "ada", labels, number=1)
    assert first != second
    undone = replace(labels[-1], label=None, is_undone=True)
    task = pool.choose([*labels, undone], "ada")
    assert task is not None and pool.items[task.key].pair.id == second
    # what ada passed on is still to be answered by somebody
    assert first in answer(pool, "bob", labels, number=20)


def test_several_people_are_asked_about_the_same_pairs(folder: Path) -> None:
    pool, labels = open_with(folder, number=6, people=2), list[HumanLabel]()
    first = answer(pool, "ada", labels)
    assert set(answer(pool, "bob", labels)) == set(first)
    assert not set(answer(pool, "eve", labels)) & set(first)
    alone, labels = open_with(folder, number=6), []
    assert not set(answer(alone, "ada", labels)) & set(answer(alone, "bob", labels))


def test_a_share_is_drawn_at_random_and_asked_for_labels_alone(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(20), check=0.25, number=40)
    labels: list[HumanLabel] = []
    answer(pool, "ada", labels)
    checks = [one.key for one in labels if pool.is_check(one.key)]
    assert len(checks) == 10 and [pool.is_check(one.key) for one in labels[:4]] == [False] * 3 + [True]
    assert all(task.ask == "label" and not task.criteria for key in checks if (task := pool.find(key)))
    # which are drawn does not depend on how many are asked for
    fewer = open_with(tmp_path / "p", number=7)
    assert all(pool.is_check(key) == fewer.is_check(key) for key in pool.items)


def test_asked_pairs_keep_away_what_is_like_them() -> None:
    (other,) = make_pairs(1, ("tie",))
    pairs = [*make_pairs(4, ("clear",)), replace(other, prompt=(user("something else altogether?"),))]
    keys = [pair.id for pair in pairs]
    value = np.array([1.0, 0.9, 0.8, 0.7, 0.8])
    # z of the value of clear-1 is 1.4, and of tie-0 0; of the distance to clear-0 it is below 0, and 1.7
    assert Chooser(keys, value, pairs, beta=0.0).choose(keys[1:], keys[:1]) == "clear-1"
    assert Chooser(keys, value, pairs, beta=2.0).choose(keys[1:], keys[:1]) == "tie-0"
    assert Chooser(keys, value, pairs).choose([], []) is None


def test_a_killed_pool_goes_on_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    whole = RubricJudge()
    make_pool(tmp_path / "whole", model=whole)
    stopped = RubricJudge(stops=50)
    with pytest.raises(GenerationError):
        make_pool(tmp_path / "p", model=stopped)
    done = count_judged(tmp_path / "p")
    assert 0 < done < 120
    with pytest.raises(RunError, match=r"holds .* of 20 pairs; go on with the command"):
        open_pool(tmp_path / "p")
    again = RubricJudge()
    make_pool(tmp_path / "p", model=again)
    assert count_judged(tmp_path / "p") == 120
    assert 50 + again.num_asked - whole.num_asked <= 3  # what was in flight
    for place in range(1, 7):
        one, other = (
            sorted(
                (key, judgment.winner or "", judgment.criteria) for key, judgment in read_judgments(folder)
            )
            for folder in (tmp_path / f"whole/rubric-{place}", tmp_path / f"p/rubric-{place}")
        )
        assert [row[:2] for row in one] == [row[:2] for row in other]


def test_what_failed_is_counted_and_never_asked_about(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", model=RubricJudge(fails="question 3 of the tie kind"), number=100)
    assert pool.describe()["failed"] == 1 and pool.total == 19
    assert pool.notes[0].startswith("1 pairs are left out, for which the engine gave an error")
    assert "tie-3" not in answer(pool, "ada", [])
    (key,) = (key for key, item in pool.items.items() if item.pair.id == "tie-3")
    assert pool.find(key) is None and pool.find("nosuch") is None


def test_a_pool_without_disagreement(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(6, ("clear",)))
    assert any("the judge says the same of each of 6 pairs" in note for note in pool.notes)
    assert len(answer(pool, "ada", [])) == 6


def test_rubrics_that_differ_by_chance_alone_are_told(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(8, ("clear", "tie")))
    assert not pool.describe()["do_rubrics_differ"] and "no more than chance would have it" in pool.notes[-1]


def test_pairs_that_have_labels(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", [replace(pair, label="A") for pair in make_pairs(3)])
    assert "pairs of the pool have labels already, which count for nothing here" in pool.notes
    task = pool.choose([], "ada")
    assert task is not None and task.pair.label is None


def test_bad_pools_are_refused_in_a_line(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="holds no pairs"):
        make_pool(tmp_path / "none", [])
    for family in ("rating", "rubric"):
        judge = load_judge("scripted:longer", family=family)
        with pytest.raises(ConfigError, match=r"does not judge pairs by rubrics|is not asked as for a pool"):
            judge_pool(make_pairs(1), judge, tmp_path / "x", PoolSettings())
    with pytest.raises(RunError, match=r"a pool of pairs, for rmr1 label; name one of its runs: .*rubric-1"):
        find_kind(folder)
    with pytest.raises(RunError, match="no pool"):
        open_pool(tmp_path)
    with pytest.raises(RunError, match=r"was made in another way: .*pool\.votes was 3, now 2"):
        make_pool(folder, votes=2)
    with pytest.raises(DataError, match=r"none of 4 pairs has verdicts .*generation_failed 24"):
        make_pool(tmp_path / "mute", make_pairs(1), RubricJudge(fails="question"))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rubrics": 1}, "rubrics=1: expected 2 or more: with one rubric"),
        ({"votes": 1}, "votes=1: expected 2 or more: with one verdict"),
        ({"check": 1.0}, "check=1.0"),
        ({"beta": -1.0}, "beta=-1.0"),
        ({"strategy": "best"}, "strategy='best' is not known"),
        ({"number": 0}, "number=0"),
        ({"ask": "never"}, "ask='never' is not known; choose one of doubt, always"),
    ],
)
def test_settings_that_are_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        PoolSettings(**values)  # type: ignore[arg-type]
    assert told in str(refused.value)


def test_labels_of_other_items(folder: Path, tmp_path: Path) -> None:
    pool = open_pool(folder)
    key = next(iter(pool.items))
    mine = HumanLabel(key=key, who="ada", when=WHEN, label="A")
    pool.check_labels([mine])
    with pytest.raises(
        DataError, match="1 labels are of items that the pool does not hold, the first by 'bob'"
    ):
        pool.check_labels([mine, HumanLabel(key="0" * 32, who="bob", when=WHEN, label="B")])


def test_the_folder_takes_labels_and_other_questions(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    pool = make_pool(folder, make_pairs(2))
    append_label(folder, HumanLabel(key=next(iter(pool.items)), who="ada", when=WHEN, label="A"))
    again = make_pool(folder, make_pairs(2), number=3, strategy="random")
    assert again.total == 3 and len(list(read_labels(folder))) == 1
    assert json.loads((folder / "run.json").read_text())["pool"]["strategy"] == "random"


def test_settings_of_the_judge() -> None:
    votes = replace(JudgeSettings().sampling, num_samples=2, temperature=1.0)
    early = JudgeSettings(stop_votes=0.9, sampling=votes)
    with pytest.raises(ConfigError, match="stop_votes"):
        pool_judge_settings(early, PoolSettings())
    silent = {
        "tiny-scalar": "a number",
        "decisions:x@http://127.0.0.1:1/v1": "chooses",
        "replay:x": "recording",
    }
    for model, told in silent.items():
        with pytest.raises(ConfigError, match=f"writes no rubrics .*{told}"):
            pool_judge_settings(JudgeSettings(), PoolSettings(), model=model)
    found = pool_judge_settings(JudgeSettings(), PoolSettings(votes=3, seed=7), model="scripted:longer")
    assert found.share_rubric and found.order == "both" and found.sampling.num_samples == 3
    assert found.sampling.temperature == 1.0 and found.seed == 7


def test_the_nearest_pair_counts_also_after_an_answer_is_taken_back() -> None:
    texts = ("red apples", "red apples", "green stones roll", "green stones")
    pairs = [
        PreferencePair(
            id=text, prompt=(user(text),), response_a=(assistant("x"),), response_b=(assistant("y"),)
        )
        for text in texts
    ]
    chooser = Chooser(["a", "b", "c", "d"], np.zeros(4), pairs, beta=1.0)
    assert chooser.choose(["b", "d"], ["a"]) == "d"
    # Beside "c", "d" is nearer to what was asked than before, but "b" is the very pair "a".
    assert chooser.choose(["b", "d"], ["a", "c"]) == "d"
    assert chooser.choose(["b", "d"], ["c"]) == "b"  # "a" is taken back
