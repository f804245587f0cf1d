"""Recorded outputs as an engine: re-judge published logs or an old run without its model.

The recording is a run folder, or a JSONL file (or `.gz`) of our own form, one text per line:

    {"id": "pair-7", "order": "given", "text": "<type>Chat</type> ..."}

`id` is the pair's id, `order` ("given" if absent) the order it was shown in; several lines of one id
and order are several samples, or the occurrences of several pairs with that id, in file order.
Optional: `finish_reason`, `prompt_tokens`, `completion_tokens`, `model`.

A text of a run folder belongs to the very item that it was written for; those of a file are used up in the sequence
of the data, also by items that a run goes on after.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from rmr1.data.files import read_rows
from rmr1.data.ids import own_id
from rmr1.engines.base import Request, SamplingParams
from rmr1.errors import DataError
from rmr1.records import Generation, Order
from rmr1.store.codec import load_record
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE, read_judgments

_FIELDS = {"id", "order", "text", "finish_reason", "prompt_tokens", "completion_tokens", "model"}


class ReplayEngine:
    """Answers every request with the text recorded for its pair and order."""

    def __init__(self, path: str | Path):
        """Read the recording; `DataError` if it is not of the form above."""
        self.path = Path(path)
        self.name = f"replay:{path}"
        self._of_items: dict[tuple[str, str, str], list[Generation]] = defaultdict(list)
        """A run folder's texts by key, own id and order; ids that are places in a file change as rows move."""
        recorded: dict[tuple[str, str], list[tuple[int, Generation]]] = defaultdict(list)
        digest = hashlib.sha256()
        for key, pair_id, order, generation in self._read():
            if key is not None:
                self._of_items[key, own_id(pair_id), order].append(generation)
            recorded[pair_id, order].append((_occurrence_of(key or ""), generation))
            digest.update(f"{pair_id}\0{order}\0{generation.text}\0".encode(errors="surrogatepass"))
        self._recorded = {
            name: deque(generation for _, generation in sorted(found, key=itemgetter(0)))
            for name, found in recorded.items()
        }
        """Texts by id and order, for items of other data."""
        self._digest = digest.hexdigest()

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "replay", "content": self._digest}

    def special_tokens(self) -> tuple[str, ...]:
        return ()

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            prompt, samples = request.prompt, request.list_samples(params)
            texts = self._of_items.get((request.key.rpartition("/")[0], own_id(prompt.pair_id), prompt.slot))
            if texts is not None:
                found = tuple(texts[min(index, len(texts) - 1)] for index in samples)
            else:
                found = self._take(prompt.pair_id, prompt.slot, len(samples))
            missing = Generation(
                text="",
                finish_reason="error",
                model=self.name,
                error=f"nothing is recorded for pair {prompt.pair_id!r} in order {prompt.slot!r}",
            )
            yield request, found or (missing,) * len(samples)

    def pass_over(self, pair_id: str, slot: Order, params: SamplingParams) -> None:
        self._take(pair_id, slot, params.num_samples)

    def close(self) -> None:
        self._recorded = {}
        self._of_items.clear()

    def _take(self, pair_id: str, order: str, num: int) -> tuple[Generation, ...]:
        texts = self._recorded.get((pair_id, order))
        if texts is None:
            return ()
        # The last recording stays, so that a pair which occurs again can be answered again.
        return tuple(texts.popleft() if len(texts) > 1 else texts[0] for _ in range(num))

    def _read(self) -> Iterator[tuple[str | None, str, str, Generation]]:
        if (self.path / RUN_FILE).is_file():
            for key, judgment in read_judgments(self.path):
                for vote in judgment.votes:
                    yield key, judgment.pair.id, vote.slot, vote.generation
            return
        if self.path.is_dir():
            raise DataError(
                f"a folder without {RUN_FILE} and {JUDGMENTS_FILE} is no recording", path=self.path
            )
        for row in read_rows(self.path):
            yield None, *_read_line(row.data, str(row.path), row.line)


def _occurrence_of(key: str) -> int:
    # 0 of the first of equal items, 1 of the second (`rmr1.store.keys.format_key`).
    number = key.rpartition("-")[2] if "-" in key else ""
    return int(number) if number.isdecimal() else 0


def _read_line(data: dict[str, Any], path: str, line: int) -> tuple[str, str, Generation]:
    if unknown := set(data) - _FIELDS:
        raise DataError(f"unknown key {sorted(unknown)[0]!r} in a recorded output", path=path, line=line)
    if not isinstance(data.get("text"), str) or "id" not in data:
        raise DataError("a recorded output needs 'id' and a text in 'text'", path=path, line=line)
    order = data.get("order", "given")
    if order not in ("given", "swapped"):
        raise DataError(f"order is {order!r}; expected 'given' or 'swapped'", path=path, line=line)
    values = {"finish_reason": "stop"} | {key: data[key] for key in data if key not in ("id", "order")}
    return str(data["id"]), order, load_record(Generation, values)
