"""Every mistake of a user gives one clear line, exit code 2 and no traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest

from rmr1.cli.main import main

GOOD = {"id": "1", "prompt": "q", "response_a": "a", "response_b": "b", "label": "A"}


def complain(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail and return the one line it complains with."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in printed.err
    *rows, line = printed.err.splitlines()
    assert all(row.startswith("rmr1: ") for row in rows) and line.startswith("rmr1: ")
    return printed.err


def judge(folder: Path, *more: object) -> list[object]:
    return ["judge", folder / "p.jsonl", "-m", "scripted:longer", "-o", folder / "run", "--quiet", *more]


def write(folder: Path, *rows: object) -> None:
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    (folder / "p.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def test_missing_file(capsys, tmp_path: Path) -> None:
    line = complain(capsys, *judge(tmp_path))
    assert "p.jsonl" in line and "no such file" in line.lower()


def test_wrong_columns(capsys, tmp_path: Path) -> None:
    write(tmp_path, {"question": "q", "good": "a", "bad": "b"})
    line = complain(capsys, *judge(tmp_path))
    assert "'question', 'good' and 'bad'" in line and "--map" in line


def test_mapped_columns(capsys, tmp_path: Path) -> None:
    write(tmp_path, {"question": "q", "good": "a", "bad": "b"})
    assert (
        main(
            [
                str(a)
                for a in judge(
                    tmp_path, "--map", "prompt=question", "--map", "chosen=good", "--map", "rejected=bad"
                )
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**GOOD, "label": "C"}, "p.jsonl:2: label 'C' is not 'A', 'B' or 'tie'"),
        ({**GOOD, "response_b": ""}, "p.jsonl:2: 'response_b' is empty"),
        ({**GOOD, "prompt": "  "}, "p.jsonl:2: 'prompt' is empty"),
        (b'{"id": ', "p.jsonl:2: invalid JSON"),
        (b'{"prompt": "\xff\xfe"}', "p.jsonl:2: not UTF-8"),
    ],
)
def test_a_bad_row_is_named_and_can_be_passed_over(
    capsys, tmp_path: Path, row: object, expected: str
) -> None:
    write(tmp_path, GOOD, row, {**GOOD, "id": "3"})
    lines = complain(capsys, *judge(tmp_path))
    assert expected in lines
    assert "1 of 3 rows cannot be read" in lines and "--skip-invalid" in lines
    assert not (tmp_path / "run").exists()
    assert main([str(a) for a in judge(tmp_path, "--skip-invalid", "--json")]) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert (summary["items"], summary["invalid_rows"]) == (2, 1)
    assert expected in printed.err


def test_empty_file(capsys, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("")
    assert "p.jsonl" in complain(capsys, *judge(tmp_path))


def test_unknown_config_keys(capsys, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert "unknown key 'sampling.temprature'; did you mean 'temperature'?" in complain(
        capsys, *judge(tmp_path, "--set", "sampling.temprature=1")
    )
    (tmp_path / "c.toml").write_text("modle = 'x'\n")
    line = complain(capsys, *judge(tmp_path, "--config", tmp_path / "c.toml"))
    assert "c.toml:1: unknown key 'modle'; did you mean 'model'?" in line
    (tmp_path / "c.toml").write_text("model = \n")
    assert "c.toml: not valid TOML" in complain(capsys, *judge(tmp_path, "--config", tmp_path / "c.toml"))
    assert "no such config file" in complain(capsys, *judge(tmp_path, "--config", tmp_path / "d.toml"))
    assert "sampling.top_p" in complain(capsys, *judge(tmp_path, "--set", "sampling.top_p=high"))


def test_no_model_and_nothing_to_judge(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    monkeypatch.setenv("RMR1_MODELS", str(tmp_path))
    assert "the bundled model 'tiny' is not in" in complain(capsys, "judge", tmp_path / "p.jsonl")
    assert "nothing to judge" in complain(capsys, "judge", "-m", "scripted:longer")
    assert "both PAIRS and" in complain(
        capsys, "judge", tmp_path / "p.jsonl", "-m", "scripted:longer", "--question", "q"
    )


def test_unknown_names(capsys, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert "expected one of" in complain(capsys, *judge(tmp_path, "--family", "rubrik"))
    assert "tagged" in complain(capsys, *judge(tmp_path, "--rule", "taged"))
    assert "longer" in complain(capsys, "judge", tmp_path / "p.jsonl", "-m", "scripted:nobody")


def test_another_model_prompt_or_data_is_refused_with_the_difference(capsys, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert main([str(a) for a in judge(tmp_path)]) == 0
    capsys.readouterr()
    assert "model.script was 'longer', now 'hash'" in complain(
        capsys, *judge(tmp_path, "-m", "scripted:hash")
    )
    assert "prompt.family was 'rubric', now 'direct'" in complain(
        capsys, *judge(tmp_path, "--family", "direct")
    )
    assert "settings.seed was 0, now 3" in complain(capsys, *judge(tmp_path, "--seed", "3"))
    write(tmp_path, GOOD, {**GOOD, "id": "2"})
    assert main([str(a) for a in judge(tmp_path)]) == 0  # a file that grew goes on
    capsys.readouterr()
    write(tmp_path, {**GOOD, "prompt": "Another question?"})
    assert "2 of 2 finished items are not in the data as they were judged" in complain(
        capsys, *judge(tmp_path)
    )


def test_a_full_disk(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    real_write = os.write

    def full(handle: int, data: bytes) -> int:
        if b'"key"' in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(handle, data)

    monkeypatch.setattr(os, "write", full)
    line = complain(capsys, *judge(tmp_path))
    assert "judgments.jsonl: cannot write (No space left on device); what was finished is kept" in line


def test_an_unwritable_folder(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)

    def refuse(self: Path, *arguments: object, **keywords: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "cannot be written (Permission denied); choose another folder" in complain(
        capsys, *judge(tmp_path)
    )


def test_show_of_something_else(capsys, tmp_path: Path) -> None:
    assert "not a run folder" in complain(capsys, "show", tmp_path)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    from rmr1.errors import RunError

    with pytest.raises(RunError):
        main(["--debug", "show", str(tmp_path)])


def test_what_was_piped_in_is_called_standard_input(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BytesIO(b"no json\n")

    monkeypatch.setattr(sys, "stdin", Piped())
    assert "standard input:1: " in complain(capsys, "judge", "-", "-m", "scripted:longer")


def test_half_a_pair_and_a_file_for_a_run(capsys, tmp_path: Path) -> None:
    one = ("judge", "-m", "scripted:longer", "--question", "q", "--a", "x")
    assert "--b missing" in complain(capsys, *one)
    write(tmp_path, GOOD)
    assert "p.jsonl: is a file" in complain(capsys, "show", tmp_path / "p.jsonl")
