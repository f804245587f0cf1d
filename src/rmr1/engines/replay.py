"""Recorded outputs as an engine: re-judge published logs or an old run without its model.

The recording is a run folder, or a JSONL file (or `.gz`) of our own form, one text per line:

    {"id": "pair-7", "order": "given", "text": "<type>Chat</type> ..."}

`id` is the pair's id, `order` ("given" if absent) the order it was shown in; several lines of one id
and order are several samples, or the occurrences of several pairs with that id, in file order.
Optional: `finish_reason`, `prompt_tokens`, `completion_tokens`, `model`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rmr1.data.codec import load_record
from rmr1.data.files import read_rows
from rmr1.data.runs import JUDGMENTS_FILE, RUN_FILE, read_judgments
from rmr1.engines.base import Request, SamplingParams
from rmr1.errors import DataError
from rmr1.records import Generation

_FIELDS = {"id", "order", "text", "finish_reason", "prompt_tokens", "completion_tokens", "model"}


class ReplayEngine:
    """Answers every request with the text recorded for its pair and order."""

    def __init__(self, path: str | Path):
        """Read the recording at `path`.

        Raises:
            DataError: the file cannot be read, or a line is not of the form above.
        """
        self.path = Path(path)
        self.name = f"replay:{path}"
        recorded: dict[tuple[str, str], deque[Generation]] = defaultdict(deque)
        digest = hashlib.sha256()
        for pair_id, order, generation in self._read():
            recorded[pair_id, order].append(generation)
            digest.update(f"{pair_id}\0{order}\0{generation.text}\0".encode(errors="surrogatepass"))
        self._recorded = recorded
        self._digest = digest.hexdigest()

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "replay", "content": self._digest}

    def special_tokens(self) -> tuple[str, ...]:
        return ()

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            texts = self._recorded.get((request.prompt.pair_id, request.prompt.order))
            if texts is None:
                missing = Generation(
                    text="",
                    finish_reason="error",
                    model=self.name,
                    error=f"nothing is recorded for pair {request.prompt.pair_id!r} in order {request.prompt.order!r}",
                )
                yield request, (missing,) * params.num_samples
                continue
            # The last recording stays, so that a pair which occurs again can be answered again.
            found = [texts.popleft() if len(texts) > 1 else texts[0] for _ in range(params.num_samples)]
            yield request, tuple(found)

    def close(self) -> None:
        self._recorded = {}

    def _read(self) -> Iterator[tuple[str, str, Generation]]:
        if (self.path / RUN_FILE).is_file():
            for _, judgment in read_judgments(self.path):
                for vote in judgment.votes:
                    yield judgment.pair.id, vote.order, vote.generation
            return
        if self.path.is_dir():
            raise DataError(
                f"a folder without {RUN_FILE} and {JUDGMENTS_FILE} is no recording", path=self.path
            )
        for row in read_rows(self.path):
            yield _read_line(row.data, str(row.path), row.line)


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
