"""What a table shows where room is short, and in a pipe."""

from __future__ import annotations

import pytest
from rich.text import Text

from rmr1.console import Console
from rmr1.report.tables import WIDTH, Name, make_table, print_table, shorten

NAME = "a-family-of-judges-" * 8 + "7b"


def test_numbers_stand_at_the_right_and_lines_of_a_pipe_end_with_their_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("one", 1234, "hub"), ("another", "?", ""), ("[b]x[/b]\x1b[31m\ny", 7, "left to read")]
    print_table(make_table(("source", "read", "data"), rows, has_notes=True))
    assert capsys.readouterr().out.splitlines() == [
        "source                read  data",
        "one                  1,234  hub",
        "another                  ?",
        "[b]x[/b]\\x1b[31m\\ny      7  left to read",
    ]


def test_names_lose_their_middle_and_figures_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        make_table(("judge", "a", "b"), [(Name(NAME), 10**12, "0.123456789"), (Name("short"), 1, "2")])
    )
    header, long, short = capsys.readouterr().out.splitlines()
    name, *figures = long.split()
    assert figures == ["1,000,000,000,000", "0.123456789"] and short.split() == ["short", "1", "2"]
    assert name.startswith("a-family") and "..." in name and name.endswith("-7b")
    assert len(header) == len(long) == len(short) == WIDTH


def test_more_columns_than_a_terminal_has_are_printed_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        make_table(("source", *(f"split{number}" for number in range(20))), [("all", *[123456] * 20)])
    )
    header, line = capsys.readouterr().out.splitlines()
    assert line.split() == ["all", *["123,456"] * 20] and header.split()[-1] == "split19"


def test_no_word_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = make_table(("field", "p"), [(NAME, "0.5")])
    print_table(table)
    assert capsys.readouterr().out.splitlines()[1].split() == [NAME, "0.5"]
    Console(width=40).print(table)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert "".join(line.split()[0] for line in lines) == NAME and max(map(len, lines)) == 40


def test_a_text_of_several_lines_stays_in_its_cell(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(make_table(("Of", "Evidence"), [("A", Text("one\ntwo"))], texts=2))
    assert capsys.readouterr().out.splitlines() == ["Of  Evidence", "A   one", "    two"]


@pytest.mark.parametrize(("most", "text"), [(9, "judge-32b"), (8, "jud...2b"), (7, "ju...2b")])
def test_shorten(most: int, text: str) -> None:
    assert shorten("judge-32b", most) == text
