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
"""The bytes of a failed reply that are read."""
_MESSAGE_KEYS = ("message", "detail", "msg")
_STATUS_KEYS = {"code", "status", "status_code", "statusCode"}
"""Numbers in these fields count nothing."""
_SMALLEST_SIZE = 8
_LARGEST_SIZE = 10**8
"""Numbers that may count tokens; larger ones are times or identifiers."""

_QUOTE = r"\\?[\"'`\u00b4\u2018-\u201f\u00ab\u00bb\u300c-\u300f]"
_WORD = re.compile(r"[A-Za-z0-9_.,'\u00a0\u202f\u2009-]+")
_RANGE = re.compile(r"(\d+)-(\d+)")
_GROUPED = re.compile(r"(-?[1-9]\d{0,2}(?:[.,'_\u00a0\u202f\u2009]\d{3})+)(?:\.0+)?")
_WHOLE = re.compile(r"(-?\d+)(?:\.0+)?")
_VARYING = re.compile(r"\S*\d\S*")
_OVERSIZE = re.compile(
    r"context[ _-]?(?:length|size|window)|too[ _](?:long|large|many[ _]tokens)|max\w*_length"
)
"""Used to name a failure whose numbers say nothing, when all else has been tried."""
_MODERATION = re.compile(r"moderat|flagged|content.{0,3}(?:filter|policy)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a server says with a status that is no success."""

    status: int
    message: str
    """One line, of at most 300 characters."""
    code: str = ""
    """`error.code` and `error.type`, in lower case."""
    places: tuple[str, ...] = ()
    """Parts of the request that a field of the error names, such as `top_p` or `messages.0.role`."""
    text: str = ""
    """All that the error says in words, not shortened."""
    numbers: tuple[int, ...] = ()
    """The whole numbers in it that may count something, each once."""

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}" if self.message else f"HTTP {self.status}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers that may count tokens."""
        return tuple(number for number in self.numbers if _SMALLEST_SIZE <= number <= _LARGEST_SIZE)

    @property
    def is_oversize(self) -> bool:
        """Whether status, code or, at last, the words say that the request is too large."""
        return (
            self.status == 413
            or _OVERSIZE.search(self.code) is not None
            or _OVERSIZE.search(self.text.lower()) is not None
        )

    @property
    def complaint(self) -> tuple[int, str]:
        """What two problems of one kind have in common: numbers and identifiers left out."""
        return self.status, " ".join(_VARYING.sub(" ", f"{self.code} {self.text}").split())

    def find_parts(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that a field names, or the text in the way of a program: quoted, as a path, or as a word
        that only programs have. In that order."""
        in_text = [name for name in names if name != "model"]  # a word of every other error
        placed = [segment for place in self.places for segment in re.split(r"[.\[\]/]+", place)]
        found = [name for name in placed if name in names]
        written = [
            (match.start(), name)
            for name in in_text
            if (match := re.search(_notation(re.escape(name)), self.text)) is not None
        ]
        return list(dict.fromkeys(found + [name for _, name in sorted(written)]))

    def find_words(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that the text has as words, which may be about something else."""
        return [name for name in names if re.search(_alone(f"{name}s?"), self.text)]


def read_problem(status: int, body: bytes) -> Problem:
    """What a failed reply says, whatever its form."""
    text = body[:_MOST_BYTES].decode(errors="replace")
    try:
        data = load_json(body)
    except ValueError:
        plain = re.sub(r"<style.{0,20000}?</style>|<[^<>]{0,500}>", " ", text, flags=re.DOTALL)
        return _make_problem(status, plain)
    if isinstance(data, list) and data:
        data = data[0]
    error = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(error, dict):
        return _make_problem(status, error if isinstance(error, str) else text)
    message = next((error[key] for key in _MESSAGE_KEYS if error.get(key)), None)
    places = [error["param"]] if isinstance(error.get("param"), str) else []
    if isinstance(message, list) and message and isinstance(message[0], dict):
        # FastAPI's form: `detail` is a list of {loc: ["body", NAME], msg, ...}.
        located = [entry.get("loc") for entry in message if isinstance(entry, dict)]
        places += [".".join(map(str, place[1:])) for place in located if isinstance(place, list)]
        message = f"{message[0].get('msg', '')} ({places[0] if places else ''})"
        leaves = [message]
    else:
        leaves = list(_read_leaves(error))
    codes = " ".join(str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str))
    return _make_problem(
        status,
        message if isinstance(message, str) else text,
        code=codes.lower(),
        places=tuple(places),
        leaves=leaves,
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
        plain = word.strip(".,'")
        if (span := _RANGE.fullmatch(plain)) is not None:
            found += [int(span[1]), int(span[2])]
        elif (grouped := _GROUPED.fullmatch(plain)) is not None:
            found.append(int(re.sub(r"[^\d-]", "", grouped[1])))
        else:
            parts = [_WHOLE.fullmatch(part) for part in plain.split(",")]
            found += [int(part[1]) for part in parts if part is not None and all(parts)]
    return tuple(dict.fromkeys(found))


def _make_problem(
    status: int,
    message: str,
    *,
    code: str = "",
    places: tuple[str, ...] = (),
    leaves: Sequence[str] = (),
) -> Problem:
    said = " \n".join(dict.fromkeys(leaves or [message]))[:_MOST_BYTES]
    return Problem(
        status=status,
        message=one_line(message),
        code=code,
        places=places,
        text=said,
        numbers=tuple(number for number in read_numbers(said) if number != status),
    )


def _read_leaves(value: Any, depth: int = 4) -> Iterator[str]:
    """The texts and numbers in an error, but for statuses and a copy of the request."""
    if isinstance(value, str | int | float):
        yield str(value)
    elif isinstance(value, dict) and depth:
        for key, inner in value.items():
            if key not in ("input", "type") and not (key in _STATUS_KEYS and not isinstance(inner, dict)):
                yield from _read_leaves(inner, depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _read_leaves(inner, depth - 1)


def _notation(name: str) -> str:
    if "_" in name:
        return _alone(name)
    return rf"{_QUOTE}{_any_case(name)}{_QUOTE}|{_alone(name)}(?:\s*[:=\[]|\.[a-z0-9])"


def _alone(name: str) -> str:
    return rf"(?<![A-Za-z0-9_]){_any_case(name)}(?![A-Za-z0-9_])"


def _any_case(name: str) -> str:
    """A single letter is a name in lower case only."""
    return name if len(name.rstrip("s?")) <= 1 else f"(?i:{name})"
