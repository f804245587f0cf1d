"""Mistakes of a recipe are told together, and before any library of models is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RECIPES = {
    "sft": ('[model]\nbase = "tiny"\nprecision = "fp99"\n[optim]\nlr = "fast"\n', ("precision", "optim.lr")),
    "scalar": (
        '[model]\nbase = "tiny"\n[batch]\npairs = "x"\n[optim]\nlr = "fast"\n',
        ("batch.pairs", "optim.lr"),
    ),
    "grpo": (
        '[model]\nbase = "tiny"\n[rewards]\nquotes = "much"\nverdict = [1]\n',
        ("rewards.quotes", "rewards.verdict"),
    ),
    "distill run": ('[data]\ntrain = "no.jsonl"\n[pass1]\nteacher = 3\n', ("data.train", "pass1.teacher")),
    "curate": ('seed = "x"\n[sources.a]\ndata = "no-*.jsonl"\n', ("seed", "no file fits this pattern")),
    "train": (
        '[grpo.rewards]\nquotes = "a"\nconsistence = 1\n[bench]\nbenchmarks = ["rmbb", 3]\n',
        ("rewards.quotes", "'consistence'", "did you mean 'rmb'", "bench.benchmarks.1"),
    ),
    "serve": (
        'family = "nope"\nrule = "strict"\ncriteria = "no.txt"\n[sampling]\ntemperature = "hot"\n[engine]\ndevise = "cpu"\n',
        ("'nope'", "'strict'", "no.txt", "sampling.temperature", "engine.devise"),
    ),
}

PROGRAM = """
import contextlib, io, json, sys, time
from rmr1.cli.main import main
told = {}
for verb, file in json.loads(sys.argv[1]).items():
    more = ["--config", file] if verb == "serve" else [file, "-o", "out"]
    began = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = main([*verb.split(), *more])
    told[verb] = code, errors.getvalue(), time.process_time() - began
heavy = [name for name in ("torch", "transformers", "datasets", "peft", "sklearn") if name in sys.modules]
print(json.dumps([told, heavy]))
"""


def test_two_mistakes_of_a_recipe_are_told_together_and_at_once(tmp_path: Path) -> None:
    for verb, (text, _) in RECIPES.items():
        (tmp_path / f"{verb}.toml").write_text(text, encoding="utf-8")
    files = json.dumps({verb: f"{verb}.toml" for verb in RECIPES})
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, files], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told, heavy = json.loads(ran.stdout)
    assert heavy == []
    for verb, (_, wanted) in RECIPES.items():
        code, errors, seconds = told[verb]
        assert code == 2 and errors.startswith(f"rmr1: {verb}.toml: "), errors
        assert "mistakes" in errors
        assert [text for text in wanted if text not in errors] == [], errors
        assert seconds < 5
    assert not (tmp_path / "out").exists()
