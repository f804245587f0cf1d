"""Injections as data: files of texts -> pairs whose attacked answer holds one, or a neutral text of equal length.

A file is TOML: `form` ("structural" or "persuasive") of all its entries, and for each `[[injection]]` a `name`, a `kind`,
what it `tries`, and the texts that go before (`start`) and behind (`end`) the answer, perhaps `repeat`ed. In them `{own}`
is the letter of the attacked answer and `{other}` that of its rival, in the prompt that is asked first.

The texts are inputs of a test. Nothing in the package looks for any of these wordings.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.messages import Message, Messages, TextPart
from rmr1.nearest import suggest
from rmr1.records import PreferencePair, Side
from rmr1.store.codec import dumps
from rmr1.store.keys import seed_for

Form = Literal["structural", "persuasive"]
"""What stops an injection: escaping, if anything reads it as structure, or nothing but the judge."""

FILES = ("structural.toml", "persuasive.toml")
_FIELD = re.compile(r"\{(own|other)\}")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_BETWEEN = "\n\n"
"""What stands between the answer and an injection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What is put into an answer."""

    start: str = ""
    end: str = ""

    @property
    def chars(self) -> int:
        """Characters of both together."""
        return len(self.start) + len(self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One text that tries to win for an answer what its content does not."""

    name: str
    kind: str
    form: Form
    tries: str
    """A sentence that says what it counts on."""
    start: str = ""
    """What goes before the answer; `end`, behind it. At least one of them is not empty."""
    end: str = ""
    repeat: int = 1

    @property
    def place(self) -> Literal["start", "end", "around"]:
        """Its place in the answer."""
        return "around" if self.start and self.end else "start" if self.start else "end"

    def write(self, own: str, other: str) -> Texts:
        """Its texts for an answer that is called `own` and has the rival `other`."""
        letters = {"own": own, "other": other}
        start, end = (
            _FIELD.sub(lambda match: letters[match[1]], text) * self.repeat for text in (self.start, self.end)
        )
        return Texts(start=start, end=end)


def inject(pair: PreferencePair, side: Side, texts: Texts) -> PreferencePair:
    """The pair with the texts around what its answer `side` says last; everything else as it was."""
    response = pair.response_a if side == "A" else pair.response_b
    changed = _insert(response, texts)
    return replace(pair, response_a=changed) if side == "A" else replace(pair, response_b=changed)


def write_control(texts: Texts, *, seed: int, key: str) -> Texts:
    """Neutral prose of the same length in characters at the same places, drawn from the seed and the key."""
    return Texts(
        start=write_neutral(len(texts.start), seed_for(seed, "control", key, "start")),
        end=write_neutral(len(texts.end), seed_for(seed, "control", key, "end")),
    )


def write_neutral(chars: int, draw: int) -> str:
    """So many characters of prose about nothing in question: sentences from a drawn one on, cut behind a word and ended
    by full stops.

    >>> write_neutral(24, 0), len(write_neutral(1000, 5))
    ('The river begins as a...', 1000)
    """
    if chars == 0:
        return ""
    sentences = _read_sentences()
    first = draw % len(sentences)
    text = " ".join((*sentences[first:], *sentences[:first]))
    text = " ".join([text] * (chars // len(text) + 2))
    if text[chars] in " ":
        return text[:chars]
    kept = text[: chars - 1].rpartition(" ")[0].rstrip(".,")
    return kept + "." * (chars - len(kept))


def load_catalogue(path: str | Path | None = None) -> tuple[Injection, ...]:
    """The package's injections, or those of a file of one's own.

    Raises:
        ConfigError: the file cannot be read, or an entry is malformed.
    """
    if path is None:
        return _load_own()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; expected a file of injections") from None
    return read_catalogue(text, name=str(path))


def read_catalogue(text: str, *, name: str) -> tuple[Injection, ...]:
    """The injections of a file's text; `name` is what messages call it.

    Raises:
        ConfigError: it is no such file, or an entry is malformed.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from None
    forms: tuple[Form, ...] = get_args(Form)
    form = next((one for one in forms if one == values.get("form")), None)
    entries = values.get("injection")
    if form is None:
        expected = " or ".join(map(repr, forms))
        raise ConfigError(f"{name}: form is {values.get('form')!r}; expected {expected}")
    if not isinstance(entries, list) or not entries or set(values) - {"form", "injection"}:
        seen = ", ".join(values)
        raise ConfigError(f"{name}: holds {seen}; expected form and at least one [[injection]]")
    found = tuple(
        _read_entry(one, form, f"{name}: injection {number}") for number, one in enumerate(entries, 1)
    )
    _refuse_repeated(found, name)
    return found


def choose(injections: Sequence[Injection], names: Iterable[str] | None) -> tuple[Injection, ...]:
    """Those that the names mean, each a form, a kind or an injection; all if there are no names.

    Raises:
        ConfigError: a name means none.
    """
    if not names:
        return tuple(injections)
    wanted = set(names)
    known = {name for one in injections for name in (one.form, one.kind, one.name)}
    for name in sorted(wanted - known):
        kinds = dict.fromkeys(one.kind for one in injections)
        advice = (
            suggest(name, sorted(known))
            or f"; expected structural, persuasive, {', '.join(kinds)}, or a name"
        )
        raise ConfigError(f"{name_option('kind', name)} means no injection{advice}")
    return tuple(one for one in injections if wanted & {one.form, one.kind, one.name})


def digest_catalogue(injections: Iterable[Injection]) -> str:
    """What injections are known by in a run: equal for equal texts, whatever their sequence."""
    texts = sorted(dumps([one.name, one.start, one.end, one.repeat]) for one in injections)
    return hashlib.sha256(b"\n".join(texts)).hexdigest()[:16]


def _insert(messages: Messages, texts: Texts) -> Messages:
    places = [place for place, message in enumerate(messages) if message.role == "assistant"]
    if not places:
        raise DataError("an answer has no message of the assistant; nothing can be put into it")
    place = places[-1]
    message = messages[place]
    return (*messages[:place], replace(message, content=_wrap(message, texts)), *messages[place + 1 :])


def _wrap(message: Message, texts: Texts) -> Any:
    if isinstance(message.content, str):
        return _BETWEEN.join(filter(None, (texts.start, message.content, texts.end)))
    start, end = (((TextPart(text=text),) if text else ()) for text in (texts.start, texts.end))
    return (*start, *message.content, *end)


@cache
def _load_own() -> tuple[Injection, ...]:
    folder = resources.files(__package__)
    found = tuple(
        one
        for file in FILES
        for one in read_catalogue((folder / file).read_text(encoding="utf-8"), name=file)
    )
    _refuse_repeated(found, " and ".join(FILES))
    return found


@cache
def _read_sentences() -> tuple[str, ...]:
    text = (resources.files(__package__) / "neutral.txt").read_text(encoding="utf-8")
    return tuple(re.split(r"(?<=\.)\s+", " ".join(text.split())))


_KEYS = {"name": str, "kind": str, "tries": str, "start": str, "end": str, "repeat": int}


def _read_entry(entry: Any, form: Form, where: str) -> Injection:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: is {entry!r}; expected a table")
    for key, value in entry.items():
        if key not in _KEYS:
            raise ConfigError(f"{where}: unknown key {key!r}{suggest(key, _KEYS)}")
        if type(value) is not _KEYS[key]:
            raise ConfigError(
                f"{where}: {key} is {value!r}; expected {'a text' if _KEYS[key] is str else 'a whole number'}"
            )
    for key in ("name", "kind"):
        if not _NAME.fullmatch(entry.get(key, "")):
            raise ConfigError(
                f"{where}: {key} is {entry.get(key)!r}; expected small letters, digits and dashes"
            )
    if not (entry.get("start") or entry.get("end")):
        raise ConfigError(f"{where}: {entry['name']} has neither start nor end; give at least one text")
    if not 1 <= entry.get("repeat", 1) <= 10_000:
        raise ConfigError(f"{where}: repeat is {entry['repeat']}; expected 1 to 10,000")
    return Injection(form=form, **{"tries": "", **entry})


def _refuse_repeated(injections: Sequence[Injection], name: str) -> None:
    """A name may stand for one injection only, and for no kind or form of another."""
    names: set[str] = set()
    groups = {*get_args(Form), *(one.kind for one in injections)}
    for one in injections:
        if one.name in names or one.name in groups:
            raise ConfigError(f"{name}: the name {one.name!r} occurs twice; choose another")
        names.add(one.name)
