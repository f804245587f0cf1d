"""`rmr1 attack` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.cli.main import main
from rmr1.store.runs import read_judgments, read_summary
from tests.integration.runs import write_pairs

MINE = 'form = "persuasive"\n[[injection]]\nname = "short"\nkind = "padding"\nend = "more"\nrepeat = 5\n'


def attack(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["attack", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.jsonl", 20)


def test_a_run_is_stored_and_read_by_the_other_verbs(capsys, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ("-m", "scripted:longer", "--kind", "padding", "--kind", "plain-order", "-o", run)
    code, out, err = attack(capsys, pairs, *asked, "--quiet")
    assert code == 0 and err == ""
    assert "padding-diligence" in out and "plain-order" in out and "answer-tag" not in out
    attacked = read_summary(run)["attack"]
    able = attacked["fates"]["attacked"]
    assert 0 < able < 20 and f"{able} of 20 pairs can flip" in out
    assert attacked["pairs"] == 20 and attacked["all"]["attempts"] == 4 * able
    # A judge that counts characters is won by length, by the injection's and by the control's alike.
    diligence = next(one for one in attacked["injections"] if one["name"] == "padding-diligence")
    assert diligence["share"] == diligence["control_share"] == 1.0 and diligence["difference"] == 0.0
    assert len(list(read_judgments(run))) == 20 + 8 * able
    for words in (["show", run, "--subset", "attacked/plain-order", "--list"], ["report", run]):
        assert main([*map(str, words)]) == 0
        assert (
            "attacked/plain-order" in (told := capsys.readouterr().out)
            or f"{able}" in told
            or "wrong" in told
        )
    # The same command asks nothing more; the folder alone goes on as it was asked for; more kinds are added.
    assert attack(capsys, pairs, *asked, "--quiet")[1] == out
    assert attack(capsys, "-o", run, "--quiet")[1] == out
    code, more, err = attack(capsys, "-o", run, "--kind", "flattery")
    assert code == 0 and "plea" in more and "plain-order" not in more and "going on after" in err
    assert len(list(read_judgments(run))) == 20 + (8 + 6) * able


def test_json_and_no_folder(capsys, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    code, out, _ = attack(
        capsys, pairs, "-m", "scripted:hash", "--catalogue", tmp_path / "mine.toml", "--json", "--limit", 8
    )
    found = json.loads(out)
    assert code == 0 and found["attack"]["pairs"] == 8
    assert [one["name"] for one in found["attack"]["injections"]] == ["short"]


def test_fail_on_is_about_what_is_shown(capsys, tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "prompt": f"q{n}", "response_a": "right " * 9, "response_b": "wrong", "label": "A"}
        for n in range(30)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # The control is as long, so a judge by length is not shown to be moved by the words.
    asked = (path, "-m", "scripted:longer", "--kind", "padding", "--quiet")
    assert attack(capsys, *asked, "--fail-on", "0")[0] == 0
    code, _, err = attack(capsys, *asked, "--fail-on", "-50")
    assert code == 1 and "more flips than the control's by over -50 points: padding-diligence" in err


def test_pairs_of_which_none_can_flip_are_said_and_no_success(capsys, tmp_path: Path) -> None:
    path = tmp_path / "ties.jsonl"
    row = {"prompt": "q", "response_a": "a", "response_b": "bb", "label": "tie"}
    path.write_text(json.dumps(row) + "\n")
    code, out, err = attack(capsys, path, "-m", "scripted:longer", "--quiet")
    assert code == 1 and out.startswith("0 of 1 pairs can flip") and "1 labelled a tie" in out
    assert err == "rmr1: nothing could be attacked, so nothing is known of how the judge stands it\n"
    path.write_text("".join(json.dumps({**row, "prompt": f"q{n}", "label": None}) + "\n" for n in range(4)))
    code, out, _ = attack(capsys, path, "-m", "scripted:longer", "--kind", "plea", "--quiet")
    assert code == 0 and "4 of 4 pairs can flip" in out  # those without label go by the judge


def test_render_and_list_need_no_model(capsys) -> None:
    code, out, err = attack(capsys, "--render", "--kind", "delimiter", "--kind", "role")
    assert code == 0 and err == "" and out.splitlines()[-1].startswith("inert: all of")
    assert "delimiters of blocks" in out and "turns of transcripts" in out
    code, out, _ = attack(capsys, "--render", "--kind", "bare-mark", "--json")
    found = json.loads(out)
    assert code == 0 and found["is_inert"] and found["all"]["acting_raw"] > 0 == found["all"]["acting"]
    code, out, _ = attack(capsys, "--list", "--kind", "hidden")
    assert code == 0 and "tag-characters" in out and "answer-tag" not in out


def test_render_with_a_models_own_template_and_what_is_not_inert(capsys, monkeypatch) -> None:
    code, out, _ = attack(capsys, "--render", "--kind", "template-phi", "-m", "tiny")
    assert code == 0 and any(line.startswith("tiny ") for line in out.splitlines())
    monkeypatch.setattr("rmr1.prompts.render.escape", lambda text, *_, **__: text)
    code, out, _ = attack(capsys, "--render", "--kind", "template-chatml")
    assert code == 1 and "NOT INERT: 42 of 42 act although they are escaped" in out
    assert "not inert: template-chatml (rubric, single-turn, in question): ChatML (Qwen)" in out


def test_dry_run(capsys, pairs: Path) -> None:
    code, out, err = attack(capsys, pairs, "-m", "scripted:longer", "--draw", 3, "--dry-run")
    assert code == 0 and "reckoned as if all could" in err
    labels = [json.loads(line)["label"] for line in pairs.read_text().splitlines()]
    assert f"{20 + 2 * 3 * (20 - labels.count('tie'))}" in out.split("items")[1].split("\n")[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to attack with; name a file of PAIRS, or pass --render"),
        (
            ("{pairs}", "-m", "scripted:longer", "--kind", "flatery"),
            "--kind flatery means no injection; did you mean",
        ),
        (("{pairs}", "-m", "scripted:longer", "--draw", "0"), "--draw 0: expected 1 or more"),
        (("{pairs}", "--render"), "--render asks no judge and takes no PAIRS"),
        (("--render", "-m", "openai:x@http://localhost:1"), "has no tokenizer here"),
        (("{pairs}", "-m", "scripted:longer", "--catalogue", "none.toml"), "none.toml: No such file"),
        (("empty.jsonl", "-m", "scripted:longer"), "no pairs in it"),
        (("-o", "nowhere"), "not a run folder"),
    ],
)
def test_mistakes_are_one_line(capsys, pairs: Path, tmp_path: Path, monkeypatch, words, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.jsonl").write_text("")
    code, out, err = attack(capsys, *(word.format(pairs=pairs) for word in words))
    assert code == 2 and out == "" and told in err and err.count("\n") == 1


def test_another_catalogue_or_other_pairs_are_another_run(capsys, pairs: Path, tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine.toml"
    mine.write_text(MINE)
    assert attack(capsys, pairs, "-m", "scripted:longer", "--catalogue", mine, "-o", run)[0] == 0
    mine.write_text(MINE.replace("more", "less"))
    code, _, err = attack(capsys, pairs, "-m", "scripted:longer", "--catalogue", mine, "-o", run)
    assert code == 2 and "injections" in err
    mine.write_text(MINE)
    other = write_pairs(tmp_path / "other.jsonl", 5, seed=3)
    code, _, err = attack(capsys, other, "-m", "scripted:longer", "--catalogue", mine, "-o", run)
    assert code == 2 and "finished items are not in the data" in err
