"""The built wheel works in an empty environment, outside the repository; what the release script checks is so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("release", REPOSITORY / "scripts" / "release.py")
assert _SPEC is not None and _SPEC.loader is not None
release = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(release)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release.build(tmp_path_factory.mktemp("dist"), "--wheel")


def test_the_wheel_holds_the_package_its_prompts_models_and_licence(wheel: Path, tmp_path: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"rmr1/py.typed", "rmr1/prompts/families/rubric/system.txt", "rmr1/demo/pairs.jsonl"} <= set(names)
    assert "rmr1/models/tiny/judge/model.safetensors" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert release.find_strangers(wheel) == []
    other = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(other, "w") as part:
        for name in set(names) - {"rmr1/py.typed"}:
            part.writestr(name, whole.read(name))
        part.writestr("rmr1/notes.txt", "")
    assert release.find_strangers(other) == ["+rmr1/notes.txt", "-rmr1/py.typed"]


def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    commands = release.make_environment(tmp_path / "env", wheel)
    release.try_wheel(commands, tmp_path)
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    assert (packages / "rmr1").is_dir() and (packages / "numpy").is_dir()
    assert not (packages / "torch").exists() and not (packages / "transformers").exists()
    question = ["--question", "q", "--a", "a", "--b", "b"]
    needs_torch = subprocess.run(
        [commands / "rmr1", "judge", "-m", "some/model", *question],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert needs_torch.returncode == 2 and "pip install 'rmr1[hf]'" in needs_torch.stderr
    assert "Traceback" not in needs_torch.stderr


def test_what_stands_against_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    changelog = tmp_path / "CHANGELOG.md"
    monkeypatch.setattr(release, "REPOSITORY", tmp_path)
    git("init", "-b", "work")
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-10-01\n")
    heading = "CHANGELOG.md: '## [1.2.0] - YYYY-MM-DD' is not the first heading below '## [Unreleased]'"
    changed = "git: 1 files are changed or not committed"
    assert list(release.find_obstacles("1.2.0")) == [heading, changed, "git: the branch is work, not main"]
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n## [1.2.0]\n\n## [1.1.0] - 2026-10-01\n")
    git("add", ".")
    git("commit", "-m", "All")
    git("branch", "-m", "main")
    assert list(release.find_obstacles("1.2.0")) == ["CHANGELOG.md: the heading of 1.2.0 has no date"]
    changelog.write_text(changelog.read_text().replace("[1.2.0]", "[1.2.0] - 2026-11-30"))
    git("commit", "-am", "Date")
    assert list(release.find_obstacles("1.2.0")) == []
    git("tag", "v1.2.0")
    (obstacle,) = release.find_obstacles("1.2.0")
    assert "there is a tag v1.2.0" in obstacle


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-engines.txt", "constraints-ray.txt"])
def test_the_lock_holds_a_version_of_all_that_is_required(name: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    chosen = {
        "constraints.txt": set(extras) - {"vllm", "ray"},
        "constraints-engines.txt": {"hf", "train"},
        "constraints-ray.txt": {"ray"},
    }[name]
    lock = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (REPOSITORY / name).read_text(), re.MULTILINE))
    for line in [*project["dependencies"], *(line for extra in chosen for line in extras[extra])]:
        wanted = Requirement(line)
        if wanted.name != "rmr1":
            assert wanted.specifier.contains(lock[canonicalize_name(wanted.name)]), line
