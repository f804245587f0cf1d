"""Recorded texts: equal items have texts of their own, also after a stop and in any sequence."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from rmr1.engines.replay import ReplayEngine
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.settings import SamplingParams
from rmr1.prompts import load_family
from rmr1.records import PreferencePair
from rmr1.store.runs import JUDGMENTS_FILE, open_run, read_judgments
from tests.unit.bench.judgments import make_pair

SAME = [make_pair("x") for _ in range(3)]
"""One pair, three times."""
ONE_ID = [make_pair("x", prompt=f"question {number}") for number in range(3)]
"""Three pairs of one id."""


def record(path: Path, *texts: str, order: str = "given", pair_id: str = "x") -> None:
    with path.open("a") as file:
        for text in texts:
            file.write(json.dumps({"id": pair_id, "order": order, "text": text}) + "\n")


def replay(path: Path, pairs: list[PreferencePair], folder: Path, **settings: object) -> None:
    judge = GenerativeJudge(ReplayEngine(path), load_family("rubric"), JudgeSettings(**settings))  # type: ignore[arg-type]
    with open_run(folder, {"data": {}, "model": {}}) as writer:
        for _ in judge.run(pairs, run=writer):
            pass


def texts(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Order and text of every vote, by key."""
    return {
        key: [(vote.order, vote.generation.text) for vote in judgment.votes]
        for key, judgment in read_judgments(folder)
    }


def keep(folder: Path, lines: list[int]) -> None:
    """As if the run had been stopped when only these lines were written, in this sequence."""
    path = folder / JUDGMENTS_FILE
    found = path.read_text().splitlines(keepends=True)
    path.write_text("".join(found[line] for line in lines))


@pytest.mark.parametrize("pairs", [SAME, ONE_ID], ids=["equal items", "one id"])
@pytest.mark.parametrize("kept", [[0], [1], [2], [0, 1], [2, 0], [1, 2], []])
@pytest.mark.parametrize("order", ["given", "both", "seeded"])
def test_a_resumed_replay_gives_occurrences_their_own_texts(
    tmp_path: Path, pairs: list[PreferencePair], kept: list[int], order: str
) -> None:
    for one in ("given", "swapped"):
        record(tmp_path / "out.jsonl", *(f"{one} text {number}" for number in range(3)), order=one)
    run = tmp_path / "run"
    replay(tmp_path / "out.jsonl", pairs, run, order=order)
    whole = texts(run)
    assert len({text for votes in whole.values() for _, text in votes}) == (6 if order == "both" else 3)
    keep(run, kept)
    replay(tmp_path / "out.jsonl", pairs, run, order=order)
    assert texts(run) == whole


def test_samples_of_occurrences_stay_together(tmp_path: Path) -> None:
    record(tmp_path / "out.jsonl", *"abcdef")
    run, sampling = tmp_path / "run", SamplingParams(num_samples=2, temperature=1.0)
    replay(tmp_path / "out.jsonl", SAME, run, order="given", sampling=sampling)
    keep(run, [1])
    replay(tmp_path / "out.jsonl", SAME, run, order="given", sampling=sampling)
    found = [[text for _, text in votes] for votes in texts(run).values()]
    assert found == [["c", "d"], ["a", "b"], ["e", "f"]]


@pytest.mark.parametrize("finished", list(itertools.permutations(range(3))))
def test_texts_of_a_run_belong_to_its_items_however_they_finished(
    tmp_path: Path, finished: tuple[int, ...]
) -> None:
    record(tmp_path / "out.jsonl", "first", "second", "third")
    replay(tmp_path / "out.jsonl", SAME, tmp_path / "run", order="given")
    whole = texts(tmp_path / "run")
    keep(tmp_path / "run", list(finished))
    replay(tmp_path / "run", SAME, tmp_path / "again", order="given")
    assert texts(tmp_path / "again") == whole
    keep(tmp_path / "again", [2, 0])
    replay(tmp_path / "run", SAME, tmp_path / "again", order="given")
    assert texts(tmp_path / "again") == whole
    # Items that a new label makes others find the texts of their id, in the sequence of the occurrences.
    other = [make_pair("x", label="B") for _ in range(3)]
    replay(tmp_path / "run", other, tmp_path / "other", order="given")
    assert list(texts(tmp_path / "other").values()) == list(whole.values())


def test_answers_rated_alone_go_on_with_their_own_texts(tmp_path: Path) -> None:
    for order in ("given", "swapped"):
        record(tmp_path / "out.jsonl", *(f"{order} {number}" for number in range(3)), order=order)

    def rate(folder: Path) -> None:
        judge = GenerativeJudge(ReplayEngine(tmp_path / "out.jsonl"), load_family("rating"), JudgeSettings())
        with open_run(folder, {"data": {}, "model": {}}) as writer:
            for _ in judge.run(SAME, run=writer):
                pass

    rate(tmp_path / "run")
    whole = texts(tmp_path / "run")
    keep(tmp_path / "run", [1])
    rate(tmp_path / "run")
    assert texts(tmp_path / "run") == whole
