"""Settings out of TOML, checked: sections, rules between keys, and what a value names; all mistakes are told at once.

    recipe = Recipe.from_file("recipe.toml", ["optim.lr=1e-5"])     or one SettingsError that lists all mistakes

A section is a class of typed fields, and a rule one of its methods, marked `@rule`, that yields a complaint for each
thing that does not fit together. A rule that asks for a value that could not be read ends there, so one mistake never
makes another. Nothing heavy is imported here or by a recipe, so a mistake is told within the second.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from rmr1.errors import CheckpointError, ConfigError, DataError, Mistake, SettingsError
from rmr1.faces import name_option
from rmr1.nearest import find_nearest

S = TypeVar("S", bound="Section")
Place = tuple[str, ...]
"""A key's name with those of its sections."""
Complaint = str | tuple[Place, str]
"""What a rule yields: a text, or the key in its section that it is about, and a text that names it."""
F = TypeVar("F", bound=Callable[..., Iterator[Complaint]])

LATER = "{DIR}"
"""A value that holds it names a result of a stage that has not run; it is not looked for."""
MOST_PLACES = 3
"""Keys of one name in other sections that are offered for an unknown key; of more none is a hint."""


def rule(method: F) -> F:
    """Mark a section's method that yields what does not fit together."""
    method.is_rule = True  # type: ignore[attr-defined]
    return method


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a field whose texts name something outside the file; of a table it is the keys."""

    find_fault: Callable[[str], str | None]
    """What is wrong with a name, such as a file that is not there; None if nothing is."""


class Section(BaseModel):
    """A table of a settings file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    apart: ClassVar[Mapping[str, type[Section]]] = {}
    """Keys whose sections are read apart, for what was meant by an unknown key."""
    whose: ClassVar[str] = ""
    """What the keys belong to, said of an unknown one."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Values by the name that `preset` calls them; they stand under those of a file."""
    instead: ClassVar[Mapping[str, str]] = {}
    """Key of a file to the preset's key that it is said instead of."""

    @classmethod
    def from_values(cls, values: Any, origin: str, *, section: Place = (), look: bool = False) -> Self:
        """The values of a file as a section of this kind.

        Args:
            origin: the file, for complaints.
            section: the place of the values in the file.
            look: also look whether what they name is there.

        Raises:
            SettingsError: a key or preset is unknown, a value does not fit, or what is named is not there.
        """
        mistakes = Mistakes(origin)
        made = mistakes.read(cls, values, section, look=look)
        mistakes.tell()
        return made

    @classmethod
    def from_file(cls, path: str, assignments: Iterable[str] | None = None) -> Self:
        """The section that a file and the values of `--set` make, after a look at what they name."""
        return cls.from_values(read_values(path, assignments), path, look=True)

    @classmethod
    def complete(cls, values: Any, mistakes: Mistakes, section: Place) -> Any:
        """What is read of a file's values: over those of the preset that they name, if they name one."""
        if not cls.presets or not isinstance(values, Mapping) or values.get("preset") is None:
            return values
        name = find_preset(cls.presets, values["preset"], mistakes, (*section, "preset"))
        return cls.merge(cls.presets[name], {**values, "preset": name})

    @classmethod
    def merge(cls, under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
        """A preset's values with a file's own over them, section by section."""
        merged = dict(under)
        for key, value in over.items():
            below = merged.get(key)
            is_section = isinstance(below, Mapping) and isinstance(value, Mapping)
            merged[key] = cls.merge(merged[key], value) if is_section else value
            if cls.instead.get(key, key) not in over:
                merged.pop(cls.instead[key], None)
        return merged

    def look_around(self, mistakes: Mistakes, section: Place) -> None:
        """Note what the values name that is not there, beside what `Names` finds; some may be unreadable."""

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        if broken := [text for _, text in _list_broken(self)]:
            raise ValueError("; ".join(broken))
        return self


class Mistakes:
    """What is wrong with a file of settings, collected until it is told."""

    def __init__(self, origin: str):
        self._origin = origin
        self._found: list[Mistake] = []
        self._caught: list[ConfigError | CheckpointError | DataError] = []
        """Errors that are told as they are if nothing else is wrong."""
        self._text: str | None = None

    def __len__(self) -> int:
        return len(self._found)

    def texts(self) -> list[str]:
        return list(dict.fromkeys(one.text for one in self._found))

    def add(self, text: str, place: Place = (), *, value: Any = None) -> None:
        self._found.append(Mistake(text=text, line=self._find_line(place, value)))

    @contextmanager
    def catch(self, place: Place = ()) -> Iterator[None]:
        """Note what a part of the checking raises, and go on after it. What asks for an unreadable value just ends."""
        try:
            yield
        except _UnreadableError:
            pass
        except SettingsError as error:
            own = error.origin == self._origin
            self._found += error.mistakes if own else [Mistake(text=one) for one in error.list_placed()]
        except (ConfigError, CheckpointError, DataError) as error:
            self._caught.append(error)
            self.add(str(error).removeprefix(f"{self._origin}: "), place)

    def read(self, kind: type[S], values: Any, section: Place = (), *, look: bool = False) -> S:
        """The values as a section of this kind; if there are mistakes, something that rules can be asked of. The
        arguments are those of `Section.from_values`."""
        if isinstance(values, Mapping):
            values = kind.complete(values, self, section)
        try:
            made = kind.model_validate(values)
        except ValidationError:
            made = self._read_parts(kind, values, section, list(_list_keys(kind, section)))
        if look and isinstance(made, Section):
            for place, fault in _list_faults(made, section):
                self.add(f"{'.'.join(place)}: {fault}", place)
            made.look_around(self, section)
        return made

    def tell(self) -> None:
        """Raise what is wrong: all mistakes in one error, or the only one as it was raised."""
        if not self._found:
            return
        if len(self._found) == len(self._caught) == 1:
            raise self._caught[0]
        unique = dict.fromkeys(self._found)
        raise SettingsError(self._origin, sorted(unique, key=lambda one: one.line or 0)) from None

    def _read_parts(self, kind: type[S], values: Any, section: Place, keys: list[Place]) -> S:
        """A section whose unreadable fields are `_UNREADABLE`; each mistake is noted. `keys` are all of the file's."""
        if not isinstance(values, Mapping):
            told = f"expected a section of keys and values, got {values!r}"
            self.add(f"{'.'.join(section)}: {told}" if section else told, section, value=values)
            return _UNREADABLE  # type: ignore[return-value]
        misspelt = set()
        for key in values:
            if key not in kind.model_fields:
                hint, near = _hint(str(key), list(kind.model_fields), keys)
                misspelt.add(near)
                self.add(f"unknown key {'.'.join((*section, key))!r}{kind.whose}; {hint}", (*section, key))
        read: dict[str, Any] = {}
        for name, field in kind.model_fields.items():
            place = (*section, name)
            if name in values:
                read[name] = self._read_field(field, values[name], place, keys)
            elif field.is_required() or name in misspelt:
                read[name] = _UNREADABLE
                if name not in misspelt:
                    self.add(f"{'.'.join(place)!r} is missing", section)
        made = kind.model_construct(None, **read)
        for key, broken in _list_broken(made):
            self.add(f"{'.'.join(section)}: {broken}" if section else broken, (*section, *key))
        return made

    def _read_field(self, field: FieldInfo, value: Any, place: Place, keys: list[Place]) -> Any:
        inner, are_many = _find_section(field.annotation)
        if inner is not None and not are_many:
            return self._read_parts(inner, value, place, keys)
        if inner is not None and isinstance(value, Mapping) and value:
            return {key: self._read_parts(inner, one, (*place, str(key)), keys) for key, one in value.items()}
        whole: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        try:
            return _validate(whole, value)
        except ValidationError as error:
            self._note_field(error, field, value, place)
            return _read_members(field.annotation, value)

    def _note_field(self, error: ValidationError, field: FieldInfo, value: Any, place: Place) -> None:
        errors = error.errors()
        is_union = len(_choices(field.annotation)) > 1
        members = [one for one in errors if is_union and len(one["loc"]) > 1]
        if isinstance(value, list | tuple) and members:  # of a text or several: the one that is no text
            errors = members
        elif is_union and len(errors) > 1:
            told = " or ".join(dict.fromkeys(one["msg"].removeprefix("Input should be ") for one in errors))
            self.add(f"{'.'.join(place)}: input should be {told}, got {value!r}", place, value=value)
            return
        for problem in errors:
            inside = [str(part) for part in (problem["loc"][1:] if is_union else problem["loc"])]
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] != "value_error":
                message = f"{message[:1].lower()}{message[1:]}, got {problem.get('input')!r}"
            key, said = place, value
            if isinstance(value, Mapping) and inside and inside[0] in value:
                key, said = (*place, inside[0]), value[inside[0]]
            self.add(f"{'.'.join((*place, *inside))}: {message}", key, value=said)

    def _find_line(self, place: Place, value: Any) -> int | None:
        if self._text is None:
            self._text = ""
            with suppress(OSError, UnicodeDecodeError):
                self._text = Path(self._origin).read_text(encoding="utf-8")
        try:
            said: Any = tomllib.loads(self._text)
            for part in place:
                said = said[part]
        except (tomllib.TOMLDecodeError, KeyError, TypeError):
            return None
        return find_line(self._text, place) if place and (value is None or said == value) else None


def find_preset(presets: Iterable[str], name: Any, mistakes: Mistakes, place: Place) -> str:
    """The name if there is such a preset; else it is noted, and any other fills in what this one would have."""
    known = list(presets)
    if isinstance(name, str) and name in known:
        return name
    mistakes.add(f"unknown preset {name!r}; expected one of {', '.join(known)}", place, value=name)
    return known[0]


def read_toml(path: str | Path, *, hint: str = "") -> dict[str, Any]:
    """The values of a TOML file; `hint` says more if it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file{hint}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}{hint}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}){hint}") from None


def read_values(path: str | Path, assignments: Iterable[str] | None = None) -> dict[str, Any]:
    """A file's values with those of `--set` over them."""
    return assign_settings(read_toml(path), assignments)


def assign_settings(values: dict[str, Any], assignments: Iterable[str] | None) -> dict[str, Any]:
    """The values, each `A.B=C` written into them; a C that is no TOML is a text."""
    for assignment in assignments or ():
        name, text = split_assignment(assignment, "--set", "A.B=C")
        *sections, key = split_name(name)
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{name_option('set')} {assignment}: {section!r} is a value, not a section")
        try:
            target[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            target[key] = text
    return values


def split_assignment(text: str, flag: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise ConfigError(f"{flag} {text!r}: expected {form}")
    return name, value


def find_line(text: str, place: Place) -> int | None:
    """The line of a TOML file in which a key or section begins, from 1; None if it cannot be told.

    >>> find_line("[optim]\\nlr = 1", ("optim", "lr"))
    2
    """
    # A text of several lines may hold what looks like a key.
    text = re.sub(
        r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'', lambda one: "\n" * one[0].count("\n"), text, flags=re.S
    )
    section: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(#.*)?", line):
            section = tuple(split_name(header[1].strip()))
            if section == place:
                return number
        elif key := re.match(
            r"""\s*((?:[\w.-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"))*)\s*=""", line
        ):
            begun = (*section, *split_name(key[1]))
            if begun == place or ("{" in line and place[: len(begun)] == begun):
                return number
    return None


def split_name(name: str) -> list[str]:
    """The parts of a setting's name; one that holds a dot stands in quotation marks, as in TOML."""
    try:
        nested: Any = tomllib.loads(f"{name} = true")
    except tomllib.TOMLDecodeError:
        return name.split(".")
    parts = []
    while isinstance(nested, dict):
        ((part, nested),) = nested.items()
        parts.append(part)
    return parts


def _hint(name: str, known: list[str], keys: Iterable[Place]) -> tuple[str, str | None]:
    """What to write instead of an unknown key, and which one of its section it is near to. A key of this very name
    in another section is likelier meant than one that is spelt alike in this one."""
    places = [".".join(place) for place in keys if place[-1] == name]
    if 0 < len(places) <= MOST_PLACES:
        return f"did you mean {' or '.join(map(repr, places))}?", None
    near = find_nearest(name, known)
    return f"did you mean {near!r}?" if near else f"expected one of {', '.join(known)}", near


def _list_keys(kind: type[Section], section: Place = ()) -> Iterator[Place]:
    """Every key that a section of this kind may have and that is no section, with those of the sections in it."""
    for name, field in kind.model_fields.items():
        place = (*section, name)
        inner, are_many = _find_section(kind.apart.get(name) or field.annotation)
        if inner is None:
            yield place
        else:
            yield from _list_keys(inner, (*place, "NAME") if are_many else place)


def _validate(annotation: Any, value: Any) -> Any:
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False)).validate_python(value)


def _read_members(annotation: Any, value: Any) -> Any:
    """A table or list whose unreadable members are `_UNREADABLE` and come last, so that a loop over it first tells
    what is wrong with the others; `_UNREADABLE` if it is none."""
    for one in _choices(annotation):
        if isinstance(value, Mapping) and get_origin(one) is dict:
            read = {key: _read_member(get_args(one)[1], inner) for key, inner in value.items()}
            if any(inner is _UNREADABLE for inner in read.values()):
                return dict(sorted(read.items(), key=lambda item: item[1] is _UNREADABLE))
        if isinstance(value, list | tuple) and get_origin(one) is tuple and get_args(one)[1:] == (...,):
            members = [_read_member(get_args(one)[0], inner) for inner in value]
            if any(inner is _UNREADABLE for inner in members):
                return tuple(sorted(members, key=lambda inner: inner is _UNREADABLE))
    return _UNREADABLE


def _read_member(annotation: Any, value: Any) -> Any:
    try:
        return _validate(annotation, value)
    except ValidationError:
        return _UNREADABLE


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(one for one in get_args(annotation) if one is not type(None))


def _find_section(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section that a field holds, and whether it is a table of such sections."""
    are_many = get_origin(annotation) is dict
    kinds = _choices(get_args(annotation)[1] if are_many else annotation)
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, Section)), None), are_many


def _list_broken(section: Section) -> Iterator[tuple[Place, str]]:
    named = [pair for kind in reversed(type(section).__mro__) for pair in vars(kind).items()]
    for name in dict.fromkeys(name for name, one in named if hasattr(one, "is_rule")):
        with suppress(_UnreadableError):
            for complaint in getattr(section, name)():
                yield ((), complaint) if isinstance(complaint, str) else complaint


def _list_faults(section: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Place and fault of each name in a section that names nothing that is there."""
    if not isinstance(section, Section):
        return
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _list_faults(value, (*place, name))
        elif isinstance(value, Mapping):
            for key, one in value.items():
                yield from _list_faults(one, (*place, name, str(key)))
        finders = [one for one in field.metadata if isinstance(one, Names)]
        texts = (value,) if isinstance(value, str) else value if isinstance(value, tuple | dict) else ()
        for text in texts:
            for finder in finders if isinstance(text, str) else ():
                if LATER not in text and (fault := finder.find_fault(text)) is not None:
                    yield (*place, name, *([text] if isinstance(value, dict) else ())), fault


class _UnreadableError(Exception):
    """A rule asked for a value that could not be read."""


class _Unreadable:
    """Stands for a value that could not be read; whatever is asked of it ends the rule that asks."""

    __hash__ = object.__hash__


def _refuse(*_: Any, **__: Any) -> Any:
    raise _UnreadableError


for _name in (
    *("getattr", "bool", "eq", "ne", "lt", "le", "gt", "ge", "len", "iter", "contains", "getitem", "str"),
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv"),
    *("mod", "rmod", "neg", "float", "int", "index", "format", "call", "repr"),
):
    setattr(_Unreadable, f"__{_name}__", _refuse)
_UNREADABLE = _Unreadable()
