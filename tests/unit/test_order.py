"""Left never imports right: every import of the package against the order that docs/design.md writes down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "rmr1"
ROOM = re.compile(r"^\| `(\w+)/?` \|")


def read_order(text: str) -> list[str]:
    """The rooms of the table under "The order", from left to right."""
    table = text.partition("## The order\n")[2].partition("\n## ")[0]
    return [match[1] for line in table.splitlines() if (match := ROOM.match(line))]


def list_modules(package: Path) -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def list_imports(source: str, module: str, modules: Mapping[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and module of every import of the package, inside functions and under conditions too."""
    own = module.partition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: imports are written out in full"
            names = [f"{node.module}.{one.name}" for one in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == own:
                while name not in modules:
                    name = name.rpartition(".")[0]
                yield node.lineno, name


def room_of(module: str) -> str:
    """The package itself is the last room, and `python -m` runs it."""
    top, *inside = module.split(".")
    return inside[0] if inside and inside[0] != "__main__" else top


def find_steps_back(order: list[str], package: Path) -> list[str]:
    """Imports that lead to the right, each as a line; rooms that the order does not name."""
    places = {room: number for number, room in enumerate(order)}
    modules = list_modules(package)
    lines = [f"{room} has no place in the order" for room in {room_of(one) for one in modules} - set(places)]
    for module, path in sorted(modules.items()):
        for line, target in list_imports(path.read_text(encoding="utf-8"), module, modules):
            if places.get(room_of(target), 0) > places.get(room_of(module), 0):
                lines.append(f"{module}:{line} imports {target}")
    return sorted(lines)


def find_cycle(package: Path) -> list[str]:
    """Modules that import one another in a ring, through imports of any place; empty if there are none."""
    modules = list_modules(package)
    graph = {
        name: sorted(
            {target for _, target in list_imports(path.read_text(encoding="utf-8"), name, modules)} - {name}
        )
        for name, path in modules.items()
    }
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return trail[trail.index(name) :]
        if name in done:
            return []
        for target in graph[name]:
            if ring := walk(target, [*trail, name]):
                return ring
        done.add(name)
        return []

    return next((ring for name in sorted(graph) if (ring := walk(name, []))), [])


def test_left_never_imports_right() -> None:
    order = read_order((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))
    assert order[-1] == "rmr1" and len(order) == len(set(order))
    assert set(order) == {room_of(name) for name in list_modules(PACKAGE)}
    assert find_steps_back(order, PACKAGE) == []


def test_no_modules_import_one_another_in_a_ring() -> None:
    assert find_cycle(PACKAGE) == []


@pytest.mark.parametrize(
    "source",
    [
        "import shop.right",
        "from shop import right",
        "from shop.right import thing",
        "def f():\n    from shop.right import thing",
        "if TYPE_CHECKING:\n    import shop.right.deep",
    ],
)
def test_a_step_back_is_found(source: str, tmp_path: Path) -> None:
    package = tmp_path / "shop"
    (package / "right").mkdir(parents=True)
    for file in (package / "__init__.py", package / "right" / "__init__.py", package / "right" / "deep.py"):
        file.touch()
    (package / "left.py").write_text(source)
    assert len(find_steps_back(["left", "right", "shop"], package)) == 1
    assert find_steps_back(["right", "left", "shop"], package) == []
    assert find_steps_back(["left", "shop"], package)[-1] == "right has no place in the order"


def test_unit_tests_lie_by_the_rooms_that_they_test() -> None:
    """Tests of the package's own modules, of the whole and of its docstrings lie at the root."""
    modules = {room_of(name) for name in list_modules(PACKAGE)}
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/__init__.py")}
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert folders - modules == set()
    assert files - modules == {"docstrings", "order", "public"}
