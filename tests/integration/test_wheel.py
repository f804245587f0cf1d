"""The built wheel works in an empty environment, outside the repository."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr + built.stdout
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_prompts_examples_and_the_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    families = {
        f"rmr1/prompts/families/{name}"
        for name in ("rubric/system.txt", "reasoning/multi.txt", "direct/single.txt")
    }
    assert families | {"rmr1/py.typed", "rmr1/demo/pairs.jsonl", "rmr1/demo/outputs.jsonl"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = str(REPOSITORY / "constraints.txt")
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", constraints, wheel], check=True, capture_output=True
    )
    installed = subprocess.run(
        [python, "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert "torch" not in installed and "transformers" not in installed
    rmr1 = tmp_path / "env" / "bin" / "rmr1"
    demo = subprocess.run([rmr1, "demo"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert demo.returncode == 0, demo.stderr
    assert "hand-written examples" in demo.stdout.splitlines()[0] and demo.stdout.count("Verdict:") == 6
    shown = subprocess.run(
        [rmr1, "prompts", "show", "rubric"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "<answer>[[A]]</answer>" in shown.stdout
    question = ["--question", "q", "--a", "a", "--b", "b"]
    needs_torch = subprocess.run(
        [rmr1, "judge", "-m", "some/model", *question],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert needs_torch.returncode == 2 and "pip install 'rmr1[hf]'" in needs_torch.stderr
    assert "Traceback" not in needs_torch.stderr
