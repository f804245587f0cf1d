"""`rmr1 judge -o RUN` alone, several files and patterns: what was asked for is asked again, from anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from rmr1.judge.asked import read_command
from rmr1.store.runs import read_judgments

Place = pytest.MonkeyPatch


class Shell:
    """Runs the command inside this process, in a directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: Place, folder: Path):
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.folder = folder
        self.enter(folder)

    def enter(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._monkeypatch.chdir(folder)

    def judge(self, *arguments: object) -> tuple[int, str, str]:
        code = main(["judge", *map(str, arguments)])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: Place, tmp_path: Path) -> Shell:
    return Shell(capsys, monkeypatch, tmp_path / "work")


def write(path: str | Path, number: int, *, start: int = 0, columns: tuple[str, ...] = ()) -> Path:
    names = columns or ("prompt", "chosen", "rejected")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for index in range(start, start + number):
            cells = (f"question {index}", f"a longer answer {index}", f"answer {index}")
            file.write(json.dumps(dict(zip(names, cells, strict=True))) + "\n")
    return path


def describe(run: str | Path) -> dict[str, Any]:
    return json.loads((Path(run) / "run.json").read_text())


def count(run: str | Path) -> int:
    return len(list(read_judgments(run)))


def test_goes_on_from_another_directory_and_after_a_move(shell: Shell) -> None:
    write("data/a.jsonl", 5)
    assert shell.judge("data/a.jsonl", "-m", "scripted:longer", "-o", "run", "--limit", "2")[0] == 0
    shell.enter(shell.folder / "deep" / "er")
    code, out, _ = shell.judge("-o", "../../run", "--limit", "4", "--quiet")
    assert code == 0 and out.startswith("4 pairs judged")
    # The names stay those that were typed: only so may the run be moved with its data afterwards.
    assert describe("../../run")["data"]["sources"] == ["data/a.jsonl"]
    assert describe("../../run")["asked_by"]["config"]["data"]["limit"] == 4
    moved = shell.folder.parent / "moved"
    shell.enter(shell.folder.parent)
    shell.folder.rename(moved)
    code, out, err = shell.judge("-o", "moved/run", "--limit", "9")
    assert code == 0 and "going on after 4" in err and out.startswith("5 pairs judged")


def test_through_a_link(shell: Shell) -> None:
    write("data/a.jsonl", 3)
    shell.judge("data/a.jsonl", "-m", "scripted:longer", "-o", "store/deep/run", "--limit", "1", "--quiet")
    Path("link").symlink_to("store/deep/run")
    assert shell.judge("-o", "link", "--limit", "3")[1].startswith("3 pairs judged")


def test_a_file_that_is_gone_is_named(shell: Shell) -> None:
    write("a.jsonl", 2)
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--quiet")
    Path("a.jsonl").unlink()
    code, _, err = shell.judge("-o", "run")
    assert code == 2 and "a.jsonl: no such file or folder" in err and "the run in run was made from it" in err


@pytest.mark.parametrize(
    "flags", [("-m", "scripted:hash"), ("--temperature", "0.5"), ("--seed", "7"), ("--order", "both")]
)
def test_another_setting_is_refused_though_nothing_is_left(shell: Shell, flags: tuple[str, ...]) -> None:
    write("a.jsonl", 2)
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--quiet")
    code, out, err = shell.judge("-o", "run", *flags)
    assert code == 2 and out == "" and "was made in another way" in err


def test_removed_items_are_refused_though_nothing_is_left(shell: Shell) -> None:
    write("a.jsonl", 3)
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--quiet")
    write("a.jsonl", 2)
    code, out, err = shell.judge("-o", "run")
    assert code == 2 and out == "" and "1 of 3 finished items are not in the data" in err


def test_nothing_is_left(shell: Shell) -> None:
    write("a.jsonl", 3)
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--quiet")
    code, out, err = shell.judge("-o", "run", "--json", "--quiet")
    assert code == 0 and err == "" and json.loads(out)["items"] == 3
    code, out, err = shell.judge("-o", "run", "--limit", "2")
    assert code == 0 and "up to --limit 2; a higher one goes on" in err and out.startswith("3 pairs judged")


def test_a_summary_of_an_earlier_stop_is_made_anew(shell: Shell) -> None:
    write("a.jsonl", 3)
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--quiet", "--limit", "1")
    earlier = Path("run/summary.json").read_text()
    shell.judge("-o", "run", "--limit", "3", "--quiet")
    Path("run/summary.json").write_text(earlier)  # as a kill before the last line leaves it
    assert shell.judge("-o", "run")[1].startswith("3 pairs judged")
    assert json.loads(Path("run/summary.json").read_text())["items"] == 3


def test_failed_items_are_judged_again(shell: Shell) -> None:
    write("a.jsonl", 3)
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--quiet")
    path = Path("run/judgments.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["votes"][0]["generation"].update(finish_reason="error", text="", error="the server was gone")
    lines[1].update(winner=None, problem="generation_failed")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = json.loads(Path("run/summary.json").read_text())
    Path("run/summary.json").write_text(json.dumps({**summary, "failed": 1}))
    assert "nothing is left" in shell.judge("-o", "run")[2]
    code, out, err = shell.judge("-o", "run", "--retry-failed")
    assert code == 0 and "going on after 2" in err and "failed" not in out
    assert all(judgment.winner for _, judgment in read_judgments("run"))


def test_settings_of_a_file_and_of_flags_are_kept(shell: Shell) -> None:
    write("foreign.jsonl", 4, columns=("q", "good", "bad"))
    Path("own.toml").write_text(
        'model = "scripted:longer"\nseed = 5\n[data]\nlimit = 1\n'
        '[data.map]\nprompt = "q"\nchosen = "good"\nrejected = "bad"\n'
    )
    assert shell.judge("foreign.jsonl", "--config", "own.toml", "--set", "order=both", "-o", "run")[0] == 0
    Path("own.toml").unlink()
    shell.enter(shell.folder / "elsewhere")
    code, out, _ = shell.judge("-o", "../run", "--set", "data.limit=3")
    assert code == 0 and out.startswith("3 pairs judged")
    assert describe("../run")["settings"]["order"] == "both" and describe("../run")["settings"]["seed"] == 5


def test_a_run_of_a_preset_keeps_it_when_its_model_is_moved(shell: Shell) -> None:
    write("a.jsonl", 2)
    first = "gaotang/RM-R1-Qwen2.5-Instruct-7B"
    recorded = write("texts.jsonl", 1)
    assert recorded.exists()
    run = Path("run")
    run.mkdir()
    made = {"command": "judge", "data": {"sources": ["a.jsonl"]}}
    for model in (first, f"vllm:{first}", "tiny", "vllm:tiny"):
        section = {"directory": "..", "config": {"model": model, "family": "rubric"}}
        (run / "run.json").write_text(json.dumps({**made, "asked_by": section}))
        Path("rubric").mkdir(exist_ok=True)
        Path("tiny").mkdir(exist_ok=True)
        shell.enter(shell.folder / "elsewhere")
        sources, config = read_command("../run", "judge")
        shell.enter(shell.folder)
        # Names that mean a shipped thing mean it everywhere, though there are folders so called.
        assert sources == ["../a.jsonl"] and config == {"model": model, "family": "rubric"}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("models/mine", "../models/mine"),
        ("./models/mine", "../models/mine"),
        ("models/with:colon", "../models/with:colon"),
        ("vllm:./models/mine", "vllm:../models/mine"),
        ("vllm:org/name", "vllm:org/name"),
        ("org/name", "org/name"),
        ("replay:texts.jsonl", "replay:../texts.jsonl"),
        ("scripted:longer", "scripted:longer"),
        ("openai:mine@http://127.0.0.1:8000/v1", "openai:mine@http://127.0.0.1:8000/v1"),
        ("openai:models/mine", "openai:models/mine"),
    ],
)
def test_names_of_models_as_they_are_found_from_elsewhere(shell: Shell, model: str, found: str) -> None:
    for folder in ("models/mine", "models/with:colon", "longer", "8000/v1", "adapter", "prompts", "run"):
        Path(folder).mkdir(parents=True)
    write("texts.jsonl", 1)
    write("data/train.jsonl", 1)
    config = {"model": model, "family": "prompts", "engine": {"lora_adapter": "adapter", "dtype": "float32"}}
    description = {"command": "judge", "data": {"sources": ["data@train", "data", "org/set@test"]}}
    section = {"directory": "..", "config": config}
    Path("run/run.json").write_text(json.dumps({**description, "asked_by": section}))
    shell.enter(shell.folder / "elsewhere")
    sources, settings = read_command("../run", "judge")
    assert sources == ["../data@train", "../data", "org/set@test"]
    assert settings == {
        "model": found,
        "family": "../prompts",
        "engine": {"lora_adapter": "../adapter", "dtype": "float32"},
    }


def test_scripted_beside_a_folder_of_its_name(shell: Shell) -> None:
    write("a.jsonl", 3)
    Path("longer").mkdir()
    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "run", "--limit", "1", "--quiet")
    shell.enter(shell.folder / "elsewhere")
    assert shell.judge("-o", "../run", "--limit", "3")[1].startswith("3 pairs judged")


def test_what_does_not_say_what_was_asked_for(shell: Shell) -> None:
    import rmr1

    write("a.jsonl", 2)
    list(rmr1.Judge("scripted:longer").judge("a.jsonl", run="python"))
    code, _, err = shell.judge("-o", "python")
    assert code == 2 and "made from Python or by an earlier version" in err and "name the data" in err
    assert shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "python", "--quiet")[0] == 0
    assert shell.judge("-o", "python")[0] == 0

    shell.judge("a.jsonl", "-m", "scripted:longer", "-o", "old", "--quiet")
    description = describe("old")
    del description["asked_by"]
    Path("old/run.json").write_text(json.dumps(description))
    assert "by an earlier version" in shell.judge("-o", "old")[2]
    Path("old/run.json").write_text(json.dumps({**description, "command": "bench pairs"}))
    assert "made by rmr1 bench pairs, not by rmr1 judge" in shell.judge("-o", "old")[2]
    assert "not a run folder" in shell.judge("-o", "nowhere")[2] and not Path("nowhere").exists()


def test_several_files_and_patterns(shell: Shell) -> None:
    write("data/a.jsonl", 2)
    write("data/b.jsonl", 2, start=2)
    write("c [1].jsonl", 2, start=4)
    arguments = ("-m", "scripted:longer", "-o", "run", "--limit", "5", "--quiet")
    code, out, err = shell.judge(
        "data/*.jsonl", "c [1].jsonl", "data/a.jsonl", "./data/../data/b.jsonl", *arguments
    )
    assert code == 0 and out.startswith("5 pairs judged")
    assert err.count("named twice, read once") == 2
    assert describe("run")["data"]["sources"] == ["data/a.jsonl", "data/b.jsonl", "c [1].jsonl"]
    shell.enter(shell.folder / "elsewhere")
    assert shell.judge("-o", "../run", "--limit", "6")[1].startswith("6 pairs judged")


def test_a_folder_and_a_file_of_it(shell: Shell) -> None:
    write("data/deep/a.jsonl", 2)
    write("data/b.jsonl", 2, start=2)
    write("data/.hidden.jsonl", 1, start=4)
    arguments = ("-m", "scripted:longer", "-o", "run", "--quiet")
    code, out, err = shell.judge("data/deep/*.jsonl", "data", "data/.hidden.jsonl", *arguments)
    assert code == 0 and out.startswith("5 pairs judged")
    assert "data/deep/a.jsonl: is in data, which is named too; read once" in err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("none/*.jsonl",), "none/*.jsonl: no file fits this pattern"),
        (("a.jsonl", "-"), "- is standard input and stands alone"),
        (("-", "-"), "- is standard input and stands alone"),
        (("a.jsonl", "b.jsonl"), "no such file or folder"),
        (("",), "an empty text"),
    ],
)
def test_sources_that_cannot_be(shell: Shell, names: tuple[str, ...], said: str) -> None:
    write("a.jsonl", 1)
    code, out, err = shell.judge(*names, "-m", "scripted:longer", "-o", "run")
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1
    assert not Path("run").exists()


def test_bench_alone_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-o", "run"], ["-m", "scripted:longer"]):
        assert main(["bench", *words]) == 2
        assert "BENCHMARK is missing" in capsys.readouterr().err


def test_rows_that_moved_keep_their_texts_and_are_compared_with_no_others(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without ids of their own rows are called by their places; judgments that are stored keep the old ones."""

    def bench(*arguments: str) -> str:
        main(["bench", "pairs", "a.jsonl", "-m", "scripted:longer", "--quiet", *arguments])
        return capsys.readouterr().out

    write("a.jsonl", 3, start=1)
    bench("-o", "grown")
    write("a.jsonl", 4)  # one more, at the beginning
    bench("-o", "grown")
    bench("-o", "whole")
    texts = {pair.prompt: judgment for _, judgment in read_judgments("grown") if (pair := judgment.pair)}
    assert shell.judge("a.jsonl", "-m", "replay:grown", "-o", "replayed", "--quiet")[0] == 0
    for _, judgment in read_judgments("replayed"):
        assert [vote.generation.text for vote in judgment.votes] == [
            vote.generation.text for vote in texts[judgment.pair.prompt].votes
        ]
    main(["bench", "pairs", "--from", "grown", "--baseline", "whole"])
    printed = capsys.readouterr()
    assert "over the 3 items that both" not in printed.out
    assert "share no item" in printed.err or "FAILED" in printed.out
