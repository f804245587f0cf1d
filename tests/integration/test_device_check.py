"""The script that tries the GPU paths: its lists, its recipes, and how it tells of what fails."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from rmr1.settings import read_toml
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.recipe import Recipe
from rmr1.train.scalar.recipe import ScalarRecipe

PATH = Path(__file__).parents[2] / "scripts" / "device_check.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("device_check", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def gpu(script):
    shape = {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 96}
    return script.Device(name="cuda", count=2, pairs=8, model=shape, row_tokens=2048, shape="0.5b")


def test_every_training_has_a_recipe_that_can_be_read(script, gpu, tmp_path):
    kinds = {"sft": Recipe, "grpo": GrpoRecipe, "scalar": ScalarRecipe}
    read = 0
    for check in script.list_checks(gpu, tmp_path):
        verb = check.command[3]
        if verb in kinds:
            kinds[verb].from_values(read_toml(Path(check.command[4])), "recipe")
            read += 1
    assert read >= 7


def run(script, gpu, tmp_path, code, *, seconds=30.0, done=None, **more):
    check = script.Check(
        name="one",
        what="a path",
        command=(sys.executable, "-c", code),
        read=lambda out, log: f"said {log.strip()}",
        **more,
    )
    return script.run_check(check, gpu, tmp_path, done or {}, seconds)


def test_what_is_found_is_told(script, gpu, tmp_path):
    found = run(script, gpu, tmp_path, "print('yes')")
    assert (found.state, found.found) == ("ok", "said yes")


def test_failures_are_told_and_do_not_raise(script, gpu, tmp_path):
    found = run(script, gpu, tmp_path, "raise SystemExit('broken')")
    assert (found.state, found.found) == ("FAILED", "exit 1: broken")
    hanging = run(script, gpu, tmp_path, "import time; time.sleep(60)", seconds=10.0)
    assert hanging.state == "FAILED" and hanging.found.startswith("stopped after 10 s")
    assert hanging.seconds < 30


def test_what_cannot_be_tried_is_no_failure(script, gpu, tmp_path):
    missing = run(script, gpu, tmp_path, "", needs=("no_such_library",))
    assert (missing.state, missing.found) == ("absent", "no_such_library not installed")
    assert run(script, gpu, tmp_path, "", num_gpus=3).state == "absent"
    assert run(script, gpu, tmp_path, "", seconds=1.0).state == "no time"
    failed = {"before": script.Finding(name="before", what="", state="FAILED")}
    assert run(script, gpu, tmp_path, "", after=("before",), done=failed).state == "absent"
