"""The part of an address behind the question mark <-> which judgments are shown, in which sequence.

    ?is=wrong&flips=1&q=lamp&sort=confidence&down=1        wrong, and both orders differ, and "lamp" occurs; the surest first

An address that was kept, or sent to somebody, shows the same list again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from rmr1.audit.filters import Filter
from rmr1.errors import ConfigError
from rmr1.viewer.search import EQUALS, SORTS, Query

VERDICTS = {"right": "right", "wrong": "wrong", "unparsed": "no verdict", "failed": "engine error"}
"""Values of `is`, and what they are called."""
FLAGS = {
    "flips": "orders disagree",
    "invented": "a quotation is not found",
    "marked": "marked by people",
    "called_wrong": "judge called wrong",
}
_TEXTS = ("q", "rubric", "subset", "id", "id_start")
_SHARES = ("unsure", "sure_from", "sure_to", "told_from", "told_to")
PAGE_SIZE = 50
_LONGEST = 2000
"""Letters of a link."""
_TYPED = ("q", "rubric", "id", "page", *_SHARES)
"""Parameters around which white space means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an address asks for."""

    query: Query
    values: Mapping[str, str]
    """The parameters that say so, without those that are empty."""
    page: int = 1
    """The page of the list, from 1."""

    def link(self, **changes: object) -> str:
        """The same with changes, as `?...`; None takes a parameter away. A change of what is shown begins on page 1."""
        values = {**self.values, "page": str(self.page)}
        if changes and "page" not in changes:
            values.pop("page")
        values.update({name: str(value) for name, value in changes.items() if value is not None})
        kept = {
            name: value
            for name, value in values.items()
            if not (name in changes and changes[name] is None) and (name, value) != ("page", "1")
        }
        return f"?{urlencode(kept)}" if kept else ""

    def narrow(self, **values: object) -> str | None:
        """A link to those of them that are so, too; None if they are asked for to be otherwise, or it would be too long."""
        if any(self.values.get(name, str(value)) != str(value) for name, value in values.items()
               if name not in ("sort", "down")):  # fmt: skip
            return None
        link = self.link(**values)
        return link if len(link) <= _LONGEST else None

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """(what is asked for, a link without it) of every condition."""
        return [(_name(name, value), self.link(**{name: None}) or "?") for name, value in self.values.items()
                if name not in ("sort", "down")]  # fmt: skip


def keep_values(values: Mapping[str, str]) -> Address:
    """All judgments, with the parameters as they were given: for a form that says what is wrong with them."""
    return Address(query=Query(), values={name: value for name, value in values.items() if value})


def read_address(values: Mapping[str, str]) -> Address:
    """Read the parameters.

    Raises:
        ConfigError: a parameter is unknown or has a value that it cannot have.
    """
    given = {
        name: value.strip() if name in _TYPED else value for name, value in values.items() if value.strip()
    }
    known = {"is", "page", "sort", "down", "labels", *FLAGS, *_TEXTS, *_SHARES, *EQUALS}
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"{unknown[0]!r} is no parameter of a list; there are {', '.join(sorted(known))}")
    said = given.get("is")
    if said is not None and said not in VERDICTS:
        raise ConfigError(f"is={said!r}: expected {', '.join(VERDICTS)}")
    sort = given.get("sort", "place")
    if sort not in SORTS:
        raise ConfigError(f"sort={sort!r}: expected {', '.join(SORTS)}")
    wanted = Filter(
        id=given.get("id"),
        right=said == "right",
        wrong=said == "wrong",
        unparsed=said == "unparsed",
        failed=said == "failed",
        flips="flips" in given,
        unsure=_read_share(given, "unsure"),
        invented="invented" in given,
        rubric=given.get("rubric"),
        subset=given.get("subset"),
    )
    query = Query(
        wanted=wanted,
        words=given.get("q"),
        sort=sort,
        is_descending="down" in given,
        is_marked="marked" in given,
        is_called_wrong="called_wrong" in given,
        by_people="labels" in given,
        equal=tuple((name, given[name]) for name in EQUALS if name in given),
        id_start=given.get("id_start"),
        sure_from=_read_share(given, "sure_from"),
        sure_to=_read_share(given, "sure_to"),
        told_from=_read_share(given, "told_from"),
        told_to=_read_share(given, "told_to"),
    )
    return Address(
        query=query,
        values={name: value for name, value in given.items() if name != "page"},
        page=read_page(given.get("page", "1")),
    )


def _read_share(given: Mapping[str, str], name: str) -> float | None:
    if name not in given:
        return None
    text = given[name].removesuffix("%").strip()
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value > 1 or text != given[name]:
        value /= 100
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} {given[name]!r}: expected a share, as 70% or 0.7")
    return value


def read_page(value: str) -> int:
    """A page's number, from 1.

    Raises:
        ConfigError: it is none.
    """
    if not (value.isdecimal() and len(value) < 10 and int(value) > 0):
        raise ConfigError(f"page={value!r}: expected a whole number from 1")
    return int(value)


def _name(name: str, value: str) -> str:
    names: dict[str, str] = {
        "is": VERDICTS.get(value, value),
        "q": f"with {value}",
        "id_start": f"ids that begin with {value}",
        "rubric": f"rubric: {value}",
        "unsure": f"confidence below {value}",
        "sure_from": f"confidence from {value}",
        "sure_to": f"confidence below {value}",
        "told_from": f"labelled, its probability from {value}",
        "told_to": f"labelled, its probability below {value}",
        "labels": "by people's labels",
        **FLAGS,
    }
    return names.get(name) or f"{EQUALS.get(name, name)}: {value}"


def iterate_hidden(address: Address, *left_out: str) -> Iterator[tuple[str, str]]:
    """Parameters that a form keeps without showing them."""
    yield from ((name, value) for name, value in address.values.items() if name not in left_out)
