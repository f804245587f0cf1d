"""Flags that choose judgments, for every verb that has them."""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path

import pytest

from rmr1 import read_judgments
from rmr1.audit.filters import Filter
from rmr1.cli.filters import add_filter_arguments, read_filter
from rmr1.cli.main import main

RUN = Path(__file__).resolve().parents[2] / "fixtures" / "runs" / "judge"


def test_every_condition_has_a_flag_of_its_name() -> None:
    parser = ArgumentParser()
    add_filter_arguments(parser)
    assert read_filter(parser.parse_args([])) == Filter()
    values = {"unsure": "0.7", "rubric": "tone", "subset": "Chat", "text": "sky"}
    for name in {one.name for one in fields(Filter)} - {"id"}:
        words = [f"--{name}", *([values[name]] if name in values else [])]
        assert read_filter(parser.parse_args(words)).given == (name,)


@pytest.mark.parametrize(
    "flags", [["--right"], ["--wrong"], ["--unparsed"], ["--text", "RIVER"], ["--wrong", "--unsure", "1"]]
)
def test_verbs_agree_on_what_is_wanted(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(RUN, tmp_path / "run")
    parser = ArgumentParser()
    add_filter_arguments(parser)
    wanted = read_filter(parser.parse_args(flags))
    keys = [key for key, one in read_judgments(folder) if wanted.matches(key, one)]
    assert main(["show", str(folder), "--json", "--limit", "0", *flags]) == (0 if keys else 1)
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == keys
    assert main(["export", str(folder), "--to", "inspect", *flags]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["samples"]] == keys
    assert main(["report", str(folder), "--json", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == len(keys)


def test_a_training_has_no_judgments_to_choose_among(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(RUN.parent / "sft"), "--flips"]) == 2
    assert "--flips is for runs" in capsys.readouterr().err
