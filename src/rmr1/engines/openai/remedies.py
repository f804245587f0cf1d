"""What may be changed about a request that a server refuses, and how it is found out that it helped. Pure.

Why a request was refused is a guess until it is answered in another form. What a problem points to is tried first:
parts of the request that it names, and its numbers compared with what was sent. If it points to nothing, each part
that the server has not taken before is left out alone, then one more with every try; but the temperature only if it
is named. `Form` goes through these guesses for one item: what does not make the complaint go away is undone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rmr1.engines.openai.problems import Problem
from rmr1.engines.openai.wire import NEUTRAL, Dialect, choices_name, join_turns

LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
PARAMETERS = ("temperature", "top_p", *NEUTRAL, "seed", "stop", "n", "top_logprobs", "logprobs")
_ADAPTABLE = (*PARAMETERS, *LENGTH_FIELDS)
"""What may be left out or renamed for a server that refuses it."""
_TURNS = ("turns", "system")
"""Forms of the messages, counted among the parts of a request: turns of one role in a row, system text."""
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
    _is_asked_again: bool = False
    since: float = math.inf
    """The time at which the try was sent that was refused first; `time.monotonic`."""
    _dialect: Dialect | None = None
    """The run's dialect when the item was refused first."""

    def begin(self, sent_at: float, dialect: Dialect) -> None:
        """A try was refused that was sent then, in this dialect of the run."""
        self.since = min(self.since, sent_at)
        self._dialect = self._dialect or dialect

    def follow(self, dialect: Dialect) -> None:
        """Begin afresh if the dialect of the run has changed since: what was guessed was no part of it."""
        if self._dialect not in (None, dialect):
            self._dialect, self.remedies, self.is_over = None, (), False
            self._levels.clear()

    def write(self, dialect: Dialect) -> Dialect:
        for remedy in self.remedies:
            dialect = remedy.apply(dialect)
        return dialect

    def is_repeated(self, problem: Problem) -> bool:
        """Whether the item has met this problem before."""
        known = problem.complaint in self._seen
        self._seen.add(problem.complaint)
        return known

    def ask_again(self) -> bool:
        """Whether an item that was never changed may be asked once more as it is; True once."""
        is_first = self._num_forms == 1 and not self._is_asked_again
        self._is_asked_again = True
        return is_first

    def undo(self, problem: Problem) -> bool:
        """Take back the last guess for one try, if it did not help; False if there is none.

        A trouble that passes shows only in the form as it was meant.
        """
        if not self._levels or self._levels[-1].complaint != problem.complaint:
            return False
        is_changed = self.remedies != self._levels[-1].base
        self.remedies = self._levels[-1].base
        return is_changed

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


def ask_singly(temperature: float) -> Remedy:
    """The remedy for a server that gives one choice a reply at this temperature."""
    return leave_out([choices_name(temperature)], "samples are asked for one by one")


def estimate_most_tokens(num_bytes: int) -> int:
    """More tokens than a prompt should have, in any language: one for three bytes, and some for the template."""
    return math.ceil(num_bytes / 3) + 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem, the request that met it, and what is known of the server."""

    problem: Problem
    body: Mapping[str, Any]
    dialect: Dialect
    """The dialect that `body` is written in."""
    ours: frozenset[str]
    """Parts of `body` that may be given up: not what the user asked for by name, and not what the server has taken
    before."""
    taken: frozenset[str]
    """Parameters that the server has taken before. Behind a router another one may not: if named they are given up
    for the item, and for no other."""
    num_prompt_tokens: int
    """Rather too many than too few."""
    is_large: bool
    """Whether the server has taken no larger prompt yet."""

    @property
    def says_nothing(self) -> bool:
        """Whether it has no number and names no part of the request."""
        names = (*_ADAPTABLE, *_TURNS, "role", "messages")
        said = self.problem.numbers or self.problem.find_parts(names) or self.problem.find_words(names)
        return not said and not self.problem.is_oversize

    @property
    def is_too_long(self) -> bool:
        """Whether it speaks of the length of prompt and answer: by status, code or numbers."""
        named = self.problem.find_parts([*self.body])
        if any(name not in (*LENGTH_FIELDS, "messages") for name in named):
            return False
        if self.problem.is_oversize or any(number < -1 for number in self.problem.numbers):
            return True
        # A limit may be what was asked for, but for a name of the length with its value.
        sizes = self._sizes or ([] if {*named} & {*LENGTH_FIELDS} else self.problem.sizes)
        # Identifiers are seldom round, as limits are, and a prompt that is too long has about the limit's size.
        least, most = self.num_prompt_tokens / 4, 2 * self.num_prompt_tokens
        return any(
            size >= _SMALLEST_LIMIT and (size % 64 == 0 or size % 100 == 0 or least <= size <= most)
            for size in sizes
        )

    def suggest(self) -> list[Remedy]:
        """What may help, the likeliest first."""
        limits, loose = self._fit_length(), self._loosen()
        if self.is_too_long:
            if len(self._sizes) < 2:
                return limits + loose
            # Two numbers that leave no room under any reading are not asked about again.
            return limits and limits + loose[:1]
        named = self.problem.find_parts((*self.body, *_TURNS))
        changed = self._change(named)
        changed += [replace(one, is_general=False) for one in replace(self, ours=self.taken)._change(named)]
        pointed = limits + changed if self._sizes else changed + limits
        if self._length_field in named:
            pointed += loose
        if named and not pointed:
            return []  # it is about what may not be changed
        guesses = [
            *self._change(self._find_echoed()),
            *self._change(self.problem.find_words([*_ADAPTABLE, *_TURNS, "role"])),
            *self._change([*NEUTRAL, "n", "system", "turns", "logprobs"]),
            *(leave_out(rest) for rest in [self.ours & {"top_p", "seed", "stop"}] if rest),
        ]
        alone = list(dict.fromkeys(guesses))
        # Texts stay where they are as long as parameters alone may be the reason.
        ordered = sorted(alone, key=lambda one: not one.parts.isdisjoint(_TURNS))
        several = [_combine(ordered[:count]) for count in range(2, len(ordered) + 1)]
        return [*pointed, *alone, *(loose if self.is_large else []), *several]

    @property
    def _length_field(self) -> str:
        return self.dialect.length_field or ""

    @property
    def _sizes(self) -> list[int]:
        """The numbers that may count tokens and are not just what was sent, in their order of size."""
        sent = {self.body[name] for name in _ADAPTABLE if isinstance(self.body.get(name), int)}
        return sorted({*self.problem.sizes} - sent)

    def _find_echoed(self) -> list[str]:
        """Parts whose value the problem repeats."""
        return [
            name
            for name in ("n", "top_logprobs", "top_k", "seed")
            if self.body.get(name, 0) > 1 and self.body[name] in self.problem.numbers
        ]

    def _change(self, parts: Sequence[str]) -> list[Remedy]:
        """Remedies for the parts that may be changed; what was not asked for goes all at once."""
        found: list[Remedy] = []
        unasked = [name for name in NEUTRAL if name in parts and self.body.get(name) == NEUTRAL[name]]
        for part in parts:
            if part in ("messages", "role"):
                found += self._change(_TURNS)
            elif part in self.ours and part in unasked:
                names = [name for name in unasked if name in self.ours]
                verb = "is" if len(names) == 1 else "are"
                found.append(leave_out(names, f"{', '.join(names)} {verb} left to the server"))
            elif part in self.ours:
                found += self._change_one(part)
        return list(dict.fromkeys(found))

    def _change_one(self, part: str) -> list[Remedy]:
        if part == "turns":
            return [_write("turns of one role in a row are sent as one", joins_turns=True)]
        if part == "system":
            return [_write("the system text is put into the first user turn", merges_system=True)]
        if part in LENGTH_FIELDS:
            other = LENGTH_FIELDS[1 - LENGTH_FIELDS.index(part)]
            if other in self.dialect.refused:
                return [_write("no limit of new tokens is sent", length_field=None)]
            renamed = _write(f"{other} is sent instead of {part}", length_field=other)
            return [replace(renamed, refused=frozenset({part}))]
        if part == "n":
            return [ask_singly(self.body.get("temperature", 1.0))]
        if part == "top_logprobs":
            asked = self.body[part]
            lower = [number for number in self.problem.numbers if 0 < number < asked]
            fewer = max(lower, default=min(_FEWER_LOGPROBS, asked - 1))
            few = _write(
                f"log-probabilities of {fewer} tokens are asked for instead of {asked}",
                num_top_logprobs=fewer,
            )
            return [*([few] if fewer else []), leave_out(["logprobs"])]
        return [leave_out([part])]

    def _fit_length(self) -> list[Remedy]:
        """Limits of new tokens by the problem's numbers and what was asked for."""
        most = self.body.get(self._length_field)
        if most is None:
            return []
        numbers, sizes = self.problem.numbers, self._sizes
        found: list[Remedy] = []
        rooms: list[int] = []
        if len(sizes) > 1:
            if most not in numbers or any(total - most in sizes for total in sizes):
                # Prompt and answer may be counted together.
                rooms += [limit + most - total for total in sizes for limit in sizes if most < total > limit]
            rooms += [limit - size for size in sizes for limit in sizes if size < limit < size + most]
        elif sizes and sizes[0] < most:
            is_open = self._length_field in self.ours
            is_named = self._length_field in self.problem.find_parts([self._length_field])
            if is_named or (is_open and sizes[0] >= _SMALLEST_LIMIT):
                found.append(_limit_length(sizes[0], is_general=is_open))
            rooms.append(sizes[0] - self.num_prompt_tokens)
        elif sizes or most in numbers:
            rooms.append((sizes or [most])[0] - self.num_prompt_tokens)
        return [*found, *(_limit_length(room) for room in dict.fromkeys(rooms) if 0 < room < most)][:3]

    def _loosen(self) -> list[Remedy]:
        """Any room there is, for one item: as much as the server gives by itself, or little."""
        most = self.body.get(self._length_field)
        if most is None:
            return []
        none = replace(_write("no limit of new tokens is sent", length_field=None), is_general=False)
        return [none, *([_limit_length(most // _LESS)] if most >= _LESS else [])]


def _write(label: str, **changes: Any) -> Remedy:
    return Remedy(label=label, changes=tuple(changes.items()))


def _limit_length(most: int, *, is_general: bool = False) -> Remedy:
    limit = _write(f"at most {most} new tokens are asked for", length_limit=most)
    return replace(limit, is_general=is_general)


def _combine(remedies: Sequence[Remedy]) -> Remedy:
    return Remedy(
        label="; ".join(one.label for one in remedies),
        refused=frozenset().union(*(one.refused for one in remedies)),
        changes=tuple({key: value for one in remedies for key, value in one.changes}.items()),
    )
