"""A user's own reward: a function named by path.

    def reward_brief(sample):
        return -len(sample.text) / 1000

It is given a `Judged` and returns a finite number. It is named as "module:function" or
"path/file.py:function"; naming it runs the file.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import ModuleType

from rmr1.errors import ConfigError
from rmr1.rewards.samples import Judged

_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReward:
    """A user's function, its faults turned into one line."""

    name: str
    function: Callable[[Judged], float]
    digest: str
    """Of the function's name and its file's content."""

    def __call__(self, sample: Judged) -> float:
        """The function's number.

        Raises:
            ConfigError: the function raised something, or returned no finite number.
        """
        where = f"reward {self.name!r}: on pair {sample.pair.id!r}"
        try:
            found = self.function(sample)
        except Exception as error:
            raise ConfigError(f"{where} it failed: {_describe(error)}") from error
        if not isinstance(found, Real) or not -_LARGEST <= found <= _LARGEST:
            raise ConfigError(f"{where} it returned {str(found)[:60]!r}; expected a finite number")
        return float(found)


def load_own(name: str) -> OwnReward:
    """The function of that name.

    Raises:
        ConfigError: there is none, or its file cannot be run.
    """
    place, _, function_name = name.rpartition(":")
    if not place or not function_name:
        raise ConfigError(f"reward {name!r}: expected 'module:function' or 'path/file.py:function'")
    try:
        module = _import(place)
    except Exception as error:  # the file is a program of its own and may raise anything
        raise ConfigError(f"reward {name!r} cannot be imported: {_describe(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"reward {name!r}: {place} has no function {function_name!r}")
    file = getattr(module, "__file__", None)
    content = Path(file).read_bytes() if file else place.encode()
    digest = hashlib.sha256(function_name.encode() + b"\0" + content).hexdigest()[:32]
    return OwnReward(name=name, function=function, digest=digest)


def _import(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).expanduser().resolve()
    name = f"rmr1_reward_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
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


def _describe(error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
