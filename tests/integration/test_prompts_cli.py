"""`rmr1 prompts` and families of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.cli.main import main
from rmr1.messages import assistant, user
from rmr1.prompts import load_family, parse_blocks, render_prompt
from rmr1.records import PreferencePair


@pytest.fixture(autouse=True)
def prompt_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMR1_PROMPTS", str(tmp_path / "prompts"))
    return tmp_path / "prompts"


def published_row(question: str) -> dict:
    content = (
        f"Look at this.\n\n[Client Question]\n{question}\n\n[The Start of Chatbot A's Response]\nx {{y}}\n"
        "[The End of Chatbot A's Response]\n\n[The Start of Chatbot B's Response]\nz\n[The End of Chatbot B's Response]\n\nEnd so: '<answer>[[A]]</answer>'"
    )
    messages = [{"role": "system", "content": "Judge {well}."}, {"role": "user", "content": content}]
    return {"context_messages": messages, "winner": "model_a"}


def test_import_from_published_training_data(capsys, tmp_path: Path) -> None:
    source = tmp_path / "train.jsonl"
    source.write_text("".join(json.dumps(published_row(q)) + "\n" for q in ("one", "two")))
    assert main(["prompts", "import", str(source), "--name", "paper"]) == 0
    assert "stored prompt family 'paper'" in capsys.readouterr().out
    family = load_family("paper")
    assert family.system == "Judge {well}."
    pair = PreferencePair(
        id="1", prompt=(user("one"),), response_a=(assistant("x {y}"),), response_b=(assistant("z"),)
    )
    rendered = render_prompt(pair, "paper")
    assert rendered.messages[1].text == published_row("one")["context_messages"][1]["content"]
    two_turns = PreferencePair(
        id="1",
        prompt=(user("1"), assistant("2"), user("3")),
        response_a=pair.response_a,
        response_b=pair.response_b,
    )
    content = render_prompt(two_turns, "paper").messages[1].text
    assert content.startswith("Look at this.\n\n[The Start of the Conversation") and content.endswith(
        "</answer>'"
    )
    assert parse_blocks(content).is_conversation

    assert main(["prompts", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "rubric",
        "reasoning",
        "direct",
        "criteria",
        "rating",
        "four_way",
        "rubric_writer",
        "decision",
        "paper",
    ]
    assert main(["prompts", "show", "paper"]) == 0
    assert "Judge {well}." in capsys.readouterr().out
    assert main(["prompts", "import", str(source), "--name", "paper"]) == 2
    assert "exists; choose another or pass --force" in capsys.readouterr().err
    assert main(["prompts", "import", str(source), "--name", "paper", "--force"]) == 0


def test_import_from_text_files(capsys, tmp_path: Path) -> None:
    (tmp_path / "system.txt").write_text("Be strict.\n")
    (tmp_path / "own.txt").write_text(
        "Q {question} A {response_a} B {response_b}: answer <answer>[[A]]</answer>\n"
    )
    assert main(["prompts", "import", str(tmp_path / "system.txt"), "--name", "strict"]) == 0
    assert main(["prompts", "import", str(tmp_path / "own.txt")]) == 0
    assert load_family("strict").system == "Be strict."
    assert load_family("own").single.startswith("Q {question}")
    assert load_family(tmp_path / "own.txt").digest == load_family("own").digest


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "x"}, "the first row has the columns text; expected context_messages"),
        ({"context_messages": [{"role": "user", "content": "hi"}]}, "no delimiter"),
        ({"context_messages": [{"role": "system", "content": "hi"}]}, "no user message"),
    ],
)
def test_a_source_of_another_form_is_refused(capsys, tmp_path: Path, row: dict, expected: str) -> None:
    source = tmp_path / "x.jsonl"
    source.write_text(json.dumps(row) + "\n")
    assert main(["prompts", "import", str(source)]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("name", ["rubric", "../x", ".hidden"])
def test_a_name_that_cannot_be_used_is_refused(capsys, tmp_path: Path, name: str) -> None:
    (tmp_path / "s.txt").write_text("Be strict.\n")
    assert main(["prompts", "import", str(tmp_path / "s.txt"), "--name", name]) == 2
    assert "cannot be used" in capsys.readouterr().err
