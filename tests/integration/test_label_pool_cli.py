"""`rmr1 label` of a pool from pairs to outcome, with a judge that is scripted from the rubric down."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmr1.active.asking import Asker
from rmr1.cli import label_pool
from rmr1.cli.main import main
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.store.codec import dump_record, dumps
from rmr1.store.labels import HumanLabel, append_label, now, read_labels
from tests.unit.active.judges import RubricJudge, make_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"".join(dumps(dump_record(one)) + b"\n" for one in make_pairs(3)))
    return path


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> RubricJudge:
    """Takes the place of the model that -m names."""
    engine = RubricJudge()

    def open_judge(config: object, settings: JudgeSettings) -> Any:
        return load_judge(engine, settings=settings)

    monkeypatch.setattr(label_pool, "open_judge", open_judge)
    return engine


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In the place of the page somebody who says A everywhere, and names the first criterion; keys of what was asked."""
    keys: list[str] = []

    def ask_people(arguments: Namespace, asker: Asker, **_: object) -> None:
        while (task := asker.choose(list(read_labels(asker.folder)), "ada")) is not None:
            keys.append(task.key)
            criterion = task.criteria[0].text if task.criteria else None
            one = HumanLabel(
                key=task.key, who="ada", when=now(), label="A", is_blind=True, criterion=criterion
            )
            append_label(asker.folder, one)

    monkeypatch.setattr(label_pool, "ask_people", ask_people)
    return keys


def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: object) -> str:
        code = main([*map(str, words)])
        err = capsys.readouterr().err
        assert code == 2 and "Traceback" not in err, err
        return err

    return run


def test_from_pairs_to_an_outcome(
    pairs: Path, judge: RubricJudge, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "pool"
    command = [
        "label",
        str(pairs),
        "-m",
        "scripted:hash",
        "-o",
        str(pool),
        "--number",
        "5",
        "-n",
        "2",
        "--quiet",
    ]
    assert main(command) == 0
    told = capsys.readouterr()
    assert "5 of 12 pairs have a label" in told.out and len(asked) == 5
    num_asked = judge.num_asked
    assert main(command) == 0 and judge.num_asked == num_asked and len(asked) == 5
    assert main(["label", str(pool)]) == 0  # nothing is left to ask of this person
    assert main([*command[:-5], "--number", "7", "-n", "2", "--quiet"]) == 0 and len(set(asked)) == 7
    capsys.readouterr()
    assert main(["label", str(pool), "--outcome", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["labelled"] == 7 and outcome["people"] == ["ada"]
    assert "pairs.jsonl" in outcome["files"] and (pool / "outcome" / "pairs.jsonl").is_file()
    (tmp_path / "l.csv").write_text(f"key,who,label\n{asked[0]},eve,B\n")
    assert main(["mark", str(pool), "--from", str(tmp_path / "l.csv")]) == 0
    assert list(read_labels(pool))[-1].who == "eve"


def test_what_means_nothing_is_one_line(
    pairs: Path, judge: RubricJudge, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, refused = tmp_path / "pool", refuse(capsys)
    assert "name it with -o DIR" in refused("label", pairs, "-m", "scripted:hash")
    assert "--outcome is of a pool that was labelled" in refused("label", pairs, "-o", pool, "--outcome")
    assert "--rubrics 1: expected 2 or more" in refused("label", pairs, "-o", pool, "--rubrics", 1)
    assert "--number 0: expected 1 or more" in refused("label", pairs, "-o", pool, "--number", 0)
    assert "--blind is of a run" in refused("label", pool, "--blind", "--rubrics", 3)
    assert "--report is of blind labels" in refused("label", pool, "--report")
    assert (
        main(["label", str(pairs), "-m", "scripted:hash", "-o", str(pool), "--number", "2", "--quiet"]) == 0
    )
    capsys.readouterr()
    assert "a pool already" in refused("label", pool, "-o", tmp_path / "other")
    assert "is judged; name the pairs" in refused("label", pool, "--rubrics", 3)
    assert "is judged; name the pairs" in refused("label", pool, "-m", "scripted:longer")
    assert len(asked) == 2
    assert main(["label", str(pool), "--beta", "2", "--number", "3"]) == 0 and len(asked) == 3
    capsys.readouterr()
    assert "a pool is labelled alone" in refused("label", pool, pairs)
    assert "a pool of pairs" in refused("label", pool, "--blind")
    assert "a run, and no pool" in refused("label", pool / "rubric-1")
    (tmp_path / "empty.jsonl").write_text("")
    assert "no pairs in it" in refused(
        "label", tmp_path / "empty.jsonl", "-o", tmp_path / "p2", "-m", "scripted:hash"
    )
    append_label(pool, HumanLabel(key="f" * 32, who="eve", when=now(), label="A"))
    assert "labels are of items that the pool does not hold" in refused("label", pool)
