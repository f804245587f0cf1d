"""What a server says with a status that is no success, read by its structure. Pure.

Wordings differ from server to server and from language to language. What does not: the status, the fields that
name a code or a place in the request, the names of the request's own parts in the text, and its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rmr1.engines.openai.wire import load_json, one_line

_MOST_BYTES = 65536
_STATUS_KEYS = {"code", "status", "status_code", "statusCode"}
_SIZES = range(8, 10**8)
"""Numbers that may count tokens; larger ones are times or identifiers."""

_QUOTE = r"\\?[\"'`\u00b4\u2018-\u201f\u00ab\u00bb\u300c-\u300f]"
_WORD = re.compile(r"[A-Za-z0-9_.,'\u00a0\u202f\u2009-]+")
_GROUPED = re.compile(r"(-?[1-9]\d{0,2}(?:[.,'_\u00a0\u202f\u2009]\d{3})+)(?:\.0+)?")
_WHOLE = re.compile(r"(-?\d+)(?:\.0+)?")
_VARYING = re.compile(r"\S*\d\S*")
_OVERSIZE = re.compile(
    r"context[ _-]?(?:length|size|window)|too[ _](?:long|large|many[ _]tokens)|max\w*_length", re.IGNORECASE
)
_MODERATION = re.compile(r"moderat|flagged|content.{0,3}(?:filter|policy)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProblem:
    """What a server says with a status that is no success."""

    status: int
    message: str
    """One line, of at most 300 characters."""
    code: str = ""
    """`error.code` and `error.type`, in lower case."""
    places: tuple[str, ...] = ()
    """Parts of the request that a field of the error names: `top_p`, or the segments of `messages.0.role`."""
    text: str = ""
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}" if self.message else f"HTTP {self.status}"

    @property
    def sizes(self) -> list[int]:
        """The numbers that may count tokens."""
        return [number for number in self.numbers if number in _SIZES]

    @property
    def is_oversize(self) -> bool:
        """Whether status, code or, at last, the words say that the request is too large."""
        return self.status == 413 or _OVERSIZE.search(f"{self.code} {self.text}") is not None

    @property
    def complaint(self) -> tuple[int, str]:
        """What two problems of one kind have in common: numbers and identifiers left out."""
        return self.status, " ".join(_VARYING.sub(" ", f"{self.code} {self.text}").split())

    def find_parts(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that a field names, or the text in the way of a program: quoted, as a path, or as a word
        that only programs have. In that order."""
        matches = ((name, re.search(_notation(name), self.text)) for name in names)
        # "model" is a word of every other error.
        written = sorted((match.start(), name) for name, match in matches if match and name != "model")
        found = [name for name in self.places if name in names]
        return list(dict.fromkeys(found + [name for _, name in written]))

    def find_words(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that a field names, or that the text has as words, which may be about something else."""
        return [name for name in names if name in self.places or re.search(_word(name, "s?"), self.text)]


def read_problem(status: int, body: bytes) -> ServerProblem:
    """What a failed reply says, whatever its form."""
    whole = body[:_MOST_BYTES].decode(errors="replace")
    try:
        data = load_json(body)
    except ValueError:
        data = re.sub(r"<style.{0,20000}?</style>|<[^<>]{0,500}>", " ", whole, flags=re.DOTALL)
    if isinstance(data, list) and data:
        data = data[0]
    error = data.get("error", data) if isinstance(data, dict) else data
    message = error if isinstance(error, str) else whole
    code, places, leaves = "", [], [message]
    if isinstance(error, dict):
        said = next((error[key] for key in ("message", "detail", "msg") if error.get(key)), None)
        places = [error["param"]] if isinstance(error.get("param"), str) else []
        if isinstance(said, list) and said and isinstance(said[0], dict):
            # FastAPI's form: `detail` is a list of {loc: ["body", NAME], msg, ...}.
            located = [entry.get("loc") for entry in said if isinstance(entry, dict)]
            places += [".".join(map(str, place[1:])) for place in located if isinstance(place, list)]
            message = f"{said[0].get('msg', '')} ({places[0] if places else ''})"
            leaves = [message]
        else:
            message = said if isinstance(said, str) else whole
            leaves = list(_read_leaves(error))
        code = " ".join(error[key] for key in ("code", "type") if isinstance(error.get(key), str)).lower()
    text = " \n".join(dict.fromkeys(leaves or [message]))[:_MOST_BYTES]
    return ServerProblem(
        status=status,
        message=one_line(message),
        code=code,
        places=tuple(segment for place in places for segment in re.split(r"[.\[\]/]+", place)),
        text=text,
        numbers=tuple(number for number in read_numbers(text) if number != status),
    )


def is_moderated(message: str) -> bool:
    """Whether a server's words say that its moderation refused the prompt."""
    return _MODERATION.search(message) is not None


def read_numbers(text: str) -> tuple[int, ...]:
    """The whole numbers of a text, each once, with or without separators; not the digits of identifiers.

    >>> read_numbers("gpt-4o-2024: 4,695.0 > 4096 (range 1-8192, top_p 0.5)")
    (4695, 4096, 1, 8192)
    """
    found: list[int] = []
    for word in _WORD.findall(text):
        plain = re.sub(r"^(\d+)-(\d+)$", r"\1 \2", word.strip(".,'"))
        if (grouped := _GROUPED.fullmatch(plain)) is not None:
            found.append(int(re.sub(r"[^\d-]", "", grouped[1])))
        else:
            parts = [_WHOLE.fullmatch(part) for part in re.split("[, ]", plain)]
            found += [int(part[1]) for part in parts if part is not None and all(parts)]
    return tuple(dict.fromkeys(found))


def _read_leaves(value: Any, depth: int = 4) -> Iterator[str]:
    """All but statuses and a copy of the request."""
    if isinstance(value, str | int | float):
        yield str(value)
    elif depth and isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in ("input", "type") and (key not in _STATUS_KEYS or isinstance(inner, dict)):
                yield from _read_leaves(inner, depth - 1)


def _word(name: str, ending: str = "") -> str:
    # A single letter is a name in lower case only.
    word = re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})"
    return rf"(?<![A-Za-z0-9_]){word}{ending}(?![A-Za-z0-9_])"


def _notation(name: str) -> str:
    word = _word(name)
    return word if "_" in name else rf"{_QUOTE}{word}{_QUOTE}|{word}(?:\s*[:=\[]|\.[a-z0-9])"
