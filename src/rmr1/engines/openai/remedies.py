"""Changes of a request that a server refuses, and how it is found out which of them help. Pure.

What a problem points to is tried first: parts of the request that it names, and its numbers compared with what was
sent. If it points to nothing, each part that the server has not taken before is left out alone, then one more with
every try; but the temperature only if it is named. What does not make the complaint go away is undone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import Any

from rmr1.engines.openai.problems import ServerProblem
from rmr1.engines.openai.wire import LENGTH_FIELDS, NEUTRAL, Dialect, choices_name, join_turns

PARAMETERS = ("temperature", "top_p", *NEUTRAL, "seed", "stop", "n", "top_logprobs", "logprobs")
_TURNS = ("turns", "system")
_PARTS = (*PARAMETERS, *LENGTH_FIELDS, *_TURNS)
_SINGLY = "samples are asked for one by one"
_UNLIMITED = "no limit of new tokens is sent"
_LABELS = {
    "n": _SINGLY,
    "n_greedy": _SINGLY,
    "turns": "turns of one role in a row are sent as one",
    "system": "the system text is put into the first user turn",
    "max_tokens": "max_completion_tokens is sent instead of max_tokens",
    "max_completion_tokens": _UNLIMITED,
}
_FEWER_LOGPROBS = 5
_SMALLEST_LIMIT = 128
"""A smaller number is no limit of tokens, unless the length is what the problem names."""
_LESS = 8
MOST_FORMS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A change of the dialect that may satisfy the server."""

    label: str
    change: Dialect
    is_general: bool = True
    """Whether it may become the dialect of the run; room for one item's answer may not."""


@dataclass(slots=True)
class Form:
    """How the requests of one item are written, where that differs from the dialect of the run."""

    item: str = ""
    num_prompt_tokens: int = 0
    remedies: tuple[Remedy, ...] = ()
    reasons: dict[Remedy, ServerProblem] = field(default_factory=dict)
    is_over: bool = False
    was_forbidden: bool = False
    """Whether access was refused before."""
    since: float = math.inf
    """The time at which the try was sent that was refused first; `time.monotonic`."""
    _dialect: Dialect | None = None
    """The run's dialect when the item was refused first."""
    _complaint: tuple[int, str] | None = None
    _helpful: tuple[Remedy, ...] = ()
    """What has helped against the complaints before this one."""
    _untried: list[Remedy] = field(default_factory=list)
    _seen: set[tuple[int, str]] = field(default_factory=set)
    _num_forms: int = 1

    def begin(self, sent_at: float, dialect: Dialect) -> None:
        self.since = min(self.since, sent_at)
        self._dialect = self._dialect or dialect

    def write(self, dialect: Dialect) -> Dialect:
        """What was guessed before the run's dialect has changed was no part of it."""
        if self._dialect not in (None, dialect):
            self._dialect, self._complaint, self.remedies, self.is_over = None, None, (), False
        return reduce(or_, (remedy.change for remedy in self.remedies), dialect)

    def is_repeated(self, problem: ServerProblem) -> bool:
        known = problem.complaint in self._seen
        self._seen.add(problem.complaint)
        return known

    def ask_again(self) -> bool:
        """Whether an item that was never changed may be asked once more as it is; True once."""
        self._num_forms += 1
        return self._num_forms == 2

    def undo(self, problem: ServerProblem) -> bool:
        """Take back the last guess for one try, if it did not help; False if there is none.

        A trouble that passes shows only in the form as it was meant.
        """
        if problem.complaint != self._complaint:
            return False
        guessed, self.remedies = self.remedies, self._helpful
        return guessed != self.remedies

    def change(self, problem: ServerProblem, suggest: Callable[[], Iterable[Remedy]]) -> bool:
        """Take the next form; False if there is none left.

        Another complaint than before means that the last change helped so far; the same one, that it did not.
        """
        if problem.complaint != self._complaint:
            self._complaint, self._helpful = problem.complaint, self.remedies
            self._untried = [remedy for remedy in dict.fromkeys(suggest()) if remedy not in self.remedies]
        if self.is_over or not self._untried or self._num_forms >= MOST_FORMS:
            self.remedies, self.is_over = (), True
            return False
        remedy = self._untried.pop(0)
        self.remedies = (*self._helpful, remedy)
        self.reasons[remedy] = problem
        self._num_forms += 1
        return True


def list_parts(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Parts of a request that may be changed, with their values."""
    # One seed is as good as another.
    found = {(name, "" if name == "seed" else repr(body[name])) for name in _PARTS if name in body}
    messages = body.get("messages", ())
    if any(message["role"] == "system" for message in messages):
        found.add(("system", ""))
    if len(join_turns(messages, merges_system=False)) < len(messages):
        found.add(("turns", ""))
    return found


def leave_out(names: Collection[str], label: str = "", *, is_general: bool = True) -> Remedy:
    """The remedy that these parts are not sent."""
    listed = ", ".join(sorted(names))
    return Remedy(
        label=label or _LABELS.get(listed) or f"{listed} {'are' if ', ' in listed else 'is'} not sent",
        change=Dialect(refused=frozenset(names)),
        is_general=is_general,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem, the request that met it, and what is known of the server."""

    problem: ServerProblem
    body: Mapping[str, Any]
    ours: frozenset[str]
    """What may be given up: neither the user's choice, nor what the server has taken before."""
    taken: frozenset[str]
    """What the server has taken before: if named it is given up for the item alone, as behind a router."""
    num_prompt_tokens: int
    is_large: bool

    @property
    def says_nothing(self) -> bool:
        """Whether it has no number and names no part of the request."""
        named = self.problem.find_words([*_PARTS, "role", "messages"])
        return not (self.problem.numbers or named or self.problem.is_oversize)

    @property
    def is_too_long(self) -> bool:
        """Whether it speaks of the length of prompt and answer: by status, code or numbers."""
        named = {*self._named}
        if named - {*LENGTH_FIELDS, *_TURNS, "messages"}:
            return False
        if self.problem.is_oversize or any(number < -1 for number in self.problem.numbers):
            return True
        # A limit may be what was asked for, but for a name of the length with its value.
        sizes = self._sizes or ([] if named & {*LENGTH_FIELDS} else self.problem.sizes)
        # Identifiers are seldom round, as limits are; a prompt that is too long has about the limit's size.
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
        named, numbers = self._named, self.problem.numbers
        changed = self._change(named, self.ours)
        changed += [replace(one, is_general=False) for one in self._change(named, self.taken)]
        pointed = limits + changed if self._sizes else changed + limits
        if self._length_field in named:
            pointed += loose
        if named and not pointed:
            return []  # it is about what may not be changed
        guesses = [
            *[one for one in ("n", "top_logprobs", "top_k", "seed") if 1 < self.body.get(one, 0) in numbers],
            *self.problem.find_words([*_PARTS, "role"]),
            *[*NEUTRAL, "n", "system", "turns", "logprobs"],
        ]
        rest = self.ours & {"top_p", "seed", "stop"}
        alone = dict.fromkeys([*self._change(guesses, self.ours), *([leave_out(rest)] if rest else [])])
        # Texts stay where they are as long as parameters alone may be the reason.
        ordered = sorted(alone, key=lambda one: not one.change.refused.isdisjoint(_TURNS))
        several = [
            Remedy(
                label="; ".join(one.label for one in ordered[:count]),
                change=reduce(or_, (one.change for one in ordered[:count])),
            )
            for count in range(2, len(ordered) + 1)
        ]
        return [*pointed, *alone, *(loose if self.is_large else []), *several]

    @property
    def _named(self) -> list[str]:
        return self.problem.find_parts((*self.body, *_TURNS))

    @property
    def _length_field(self) -> str:
        return next((name for name in LENGTH_FIELDS if name in self.body), "")

    @property
    def _sizes(self) -> list[int]:
        """Those that may count tokens and are not just what was sent."""
        sent = {self.body[name] for name in _PARTS if isinstance(self.body.get(name), int)}
        return sorted({*self.problem.sizes} - sent)

    def _change(self, parts: Sequence[str], allowed: frozenset[str]) -> list[Remedy]:
        """What was not asked for goes all at once."""
        found: list[Remedy] = []
        named = {*parts} & allowed
        unasked = [name for name, value in NEUTRAL.items() if name in named and self.body.get(name) == value]
        for part in parts:
            if part in ("messages", "role"):
                found += self._change(_TURNS, allowed)
            elif part in unasked:
                verb = "is" if len(unasked) == 1 else "are"
                found.append(leave_out(unasked, f"{', '.join(unasked)} {verb} left to the server"))
            elif part == "top_logprobs" and part in named:
                asked = self.body[part]
                lower = [number for number in self.problem.numbers if 0 < number < asked]
                if fewer := max(lower, default=min(_FEWER_LOGPROBS, asked - 1)):
                    label = f"log-probabilities of {fewer} tokens are asked for instead of {asked}"
                    found.append(Remedy(label=label, change=Dialect(num_top_logprobs=fewer)))
                found.append(leave_out(["logprobs"]))
            elif part in named:
                name = choices_name(self.body.get("temperature", 1)) if part == "n" else part
                found.append(leave_out([name]))
        return found

    def _fit_length(self) -> list[Remedy]:
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
            if self._length_field in self._named or (is_open and sizes[0] >= _SMALLEST_LIMIT):
                found.append(_limit_length(sizes[0], is_general=is_open))
            rooms.append(sizes[0] - self.num_prompt_tokens)
        elif sizes or most in numbers:
            rooms.append((sizes or [most])[0] - self.num_prompt_tokens)
        return [*found, *(_limit_length(room) for room in dict.fromkeys(rooms) if 0 < room < most)][:3]

    def _loosen(self) -> list[Remedy]:
        """Room for one item's answer: as much as the server gives by itself, or little."""
        most = self.body.get(self._length_field)
        if most is None:
            return []
        none = leave_out(LENGTH_FIELDS, _UNLIMITED, is_general=False)
        return [none, *([_limit_length(most // _LESS)] if most >= _LESS else [])]


def _limit_length(most: int, *, is_general: bool = False) -> Remedy:
    label = f"at most {most} new tokens are asked for"
    return Remedy(label=label, change=Dialect(max_new_tokens=most), is_general=is_general)
