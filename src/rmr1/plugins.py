"""Libraries that come with the package's extras, and functions that a user names by path.

A function is named as "module:function" or "path/file.py:function"; naming it runs the file.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rmr1.errors import ConfigError, reason_of


@contextmanager
def require(purpose: str, extra: str, *, hint: str = "") -> Iterator[None]:
    """Turn a library that cannot be imported in the block into one line that names the extra.

        with require("a plot", "plot"):
            import matplotlib

    `hint` says what else can be done.
    """
    try:
        yield
    except ImportError as error:
        name, install = error.name or "a library", f"pip install 'rmr1[{extra}]'{hint}"
        if name.partition(".")[0] == __name__.partition(".")[0]:
            raise  # a fault of this package
        if isinstance(error, ModuleNotFoundError):
            raise ConfigError(f"{purpose} needs {name}, which is not installed; {install}") from None
        raise ConfigError(f"{name} cannot be imported: {reason_of(error)}; {install}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFunction:
    """A user's function."""

    name: str
    function: Callable[..., Any]
    digest: str


def load_function(name: str, kind: str) -> OwnFunction:
    """The function of that name; `kind` is what messages call it."""
    place, _, function_name = name.rpartition(":")
    if not place or not function_name:
        raise ConfigError(f"{kind} {name!r}: expected 'module:function' or 'path/file.py:function'")
    try:
        module = _import(place)
    except Exception as error:  # the file is a program of its own and may raise anything
        raise ConfigError(f"{kind} {name!r} cannot be imported: {describe_error(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"{kind} {name!r}: {place} has no function {function_name!r}")
    file = getattr(module, "__file__", None)
    content = Path(file).read_bytes() if file else place.encode()
    digest = hashlib.sha256(function_name.encode() + b"\0" + content).hexdigest()[:32]
    return OwnFunction(name=name, function=function, digest=digest)


def describe_error(error: Exception) -> str:
    """The error of a user's code in one line."""
    return f"{type(error).__name__}: {reason_of(error)}" if str(error).strip() else type(error).__name__


def _import(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).expanduser().resolve()
    name = f"rmr1_own_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a module up by its name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
