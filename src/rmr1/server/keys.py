"""Bearer keys: read from the environment and a file, read again when the file changes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from pathlib import Path

from rmr1.errors import ConfigError

VARIABLE = "RMR1_SERVE_KEYS"
"""The environment variable that holds keys, with commas between them."""

_LOOK_SECONDS = 1.0
"""How often the file is looked at."""
_FEWEST_CHARS = 16


class Keys:
    """The keys that are let in; none at all lets everyone in."""

    def __init__(self, file: Path | None = None):
        """
        Raises:
            ConfigError: the file cannot be read, holds no key, or one that is too short.
        """
        self._file = file
        self._own = _read_keys(os.environ.get(VARIABLE, "").replace(",", "\n"), VARIABLE)
        self._digests: dict[bytes, str] = {}
        self._looked = 0.0
        self._stamp: tuple[int, int] | None = None
        self.reload()

    @property
    def is_open(self) -> bool:
        """Whether everyone is let in. A file of keys that is gone lets nobody in."""
        return self._file is None and not self._own

    def reload(self) -> None:
        """Read the file again: keys that it does not hold any more are let in no longer."""
        found: dict[bytes, str] = dict(self._own)
        if self._file is not None:
            try:
                info = self._file.stat()
                found |= _read_keys(self._file.read_text(encoding="utf-8"), str(self._file))
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{self._file}: keys cannot be read: {error}") from None
            if len(found) == len(self._own):
                raise ConfigError(f"{self._file}: no key in it; expected one a line, as name:key or key")
            self._stamp = (info.st_mtime_ns, info.st_size)
        self._digests = found

    def find(self, authorization: str | None) -> str | None:
        """The name of the key in an `Authorization` header; None if it is not let in."""
        self._look()
        kind, _, key = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not key:
            return None
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogatepass")).digest()
        name = None
        for known, one in self._digests.items():  # all of them, so that time tells nothing
            if hmac.compare_digest(known, digest):
                name = one
        return name

    def _look(self) -> None:
        if self._file is None or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            info = self._file.stat()
            if (info.st_mtime_ns, info.st_size) != self._stamp:
                self.reload()
        except (OSError, ConfigError):
            self._digests = dict(self._own)  # rather nobody than somebody whose key was taken away


def _read_keys(text: str, source: str) -> dict[bytes, str]:
    """SHA-256 of a key -> its name."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, key = line.partition(":")
        if not colon:
            name, key = f"key {number}", line
        key = key.strip()
        if len(key) < _FEWEST_CHARS:
            raise ConfigError(f"{source}, key {number}: shorter than {_FEWEST_CHARS} characters")
        found[hashlib.sha256(key.encode()).digest()] = name.strip()
    return found
