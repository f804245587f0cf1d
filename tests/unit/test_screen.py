"""Foreign text is printed inert, whatever prints it."""

from __future__ import annotations

import io
import json
import sys

import pytest

from rmr1.console import Console, Progress, cut, fit
from rmr1.screen import guarded, inert, markdown_text, one_line, print

HOSTILE = (
    "\x1b[31m",
    "\x1b]0;t\x07",
    "\x9b1m",
    "\x7f",
    "a\rb",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\ud800",
    "\U000e0041",
    "a\u200db",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_acts_on_a_terminal_is_spelled_out(text: str) -> None:
    assert inert(text).isprintable() and inert(text) != text


@pytest.mark.parametrize("text", ["👩\u200d🔬", "می\u200cخواهم", "क्\u200dष", "日本語 é ß", "a\nb"])
def test_writing_that_needs_its_joiners_stays(text: str) -> None:
    assert inert(text) == text


def test_a_field_keeps_to_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print("id", "x\nrmr1: all right")
    assert capsys.readouterr().out == "id x\\nrmr1: all right\n" and one_line("a\nb") == "a\\nb"


def test_everything_is_guarded_and_json_stays_exact(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    value = {"id": "".join(HOSTILE[:9])}
    with guarded():
        sys.stdout.write("lib \x1b[2J\u202e\n")
        sys.stderr.write("warning \x1b[2J\n")
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    out, err = capsysbinary.readouterr()
    library, *lines = out.decode().splitlines()
    assert library == "lib \\x1b[2J\\u202e" and err == b"warning \\x1b[2J\n"
    assert all(line.isprintable() and json.loads(line) == value for line in lines) and len(lines) == 2


def test_our_colours_stay_on_a_terminal_only() -> None:
    for is_terminal in (True, False):
        file = io.StringIO()
        Console(
            file=file, force_terminal=is_terminal, color_system="standard" if is_terminal else "auto"
        ).print("[b]\x1b[31m", style="red")
        assert ("\x1b[31m[b]\\x1b[31m" in file.getvalue()) == is_terminal
        assert file.getvalue().count("\x1b[31m") == is_terminal


@pytest.mark.parametrize("width", [79, 59, 39, 19])
@pytest.mark.parametrize("label", ["judged", "日本語の名前" * 9])
def test_progress_fits(width: int, label: str) -> None:
    from rich.cells import cell_len

    with Progress(2_000_000, done=123_456, label=label, quiet=True) as progress:
        tally = progress.tally
        tally.items = tally.labelled = 1000
        tally.correct, tally.failed, tally.prompt_tokens = 500, 77, 10**9
        tally.problems.update({"split_vote": 12, "no_verdict": 34})
        line = progress.line(width)
    assert cell_len(line) <= width and "124456/2000000" in line
    if width >= 39 and label == "judged":
        assert "77 failed" in line


def test_parts_leave_by_their_turn() -> None:
    assert fit(["a", "bb", "cc"], 20) == "a · bb · cc"
    assert fit(["a", "bb", "cc"], 6, dropped=(1,)) == "a · cc"
    assert fit(["a", "bb", "cc"], 1) == "a" and cut("日本語", 5) == "日本…"


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("<b>[x]\n\n# y", r"\<b\>\[x\] # y"),
        ("t\ud83d\x1b[1m", r"t\ud83d\x1b\[1m"),
    ],
)
def test_a_field_of_a_markdown_page_is_plain_text(text: str, page: str) -> None:
    assert markdown_text(text) == page
