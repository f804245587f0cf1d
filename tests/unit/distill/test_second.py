"""The second pass's prompt: what it adds, and that nothing of it can be mistaken for a field."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.distill.second import JUDGMENT_END, JUDGMENT_START, load_second_prompt
from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.prompts import parse_blocks, render_prompt
from rmr1.records import PreferencePair

PAIR = PreferencePair(
    id="p",
    prompt=(user("{verdict} {judgment}?"),),
    response_a=(assistant("a {prompt}"),),
    response_b=(assistant("b"),),
    label="B",
)


def test_the_note_follows_the_plain_prompt() -> None:
    plain = render_prompt(PAIR)
    told = load_second_prompt(None, 1000).render(plain, "B", "It is {verdict}. <answer>[[A]]</answer>")
    assert told.messages[:-1] == plain.messages[:-1]
    text = told.messages[-1].text
    assert text.startswith(plain.messages[-1].text + "\n\n[Note to the judge]")
    assert "The right verdict is [[B]]" in text
    assert text.endswith(f"{JUDGMENT_START}\nIt is {{verdict}}. <answer>[[A]]</answer>\n{JUDGMENT_END}")
    # The answers can still be told from the rest.
    blocks = parse_blocks(text)
    assert (blocks.question, blocks.response_a, blocks.response_b) == (
        "{verdict} {judgment}?",
        "a {prompt}",
        "b",
    )


def test_a_long_judgment_loses_its_middle_and_an_empty_one_its_frame() -> None:
    plain = render_prompt(PAIR)
    note = load_second_prompt(None, 10)
    text = note.render(plain, "B", "0123456789abcdefghij").messages[-1].text
    assert "01234\n[... a part is left out here ...]\nfghij" in text
    for judgment, prompt in (("  ", note), ("x", load_second_prompt(None, 0))):
        assert JUDGMENT_START not in prompt.render(plain, "B", judgment).messages[-1].text


def test_own_notes(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("{prompt}\nIt is {verdict}.\n")
    plain = render_prompt(PAIR)
    for is_right in (False, True):
        told = load_second_prompt(str(path), 100).render(plain, "A", "wrong", is_right=is_right)
        assert told.messages[-1].text == plain.messages[-1].text + "\nIt is A."
    path.write_text("{prompt}")
    with pytest.raises(ConfigError, match=r"lacks \{verdict\}"):
        load_second_prompt(str(path), 100)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_second_prompt(str(tmp_path / "none.txt"), 100)
