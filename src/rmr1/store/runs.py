"""Run folders: what a judging run leaves behind, and how it goes on after a stop.

    runs/x/
      run.json          how it was made: data, model, prompt texts, settings, versions; enough to repeat it;
                        and notes: what was found out about the model's server on the way
      judgments.jsonl   one line per finished item, only ever appended to
      summary.json      derived from the lines above; can be rebuilt at any time

A line is written with one system call, so a kill leaves at most one torn line, at the end; it is cut
off when the run goes on. A folder is locked while it is written. Everything that reads a run (`show`,
`bench --from`) reads these files and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple

from rmr1.data.ids import own_id
from rmr1.errors import DataError, RunError
from rmr1.records import NO_TEXT, Judgment
from rmr1.store.codec import dump_record, dumps, load_judgment, loads
from rmr1.store.folder import LEAVE, open_folder
from rmr1.store.identity import describe_differences
from rmr1.store.keys import KeyCounter, format_key, marked_digest, split_variant, stored_digest
from rmr1.store.lines import append_line, cut_torn_line
from rmr1.store.replace import read_json, replacing, write_json, write_text, writing

RUN_FILE = "run.json"
JUDGMENTS_FILE = "judgments.jsonl"
SUMMARY_FILE = "summary.json"

MOST_NOTES = 50
"""What was found out about a model or its server, at most; a note may name its item."""

COMPARED = ("data", "model", "prompt", "settings")
"""Sections of run.json that must be equal for a run to go on."""

DATA_KINDS = ("benchmark", "asked")
"""What must be equal of the data section if the data are known by their items."""

_RENEWED = ("data", "asked_by")
"""Sections that say what the run was last gone on with."""

_KEPT = "what was finished is kept: free space or permissions, then run the same command again"

Keys = Callable[[], Iterable[str]]
"""Reads the data anew: the key of every item in it, whatever part of it is asked for."""


class RunWriter:
    """An open run folder that judgments are appended to. A context manager."""

    def __init__(self, folder: Path, file: str, handle: int, stored: Finished, opened: ExitStack):
        self.folder = folder
        self.path = folder / file
        self.num_resumed = len(stored.keys)
        """Items that were already finished when the folder was opened."""
        self.has_answers = stored.has_answers
        self._handle = handle
        self._finished = stored.keys
        self._opened = opened
        self._notes: set[str] = set()
        self._places: dict[str, int] = {}

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def is_finished(self, key: str) -> bool:
        return key_digest(key) in self._finished

    def expect(self, key: str, place: int) -> None:
        """Say at which place of the data an item is that is asked about now; its line will tell."""
        self._places[key] = place

    def append(self, key: str, judgment: Judgment) -> None:
        place = self._places.pop(key, None)
        head = {"key": key} if place is None else {"key": key, "place": place}
        line = dumps({**head, **dump_record(judgment)}) + b"\n"
        with writing(self.path, _KEPT):
            append_line(self._handle, line)

    def add_notes(self, notes: Iterable[str]) -> None:
        """Keep in run.json what was found out about the model or its server."""
        if new := [note for note in notes if note not in self._notes]:
            self._notes.update(new)
            description = read_description(self.folder)
            known = dict.fromkeys([*description.get("notes", ()), *new])
            description["notes"] = list(islice(known, MOST_NOTES))
            write_json(self.folder / RUN_FILE, description)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        write_json(self.folder / SUMMARY_FILE, summary)


def open_run(
    folder: str | Path,
    description: Mapping[str, Any],
    *,
    retry_failed: bool = False,
    file: str = JUDGMENTS_FILE,
    failed_file: str | None = None,
    keeps_refused: bool = False,
    keys: Keys | None = None,
) -> RunWriter:
    """Create a run folder, or go on with one that was made in the same way; judgments go to `file` of it.

    With `keys`, the data are the set of their items: a run goes on if all its finished items are among them,
    whatever was added, in whatever files and sequence. Without, the data section has to be equal.

    With `retry_failed`, items for which the engine gave an error are taken out of the finished ones, to
    be judged again, and moved to `failed_file` if there is to be one; over-long prompts stay as they are, and with
    `keeps_refused` also items whose errors all are refusals for good.

    Raises:
        RunError: the folder holds something else, was made in another way (the message shows the
            differences), is being written by another process, or cannot be written.
    """
    folder = Path(folder)
    path = folder / file
    with ExitStack() as opened:
        opened.enter_context(
            open_folder(
                folder,
                RUN_FILE,
                description,
                identify=partial(_identify, has_items=keys is not None),
                is_ours=lambda name: name != file or not path.stat().st_size,
            )
        )
        stored = read_finished(path)
        if keys is not None:
            refuse_other_items(folder, keys, finished=stored.keys, data=description.get("data"), file=file)
            _renew(folder, description)
        with writing(folder, LEAVE):
            if retry_failed:
                kept = None if failed_file is None else folder / failed_file
                _drop_failed(path, kept, keeps_refused=keeps_refused)
                stored = read_finished(path)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            opened.callback(os.close, handle)
            cut_torn_line(handle)
        return RunWriter(folder, file, handle, stored, opened.pop_all())


class Finished(NamedTuple):
    """What a file of judgments holds: digests of the keys, and whether the model had answered any of them."""

    keys: KeyCounter
    has_answers: bool


def read_finished(path: Path) -> Finished:
    """Every key once; nothing if there is no such file."""
    keys = KeyCounter()
    has_answers = False
    for _, key, line in iterate_keys(path):
        if (digest := key_digest(key)) not in keys:
            keys.increment(digest)
        has_answers = has_answers or bool(line.get("scores"))
        has_answers = has_answers or any(
            one["finish_reason"] not in NO_TEXT for one in list_generations(line)
        )
    return Finished(keys, has_answers)


def key_digest(key: str) -> bytes:
    """16 bytes for a key with its occurrence number."""
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


def read_description(folder: str | Path) -> dict[str, Any]:
    """What run.json says."""
    path = Path(folder) / RUN_FILE
    if not path.exists():
        what = "it is a file" if Path(folder).is_file() else f"no {RUN_FILE}"
        raise RunError(f"{folder}: not a run folder ({what}); expected one that a run was stored in")
    return read_json(path)


def read_summary(folder: str | Path) -> dict[str, Any]:
    """What summary.json says."""
    return read_json(Path(folder) / SUMMARY_FILE)


def read_final_summary(
    folder: Path,
    keys: Keys,
    *,
    asked: Iterable[Sequence[str]],
    data: Mapping[str, Any],
    retry_failed: bool = False,
) -> dict[str, Any] | None:
    """The summary of a run in which all that is `asked` for now, each item by any of its keys, is finished, and
    which is about all that is."""
    summary = read_summary(folder) if (folder / SUMMARY_FILE).is_file() else None
    if summary is None or (retry_failed and summary["failed"]):
        return None
    finished = read_finished(folder / JUDGMENTS_FILE).keys
    if summary["items"] != len(finished) or not all(
        any(key_digest(key) in finished for key in keys) for keys in asked
    ):
        return None
    refuse_other_items(folder, keys, finished=finished, data=data)
    return summary


def read_judgments(folder: str | Path, *, file: str = JUDGMENTS_FILE) -> Iterator[tuple[str, Judgment]]:
    """(key, judgment) of every finished item, in the order they finished."""
    read_description(folder)
    path = Path(folder) / file
    for number, key, line in iterate_keys(path):
        yield key, load_line(line, path, number)


class JudgmentIndex:
    """The judgments that a file holds now, by their keys; each is read when it is asked for, and in memory are 16
    bytes and a place."""

    def __init__(self, path: Path):
        self._path = path
        if path.exists():
            with path.open("rb") as file:
                starts = array("Q", accumulate(map(len, file), initial=0))
        self._places = {key_digest(key): starts[number - 1] for number, key, _ in iterate_keys(path)}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Judgment]:
        return map(self._read, self._places.values())

    def get(self, key: str) -> Judgment | None:
        """The judgment under a key; None if there was none when this was made."""
        place = self._places.get(key_digest(key))
        return None if place is None else self._read(place)

    def _read(self, place: int) -> Judgment:
        with self._path.open("rb") as file:
            file.seek(place)
            return load_line(loads(file.readline()), self._path, None)


def load_line(line: dict[str, Any], path: Path, number: int | None) -> Judgment:
    """The judgment of a line's values, from which key and place are taken out."""
    del line["key"]
    line.pop("place", None)
    try:
        return load_judgment(line)
    except DataError as error:
        raise DataError(error.message, path=path, line=number) from None


def iterate_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and values of every whole line; nothing if there is no such file. A damaged line is an error."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield number, parse_line(line, path, number)


def parse_line(line: bytes, path: Path, number: int | None) -> dict[str, Any]:
    """The values of a line, which has a key.

    Raises:
        DataError: it is damaged.
    """
    try:
        values = loads(line)
    except ValueError:
        raise DataError("not valid JSON; the file was changed or damaged", path=path, line=number) from None
    if not isinstance(values, dict) or not isinstance(values.get("key"), str):
        raise DataError("not a judgment: it has no 'key'", path=path, line=number)
    return values


def _identify(description: Mapping[str, Any], *, has_items: bool) -> dict[str, Any]:
    found = {section: description.get(section) for section in COMPARED}
    if has_items:
        found["data"] = {name: (found["data"] or {}).get(name) for name in DATA_KINDS}
    return found


def _renew(folder: Path, description: Mapping[str, Any]) -> None:
    stored = read_description(folder)
    new = {name: value for name in _RENEWED if (value := description.get(name)) is not None}
    if any(loads(dumps(stored.get(name))) != loads(dumps(value)) for name, value in new.items()):
        write_json(folder / RUN_FILE, {**stored, **new})


def refuse_other_items(
    folder: Path,
    keys: Keys,
    *,
    finished: KeyCounter,
    data: Mapping[str, Any] | None = None,
    file: str = JUDGMENTS_FILE,
) -> None:
    """Read the data only if anything is finished, and only until all of that, as `read_finished` gives it, is there;
    `data` is the data section that is wanted, for the message."""
    num_left = len(finished)
    if num_left == 0:
        return
    # What is found is counted once more, so that no second counter is needed.
    for key in keys():
        if (digest := key_digest(key)) in finished and finished.increment(digest) == 1:
            num_left -= 1
            if num_left == 0:
                return
    for number, key, line in iterate_keys(folder / file):
        if finished.increment(key_digest(key)) == 1:
            before = read_description(folder).get("data")
            differences = describe_differences({"data": before}, {"data": data}) if before and data else None
            raise RunError(
                f"{folder}: {num_left} of {len(finished)} finished items are not in the data as they were judged, "
                f"the first is {line['pair']['id']!r} (line {number})"
                + ("" if differences is None else f": {differences}")
                + "; restore what was changed or removed, or choose another folder"
            )


def iterate_keys(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, key and values of the line of every finished item."""
    keys = KeyReader(path)
    for number, line in iterate_lines(path):
        yield number, keys.read(number, line), line


class KeyReader:
    """Reads the keys of a file's lines one after the other, from any line on.

    Earlier versions made a row's place in its file part of the key: such keys are made anew, from the pair and from
    how many equal ones stand before it, which are counted if the first such line comes.
    """

    def __init__(self, path: Path):
        self._path = path
        self._places: KeyCounter | None = None

    def read(self, number: int, line: Mapping[str, Any]) -> str:
        """The key of the item in line `number`, from 1."""
        key: str = line["key"]
        pair = line.get("pair")
        if split_variant(key)[1]:
            return key
        if not isinstance(pair, dict) or not isinstance(id := pair.get("id"), str) or own_id(id) == id:
            return key
        prefix = key.partition("-")[0]
        if prefix == marked_digest(pair).hex():
            return key
        digest = stored_digest(pair)
        is_old = prefix != digest.hex()
        if self._places is None:
            if not is_old:
                return key
            self._places = KeyCounter()
            for before, one in islice(iterate_lines(self._path), number - 1):
                self.read(before, one)
        occurrence = self._places.increment(digest)
        return format_key(digest, occurrence) if is_old else key


def _drop_failed(path: Path, kept: Path | None, *, keeps_refused: bool) -> None:
    """Rewrite the file without the items that hold a failed generation, which go to `kept`."""
    failed = [] if kept is None else [dumps(line) for _, line in iterate_lines(kept)]
    before = set(failed)  # a stop between the two files leaves an item in both
    with replacing(path) as part:
        with part.open("wb") as file:
            for _, values in iterate_lines(path):
                line = dumps(values)
                if not any(
                    one["finish_reason"] == "error" and not (keeps_refused and one.get("is_refused"))
                    for one in list_generations(values)
                ):
                    file.write(line + b"\n")
                elif line not in before:
                    failed.append(line)
        if kept is not None and failed:
            write_text(kept, "".join(line.decode() + "\n" for line in failed))


def list_generations(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The generations of a stored judgment."""
    return [vote["generation"] for vote in line.get("votes", ())]
