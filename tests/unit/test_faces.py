"""Settings in messages are called as they are where the user is."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rmr1
from rmr1 import Judge, read_pairs
from rmr1.cli.main import main
from rmr1.errors import RMR1Error
from rmr1.faces import name_option, speaking

PACKAGE = Path(rmr1.__file__).parent
FACES = ("cli", "pipeline")
"""What is reached by commands alone."""

FLAG = re.compile(r"(?<![\w?-])(--[a-z][a-z-]+|-[a-z](?![\w-]))")
COMMAND = re.compile(r"(?:rmr1|\Abench) .*", re.DOTALL)
"""A whole command can be typed wherever one is."""


@pytest.mark.parametrize(
    ("name", "value", "python", "command", "recipe"),
    [
        ("columns", {"prompt": "my question"}, "columns={'prompt': 'my question'}", "--map 'prompt=my question'",
         'map = {prompt = "my question"}'),
        ("labels", {"1": "A", "0 x": "B"}, "labels={'1': 'A', '0 x': 'B'}", "--label 1=A --label '0 x=B'",
         'label = {1 = "A", "0 x" = "B"}'),
        ("format", "rmr1", "format='rmr1'", "--format rmr1", 'format = "rmr1"'),
        ("columns", None, "columns=", "--map", "map"),
        ("model", None, "model=", "-m", "-m"),
        ("lora_adapter", None, "lora_adapter=", "--adapter", "--adapter"),
        ("retry_failed", True, "retry_failed=True", "--retry-failed", "--retry-failed"),
    ],
)  # fmt: skip
def test_every_face_has_its_name(name: str, value: object, python: str, command: str, recipe: str) -> None:
    assert name_option(name, value) == python
    with speaking("command"):
        assert name_option(name, value) == command
        with speaking("recipe"):
            assert name_option(name, value) == recipe
        assert name_option(name, value) == command
    assert name_option(name, value) == python


def list_messages(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module but docstrings, with what is filled in left blank."""
    tree = ast.parse(path.read_text())
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
            parts = (one.value if isinstance(one, ast.Constant) else " " for one in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def test_no_message_of_the_library_spells_a_flag() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in (*FACES, "faces.py")
        for line, text in list_messages(path)
        if " " in text and FLAG.search(COMMAND.sub("", text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("row", "python", "command"),
    [
        ({"colour": "red"}, "name yours with columns=, as in columns={'prompt': 'question', ", "name yours with --map, "),
        ({"question": "q", "better": "a", "worse": "b"},
         "pass columns={'prompt': 'question', 'chosen': 'better', 'rejected': 'worse'}",
         "pass --map prompt=question --map chosen=better --map rejected=worse"),
        ({"prompt": "q", "response_a": "a", "response_b": "b", "preferred": "A"},
         "pass columns={'label': 'preferred'}, else format='rmr1', ",
         "pass --map label=preferred, else --format rmr1, "),
        ({"prompt": "q", "response_a": "a", "response_b": "b", "label": 2},
         "as in labels={'1': 'A', '2': 'B'}", "as in --label 1=A --label 2=B"),
        ({"prompt": "q", "input": "more", "response_a": "a", "response_b": "b"},
         "pass columns={'prompt': 'prompt'} to leave", "pass --map prompt=prompt to leave"),
    ],
    ids=str,
)  # fmt: skip
def test_what_to_do_is_said_as_the_user_would_write_it(
    row: dict[str, object], python: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for read in (lambda: list(read_pairs([row])), lambda: Judge("scripted:longer").judge([row])):
        with pytest.raises(RMR1Error) as caught:
            read()
        assert python in str(caught.value)
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert main(["judge", str(path), "-m", "scripted:longer"]) == 2
    assert command in capsys.readouterr().err


def test_what_the_advice_names_can_be_passed() -> None:
    """As a user would paste it."""
    judge = Judge("scripted:longer")
    row = {"question": "q", "better": "a longer answer", "worse": "b"}
    named = {"prompt": "question", "chosen": "better", "rejected": "worse"}
    assert [one.winner for one in judge.judge([row], columns=named)] == ["A"]
    assert judge.compare(row, columns=named).winner == "A"
    row = {"prompt": "q", "response_a": "a", "response_b": "bb", "preferred": "A"}
    assert [one.correct for one in judge.judge([row], format="rmr1")] == [None]
    assert judge.compare(row, columns={"label": "preferred"}).correct is False
    with pytest.raises(RMR1Error, match=r"^columns=, labels= and format= are for a row"):
        judge.compare("q", "a", "b", columns=named)
