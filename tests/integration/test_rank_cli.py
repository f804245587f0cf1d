"""`rmr1 rank` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from rmr1.judge.ranking.run import read_rankings

LISTS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "Which?", "responses": ["x", "x" * 9, "x" * 4, "x" * 7, "x" * 2], "best": 1},
    {"id": "b", "prompt": "Which?", "responses": ["\x1b[31mred", "longer than that"], "best": 0},
    {"id": "c", "prompt": "Which?", "responses": ["same", "same"]},
]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    return write(tmp_path / "lists.jsonl", LISTS)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rank(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["rank", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_table_for_each_question(capsys, lists: Path) -> None:
    code, out, err = rank(capsys, lists, "-m", "scripted:longer", "--method", "round_robin")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("a: Which? (round_robin, 10 comparisons)\nPlace")
    places = [line[:3] for line in lines if len(line) > 3 and line[0].isdecimal()]
    assert [line[1] for line in places[:5]] == ["1", "3", "2", "4", "0"]
    assert "\x1b" not in out and "\\x1b[31mred" in out  # text is inert
    assert "c: Which? (round_robin, 0 comparisons)" in out
    assert "3 questions ranked by round_robin: 11 comparisons (3.7 each), 11 texts or scores" in out
    assert "right: the labelled best answer is alone in front in 1 of 2 (50.00%)" in out
    assert "no best and worst: no two answers of 1 question are told apart" in out


def test_json_has_a_line_for_each_question(capsys, lists: Path) -> None:
    code, out, _ = rank(capsys, lists, "-m", "scripted:longer", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [one["candidates"]["id"] for one in found] == ["a", "b", "c"]
    assert found[0]["order"][0] == [1] and found[1]["order"] == [[1], [0]] and found[2]["order"] == [[0, 1]]
    assert found[0]["spent"]["comparisons"] == 8 and len(found[0]["errors"]) == 5


def test_a_run_goes_on_by_its_folder_with_another_method_and_with_more_questions(
    capsys, lists: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    code, out, err = rank(capsys, lists, "-m", "scripted:hash", "--method", "knockout", "-o", run)
    assert code == 0 and "compared 5" in err and f"read the comparisons: rmr1 show {run}" in out
    first = (run / "rankings.jsonl").read_text()
    code, out, _ = rank(capsys, "-o", run, "--json", "--quiet")
    summary = json.loads(out)
    assert summary["items"] == 5 and summary["ranking"]["method"] == "knockout"
    assert (run / "rankings.jsonl").read_text() == first
    code, out, err = rank(capsys, lists, "-m", "scripted:hash", "--method", "round_robin", "-o", run)
    assert code == 0 and "going on after 5 finished items" in err
    assert len((run / "judgments.jsonl").read_text().splitlines()) == 11
    write(lists, [{"id": "d", "prompt": "More?", "responses": ["1", "22"]}, *LISTS])
    code, out, _ = rank(capsys, "-o", run, "--quiet", "--json")
    assert code == 0 and json.loads(out)["items"] == 12
    assert [one.candidates.id for one in read_rankings(run)] == ["d", "a", "b", "c"]
    write(lists, LISTS[1:])
    code, out, err = rank(capsys, "-o", run)
    assert code == 2 and "finished items are not in the data as they were judged" in err
    assert main(["show", str(run), "--list"]) == 0 and main(["judge", "-o", str(run)]) == 2
    assert "this run was made by rmr1 rank, not by rmr1 judge" in capsys.readouterr().err


def test_preferences_are_written_for_training(capsys, lists: Path, tmp_path: Path) -> None:
    output = tmp_path / "dpo.jsonl"
    method = ("-m", "scripted:longer", "--method", "round_robin")
    code, out, _ = rank(capsys, lists, *method, "--dpo", output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert code == 0 and len(rows) == 2
    assert rows[0] == {
        "prompt": [{"role": "user", "content": "Which?"}],
        "chosen": [{"role": "assistant", "content": "x" * 9}],
        "rejected": [{"role": "assistant", "content": "x"}],
    }
    assert f"preferences: 2 in {output}; 1 left out, whose best and worst are not told apart" in out
    code, _, err = rank(capsys, lists, "-m", "scripted:longer", "--dpo", output)
    assert code == 2 and "exists; choose another name or pass --force" in err
    assert rank(capsys, lists, "-m", "scripted:longer", "--dpo", output, "--force", "--limit", "1")[0] == 0
    assert len(output.read_text().splitlines()) == 1
    main(["judge", str(output), "-m", "scripted:longer", "--json"])  # it reads as pairs
    assert json.loads(capsys.readouterr().out)["winner"] == "A"


def test_votes_orders_cascades_and_the_cache_work(capsys, lists: Path, tmp_path: Path) -> None:
    base = (lists, "-m", "scripted:longer", "--method", "knockout", "--quiet", "--json", "--limit", "1")
    ways = {
        "votes": (("--votes", "3", "--order", "both"), 4 * 6),
        "cascade": (("--cascade", "direct,rubric"), 4),
    }
    for name, (flags, texts) in ways.items():
        flags = (*flags, "--cache", str(tmp_path / name))
        _, first, _ = rank(capsys, *base, *flags)
        code, again, _ = rank(capsys, *base, *flags)
        one, other = json.loads(first), json.loads(again)
        assert code == 0 and one["spent"]["texts"] == texts, name
        assert one["order"] == other["order"] and one["strengths"] == other["strengths"]
        assert other["spent"] == {"comparisons": 4, "cached": 4}
    _, out, _ = rank(capsys, *base[:-4], "--order", "both", "-m", "scripted:always-a")
    assert "not told apart: 5 whose votes or orders contradict each other, taken as ties" in out


def test_what_will_be_asked_is_told_beforehand(capsys, lists: Path, tmp_path: Path) -> None:
    code, out, err = rank(capsys, lists, "-m", "scripted:longer", "--method", "round_robin", "--dry-run")
    assert code == 0 and "items            11" in out and err == ""
    run = tmp_path / "run"
    rank(capsys, lists, "-m", "scripted:longer", "--method", "round_robin", "-o", run, "--quiet")
    _, out, _ = rank(
        capsys, lists, "-m", "scripted:longer", "--method", "round_robin", "-o", run, "--dry-run"
    )
    assert "items            11, of them 11 finished" in out
    code, out, err = rank(capsys, lists, "-m", "scripted:longer", "--dry-run")
    assert code == 0 and "reckoned with verdicts drawn by lot" in err
    assert rank(capsys, lists, "-m", "scripted:longer", "--method", "listwise", "--dry-run")[0] == 2


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"prompt": "q", "responses": ["a"]}, "the list holds 1 answer, expected 2 or more"),
        ({"prompt": "q", "responses": []}, "'responses' is an empty list, expected a list of answers"),
        ({"prompt": "q", "responses": ["a", " "]}, "'responses[1]' is empty"),
        ({"prompt": "q", "responses": ["a", "b"], "best": 2}, "best 2 is not a number from 0 to 1"),
    ],
)
def test_a_bad_row_is_told_or_passed_over(capsys, tmp_path: Path, row: dict[str, Any], text: str) -> None:
    path = write(tmp_path / "lists.jsonl", [LISTS[0], row])
    code, out, err = rank(capsys, path, "-m", "scripted:longer")
    assert code == 2 and out == "" and f"lists.jsonl:2: {text}" in err and "pass --skip-invalid" in err
    run = tmp_path / "run"
    code, out, err = rank(capsys, path, "-m", "scripted:longer", "--skip-invalid", "-o", run, "--json")
    assert code == 0 and json.loads(out)["invalid_rows"] == 1
    assert json.loads(out)["ranking"]["questions"] == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--method", "pivott"), "--method: 'pivott' is unknown; did you mean pivot?"),
        (("--prior-sd", "0"), "--prior-sd 0: expected more than 0"),
        (("--label", "1=A"), "--label is for pairs, and lists of answers have none"),
        (("--map", "prompt=question"), "no column 'question' to map"),
        (("--method", "listwise", "--cascade", "direct,rubric"), "--method listwise shows four answers at once"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(capsys, lists: Path, arguments: tuple[str, ...], text: str) -> None:
    try:
        code, out, err = rank(capsys, lists, "-m", "scripted:longer", *arguments)
    except SystemExit as error:
        code, (out, err) = int(str(error.code)), capsys.readouterr()
    assert code == 2 and out == "" and text in err and "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_other_columns_are_named_in_the_advice_and_can_be_mapped(capsys, tmp_path: Path) -> None:
    path = write(tmp_path / "other.jsonl", [{"question": "q", "answers": ["a", "bb"]}])
    code, _, err = rank(capsys, path, "-m", "scripted:longer")
    assert code == 2 and "pass --map prompt=question --map responses=answers" in err
    code, out, _ = rank(
        capsys, path, "-m", "scripted:longer", "--map", "prompt=question", "--map", "responses=answers"
    )
    assert code == 0 and out.startswith("other:1: q (swiss, 1 comparison)")
    pairs = write(tmp_path / "pairs.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    code, _, err = rank(capsys, pairs, "-m", "scripted:longer")
    assert code == 2 and "holds pairs; lists are read from 'rmr1-candidates'" in err


def test_a_model_that_answers_nothing_is_told(capsys, lists: Path, tmp_path: Path) -> None:
    replay = write(tmp_path / "texts.jsonl", [{"id": "nobody", "text": "[[A]]"}])
    code, out, _ = rank(capsys, lists, "-m", f"replay:{replay}", "--limit", "1")
    assert code == 1 and "the model has answered nothing" in out
    assert "without a place: 5 answers, about which no comparison has a verdict" in out


def test_the_pairs_alone_are_printed_for_another_program(capfdbinary, lists: Path) -> None:
    assert main(["rank", str(lists), "-m", "scripted:longer", "--to", "dpo"]) == 0
    printed = capfdbinary.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [[one["content"] for one in row["chosen"]] for row in rows] == [["x" * 9], ["longer than that"]]
    assert rows[0]["prompt"] == [{"role": "user", "content": "Which?"}]
    assert b"3 questions ranked by swiss" in printed.err
    assert main(["rank", str(lists), "-m", "scripted:longer", "--to", "dpo", "--json"]) == 2
