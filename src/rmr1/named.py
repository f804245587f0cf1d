"""What a settings file names, and whether it is there: data, models, prompt families, forms, a user's own functions.

Each `find_*` takes a name and says what is wrong with it, or None, before a library or a model is loaded: files are
looked at and not run, and the hub is not asked.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from rmr1.data.files import expand_names, find_missing_source, is_pattern
from rmr1.data.sources import find_reader
from rmr1.engines.folders import HUB_NAME
from rmr1.errors import ConfigError, RMR1Error
from rmr1.models import is_bundled, resolve_model
from rmr1.nearest import find_nearest
from rmr1.prompts import load_family
from rmr1.prompts.escape import check_tokens
from rmr1.records import Label
from rmr1.settings import Names, Section, rule


def find_missing_data(name: str) -> str | None:
    """What is wrong with the name of a file, a folder or a dataset."""
    fault = find_missing_source(name)
    return None if fault is None else f"{name}: {fault}"


def find_missing_model(name: str) -> str | None:
    """What is wrong with the name of a model whose weights are read; a name on the hub is judged by its form alone."""
    folder = Path(name).expanduser()
    if is_bundled(name) or (not folder.exists() and HUB_NAME.fullmatch(name)):
        return None
    if not folder.exists():
        return f"{name!r}: no such folder, and not a Hugging Face name (expected 'owner/name')"
    if not (folder / "config.json").is_file():
        return f"{name!r} is no model folder: it holds no config.json"
    return None


def find_missing_base(name: str) -> str | None:
    """What is wrong with a model that is trained to write: `find_missing_model`, and whether it is one."""
    from rmr1.engines import is_scorer, parse_model_name

    try:
        scheme = parse_model_name(name).scheme
        if scheme is not None:
            return (
                f"{name!r} is asked through {scheme}, and training needs the weights; name a folder, or a model of the "
                "hub as ORG/NAME"
            )
        fault = find_missing_model(name)
        if fault is None and Path(resolve_model(name)).expanduser().is_dir() and is_scorer(name):
            return (
                f"{name} is a scalar reward model, which writes no judgments to learn from; name a model that writes "
                "(rmr1 scalar trains the other kind)"
            )
        return fault
    except RMR1Error as error:
        return str(error)


def find_missing_tracker(name: str) -> str | None:
    """What is wrong with a tracker of accelerate; they are called as their libraries are."""
    libraries = ("tensorboard", "tensorboardX") if name == "tensorboard" else (name,)
    if name in ("none", "all") or any(map(find_spec, libraries)):
        return None
    return f"{name!r} is not a tracker that is installed"


def find_missing_judge(
    name: str, schemes: Container[str] = ("scripted", "replay", "openai", "decisions")
) -> str | None:
    """What is wrong with a model that is asked, here or on a server, which is not called; those of `schemes` are
    loaded."""
    from rmr1.engines import load_decider, load_engine, parse_model_name

    try:
        parsed = parse_model_name(name)
        if parsed.scheme in schemes:
            load = load_decider if parsed.scheme == "decisions" else load_engine
            load(name)  # loads no weights and sends nothing
        elif parsed.scheme in ("openai", "decisions"):
            from rmr1.engines.openai import parse_openai_name

            parse_openai_name(parsed.rest, parsed.scheme)
        else:
            return find_missing_model(parsed.rest)
    except RMR1Error as error:
        return str(error)
    return None


def find_missing_teacher(name: str) -> str | None:
    """What is wrong with a judge that writes; a server may want a key that is known when it is asked."""
    from rmr1.engines import is_scorer

    if name.startswith("batch:"):
        return None
    if name.startswith("decisions:"):
        return f"{name} is asked at a decision endpoint: it writes no judgments"
    fault = find_missing_judge(name, ("scripted", "replay"))
    if fault is None and ":" not in name and Path(resolve_model(name)).is_dir() and is_scorer(name):
        return f"{name} is a scalar reward model: it writes no judgments"
    return fault


def find_missing_family(name: str) -> str | None:
    try:
        load_family(name)
    except ConfigError as error:
        return str(error)
    return None


def find_missing_file(name: str) -> str | None:
    """What is wrong with the name of a file that is read as it is."""
    return None if Path(name).is_file() else f"{name}: no such file"


def find_missing_function(name: str) -> str | None:
    """What is wrong with 'module:function' or 'path/file.py:function'; other names are none of a user's own."""
    if ":" not in name:
        return None
    place, _, function = name.rpartition(":")
    if not place or not function:
        return "expected 'module:function' or 'path/file.py:function'"
    file = Path(place).expanduser() if place.endswith(".py") else _find_module(place)
    if file is None:
        return f"there is no module {place!r}"
    if file.suffix != ".py":
        return None  # compiled, or made by the import itself
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        return f"{place} cannot be read ({error.strerror})"
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        return f"{place}{line} is no Python: {getattr(error, 'msg', error)}"
    for module in _list_imports(tree):
        if _find_module(module) is None:
            return f"{place} imports {module!r}, which is not installed"
    names = set(_list_names(tree.body))
    if function in names or names & {"*", "__getattr__"}:
        return None
    near = find_nearest(function, names)
    return f"{place} has no function {function!r}" + (f"; did you mean {near!r}?" if near else "")


def _find_module(name: str) -> Path | None:
    """The file of a module, of which no package is run; of a built-in one a name without a file."""
    first, *rest = name.split(".")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError):
        return None
    for number in range(len(rest)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        full = ".".join((first, *rest[: number + 1]))
        spec = PathFinder.find_spec(full, spec.submodule_search_locations)
    return None if spec is None else Path(spec.origin or first)


def _list_imports(tree: ast.Module) -> Iterator[str]:
    """Modules without which the file cannot be run: those at its top, outside of `try` and `if`."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _list_names(body: list[ast.stmt]) -> Iterator[str]:
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for node in body:
        for inner in [node] if isinstance(node, definitions) else ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
            elif isinstance(inner, definitions):
                yield inner.name
            elif isinstance(inner, ast.Import | ast.ImportFrom):
                yield from ((one.asname or one.name).partition(".")[0] for one in inner.names)


def _expand(names: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if names is None or (isinstance(names, str) and not is_pattern(names)):
        return names
    return expand_names(names)


ControlTokens = Annotated[tuple[str, ...], AfterValidator(check_tokens)]
"""A user's own control tokens, broken in user text beside those that are known by their shape."""
DataNames = Annotated[str | tuple[str, ...] | None, AfterValidator(_expand), Names(find_missing_data)]
"""Files, folders or datasets; patterns such as `data/*.jsonl` are replaced by the files that fit them."""
ModelName = Annotated[str | None, Names(find_missing_model)]
BaseName = Annotated[str | None, Names(find_missing_base)]
JudgeName = Annotated[str | None, Names(find_missing_judge)]
TrackerNames = Annotated[str | tuple[str, ...], Names(find_missing_tracker)]
FamilyName = Annotated[str, Names(find_missing_family)]
FormName = Annotated[str, AfterValidator(lambda name: find_reader(name).name)]


class PairForm(Section):
    """How files of pairs are read."""

    format: FormName | None = None
    """Name of the files' form, if the columns do not tell."""
    map: dict[str, str] = Field(default_factory=dict)
    """Our column name to the files', for files of no known form."""
    label: dict[str, Label] | None = None
    """What the values of the label's column mean, as `{"1" = "A", "2" = "B"}`; None: as the form has it."""

    def reading(self) -> dict[str, Any]:
        """The arguments of `rmr1.data.read.read_pairs` that say how."""
        return {"format": self.format, "columns": self.map or None, "labels": self.label}


class RowSource(Section):
    """The source of rows: files, or the synthetic world."""

    holds: ClassVar[str] = "pairs"
    """What the files hold."""
    train: DataNames = None
    """Files, folders or datasets."""
    world: Section | None = None

    @rule
    def _check_source(self) -> Iterator[str]:
        if (self.train is None) == (self.world is None):
            yield f"name either train, a file of {self.holds}, or [data.world]"

    @property
    def sources(self) -> tuple[str, ...]:
        if self.train is None:
            return ()
        return (self.train,) if isinstance(self.train, str) else self.train
