"""Own labelled pairs: ties as labels, subsets and sources, ids that repeat, what cannot be scored."""

from __future__ import annotations

import json

import pytest

from rmr1.bench.base import score_judgments
from rmr1.bench.tasks.pairs import PAIRS, find_pair_files, read_labelled_pairs
from rmr1.errors import DataError
from rmr1.stats import wilson_interval
from tests.unit.bench.judgments import judge, make_pair


def one(pair_id, winner, label="A", **fields):
    return judge(make_pair(pair_id, label, **fields), winner, orders=("given",))


def figures(scores):
    return {(figure.group, figure.name): figure for figure in scores.figures}


def write_lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(label="A", **fields):
    return {"prompt": "Q", "response_a": "one", "response_b": "two", "label": label, **fields}


def test_a_tie_is_right_where_the_label_is_a_tie():
    judgments = [
        one("1", "A", "A"),
        one("2", "A", "B"),
        one("3", "tie", "tie"),
        one("4", "A", "tie"),
        one("5", "tie", "A"),
        one("6", None, "tie"),
    ]
    scores = score_judgments(PAIRS, judgments)
    (overall,) = scores.overall
    assert (overall.value, overall.status, overall.correct, overall.total) == (2 / 6, "complete", 2, 6)
    assert overall.interval == wilson_interval(2, 6)
    assert (overall.no_verdict, overall.ties) == (1, 2)
    by_label = {
        name: (found.correct, found.total)
        for (group, name), found in figures(scores).items()
        if group == "label"
    }
    assert by_label == {"A": (1, 2), "B": (0, 1), "tie": (1, 3)}


def test_what_blind_judges_reach_is_said():
    judgments = [
        one(str(number), "A", label) for number, label in enumerate(["A"] * 5 + ["B"] * 3 + ["tie"] * 2)
    ]
    notes = score_judgments(PAIRS, judgments).notes
    assert notes == (
        "labels: A 5, B 3, tie 2; a judge that always says A reaches 50.0%",
        "2 labels are a tie, which only a verdict of a tie meets: a judge that never calls one reaches 80.0% at most",
    )
    assert score_judgments(PAIRS, judgments[:9]).notes[1].startswith("1 label is a tie, which only")
    assert score_judgments(PAIRS, judgments[:8]).notes == (
        "labels: A 5, B 3; a judge that always says A reaches 62.5%",
    )


def test_by_subset_and_source():
    judgments = [
        one("1", "A", subset="math", source="x"),
        one("2", "B", subset="math", source="y"),
        one("3", "A", subset="chat", source="x"),
        one("4", "B", source="x"),
    ]
    scores = score_judgments(PAIRS, judgments)
    found = {key: (figure.correct, figure.total) for key, figure in figures(scores).items()}
    assert found == {
        ("subset", "(none)"): (0, 1),
        ("subset", "chat"): (1, 1),
        ("subset", "math"): (1, 2),
        ("source", "x"): (2, 3),
        ("source", "y"): (0, 1),
        ("label", "A"): (2, 4),
    }
    assert {(figure.name, figure.total) for figure in scores.categories} == {
        ("(none), x", 1),
        ("chat, x", 1),
        ("math, x", 1),
        ("math, y", 1),
    }


def test_no_subset_no_figure():
    scores = score_judgments(PAIRS, [one("1", "A")])
    assert {figure.group for figure in scores.figures} == {"label"}
    assert scores.categories == ()


def test_names_with_tabs_stay_apart_from_nothing():
    scores = score_judgments(PAIRS, [one("1", "A", subset="a\tb"), one("2", "B", subset="a b")])
    assert figures(scores)["subset", "a b"].total == 2
    assert scores.overall[0].total == 2


def test_both_orders():
    judgments = [
        judge(make_pair("1", "A"), "A", "A"),
        judge(make_pair("2", "A"), "B", "B"),
        judge(make_pair("3", "A"), "A", "B"),
        judge(make_pair("4", "tie"), "tie", "tie"),
    ]
    scores = score_judgments(PAIRS, judgments)
    # The order asked first counts, "given" here: the third pair is right, whatever the other order says.
    assert scores.overall[0].value == 3 / 4
    assert figures(scores)["pairs", "same verdict both ways"].correct == 3
    assert figures(scores)["pairs", "right both ways"].correct == 2


def test_repeated_ids_of_a_run_each_count():
    scores = score_judgments(PAIRS, [one("1", "A"), one("1", "B"), one("1", "A")])
    assert (scores.overall[0].value, scores.overall[0].total) == (2 / 3, 3)


def test_nothing_judged():
    scores = score_judgments(PAIRS, [])
    assert scores.overall[0].value is None


def test_unlabelled_pairs_are_refused(tmp_path):
    with pytest.raises(DataError, match="pair '7' has no label"):
        score_judgments(PAIRS, [one("7", "A", None)])
    path = write_lines(tmp_path / "pairs.jsonl", row(id="3"), row(None, id="4"))
    with pytest.raises(DataError, match=r"pairs.jsonl.*'4' has no label.*one of A, B, tie"):
        list(read_labelled_pairs(path))


def test_reading_numbers_repeated_ids(tmp_path):
    path = write_lines(
        tmp_path / "pairs.jsonl", row(id="x"), row("B", id="y"), row("tie", id="x"), row(id="x")
    )
    pairs = list(read_labelled_pairs(path))
    assert [pair.id for pair in pairs] == ["x", "y", "x (2)", "x (3)"]
    assert [pair.label for pair in pairs] == ["A", "B", "tie", "A"]
    assert len(list(read_labelled_pairs(path, 2))) == 2


def test_other_forms_are_read(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,chosen,rejected\nQ,good,bad\n", encoding="utf-8")
    (pair,) = read_labelled_pairs(path)
    assert pair.label == "A"


def test_files_of_a_folder(tmp_path):
    for name in ("b.jsonl", "a.csv", "notes.txt", ".hidden.jsonl"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert [path.name for path in find_pair_files(tmp_path)] == ["a.csv", "b.jsonl"]
    assert find_pair_files(tmp_path / "a.csv") == [tmp_path / "a.csv"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no data in the folder"):
        find_pair_files(tmp_path / "empty")
