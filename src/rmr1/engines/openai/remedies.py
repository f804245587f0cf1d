"""What may be changed about a request that a server refuses, and how it is found out that it helped. Pure.

A refusal is a guess until the request is answered in another form. What a problem points to is tried first: parts
of the request that it names, and its numbers compared with what was sent. If it points to nothing, each part that
the server has not taken before is left out alone, then one more with every try. `Form` goes through these guesses for one item:
what does not make the complaint go away is undone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rmr1.engines.openai.problems import Problem
from rmr1.engines.openai.wire import NEUTRAL, Dialect, choices_name, join_turns

LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
_ADAPTABLE = (
    *("temperature", "top_p", *NEUTRAL, "seed", "stop", "n", "top_logprobs", "logprobs"),
    *LENGTH_FIELDS,
)
"""What may be left out or renamed for a server that refuses it."""
_TURNS = ("system", "turns")
"""Forms of the messages, counted among the parts of a request: system text, turns of one role in a row."""
_FEWER_LOGPROBS = 5
"""What servers that refuse 20 alternatives take."""
_SMALLEST_LIMIT = 128
"""A smaller number is no limit of tokens, unless the length is what the problem names."""
_LESS = 8
"""What the length is divided by if nothing says how much is too much."""
MOST_FORMS = 16
"""Forms in which one item is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A change of the dialect that may satisfy the server."""

    label: str
    """What is done, for people."""
    refused: frozenset[str] = frozenset()
    changes: tuple[tuple[str, Any], ...] = ()
    is_general: bool = True
    """Whether it may become the dialect of the run; room for one item's answer may not."""

    @property
    def parts(self) -> frozenset[str]:
        """Parts of the request that are given up."""
        merged = {"merges_system": "system", "joins_turns": "turns"}
        return self.refused | {merged[key] for key, _ in self.changes if key in merged}

    def apply(self, dialect: Dialect) -> Dialect:
        return replace(dialect, refused=dialect.refused | self.refused, **dict(self.changes))


@dataclass(slots=True)
class _Level:
    complaint: tuple[int, str]
    base: tuple[Remedy, ...]
    untried: list[Remedy]


@dataclass(slots=True)
class Form:
    """How the requests of one item are written, where that differs from the dialect of the run."""

    remedies: tuple[Remedy, ...] = ()
    reasons: dict[Remedy, Problem] = field(default_factory=dict)
    """What each was tried for."""
    _levels: list[_Level] = field(default_factory=list)
    _seen: set[tuple[int, str]] = field(default_factory=set)
    _num_forms: int = 1
    is_over: bool = False
    """Whether nothing is left to try."""

    def write(self, dialect: Dialect) -> Dialect:
        for remedy in self.remedies:
            dialect = remedy.apply(dialect)
        return dialect

    def is_repeated(self, problem: Problem) -> bool:
        """Whether the item has met this problem before."""
        known = problem.complaint in self._seen
        self._seen.add(problem.complaint)
        return known

    def change(self, problem: Problem, suggest: Callable[[], Iterable[Remedy]]) -> bool:
        """Take the next form; False if there is none left.

        Another complaint than before means that the last change helped so far; the same one, that it did not.
        """
        if self.is_over:
            return False
        depth = next(
            (n for n, level in enumerate(self._levels) if level.complaint == problem.complaint), None
        )
        if depth is None:
            untried = [remedy for remedy in dict.fromkeys(suggest()) if remedy not in self.remedies]
            self._levels.append(_Level(problem.complaint, self.remedies, untried))
        else:
            del self._levels[depth + 1 :]
        while self._levels and not self._levels[-1].untried:
            self._levels.pop()
        if not self._levels or self._num_forms >= MOST_FORMS:
            self.remedies, self.is_over = (), True
            return False
        remedy = self._levels[-1].untried.pop(0)
        self.remedies = (*self._levels[-1].base, remedy)
        self.reasons[remedy] = problem
        self._num_forms += 1
        return True


def list_parts(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The parts of a request that may be changed, with their values as a server judges them."""
    # One seed is as good as another.
    found = {(key, "" if key == "seed" else repr(body[key])) for key in _ADAPTABLE if key in body}
    messages = body["messages"]
    if any(message["role"] == "system" for message in messages):
        found.add(("system", ""))
    if len(join_turns(messages, merges_system=False)) < len(messages):
        found.add(("turns", ""))
    return found


def leave_out(names: Iterable[str], label: str = "") -> Remedy:
    """The remedy that these parameters are not sent."""
    names = frozenset(names)
    listed = ", ".join(sorted(names))
    return Remedy(label=label or f"{listed} {'is' if len(names) == 1 else 'are'} not sent", refused=names)


def _combine(remedies: Sequence[Remedy]) -> Remedy:
    return Remedy(
        label="; ".join(dict.fromkeys(one.label for one in remedies)),
        refused=frozenset().union(*(one.refused for one in remedies)),
        changes=tuple({key: value for one in remedies for key, value in one.changes}.items()),
    )


def ask_singly(temperature: float) -> Remedy:
    """The remedy for a server that gives one choice a reply at this temperature."""
    return leave_out([choices_name(temperature)], "samples are asked for one by one")


def suggest(
    problem: Problem,
    body: Mapping[str, Any],
    dialect: Dialect,
    *,
    ours: Sequence[str],
    num_prompt_tokens: int,
    is_large: bool,
) -> list[Remedy]:
    """What may help, the likeliest first.

    `ours` are the parts of `body` that may be given up: not what the user asked for by name, and not what the
    server has taken before. `num_prompt_tokens` is an upper estimate. `is_large`: the server has taken no larger
    prompt yet.
    """

    def change(parts: Iterable[str]) -> list[Remedy]:
        parts = list(parts)
        return [one for part in parts for one in _change_part(part, parts, body, dialect, problem, ours)]

    length_field = dialect.length_field or ""
    named = problem.find_parts((*body, *_TURNS))
    limits = _fit_length(problem, body, length_field, ours, num_prompt_tokens)
    if is_too_long(problem, body, num_prompt_tokens):
        if len(_read_sizes(problem, body)) < 2:
            return limits + _loosen(body, length_field)
        # Two numbers that leave no room under any reading are not asked about again.
        return limits and limits + _loosen(body, length_field)[:1]
    pointed = [*limits, *change(named), *(_loosen(body, length_field) if length_field in named else [])]
    if named and not pointed:
        return []  # it is about what may not be changed
    alone = [
        *change(_find_echoed(problem, body)),
        *change(problem.find_words([*_ADAPTABLE, *_TURNS, "role"])),
        *change(NEUTRAL),
        *change(["n", "system", "turns", "logprobs"]),
        *(
            [leave_out(rest)]
            if (rest := [name for name in ("top_p", "seed", "stop") if name in ours])
            else []
        ),
        *change(["temperature"]),
    ]
    length = _loosen(body, length_field) if is_large else []
    return [*pointed, *alone, *length, *(_combine(alone[:count]) for count in range(2, len(alone) + 1))]


def is_too_long(problem: Problem, body: Mapping[str, Any], num_prompt_tokens: int) -> bool:
    """Whether a refusal speaks of the length of prompt and answer, by its numbers, its status or its code."""
    named = [name for name in problem.find_parts([*body]) if name not in (*LENGTH_FIELDS, "messages")]
    if named:
        return False
    if problem.is_oversize or any(number < -1 for number in problem.numbers):
        return True
    # Identifiers are seldom round, as limits are, and a prompt that is too long has about the size of the limit.
    return any(
        size >= _SMALLEST_LIMIT
        and (size % 64 == 0 or size % 100 == 0 or num_prompt_tokens / 4 <= size <= 2 * num_prompt_tokens)
        for size in _read_sizes(problem, body) or problem.sizes
    )


def estimate_most_tokens(num_bytes: int) -> int:
    """More tokens than a prompt should have, in any language: one for three bytes, and some for the template."""
    return math.ceil(num_bytes / 3) + 64


def _change_part(
    part: str,
    parts: Sequence[str],
    body: Mapping[str, Any],
    dialect: Dialect,
    problem: Problem,
    ours: Sequence[str],
) -> list[Remedy]:
    if part in ("messages", "role"):
        return [
            one
            for inner in ("turns", "system")
            for one in _change_part(inner, parts, body, dialect, problem, ours)
        ]
    if part not in ours:
        return []
    if part == "turns":
        return [Remedy(label="turns of one role in a row are sent as one", changes=(("joins_turns", True),))]
    if part == "system":
        return [
            Remedy(
                label="the system text is put into the first user turn", changes=(("merges_system", True),)
            )
        ]
    if part in LENGTH_FIELDS:
        other = LENGTH_FIELDS[1 - LENGTH_FIELDS.index(part)]
        if other in dialect.refused:
            return [Remedy(label="no limit of new tokens is sent", changes=(("length_field", None),))]
        renamed = (("length_field", other),)
        return [
            Remedy(label=f"{other} is sent instead of {part}", refused=frozenset({part}), changes=renamed)
        ]
    if part == "n":
        return [ask_singly(body.get("temperature", 1.0))]
    if part == "top_logprobs":
        asked = body[part]
        fewer = max((number for number in problem.numbers if 0 < number < asked), default=_FEWER_LOGPROBS)
        label = f"log-probabilities of {fewer} tokens are asked for instead of {asked}"
        few = [Remedy(label=label, changes=(("num_top_logprobs", fewer),))] if fewer < asked else []
        return [*few, leave_out(["logprobs"])]
    if part in NEUTRAL and body[part] == NEUTRAL[part]:
        # What was not asked for may go all at once.
        unasked = [name for name in NEUTRAL if name in parts and name in ours and body[name] == NEUTRAL[name]]
        verb = "is" if len(unasked) == 1 else "are"
        return [leave_out(unasked, f"{', '.join(unasked)} {verb} left to the server")]
    return [leave_out([part])]


def _fit_length(
    problem: Problem, body: Mapping[str, Any], length_field: str, ours: Sequence[str], num_prompt_tokens: int
) -> list[Remedy]:
    """Limits of new tokens by the problem's numbers and what was asked for."""
    most = body.get(length_field)
    if most is None:
        return []
    sizes = _read_sizes(problem, body)
    rooms: list[int] = []
    found: list[Remedy] = []
    if len(sizes) > 1:
        if most not in problem.numbers or any(total - most in sizes for total in sizes):
            # Prompt and answer may be counted together.
            rooms += [limit + most - total for total in sizes for limit in sizes if most < total > limit]
        rooms += [limit - size for size in sizes for limit in sizes if size < limit < size + most]
    elif sizes and sizes[0] < most:
        is_named, is_open = length_field in problem.find_parts([length_field]), length_field in ours
        if is_named or (is_open and sizes[0] >= _SMALLEST_LIMIT):
            found.append(_limit_length(sizes[0], is_general=is_open))
        rooms.append(sizes[0] - num_prompt_tokens)
    elif sizes or most in problem.numbers:
        rooms.append((sizes or [most])[0] - num_prompt_tokens)
    return [*found, *(_limit_length(room) for room in dict.fromkeys(rooms) if 0 < room < most)][:3]


def _loosen(body: Mapping[str, Any], length_field: str) -> list[Remedy]:
    """Any room there is, for one item: as much as the server gives by itself, or little."""
    most = body.get(length_field)
    if most is None:
        return []
    none = Remedy(label="no limit of new tokens is sent", changes=(("length_field", None),), is_general=False)
    return [none, *([_limit_length(most // _LESS)] if most >= _LESS else [])]


def _limit_length(most: int, *, is_general: bool = False) -> Remedy:
    label = f"at most {most} new tokens are asked for"
    return Remedy(label=label, changes=(("length_limit", most),), is_general=is_general)


def _read_sizes(problem: Problem, body: Mapping[str, Any]) -> list[int]:
    """The numbers that may count tokens and are not just what was sent, in their order of size."""
    sent = {body[name] for name in _ADAPTABLE if isinstance(body.get(name), int)}
    return sorted({*problem.sizes} - sent)


def _find_echoed(problem: Problem, body: Mapping[str, Any]) -> list[str]:
    """Parts whose value the problem repeats."""
    return [
        name
        for name in ("n", "top_logprobs", "top_k", "seed")
        if body.get(name, 0) > 1 and body[name] in problem.numbers
    ]
