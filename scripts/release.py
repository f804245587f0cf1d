"""Build the distributions, check the wheel in an empty environment, and tag the commit.

    .venv/bin/python scripts/release.py          # builds and checks; says what still stands against a tag
    .venv/bin/python scripts/release.py --tag    # the same, and tags if nothing does

The sdist and, from it, the wheel come to lie in dist/. Nothing is pushed or uploaded.
"""

from __future__ import annotations

import argparse
import re
import runpy
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BRANCH = "main"


def read_version() -> str:
    return str(runpy.run_path(str(REPOSITORY / "src/rmr1/version.py"))["__version__"])


def list_files(folder: str) -> set[str]:
    """Files that lie there and that git does not ignore, relative to the repository."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder)
    return set(_run(*command).split("\0")) - {""}


def build(folder: Path, *options: str) -> Path:
    """Build into `folder`; the path of the wheel."""
    _run(sys.executable, "-m", "build", *options, "--outdir", str(folder), str(REPOSITORY))
    (wheel,) = folder.glob(f"rmr1-{read_version()}-*.whl")
    return wheel


def find_strangers(wheel: Path) -> list[str]:
    """Files of the package that the wheel lacks, with `-` before them, and files that git ignores, with `+`."""
    wanted = {name.removeprefix("src/") for name in list_files("src")}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    return sorted([*(f"-{name}" for name in wanted - names), *(f"+{name}" for name in names - wanted)])


def find_strangers_of_sdist(sdist: Path) -> list[str]:
    """Files in it that git ignores."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    return sorted(names - list_files(".") - {"PKG-INFO"})


def make_environment(folder: Path, wheel: Path) -> Path:
    """An environment with the wheel and what it requires, and nothing else; the folder of its commands."""
    venv.create(folder)
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
    _run(*pip, "install", "-q", "-c", str(REPOSITORY / "constraints.txt"), str(wheel))
    _run(*pip, "check")
    return folder / "bin"


def try_wheel(commands: Path, folder: Path) -> None:
    """Run what needs no extra, in `folder`; AssertionError if anything is not as it should be."""
    question = ("--question", "2 + 2?", "--a", "4", "--b", "2 + 2 is 5")
    checks = {
        ("rmr1", "--version"): f"rmr1 {read_version()}",
        ("python", "-m", "rmr1", "--version"): f"rmr1 {read_version()}",
        ("rmr1", "demo"): "hand-written examples",
        ("rmr1", "prompts", "show", "rubric"): "<answer>[[A]]</answer>",
        ("rmr1", "judge", "-m", "scripted:longer", *question): "Verdict: B",
    }
    for (command, *arguments), wanted in checks.items():
        said = _run(str(commands / command), *arguments, cwd=folder)
        assert wanted in said, f"{command} {' '.join(arguments)}: {wanted!r} is not in\n{said}"


def find_obstacles(version: str) -> Iterator[str]:
    """What keeps the commit from being tagged as this version."""
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](.*)$", changelog, re.MULTILINE)
    if headings[:1] != [("Unreleased", "")] or not headings[1:] or headings[1][0] != version:
        yield f"CHANGELOG.md: '## [{version}] - YYYY-MM-DD' is not the first heading below '## [Unreleased]'"
    elif not re.fullmatch(r" - \d{4}-\d\d-\d\d", headings[1][1]):
        yield f"CHANGELOG.md: the heading of {version} has no date"
    if changes := _run("git", "status", "--porcelain"):
        yield f"git: {len(changes.splitlines())} files are changed or not committed"
    if (branch := _run("git", "branch", "--show-current").strip()) != BRANCH:
        yield f"git: the branch is {branch or 'none'}, not {BRANCH}"
    if _run("git", "tag", "--list", f"v{version}"):
        yield f"git: there is a tag v{version}; set the next version in src/rmr1/version.py"


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd or REPOSITORY, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tag", action="store_true", help="tag the commit as vVERSION if everything agrees")
    parser.add_argument(
        "-o", "--output", type=Path, default=REPOSITORY / "dist", help="folder (default dist/)"
    )
    arguments = parser.parse_args()
    version = read_version()
    obstacles = list(find_obstacles(version))
    if arguments.tag and obstacles:
        raise SystemExit("\n".join(["not tagged:", *obstacles]))
    wheel = build(arguments.output)
    (sdist,) = arguments.output.glob(f"rmr1-{version}.tar.gz")
    print(
        f"built {sdist.name} ({sdist.stat().st_size:,} bytes) and {wheel.name} ({wheel.stat().st_size:,} bytes)"
    )
    if strangers := find_strangers(wheel) + find_strangers_of_sdist(sdist):
        raise SystemExit("\n".join(["the files are not those of the repository:", *strangers]))
    print(f"the wheel holds all {len(list_files('src'))} files of src/, and nothing else")
    with tempfile.TemporaryDirectory() as folder:
        try_wheel(make_environment(Path(folder) / "env", wheel), Path(folder))
    print("the wheel works in an empty environment")
    if not arguments.tag:
        print("\n".join(["not tagged:", *obstacles] if obstacles else ["ready to be tagged: --tag"]))
        return
    _run("git", "tag", "--annotate", f"v{version}", "--message", f"rmr1 {version}")
    print(f"tagged v{version}; push it with: git push origin v{version}")


if __name__ == "__main__":
    main()
