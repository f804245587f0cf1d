"""What people read on a terminal: foreign text made inert, and the forms of numbers.

Control characters, marks that turn the direction of writing and characters that cannot be seen are spelled out in
everything that a run, a data file, a model or a server says. `print` does so for one line; `guarded` does it once more
for everything a command writes, libraries, warnings and tracebacks too. Our own colours come from `rmr1.console`.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

_SEEN = r"\u0590-\u1fff\u2100-\U000dffff"
"""After these (Arabic, Indic scripts, emoji, ideographs) joiners and selectors of a form belong to the writing."""
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
    rf"|(?<![{_SEEN}])[\u200c\u200d\U000e0100-\U000e01ef]"
)
_MARKUP = re.compile(r"[|<>`\[\]]|\\(?=[!-/:-@\[-`{-~])")
_OUTER_BREAKS = re.compile(r"(\n*)(.*?)(\n*)", re.DOTALL)


def inert(text: str) -> str:
    """`text` with control, bidirectional and invisible characters and lone surrogates spelled out; line breaks
    stay."""
    return spell(text.replace("\r\n", "\n").replace("\t", "    "))


def one_line(text: str) -> str:
    """`text` made inert and its line breaks spelled out: for names, labels, ids and reasons.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    return inert(text).replace("\n", "\\n")


def markdown_text(text: str) -> str:
    """`text` as plain text of a Markdown page: inert, one line, no table and no markup."""
    return _MARKUP.sub(r"\\\g<0>", one_line(" ".join(text.split())))


def spell(text: str) -> str:
    """`text` without what `inert` takes out; tabs and line breaks stay as they are."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_spell_one, text)


def _spell_one(match: re.Match[str]) -> str:
    """The character as JSON writes it, so that a line of JSON keeps its meaning."""
    number = ord(match[0])
    if number < 0x20:
        return f"\\x{number:02x}"
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def print(
    *values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False
) -> None:
    """One line, made inert; line breaks are spelled out, but for those at its beginning and end."""
    found = _OUTER_BREAKS.fullmatch(sep.join(map(str, values)))
    assert found is not None
    before, text, after = found.groups()
    builtins.print(before, one_line(text), after, sep="", end=end, file=file, flush=flush)


def print_text(text: str) -> None:
    """A text of several lines, made inert."""
    builtins.print(inert(text))


def print_json(values: object) -> None:
    """A value as one line of JSON on standard output."""
    print(json.dumps(values, ensure_ascii=False))


class _Guarded:
    def __init__(self, stream: TextIO):
        self.unguarded = stream

    def write(self, text: str) -> int:
        # A library's bar begins a write by going back to the beginning of its own line.
        start = "\r" if text.startswith("\r") and "\n" not in text else ""
        self.unguarded.write(start + spell(text[len(start) :].replace("\r\n", "\n")))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> _GuardedBytes:
        return _GuardedBytes(self.unguarded)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


class _GuardedBytes:
    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, data: bytes) -> int:
        self._stream.flush()
        text = data.decode("utf-8", errors="surrogateescape")
        self._stream.buffer.write(spell(text).encode("utf-8"))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream.buffer, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Everything written to standard output and standard error is inert meanwhile."""
    before = sys.stdout, sys.stderr
    if not isinstance(sys.stdout, _Guarded):
        sys.stdout, sys.stderr = _Guarded(sys.stdout), _Guarded(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def writing_to(stream: TextIO) -> Iterator[None]:
    """Standard output is `stream` meanwhile, made inert as ever."""
    before = sys.stdout
    sys.stdout = _Guarded(stream)
    try:
        yield
    finally:
        sys.stdout = before


def show_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An `excepthook` that prints an inert traceback: its last line quotes data."""
    import traceback

    with guarded():
        traceback.print_exception(kind, error, trace)


def format_percent(share: float | None, digits: int = 2) -> str:
    """A share in percent, without the sign; a dash for None.

    >>> format_percent(0.98765, 1)
    '98.8'
    """
    return "-" if share is None else f"{100 * share:.{digits}f}"


def format_sure(confidence: float) -> str:
    """A confidence in percent; what is all but certain is not called certain.

    >>> [format_sure(one) for one in (0.5, 0.998, 0.99999, 1.0)]
    ['50.0%', '99.8%', '>99.9%', '100%']
    """
    if confidence == 1:
        return "100%"
    return ">99.9%" if confidence >= 0.9995 else f"{confidence:.1%}"


def format_count(count: float) -> str:
    """A number of tokens: `9999`, `31k`, `1.2M`."""
    if count < 10_000:
        return f"{count:.0f}"
    return f"{count / 1000:.0f}k" if count < 999_500 else f"{count / 1e6:,.1f}M"


def format_bytes(count: int) -> str:
    """`3.4 MiB`, `14.2 GiB`."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 // 10 else f"{count / 2**20:.1f} MiB"


def format_gb(num_bytes: float) -> str:
    """`15 GB`, `0.8 GB`; of 10^9 bytes, as cards are named."""
    size = num_bytes / 1e9
    return f"{size:,.0f} GB" if size >= 9.95 else f"{size:.1f} GB" if size >= 0.1 else f"{size:.2f} GB"


def format_seconds(seconds: float) -> str:
    """`45s`, `2m12s`, `3h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def format_rough(seconds: float) -> str:
    """A time to two digits: `45 s`, `12 min`, `3.2 h`, `4.1 days`.

    >>> format_rough(2520)
    '42 min'
    """
    for unit, size, least in (("days", 86_400, 2), ("h", 3600, 1.5), ("min", 60, 1.5)):
        if seconds >= least * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1g} s"


def format_usd(cost: float) -> str:
    """`12.30 USD`; small sums with more digits, so that they do not read as nothing.

    >>> format_usd(0.00321)
    '0.0032 USD'
    """
    return f"{cost:,.2f} USD" if cost >= 1 or cost == 0 else f"{cost:.2g} USD"
