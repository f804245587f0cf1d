"""What answers become: a guideline that is tried, a calibration of what was drawn at random, rows to train on."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from rmr1.active.guideline import Candidate, list_candidates, try_guideline
from rmr1.active.outcome import Outcome, format_outcome, write_outcome
from rmr1.active.pool import Pool, open_pool
from rmr1.active.settings import PoolSettings, pool_judge_settings
from rmr1.data.read import read_pairs
from rmr1.errors import DataError, RunError
from rmr1.judge.calibrate import refuse_other_judge
from rmr1.judge.criteria import read_criteria
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.records import PreferencePair, RubricItem
from rmr1.store.labels import HumanLabel
from rmr1.store.runs import read_description
from rmr1.verdicts import parse_verdict
from tests.unit.active.judges import RubricJudge, make_pairs, make_pool

WHEN = "2026-11-30T16:20:02Z"
NUMBER = 50


def truth(pair: PreferencePair) -> str:
    """People hold with brevity, which is against the answer with "good"."""
    is_first = "good" in pair.response_a[0].text
    return "A" if is_first != pair.id.startswith("rubric") else "B"


def load(model: RubricJudge | None = None) -> GenerativeJudge:
    settings = pool_judge_settings(JudgeSettings(), PoolSettings(rubrics=6, votes=3, check=0.5))
    judge = load_judge(model or RubricJudge(), settings=settings)
    assert isinstance(judge, GenerativeJudge)
    return judge


def label_all(pool: Pool, criterion: str = "Brevity: is it short?", who: str = "ada") -> list[HumanLabel]:
    labels: list[HumanLabel] = []
    while (task := pool.choose(labels, who)) is not None:
        values = {"label": truth(pool.items[task.key].pair)}
        if task.ask == "criterion":
            values["criterion"] = criterion
        labels.append(HumanLabel(key=task.key, who=who, when=WHEN, **values))  # type: ignore[arg-type]
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool") / "p"
    make_pool(folder, make_pairs(NUMBER // 2, ("rubric", "clear")), check=0.5, number=NUMBER)
    return folder


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    pool = open_pool(folder)
    return write_outcome(pool, label_all(pool), load())


def test_what_people_name_is_counted(folder: Path) -> None:
    pool = open_pool(folder)
    labels = label_all(pool, "Brevity: is it short?")
    asked = sum(one.criterion is not None for one in labels)
    (found,) = list_candidates(pool, labels)
    assert found.named == asked > 5 and found.item == RubricItem(text="Brevity: is it short?")
    # nearly the same in a person's own words, and one that is named of a pair that was drawn at random
    (check,) = [one.key for one in labels if pool.is_check(one.key)][:1]
    more = [
        HumanLabel(key=labels[0].key, who="bob", when=WHEN, label="A", criterion="brevity - is it short"),
        HumanLabel(key=check, who="bob", when=WHEN, label="A", criterion="Tone"),
    ]
    (again,) = list_candidates(pool, [*labels, *more])
    assert again.named == asked + 1


def test_a_criterion_that_helps_is_kept(folder: Path, outcome: Outcome) -> None:
    (decision,) = outcome.guideline.decisions
    assert decision.is_kept and decision.after == 1.0 > decision.before and decision.worse == 0
    assert decision.interval is not None and decision.interval[0] > 0
    assert decision.pairs == outcome.held_out >= 20
    path = folder / "outcome" / "guideline.json"
    assert read_criteria(path) == outcome.guideline.criteria == (RubricItem(text="Brevity: is it short?"),)


def test_a_criterion_that_harms_is_left_out(folder: Path) -> None:
    pool = open_pool(folder)
    labels = {one.key: one.label for one in label_all(pool) if one.label}
    flipped = {key: "A" if label == "B" else "B" for key, label in labels.items()}
    wrong = {
        key: flipped[key] if pool.items[key].pair.id.startswith("rubric") else label
        for key, label in labels.items()
    }
    named = [Candidate(item=RubricItem(text="Brevity: is it short?"), named=3)]
    found = try_guideline(pool, named, wrong, load())  # type: ignore[arg-type]
    assert found.criteria == () and not found.decisions[0].is_kept
    assert found.decisions[0].after < found.decisions[0].before and found.decisions[0].better == 0


def test_a_try_goes_on_and_asks_nothing_twice(folder: Path, outcome: Outcome) -> None:
    pool, again = open_pool(folder), RubricJudge()
    found = write_outcome(pool, label_all(pool), load(again))
    assert again.num_asked == 0 and found.guideline == outcome.guideline


def test_weights_are_kept_only_if_they_help(folder: Path) -> None:
    pool = open_pool(folder)
    labels = {one.key: one.label for one in label_all(pool) if one.label}
    named = [
        Candidate(item=RubricItem(text="Brevity: is it short?"), named=3),
        Candidate(item=RubricItem(text="Manners"), named=1),
    ]
    found = try_guideline(pool, named, labels, load())
    assert [(one.what, one.is_kept) for one in found.decisions] == [
        ("Brevity: is it short?", True),
        ("Manners", True),
        ("weights", False),
    ]
    assert [one.weight for one in found.criteria] == [None, None]


def test_the_calibration_is_of_the_judge_with_its_guideline(folder: Path, outcome: Outcome) -> None:
    assert outcome.calibration is not None and outcome.calibration.pairs == outcome.held_out
    (tried, *_) = sorted(folder.glob("guideline/*/rubric-1"))
    description = read_description(tried)
    refuse_other_judge(outcome.calibration.judge, description, "x")
    assert outcome.calibration.judge["settings"]["criteria"] == [{"text": "Brevity: is it short?"}]


def test_rows_to_train_on_agree_with_people(folder: Path, outcome: Outcome) -> None:
    pool = open_pool(folder)
    pairs = list(read_pairs(folder / "outcome" / "pairs.jsonl"))
    kept = list(read_pairs(folder / "outcome" / "held-out.jsonl"))
    assert len(pairs) == outcome.training and len(kept) == outcome.held_out
    assert not {one.id for one in pairs} & {one.id for one in kept}
    assert all(one.label == truth(one) for one in (*pairs, *kept))
    rows = [json.loads(line) for line in (folder / "outcome" / "sft.jsonl").read_text().splitlines()]
    assert len(rows) == outcome.texts > 0
    for row in rows:
        pair = pool.items[row["key"]].pair
        said = parse_verdict(row["messages"][-1]["content"]).winner
        right = truth(pair) if row["order"] == "given" else {"A": "B", "B": "A"}[truth(pair)]
        assert said == row["verdict"] == right
        assert "1. Truth" in row["messages"][-2]["content"] and row["messages"][0]["role"] == "system"
    # of a pair whose rubrics ask for truth alone, or whose judge never says so, there is no text
    assert len({row["key"] for row in rows}) == outcome.training - outcome.without_text


def test_the_lines_for_people(outcome: Outcome, folder: Path) -> None:
    told = "\n".join(format_outcome(outcome))
    assert f"{NUMBER} pairs labelled by 1 people, 0 skipped" in told
    assert "kept: Brevity: is it short? (named" in told and "calibration: ECE" in told
    assert json.loads((folder / "outcome" / "outcome.json").read_text())["files"] == list(outcome.files)


def test_without_a_judge_nothing_is_tried(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(6, ("rubric", "clear")), number=12, check=0.3)
    found = write_outcome(pool, label_all(pool))
    assert found.guideline.problem == "no model was named that could be asked with them"
    assert found.guideline.candidates[0].named > 0 and found.calibration is None
    assert "a calibration needs 20 or more" in (found.no_calibration or "")
    assert "guideline.json" not in found.files and "pairs.jsonl" in found.files
    short = write_outcome(pool, label_all(pool), load())
    assert "of the pairs that were drawn at random have a label; expected 20" in (
        short.guideline.problem or ""
    )


def test_a_pool_without_random_pairs_has_no_calibration(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(12, ("rubric", "clear")), number=24)
    found = write_outcome(pool, label_all(pool))
    assert "no pair was drawn at random" in (found.no_calibration or "") and found.held_out == 0


def test_several_people_are_settled_by_skill(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(10, ("rubric", "clear")), number=20, people=4, check=0.3)
    random, labels = Random(0), list[HumanLabel]()
    for who in ("ada", "bob", "eve", "max"):
        for one in label_all(pool, who=who):
            guess = random.choice("AB") if who == "max" else one.label
            labels.append(HumanLabel(key=one.key, who=who, when=WHEN, label=guess))  # type: ignore[arg-type]
    found = write_outcome(pool, labels)
    assert all(found.labels.labels[key] == truth(item.pair) for key, item in pool.items.items())
    assert found.labels.skills["max"]["A"]["A"] < 0.8 < found.labels.skills["ada"]["A"]["A"]


def test_nothing_to_go_by(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "p", make_pairs(2))
    with pytest.raises(DataError, match="holds no label that people agree on"):
        write_outcome(pool, [])
    with pytest.raises(DataError, match="are of items that the pool does not hold"):
        write_outcome(pool, [HumanLabel(key="x", who="ada", when=WHEN, label="A")])


def test_another_judge_tries_nothing(folder: Path) -> None:
    pool = open_pool(folder)
    settings = pool_judge_settings(JudgeSettings(), PoolSettings(votes=2))
    with pytest.raises(
        RunError, match=r"was made in another way: settings.sampling.num_samples was 3, now 2"
    ):
        write_outcome(pool, label_all(pool), load_judge(RubricJudge(), settings=settings))
