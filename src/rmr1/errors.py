"""The exception tree. Every error a user can meet derives from `RMR1Error`.

A message says what was seen, where, what was expected and what to do. The command line prints it
as one line (a SettingsError as a list) and exits with 2, after a StoppedError or a TrainingError with 1; `--debug`
adds the traceback. All errors survive pickling, because they cross process borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path


class RMR1Error(Exception):
    """Base of every error that rmr1 raises on purpose."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is printed: one line, and below it what belongs to it."""
        return (str(self),)


class ConfigError(RMR1Error, ValueError):
    """A setting, a flag, a prompt template or a recipe is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong with a file of settings."""

    text: str
    line: int | None = None


class SettingsError(ConfigError):
    """One or several things are wrong with a file of settings.

    `str(error)` reads `recipe.toml:3: unknown key 'seeed'; did you mean 'seed'?`, or has a line for each.
    """

    def __init__(self, origin: str, mistakes: Sequence[Mistake]):
        super().__init__(origin)
        self.origin = origin
        self.mistakes = tuple(mistakes)

    @property
    def lines(self) -> tuple[str, ...]:
        if len(self.mistakes) == 1:
            return self.list_placed()
        told = (one.text if one.line is None else f"line {one.line}: {one.text}" for one in self.mistakes)
        return (f"{self.origin}: {len(self.mistakes)} mistakes", *told)

    def list_placed(self) -> tuple[str, ...]:
        return tuple(
            f"{self.origin}{'' if one.line is None else f':{one.line}'}: {one.text}" for one in self.mistakes
        )

    def __str__(self) -> str:
        return "\n  ".join(self.lines)

    def __reduce__(self) -> tuple[object, ...]:
        return SettingsError, (self.origin, self.mistakes)


class DataError(RMR1Error, ValueError):
    """A data file, or one row of it, cannot be read.

    `str(error)` reads `pairs.jsonl:42: label 'C' is not 'A', 'B' or 'tie'`.
    """

    def __init__(self, message: str, *, path: str | Path | None = None, line: int | None = None):
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.line = line

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        return f"{place}: {self.message}" if place else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), path=self.path, line=self.line), (self.message,)


class GenerationError(RMR1Error, RuntimeError):
    """An engine could not answer a prompt, or could not be started."""


class StoppedError(GenerationError):
    """A run was given up, because its model answers nothing of use. What was finished is stored."""


class CheckpointError(RMR1Error, RuntimeError):
    """A model folder or a training checkpoint is missing something or does not fit."""


class TrainingError(RMR1Error, RuntimeError):
    """A training cannot go on: its loss, its gradient or a log-probability is no number any more."""


class RunError(RMR1Error, OSError):
    """A run folder cannot be opened, continued or written."""


def reason_of(error: BaseException) -> str:
    """What another library's error says, in one line without its full stop: the system's words, else the first line
    of its message, with the next if the first only announces it, else the name of its type."""
    text = getattr(error, "strerror", None) or str(error)
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[: 1 + lines[0].endswith(":")]).rstrip(".")
