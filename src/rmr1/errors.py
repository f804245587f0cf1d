"""The exception tree. Every error a user can meet derives from `RMR1Error`.

    RMR1Error
    ├── ConfigError      (ValueError)    a setting, flag, template or recipe is wrong
    ├── DataError        (ValueError)    a file or a row of it cannot be read; knows its place
    ├── GenerationError  (RuntimeError)  an engine could not answer one prompt, or could not start
    │   └── StoppedError                 a run was given up, because its model answers nothing of use
    ├── CheckpointError  (RuntimeError)  a model folder or a training checkpoint is unusable
    └── RunError         (OSError)       a run folder cannot be opened, continued or written

A message says what was seen, where, what was expected and what to do. The command line prints it
as one line and exits with 2, after a StoppedError with 1; `--debug` adds the traceback. All errors survive pickling, because
they cross process borders.
"""

from __future__ import annotations

from pathlib import Path


class RMR1Error(Exception):
    """Base of every error that rmr1 raises on purpose."""


class ConfigError(RMR1Error, ValueError):
    """A setting, a flag, a prompt template or a recipe is wrong."""


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

    def __reduce__(self):
        return _rebuild_data_error, (self.message, self.path, self.line)


def _rebuild_data_error(message: str, path: str | None, line: int | None) -> DataError:
    return DataError(message, path=path, line=line)


class GenerationError(RMR1Error, RuntimeError):
    """An engine could not answer a prompt, or could not be started."""


class StoppedError(GenerationError):
    """A run was given up, because its model answers nothing of use. What was finished is stored."""


class CheckpointError(RMR1Error, RuntimeError):
    """A model folder or a training checkpoint is missing something or does not fit."""


class RunError(RMR1Error, OSError):
    """A run folder cannot be opened, continued or written."""
