"""Whatever text a run, a data file, a recipe or the command line holds: nothing of it acts on the terminal of a reader."""

from __future__ import annotations

import ast
import json
import os
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from tests.cached import REPOSITORY

SOURCES = REPOSITORY / "src" / "rmr1"
TEXT = (
    "x\x1b[31mred\x1b]0;title\x07\x1b]8;;http://evil\x1b\\\x9b2J\x9d0;t\x9c\x00\x08\x7f\rover\u202eesrever\u2066\u2069"
    "\u200b\u200d\u00ad\ufeff\u2028\u2029\u061c\U000e0041\u3164\nrmr1: all is right\n\ud800y"
)
NAME = TEXT.replace("\x00", "").replace("/", "").replace("\ud800", "\udc9b")
"""What a file may be called."""
WHOLE = TEXT.replace("\ud800", "")
"""What a row may hold: readers refuse half a character."""
SETTING = '"' + "".join(f"\\U{ord(one):08x}" for one in WHOLE) + '"'
"""The whole of it as a string of TOML."""
BAD = frozenset(one for one in TEXT if not one.isprintable() or one == "\u3164") - {"\n"}


def find_acting(text: str) -> set[str]:
    """Characters that act on a terminal or deceive whoever reads it."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return {one for one in text if one != "\n" and (one in BAD or unicodedata.category(one) in kinds)}


class Command:
    """Runs verbs and looks at all that they print."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]):
        self._capture = capture

    def __call__(
        self, *words: object, codes: tuple[int, ...] = (0,), has_lines: bool = False
    ) -> tuple[str, str]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = (part.decode("utf-8") for part in self._capture.readouterr())
        for part in (out, err):
            assert not (found := find_acting(part)), (words, found, part)
            # A field keeps to its line: it cannot speak in the command's name.
            assert has_lines or "\nrmr1: all is right" not in part, (words, part)
        assert code in codes, (words, code, out, err)
        return out, err


@pytest.fixture
def rmr1(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Command(capsysbinary)


def make_rows() -> list[dict[str, Any]]:
    """Every text of every row is hostile, and no two are alike."""
    draw = random.Random(0)

    def text(number: int) -> str:
        return " ".join(draw.choices(("sea", "sky", "stone", "paper", "seven", WHOLE), k=number))

    return [
        {
            "id": f"{WHOLE}{number}",
            "prompt": text(9) + WHOLE,
            "response_a": text(30),
            "response_b": text(20),
            "label": "AB"[number % 2],
            "subset": f"{WHOLE}{number % 2}",
            "source": WHOLE,
        }
        for number in range(12)
    ]


@pytest.fixture
def pairs() -> tuple[Path, list[dict[str, Any]]]:
    rows = make_rows()
    path = Path(os.fsdecode(os.fsencode(NAME + ".jsonl")))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, rows


def test_judge_and_show(rmr1: Command, pairs: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = pairs
    Path("half.jsonl").write_text(json.dumps({**rows[0], "prompt": TEXT}) + "\n")
    rmr1("judge", "half.jsonl", "-m", "scripted:longer", codes=(2,))
    rmr1("judge", path, "-m", "scripted:longer", "--order", "both")
    run = Path(NAME + "-run")
    rmr1("judge", path, "-m", "scripted:longer", "-o", run)
    rmr1("judge", "-o", run)
    rmr1("judge", path, "-m", "scripted:hash", "-o", run, codes=(2,))  # the difference is told
    rmr1("judge", path, "-m", "scripted:longer", "--dry-run")
    rmr1("show", run, "--limit", "0")
    rmr1("show", run, "--list", "--limit", "0")
    rmr1("show", run, rows[3]["id"])
    rmr1("show", run, TEXT.replace("\x00", "") + "none", codes=(1,))
    out, _ = rmr1("show", run, "--json", "--limit", "0")
    stored = [json.loads(line)["pair"] for line in out.split("\n") if line]
    assert {one["id"] for one in stored} == {row["id"] for row in rows}
    assert {one["subset"] for one in stored} == {row["subset"] for row in rows}
    asked = {one["prompt"][0]["content"] for one in stored}
    assert asked == {row["prompt"] for row in rows}
    out, _ = rmr1("judge", path, "-m", "scripted:longer", "--json")
    assert {json.loads(line)["pair"]["id"] for line in out.split("\n") if line} == {row["id"] for row in rows}


def spoil(value: Any, key: str = "") -> Any:
    """Every text of a stored judgment is hostile, but for those that have a closed list."""
    if isinstance(value, dict):
        return {name: spoil(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [spoil(one, key) for one in value]
    closed = (
        "role",
        "problem",
        "winner",
        "order",
        "label",
        "key",
        "rule",
        "side",
        "task_type",
        "finish_reason",
    )
    return value + WHOLE if isinstance(value, str) and key not in closed else value


def test_a_foreign_run(rmr1: Command, pairs: tuple[Path, list[dict[str, Any]]]) -> None:
    rmr1("judge", pairs[0], "-m", "scripted:longer", "-o", "run")
    run = Path("run")
    lines = [spoil(json.loads(line)) for line in (run / "judgments.jsonl").read_text().split("\n") if line]
    for number, line in enumerate(lines):
        vote = line["votes"][0]
        if number % 3 == 0:
            vote["generation"] |= {"text": "", "finish_reason": "error", "error": WHOLE}
            vote["verdict"] |= {"winner": None, "problem": "generation_failed"}
            line |= {"winner": None, "problem": "generation_failed"}
        elif number % 3 == 1:
            line["problem"] = vote["verdict"]["problem"] = "no_verdict"
            line["winner"] = vote["verdict"]["winner"] = None
    (run / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    description = json.loads((run / "run.json").read_text())
    description["notes"] = [TEXT]
    (run / "run.json").write_text(json.dumps(spoil(description, "rule")))
    for words in (
        (),
        ("--list",),
        ("--failed", "--list"),
        ("--unparsed",),
        ("--subset", lines[0]["pair"]["subset"]),
    ):
        rmr1("show", run, "--limit", "0", *([] if words and "\x00" in words[-1] else words), codes=(0, 1, 2))
    out, _ = rmr1("show", run, "--json", "--limit", "0")
    assert [json.loads(line)["pair"]["id"] for line in out.split("\n") if line] == [
        one["pair"]["id"] for one in lines
    ]
    rmr1("judge", "-o", run, codes=(0, 1, 2))
    rmr1("bench", "pairs", pairs[0], "--from", run, codes=(0, 1, 2))
    rmr1("bench", "pairs", "--from", run, "--json", codes=(0, 1, 2))
    for word in ("key", "rule", "label", "winner", "problem"):
        spoilt = [json.loads(json.dumps(line)) for line in lines]
        spoilt[0].update({"key": TEXT} if word == "key" else {word: TEXT})
        (run / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in spoilt))
        rmr1("show", run, codes=(0, 2))
        spoilt[0]["pair"]["id"] = TEXT
        (run / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in spoilt))
        rmr1("show", run, codes=(0, 2))


def test_benchmarks_and_probes(rmr1: Command, pairs: tuple[Path, list[dict[str, Any]]]) -> None:
    path, _ = pairs
    rmr1("bench", "pairs", path, "-m", "scripted:longer", "-o", "b")
    rmr1("bench", "pairs", path, "-m", "scripted:hash", "-o", "c")
    for form in (("--markdown", "-"), ("--markdown", "t.md"), ("--categories",)):
        rmr1("bench", "pairs", path, "--from", "b", "--baseline", "c", *form)
    assert not find_acting(Path("t.md").read_text())
    rmr1("bench", "pairs", path, "--from", "b", "--json")
    rmr1("bench", "pairs", path, "-m", "scripted:longer", "--dry-run")
    for action in ("leak", "bias"):
        for form in ((), ("--json",)):
            rmr1("probe", action, path, *form, codes=(0, 1, 2))


def test_curation_and_distillation(rmr1: Command, pairs: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = pairs
    Path("p.jsonl").write_bytes(path.read_bytes() + (json.dumps({"id": TEXT, TEXT: TEXT}) + "\n").encode())
    Path("curate.toml").write_text(f"[sources.{SETTING}]\ndata = {SETTING}\n[splits]\n{SETTING} = 0.2\n")
    rmr1("curate", "curate.toml", "-o", "named", codes=(2,))
    Path("curate.toml").write_text(
        '[sources.own]\ndata = ["q.jsonl", "p.jsonl"]\n[splits]\nheld_out = 0.2\ntrain = "rest"\n'
    )
    Path("q.jsonl").write_bytes(path.read_bytes())
    rmr1("curate", "curate.toml", "-o", "curated")
    assert not find_acting(Path("curated/card.md").read_text())
    rmr1("show", "curated")
    Path("distill.toml").write_text(
        '[data]\ntrain = "q.jsonl"\n[pass1]\nteacher = "scripted:longer"\n[pass2]\nteacher = "scripted:hash"\n'
    )
    rmr1("distill", "run", "distill.toml", "-o", "distilled", codes=(0, 1))
    rmr1("distill", "run", "distill.toml", "-o", "distilled", "--dry-run", codes=(0, 1))
    Path("results.jsonl").write_text(
        json.dumps({"custom_id": TEXT, "response": TEXT, "error": TEXT}) + "\n" + WHOLE
    )
    rmr1("distill", "import", "distill.toml", "results.jsonl", "-o", "distilled", codes=(0, 1, 2))
    rmr1("show", "distilled")
    rmr1("show", "distilled", "--limit", "0")
    out, _ = rmr1("show", "distilled", "--json", "--limit", "0")
    assert {json.loads(line)["pair"]["id"] for line in out.split("\n") if line} == {row["id"] for row in rows}


def test_trainings(rmr1: Command) -> None:
    folder = Path(NAME)
    folder.mkdir()
    recipe = {
        "model": {"base": TEXT},
        "data": {"train": [TEXT], "held_out": TEXT},
        "optim": {"lr": 1, "steps": 3},
    }
    (folder / "training.json").write_text(json.dumps({"recipe": recipe}))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "held_out_accuracy/" + TEXT: 0.5}) + "\n")
    (folder / "summary.json").write_text(json.dumps({"steps": 1, "seconds": 1, "kept_step": 0, "updates": 0}))
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": TEXT}))
    rmr1("show", folder)
    out, _ = rmr1("show", folder, "--json")
    assert json.loads(out)["description"]["recipe"] == recipe
    rmr1("doctor", folder, codes=(0, 1))
    stages = Path("pipe")
    stages.mkdir()
    (stages / "stages.json").write_text(json.dumps({TEXT: {"is_done": True, "seconds": 1}}))
    rmr1("show", stages, codes=(0, 2))


@pytest.mark.parametrize("verb", ["sft", "grpo", "scalar", "train", "curate", "distill run"])
@pytest.mark.parametrize(
    "recipe",
    [
        f"{SETTING} = 1\n",
        f"[model]\nbase = {SETTING}\n[data]\ntrain = {SETTING}\n",
        f"[optim]\nlr = {SETTING}\n[data]\n{SETTING} = 2\n",
        TEXT.replace("\ud800", ""),
        f"[grpo.model]\nbase = {SETTING}\n[grpo.data]\ntrain = {SETTING}\n[sft.optim]\nlr = {SETTING}\n",
        f"[sources.own]\ndata = {SETTING}\n[splits]\ntrain = {SETTING}\n[pass1]\nteacher = {SETTING}\n",
    ],
)
def test_bad_recipes(rmr1: Command, verb: str, recipe: str) -> None:
    path = Path(NAME + ".toml")
    path.write_text(recipe)
    rmr1(*verb.split(), path, "--dry-run", codes=(1, 2))
    rmr1(*verb.split(), path, "-o", "out", "--set", f"{NAME}.a={NAME}", codes=(1, 2))


WORD = TEXT.replace("\x00", "").replace("\ud800", "\udc9b")
"""What a shell can hand over."""


@pytest.mark.parametrize(
    "words",
    [
        (WORD,),
        ("judge", WORD),
        ("judge", WORD, "-m", WORD),
        ("judge", "p.jsonl", "-m", f"openai:{WORD}@{WORD}"),
        ("judge", "p.jsonl", "-m", f"replay:{WORD}"),
        ("judge", "p.jsonl", "--family", WORD, "-m", "scripted:longer"),
        ("judge", "p.jsonl", "--rule", WORD, "-m", "scripted:longer"),
        ("judge", "p.jsonl", "--map", f"{WORD}={WORD}", "-m", "scripted:longer"),
        ("judge", "p.jsonl", "--limit", WORD),
        ("judge", "p.jsonl", f"--{WORD}"),
        ("judge", "p.jsonl", "--set", f"{WORD}={WORD}"),
        ("judge", "p.jsonl", "--config", WORD),
        ("bench", WORD),
        ("bench", "pairs", WORD, "-m", "scripted:longer", "-o", "x"),
        ("bench", "pairs", "p.jsonl", "--from", WORD),
        ("show", WORD),
        ("probe", WORD, WORD),
        ("probe", "leak", WORD),
        ("doctor", WORD),
        ("prompts", "show", WORD),
        ("prompts", "import", WORD, "--name", WORD),
        ("merge", WORD, WORD),
        ("world", WORD),
    ],
)
def test_mistakes_on_the_command_line(rmr1: Command, words: tuple[str, ...]) -> None:
    Path("p.jsonl").write_text(json.dumps({"prompt": "q", "response_a": "a", "response_b": "bb"}) + "\n")
    rmr1(*words, codes=(1, 2))


def test_prompt_families(rmr1: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMR1_PROMPTS", str(Path("families").resolve()))
    Path("t.txt").write_text(f"{TEXT.replace(chr(0xD800), '')} {{question}} {{response_a}} {{response_b}}")
    rmr1("prompts", "import", "t.txt", "--name", "mine", codes=(0, 2))
    rmr1("prompts", "list")
    rmr1("prompts", "show", "mine", codes=(0, 2), has_lines=True)


def test_nothing_prints_past_the_guard() -> None:
    """`print` and `Console` of cli/ and report/ are ours: both make inert what they are given."""
    for path in sorted([*SOURCES.glob("cli/*.py"), *SOURCES.glob("report/*.py")]):
        tree = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name: node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for name, module in (("print", "rmr1.screen"), ("Console", "rmr1.console")):
            if name in called:
                assert imported.get(name) == module, f"{path.name}: {name} is not of {module}"
        assert "rich.console" not in imported.values() or imported.get("Console") != "rich.console", path.name
        dotted = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not dotted & {"print_exc", "print_exception"} or path.name == "follow.py", path.name
        assert not {"builtins", "rich"} & {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }, path.name
