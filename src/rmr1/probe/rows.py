"""Data as the probes look at them: labelled rows with their answers, their columns and the judge prompt, if it was
rendered.

Read are pairs, in every form of `rmr1.data.read`, and training data of a judge: `messages` rows that end with the
judge's own turn, and RM-R1's published form (`context_messages`, `winner`). Their prompt is kept whole beside the
answers that are taken out of it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rmr1.bench.files import placed
from rmr1.data.files import Row, scan_rows
from rmr1.data.read import SourcedPair, read_sourced_pairs
from rmr1.data.sources import find_reader, recognise
from rmr1.data.sources.reader import text, turns
from rmr1.errors import DataError
from rmr1.messages import Message, Messages
from rmr1.prompts.escape import unescape
from rmr1.records import Label
from rmr1.verdicts import parse_verdict

Sources = str | Path | Sequence[str | Path]
"""A file, folder or dataset, or several."""
Sides = Literal["named", "unnamed"]
"""Whether the row names its answers (A and B, 1 and 2), or has only a better and a worse one."""

MESSAGES = "messages"

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
    prompt: Messages
    """Empty if a rendered prompt could not be taken apart."""
    response_a: Messages
    response_b: Messages
    rendered: Messages | None = None
    """The judge's prompt as it stands in the row; None for pairs."""
    row: Row

    @property
    def group(self) -> bytes:
        """Digest of the prompt: rows with the same one are never independent."""
        messages = self.prompt or self.rendered or ()
        whole = "\0".join(f"{message.role}\1{message.text}" for message in messages)
        return hashlib.blake2b(whole.encode(errors="surrogatepass"), digest_size=16).digest()


@dataclass(slots=True, kw_only=True)
class RowCounts:
    """What became of the rows."""

    forms: dict[str, int] = field(default_factory=dict)
    ties: int = 0
    unlabelled: int = 0
    untaken: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)

    def refuse(self, error: DataError) -> None:
        self.unreadable += 1
        if len(self.problems) < 3:
            self.problems.append(str(error))

    @property
    def decided(self) -> int:
        return sum(self.forms.values())

    def report(self) -> dict[str, Any]:
        """The fields of `ProbeReport` that are counted here."""
        names = ("ties", "unlabelled", "untaken", "unreadable")
        known = {name: getattr(self, name) for name in names}
        return {"forms": dict(self.forms), **known, "problems": tuple(self.problems)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What either probe says of the rows."""

    source: str
    forms: Mapping[str, int]
    """Decided pairs by form."""
    pairs: int
    """Decided pairs; of bias those whose answers could be measured."""
    named: int
    """Pairs whose sides have names; only of these position is counted."""
    prompts: int
    ties: int
    unlabelled: int
    """No label, or a judge's turn without a verdict."""
    untaken: int
    """Rendered prompts that could not be taken apart; their frame is still looked at."""
    unreadable: int
    problems: tuple[str, ...]
    """The first unreadable rows, in words."""
    seed: int


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

    `limit` is the largest number of pairs read, decided or not; `step` is called with the number so far.
    """
    num_read = 0
    for one in (source,) if isinstance(source, str | Path) else source:
        left = None if limit is None else limit - num_read
        if left == 0:
            break
        first = next((row for row in scan_rows(one) if isinstance(row, Row)), None)
        if format is None and not columns and not labels and first is not None and _is_rendered(first.data):
            rows = _scan_rendered(one, counts, left)
        else:
            pairs = read_sourced_pairs(
                one,
                columns=columns,
                format=format,
                labels=labels,
                on_error="skip",
                errors=counts.refuse,
                limit=left,
            )
            rows = (_read_pair(pair, counts) for pair in pairs)
        for row in rows:
            num_read += 1
            if step is not None:
                step(num_read)
            if row is not None:
                yield row
    if not counts.decided:
        reason = (
            f"{counts.ties} ties and {counts.unlabelled} without a label; "
            "expected rows that say which answer is better"
        )
        if not counts.ties and not counts.unlabelled:
            reason = "it holds no rows"
        reason = next(iter(counts.problems), reason)
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


def _read_pair(one: SourcedPair, counts: RowCounts) -> ProbeRow | None:
    pair = one.pair
    if pair.label is None:
        counts.unlabelled += 1
        return None
    if pair.label == "tie":
        counts.ties += 1
        return None
    counts.forms[one.form] = counts.forms.get(one.form, 0) + 1
    return ProbeRow(
        label=pair.label,
        sides="named" if one.form in _NAMED else "unnamed",
        prompt=pair.prompt,
        response_a=pair.response_a,
        response_b=pair.response_b,
        row=one.row,
    )


def _scan_rendered(source: str | Path, counts: RowCounts, limit: int | None) -> Iterator[ProbeRow | None]:
    for row in itertools.islice(scan_rows(source), limit):
        try:
            if isinstance(row, DataError):
                raise row
            with placed(row):
                form, rendered, winner = _read_rendered(row)
        except DataError as error:
            counts.refuse(error)
            yield None
            continue
        if winner not in ("A", "B"):
            counts.unlabelled += 1
            yield None
            continue
        counts.forms[form] = counts.forms.get(form, 0) + 1
        yield _take_apart(row, rendered, winner, counts, is_escaped=form == MESSAGES)


def _read_rendered(row: Row) -> tuple[str, Messages, str | None]:
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
    data = {
        "context_messages": [{"role": message.role, "content": message.text} for message in rendered],
        "winner": f"model_{winner.lower()}",
    }
    try:
        (pair,) = find_reader(_RENDERED).pairs(Row(data=data, path=row.path, line=row.line))
    except DataError:
        counts.untaken += 1
        texts: tuple[Messages, ...] = ((), (), ())
    else:
        texts = pair.prompt, pair.response_a, pair.response_b
        if is_escaped:
            texts = tuple(map(_plain, texts))
    prompt, response_a, response_b = texts
    return ProbeRow(
        label=winner,
        sides="named",
        prompt=prompt,
        response_a=response_a,
        response_b=response_b,
        rendered=rendered,
        row=row,
    )


def _plain(messages: Messages) -> Messages:
    return tuple(
        Message(role=message.role, content=unescape(message.text, transcript=True)) for message in messages
    )
