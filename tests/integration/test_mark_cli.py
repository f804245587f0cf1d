"""`rmr1 mark`: labels from the command line and from files, beside a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rmr1.cli.main import main
from rmr1.store.labels import HumanLabel, read_labels, settle_labels
from rmr1.store.runs import read_judgments

RUN = Path(__file__).resolve().parents[1] / "fixtures" / "runs" / "judge"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(RUN, tmp_path / "run")


@pytest.fixture
def keys(run: Path) -> dict[str, str]:
    return {judgment.pair.id: key for key, judgment in read_judgments(run)}


def mark(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["mark", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_label_by_id_and_by_key(
    run: Path, keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (id, key), (other, _), *_ = keys.items()
    code, out, err = mark(capsys, run, id, "--label", "B", "--who", "ada", "--blind")
    assert code == 0 and err == ""
    assert out.splitlines()[0] == f"{key[:12]}  settled: B    {id}" and "ada: B, blind" in out
    assert mark(capsys, run, key[:8], "--judge-right", "--note", "a\x1b[31m\nb", "--who", "bob")[0] == 0
    assert mark(capsys, run, other, "--label", "tie", "--who", "bob")[0] == 0
    first, second, third = read_labels(run)
    assert (first.key, first.who, first.label, first.is_blind) == (key, "ada", "B", True)
    assert (second.key, second.label, second.is_judge_wrong) == (key, None, False)
    assert second.note == "a\x1b[31m\nb" and (third.key, third.label) == (keys[other], "tie")
    code, out, _ = mark(capsys, run, "--list")
    assert code == 0 and 'bob: judge right, "a\\x1b[31m\\nb"' in out
    assert out.endswith("2 labelled by 2: 2 settled, 0 disputed, 0 without a side\n")
    assert mark(capsys, run, id, "--label", "A", "--who", "bob")[0] == 0
    code, out, _ = mark(capsys, run, id, "--list", "--json")
    (item,) = json.loads(out)
    assert item["is_disputed"] and item["settled"] is None and item["key"] == key
    assert [one["who"] for one in item["labels"]] == ["ada", "bob", "bob"]


def test_what_is_not_said_anew_stays(
    run: Path, keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    id = next(iter(keys))
    for words in (["--label", "B", "--blind"], ["--judge-wrong"], ["--label", "A"], ["--note", "so"]):
        assert mark(capsys, run, id, *words, "--who", "ada")[0] == 0
    said = [(one.label, one.is_blind, one.is_judge_wrong, one.note) for one in read_labels(run)]
    assert said == [
        ("B", True, None, None),
        ("B", True, True, None),
        ("A", False, True, None),
        ("A", False, True, "so"),
    ]
    assert mark(capsys, run, id, "--label", "none", "--who", "ada")[0] == 0
    assert settle_labels(read_labels(run)).labels == {} and list(read_labels(run))[-1].note == "so"
    code, _, err = mark(capsys, run, id, "--label", "none", "--who", "bob")
    assert code == 2 and "says nothing" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to label"),
        (["ID"], "says nothing"),
        (["ID", "--blind"], "says nothing"),
        (["nobody", "--label", "A"], "no judgment has the id 'nobody'"),
        (["ID", "--judge-wrong", "--judge-right"], "choose one"),
        (["--list", "--label", "A"], "--list and --label: choose one"),
        (["--list", "--from", "x.csv"], "--list and --from: choose one"),
        (["ID", "--from", "x.csv"], "the rows of the file name their judgments"),
        (["--from", "x.csv"], "no such file"),
        (["ID", "--label", "A", "--who", " "], "without 'who'"),
    ],
)
def test_what_means_nothing_is_refused(
    words: list[str], told: str, run: Path, keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = mark(capsys, run, *(next(iter(keys)) if one == "ID" else one for one in words))
    assert (code, out) == (2, "") and told in err and err.count("\n") == 1
    assert not (run / "labels.jsonl").exists()


def test_an_ambiguous_name_is_refused(
    run: Path, keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (id, key), *_ = keys.items()
    lines = (run / "judgments.jsonl").read_text().splitlines()
    again = json.dumps({**json.loads(lines[0]), "key": f"{key}-1"})
    (run / "judgments.jsonl").write_text("".join(f"{line}\n" for line in [*lines, again]))
    for name in (id, key[:10]):
        code, _, err = mark(capsys, run, name, "--label", "A")
        assert code == 2 and f"means 2 judgments ({key}, {key}-1)" in err
    assert mark(capsys, run, f"{key}-1", "--label", "A")[0] == 0
    assert mark(capsys, run, key, "--label", "B")[0] == 0  # a whole key means that item
    assert [one.key for one in read_labels(run)] == [f"{key}-1", key]


def test_nobody_has_labelled(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mark(capsys, run, "--list") == (1, "", f"rmr1: {run}: nobody has labelled it\n")
    assert mark(capsys, RUN.parent / "sft", "--list")[0] == 2


def test_labels_of_a_file(
    run: Path, keys: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = list(keys)
    file = tmp_path / "labels.csv"
    file.write_text(
        "id,key,label,who,when,note,is_blind,is_judge_wrong\n"
        f"{ids[0]},,A,eve,2026-11-29T10:00:00+01:00,\"so, so\",yes,\n"
        f",{keys[ids[1]][:9]},TIE,,,,,false\n"
        f"{ids[2]},,C,eve,,,,\n"
        "nobody,,A,eve,,,,\n"
        f"{ids[2]},,,eve,,,,\n"
        f"{ids[2]},,A,eve,2026-11-29 10:00,,,\n"
        f"{ids[2]},,A,eve,,,perhaps,\n"
        ",,A,eve,,,,\n"
    )  # fmt: skip
    code, out, err = mark(capsys, run, "--from", file, "--who", "ada")
    assert code == 1 and out == f"{run}: 2 labels added\n"
    assert "labels.csv:4: label 'C' is not A, B or tie" in err and "6 rows passed over" in err
    first, second = read_labels(run)
    assert first == HumanLabel(
        key=keys[ids[0]], who="eve", when="2026-11-29T09:00:00Z", label="A", is_blind=True, note="so, so"
    )
    assert (second.key, second.who, second.label) == (keys[ids[1]], "ada", "tie")
    assert second.is_judge_wrong is False
    code, out, _ = mark(capsys, run, "--from", file, "--who", "ada", "--json")
    told = json.loads(out)
    assert code == 1 and (told["added"], told["known"]) == (0, 2)
    assert [one["line"] for one in told["bad_rows"]] == [4, 5, 6, 7, 8, 9]
    assert len(list(read_labels(run))) == 2


def test_labels_of_a_copy_of_the_run_are_taken_over_once(
    run: Path, keys: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    for number, id in enumerate(keys):
        assert (
            mark(capsys, other, id, "--label", "AB"[number % 2], "--note", "n", "--who", f"p{number}")[0] == 0
        )
    assert mark(capsys, run, next(iter(keys)), "--label", "A", "--who", "me")[0] == 0
    for added, known in ((len(keys), ""), (0, f", {len(keys)} were there already")):
        code, out, err = mark(capsys, run, "--from", other / "labels.jsonl")
        assert (code, out, err) == (0, f"{run}: {added} labels added{known}\n", "")
    assert list(read_labels(run))[1:] == list(read_labels(other))


def test_an_unknown_column_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.jsonl").write_text('{"id": "1", "labl": "A"}\n')
    code, out, err = mark(capsys, run, "--from", tmp_path / "l.jsonl")
    assert code == 1 and "unknown column 'labl'; did you mean label?" in err and "0 labels added" in out
