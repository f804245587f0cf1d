"""`rmr1 curate` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rmr1.cli.main import main

from ..unit.curate.making import make_pairs, write_rows

Capture = pytest.CaptureFixture[str]
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def write_recipe(folder: Path, number: int = 60, more: str = "") -> Path:
    write_rows(folder / "chat.jsonl", [*make_pairs(number, seed=1), '{"prompt": "x"'])
    write_rows(folder / "code.jsonl", make_pairs(number, seed=2))
    write_rows(folder / "bench.jsonl", make_pairs(3, seed=1))
    path = folder / "recipe.toml"
    path.write_text(
        f'root = "{folder}"\n[sources.chat]\ndata = "chat.jsonl"\n[sources.code]\ndata = "code.jsonl"\ntake = 20\n'
        '[decontaminate.benchmarks]\nown = "bench.jsonl"\n'
        f'[splits]\ndistill = 0.2\nrl = "rest"\n{more}'
    )
    return path


def test_curate_and_again_and_judge(tmp_path: Path, capsys: Capture) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    assert main(["curate", str(recipe), "-o", str(out)]) == 0
    printed, progress = capsys.readouterr()
    lines = printed.splitlines()
    assert lines[0].split() == ["source", "read", "bad", "rows", "dropped", "kept", "distill", "rl"]
    assert lines[1].split()[:5] == ["chat", "60", "1", "3", "57"]
    assert lines[2].split()[:5] == ["code", "60", "0", "40", "20"]
    assert lines[3].split()[:5] == ["all", "120", "1", "43", "77"]
    assert "gone: not_sampled 40, benchmark 3, unreadable 1" in lines
    assert any(line.startswith("bad row of chat: chat.jsonl:61: invalid JSON") for line in lines)
    assert "overlap with benchmarks, taken out: own 3 prompts (3 pairs)" in lines
    assert max(map(len, lines)) <= 100 and "reading chat" in progress
    assert sorted(file.name for file in out.iterdir()) == [
        "card.md",
        "curate.json",
        "distill.jsonl",
        "dropped.jsonl",
        "rl.jsonl",
    ]
    assert main(["curate", str(recipe), "-o", str(out), "--quiet"]) == 0
    again, progress = capsys.readouterr()
    assert again.splitlines()[0] == f"{out}: this curation is finished; its figures:"
    assert again.splitlines()[1:] == lines and progress == ""
    assert (
        main(
            ["judge", str(out / "rl.jsonl"), "-m", "scripted:longer", "-o", str(tmp_path / "run"), "--quiet"]
        )
        == 0
    )


def test_figures_as_json(tmp_path: Path, capsys: Capture) -> None:
    assert (
        main(["curate", str(write_recipe(tmp_path)), "-o", str(tmp_path / "out"), "--json", "--quiet"]) == 0
    )
    counts = json.loads(capsys.readouterr().out)
    assert counts == json.loads((tmp_path / "out" / "curate.json").read_text())["counts"]
    assert (
        counts["kept"] == 77 and counts["splits"]["distill"]["pairs"] + counts["splits"]["rl"]["pairs"] == 77
    )


def test_dry_run_reads_and_writes_nothing_else(tmp_path: Path, capsys: Capture) -> None:
    recipe = write_recipe(tmp_path)
    assert main(["curate", str(recipe), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["chat", "60", "1", "60", "60"]
    assert lines[2].split()[:5] == ["code", "60", "0", "60", "20"]
    assert "at most: not looked at yet are benchmarks, duplicates" in lines
    assert "distill: about 16 pairs" in lines and "rl: about 64 pairs" in lines
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "bench.jsonl",
        "chat.jsonl",
        "code.jsonl",
        "recipe.toml",
    ]
    assert (
        main(["curate", str(recipe), "--dry-run", "--json", "--set", "sources.code.take=10", "--quiet"]) == 0
    )
    plan = json.loads(capsys.readouterr().out)
    assert [one["size"] for one in plan["sources"]] == [60, 10]
    assert plan["output_bytes"] == pytest.approx(
        sum((tmp_path / f"{name}.jsonl").stat().st_size for name in ("chat", "code")) * 70 / 120, rel=0.1
    )
    assert main(["curate", str(recipe), "--dry-run", "--set", "sources.code.take=100"]) == 0
    assert "note: code has 60 pairs left where 100 are asked for" in capsys.readouterr().out


def test_the_papers_mix_is_checked_without_the_hub(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("rmr1.data.hub.open_dataset", refuse)
    assert main(["curate", str(RECIPES / "curate-rm-r1.toml"), "--dry-run", "--json", "--quiet"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["size"] for one in plan["sources"]} == {
        "math": 10795,
        "code": 8000,
        "skywork": 54146,
    }
    # 72,941 pairs, of which the paper distils 8.75k.
    assert plan["splits"] == {"distill": 8753, "rl": 64188}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "sources.chat.tkae=3"], "unknown key 'sources.chat.tkae'; did you mean 'take'?"),
        (["--set", "sources.code.take=100"], "code has 60 pairs left where 100 are asked for; ask for less"),
        (["--set", "sources.chat.data=chta.jsonl"], "sources.chat.data: no such file or folder"),
        (["--set", "root=$RMR1_NOT_SET"], "needs the environment variable RMR1_NOT_SET, which is not set"),
        (["--set", "filters.keep_subsets=['x']"], "nothing is left of 120 pairs"),
        (["--set", "mix.total=5"], "mix.total is 5, but the sources without a weight give 20"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, capsys: Capture, arguments: list[str], told: str) -> None:
    assert (
        main(["curate", str(write_recipe(tmp_path)), "-o", str(tmp_path / "out"), "--quiet", *arguments]) == 2
    )
    printed, error = capsys.readouterr()
    assert printed == "" and told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_folder_and_no_recipe(tmp_path: Path, capsys: Capture) -> None:
    assert main(["curate", str(write_recipe(tmp_path))]) == 2
    assert "no folder to write into; pass -o DIR" in capsys.readouterr().err
    assert main(["curate", str(tmp_path / "gone.toml"), "-o", str(tmp_path / "out")]) == 2
    assert "gone.toml: no such config file" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["datasketch", "py3langid"])
def test_a_missing_library_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    recipe = write_recipe(tmp_path, more='[filters]\nlanguages = ["en"]\n')
    assert main(["curate", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"{library}, which is not installed; pip install 'rmr1[data]'" in error
    if library == "datasketch":
        off = ["--set", "duplicates.near=0", "--set", "duplicates.prompts=0", "--set", "filters.languages=[]"]
        assert main(["curate", str(recipe), "-o", str(tmp_path / "out"), "--quiet", *off]) == 0


def test_a_killed_run_goes_on_behind_the_sources_that_are_read(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, 400)
    command = [sys.executable, "-m", "rmr1", "curate", str(recipe), "-o"]
    assert subprocess.run([*command, str(tmp_path / "whole"), "--quiet"], check=False).returncode == 0
    read = []
    for stage in ("reading chat", "reading code", "sorting into splits", "writing chat", "writing code"):
        process = subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.startswith(stage):
                os.kill(process.pid, signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        assert (tmp_path / "out.part").exists() and not (tmp_path / "out").exists()
        read.append(
            [name for name in ("chat", "code") if any(line.startswith(f"reading {name}") for line in seen)]
        )
    # The second run was killed in its second source, the third one had read both.
    assert read == [["chat"], ["chat", "code"], ["code"], [], []]
    last = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert last.returncode == 0 and "going on: 2 of 2 sources are read" in last.stderr
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    assert not (tmp_path / "out.part").exists() and not (tmp_path / ".out.lock").exists()


def test_two_writers_of_one_folder(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, 400)
    command = [sys.executable, "-m", "rmr1", "curate", str(recipe), "-o", str(tmp_path / "out")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    next(line for line in first.stderr if line.startswith("reading"))
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2 and "another process is writing it" in second.stderr
    assert first.wait() == 0
    first.stderr.close()
    assert (tmp_path / "out" / "curate.json").exists()
