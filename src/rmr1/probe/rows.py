"""Data as the probes look at them: labelled rows with their answers, their columns and, where there is one, the
judge prompt as it was rendered.

Two kinds of data are read:

- pairs, in every form of `rmr1.data.read`;
- training data of a judge: `messages` rows that end with the judge's own turn, and RM-R1's published form
  (`context_messages`, `winner`). Their prompt is kept whole beside the answers that are taken out of it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rmr1.data.files import Row, scan_rows
from rmr1.data.read import read_sourced_pairs
from rmr1.data.sources import find_reader, recognise
from rmr1.data.sources.reader import text, turns
from rmr1.errors import DataError
from rmr1.prompts.escape import unescape
from rmr1.records import Label, Message, Messages
from rmr1.verdicts import parse_verdict

Sources = str | Path | Sequence[str | Path]
"""A file, folder or dataset, or several."""
Sides = Literal["named", "unnamed"]
"""Whether the row calls its answers A and B (1 and 2, ...) and a label says which is better, or has only a
better and a worse one (chosen and rejected, a list with scores)."""

MESSAGES = "messages"
"""The form of training rows, beside the names of `rmr1.data.read.list_formats`."""

_RENDERED = "rm-r1"
_WINNERS = {"model_a": "A", "model_b": "B"}
_NAMED = (
    MESSAGES,
    _RENDERED,
    "rmr1",
    "carejudge",
    "helpsteer3",
    "judgebench",
    "llmbar",
    "auto-j",
    "alpaca-eval",
    "pandalm",
)
"""Forms with named sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """One decided pair."""

    label: Literal["A", "B"]
    sides: Sides
    group: bytes
    """Digest of the prompt: rows with the same one are never independent."""
    prompt: Messages
    """Empty where a rendered prompt could not be taken apart."""
    response_a: Messages
    response_b: Messages
    rendered: Messages | None
    """The judge's prompt as it stands in the row; None for pairs."""
    columns: Mapping[str, Any]
    path: str
    line: int


@dataclass(slots=True, kw_only=True)
class RowCounts:
    """What became of the rows."""

    forms: dict[str, int] = field(default_factory=dict)
    """Decided pairs by form."""
    ties: int = 0
    unlabelled: int = 0
    """No label, or a judge's turn without a verdict."""
    untaken: int = 0
    """Rendered prompts that could not be taken apart; their frame is still looked at."""
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    """The first unreadable rows, in words."""

    def refuse(self, error: DataError) -> None:
        self.unreadable += 1
        if len(self.problems) < 3:
            self.problems.append(str(error))

    @property
    def decided(self) -> int:
        return sum(self.forms.values())


def name_sources(source: Sources) -> str:
    """What one source or several are called in a sentence."""
    return str(source) if isinstance(source, str | Path) else ", ".join(map(str, source))


def scan_probe_rows(
    source: Sources,
    counts: RowCounts,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Mapping[str, Label] | None = None,
    limit: int | None = None,
    step: Callable[[int], Any] | None = None,
) -> Iterator[ProbeRow]:
    """The decided pairs of a source, or of several one after the other; what is passed over is counted.

    Args:
        limit: the largest number of pairs read, decided or not.
        step: called with the number of pairs read so far.
    """
    num_read = 0
    for one in (source,) if isinstance(source, str | Path) else source:
        num_before = num_read

        def count(number: int, num_before: int = num_before) -> None:
            nonlocal num_read
            num_read = num_before + number
            if step is not None:
                step(num_read)

        left = None if limit is None else limit - num_read
        if left == 0:
            break
        first = next((row for row in scan_rows(one) if isinstance(row, Row)), None)
        if format is None and not columns and not labels and first is not None and _is_rendered(first.data):
            yield from _scan_rendered(one, counts, left, count)
        else:
            yield from _scan_pairs(one, counts, columns, format, labels, left, count)
    if not counts.decided:
        reason = counts.problems[0] if counts.problems else _no_label(counts)
        raise DataError(f"no decided pair in {name_sources(source)}: {reason}")


def _is_rendered(data: Mapping[str, Any]) -> bool:
    if "context_messages" in data and "winner" in data:
        return True
    if "messages" not in data:
        return False
    try:
        recognise(data, data)
    except DataError:
        return True
    return False


def _no_label(counts: RowCounts) -> str:
    if not counts.ties and not counts.unlabelled:
        return "it holds no rows"
    return f"{counts.ties} ties and {counts.unlabelled} without a label; expected rows that say which answer is better"


def _scan_pairs(
    source: str | Path,
    counts: RowCounts,
    columns: Mapping[str, str] | None,
    format: str | None,
    labels: Mapping[str, Label] | None,
    limit: int | None,
    step: Callable[[int], Any],
) -> Iterator[ProbeRow]:
    found = read_sourced_pairs(
        source,
        columns=columns,
        format=format,
        labels=labels,
        on_error="skip",
        errors=counts.refuse,
        limit=limit,
    )
    for number, one in enumerate(found, start=1):
        step(number)
        pair, row = one.pair, one.row
        if pair.label is None:
            counts.unlabelled += 1
            continue
        if pair.label == "tie":
            counts.ties += 1
            continue
        counts.forms[one.form] = counts.forms.get(one.form, 0) + 1
        yield ProbeRow(
            label=pair.label,
            sides="named" if one.form in _NAMED else "unnamed",
            group=_digest(pair.prompt),
            prompt=pair.prompt,
            response_a=pair.response_a,
            response_b=pair.response_b,
            rendered=None,
            columns=row.data,
            path=row.path,
            line=row.line,
        )


def _scan_rendered(
    source: str | Path, counts: RowCounts, limit: int | None, step: Callable[[int], Any]
) -> Iterator[ProbeRow]:
    for number, row in enumerate(itertools.islice(scan_rows(source), limit), start=1):
        step(number)
        if isinstance(row, DataError):
            counts.refuse(row)
            continue
        try:
            form, rendered, winner = _read_rendered(row)
        except DataError as error:
            counts.refuse(DataError(error.message, path=row.path, line=row.line))
            continue
        if winner not in ("A", "B"):
            counts.unlabelled += 1
            continue
        counts.forms[form] = counts.forms.get(form, 0) + 1
        yield _take_apart(row, rendered, winner, counts, is_escaped=form == MESSAGES)


def _read_rendered(row: Row) -> tuple[str, Messages, str | None]:
    """The form, the judge's prompt and the verdict that is to be learnt."""
    if "messages" in row.data:
        messages = turns(row, "messages", "user")
        if len(messages) < 2 or messages[-1].role != "assistant":
            raise DataError("the last of 'messages' is not the judge's turn (role assistant) after a prompt")
        return MESSAGES, messages[:-1], parse_verdict(messages[-1].text).winner
    messages = turns(row, "context_messages", "user")
    if not messages:
        raise DataError("'context_messages' holds no message")
    # In the distillation set a judge's text stands in the place of the winner.
    winner = text(row, "winner")
    return _RENDERED, messages, _WINNERS.get(winner) or parse_verdict(winner).winner


def _take_apart(
    row: Row, rendered: Messages, winner: Any, counts: RowCounts, *, is_escaped: bool
) -> ProbeRow:
    """The answers out of a rendered prompt, by the reader of RM-R1's form."""
    data = {
        "context_messages": [{"role": message.role, "content": message.text} for message in rendered],
        "winner": f"model_{winner.lower()}",
    }
    try:
        (pair,) = find_reader(_RENDERED).pairs(Row(data=data, path=row.path, line=row.line))
    except DataError:
        counts.untaken += 1
        prompt: Messages = ()
        response_a: Messages = ()
        response_b: Messages = ()
    else:
        prompt, response_a, response_b = pair.prompt, pair.response_a, pair.response_b
        if is_escaped:
            prompt, response_a, response_b = map(_plain, (prompt, response_a, response_b))
    return ProbeRow(
        label=winner,
        sides="named",
        group=_digest(prompt or rendered),
        prompt=prompt,
        response_a=response_a,
        response_b=response_b,
        rendered=rendered,
        columns=row.data,
        path=row.path,
        line=row.line,
    )


def _plain(messages: Messages) -> Messages:
    """What was escaped when the prompt was rendered, as it was written."""
    return tuple(
        Message(role=message.role, content=unescape(message.text, transcript=True)) for message in messages
    )


def _digest(messages: Messages) -> bytes:
    whole = "\0".join(f"{message.role}\1{message.text}" for message in messages)
    return hashlib.blake2b(whole.encode(errors="surrogatepass"), digest_size=16).digest()
