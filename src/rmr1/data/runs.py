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

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rmr1.data.codec import dump_record, dumps, load_record, loads
from rmr1.data.differences import describe_differences
from rmr1.data.keys import KeyCounter, format_key, marked_digest, own_id, stored_digest
from rmr1.data.replace import write_json, write_text
from rmr1.errors import DataError, RunError
from rmr1.records import NO_TEXT, Judgment

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

Keys = Callable[[], Iterable[str]]
"""Reads the data anew: the key of every item in it, whatever part of it is asked for."""


class RunWriter:
    """An open run folder that judgments are appended to. A context manager."""

    def __init__(
        self,
        folder: Path,
        lock: int,
        handle: int,
        finished: KeyCounter,
        *,
        file: str = JUDGMENTS_FILE,
        has_answers: bool = False,
    ):
        self.folder = folder
        self.path = folder / file
        """What is appended to."""
        self.num_resumed = len(finished)
        """Items that were already finished when the folder was opened."""
        self.has_answers = has_answers
        """Whether the model had answered any of them."""
        self._lock = lock
        self._handle = handle
        self._finished = finished
        self._notes: set[str] = set()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._handle)
        os.close(self._lock)

    def is_finished(self, key: str) -> bool:
        return key_digest(key) in self._finished

    def append(self, key: str, judgment: Judgment) -> None:
        """Store one finished item.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        line = dumps({"key": key, **dump_record(judgment)}) + b"\n"
        start = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
            while written < len(line):
                written += os.write(self._handle, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, start)
            raise RunError(
                f"{self.path}: cannot write ({error.strerror}); "
                "what was finished is kept: free space or permissions, then run the same command again"
            ) from None

    def add_notes(self, notes: Iterable[str]) -> None:
        """Keep in run.json what was found out about the model or its server.

        Raises:
            RunError: run.json cannot be read any more.
        """
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
    with contextlib.ExitStack() as opened:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, lock)
            _lock(lock, folder)
            _check_description(folder, description, file, has_items=keys is not None)
            stored = read_finished(folder / file)
            if keys is not None:
                refuse_other_items(
                    folder, keys, finished=stored.keys, data=description.get("data"), file=file
                )
                _renew(folder, description)
            if retry_failed:
                kept = None if failed_file is None else folder / failed_file
                _drop_failed(folder / file, kept, keeps_refused=keeps_refused)
                stored = read_finished(folder / file)
            handle = os.open(folder / file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            opened.callback(os.close, handle)
        except RunError:
            raise
        except OSError as error:
            raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
        _cut_torn_line(handle)
        opened.pop_all()
        return RunWriter(folder, lock, handle, stored.keys, file=file, has_answers=stored.has_answers)


class Finished(NamedTuple):
    """What a file of judgments holds."""

    keys: KeyCounter
    """The digests of the keys."""
    has_answers: bool
    """Whether the model had answered any of them."""


def read_finished(path: Path) -> Finished:
    """Every key once; nothing if there is no such file.

    Raises:
        DataError: a line is damaged; the message names it.
    """
    keys = KeyCounter()
    has_answers = False
    for _, key, line in iterate_keys(path) if path.exists() else ():
        if (digest := key_digest(key)) not in keys:
            keys.increment(digest)
        has_answers = has_answers or _has_answer(line)
    return Finished(keys, has_answers)


def key_digest(key: str) -> bytes:
    """16 bytes for a key with its occurrence number."""
    import hashlib

    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


def read_description(folder: str | Path) -> dict[str, Any]:
    """What run.json says.

    Raises:
        RunError: the folder is not a run folder.
    """
    path = Path(folder) / RUN_FILE
    try:
        return loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        what = "it is a file" if Path(folder).is_file() else f"no {RUN_FILE}"
        raise RunError(
            f"{folder}: not a run folder ({what}); expected one that a run was stored in"
        ) from None
    except ValueError:
        raise RunError(f"{path}: not valid JSON; the file was changed or damaged") from None


def read_judgments(folder: str | Path, *, file: str = JUDGMENTS_FILE) -> Iterator[tuple[str, Judgment]]:
    """(key, judgment) of every finished item, in the order they finished; a torn last line is left out.

    Raises:
        RunError: the folder is not a run folder.
        DataError: a line is damaged; the message names it.
    """
    folder = Path(folder)
    read_description(folder)
    path = folder / file
    for number, key, line in iterate_keys(path):
        del line["key"]
        try:
            yield key, load_record(Judgment, line)
        except DataError as error:
            raise DataError(error.message, path=path, line=number) from None


def iterate_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                values = loads(line)
            except ValueError:
                raise DataError(
                    "not valid JSON; the file was changed or damaged", path=path, line=number
                ) from None
            if not isinstance(values, dict) or "key" not in values:
                raise DataError("not a judgment: it has no 'key'", path=path, line=number)
            yield number, values


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"{folder}: another process is writing this run, or a call of this one that has not ended; wait for it or "
            "choose another folder"
        ) from None
    except OSError:
        pass  # a file system without locks; two writers are then the user's care


def _check_description(folder: Path, description: Mapping[str, Any], file: str, *, has_items: bool) -> None:
    """Write run.json, or make sure that the one there says the same."""
    judgments = folder / file
    if (folder / RUN_FILE).exists():
        stored = read_description(folder)
        if has_items:
            stored, description = _without_source(stored), _without_source(description)
        refuse_differences(folder, stored, description)
    elif judgments.exists() and judgments.stat().st_size:
        raise RunError(f"{folder}: holds {file} but no {RUN_FILE}; choose another folder")
    else:
        write_json(folder / RUN_FILE, description)


def _without_source(description: Mapping[str, Any]) -> dict[str, Any]:
    data = description.get("data") or {}
    return {**description, "data": {name: data.get(name) for name in DATA_KINDS}}


def _renew(folder: Path, description: Mapping[str, Any]) -> None:
    """Let run.json name the data and the command that the run goes on with, where they are known."""
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
    """Read the data only if anything is finished, and only until all of that is found. The folder is only read.

    `finished` is that of `read_finished`; `data`, the data section that is wanted, shows in the message how it differs
    from the stored one.

    Raises:
        RunError: a finished item is not in the data; the message names the first such.
    """
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
    """Number, key and values of the line of every finished item.

    Earlier versions made a row's place in its file part of the key: such keys are made anew, from the pair.
    """
    places = KeyCounter()
    for number, line in iterate_lines(path):
        key, pair = line["key"], line.get("pair")
        if isinstance(pair, dict) and isinstance(id := pair.get("id"), str) and own_id(id) != id:
            prefix = key.partition("-")[0]
            if prefix != marked_digest(pair).hex():
                digest = stored_digest(pair)
                occurrence = places.increment(digest)
                if prefix != digest.hex():
                    key = format_key(digest, occurrence)
        yield number, key, line


def _drop_failed(path: Path, kept: Path | None, *, keeps_refused: bool) -> None:
    """Rewrite the file without the items that hold a failed generation; replaced as a whole. They go to `kept`."""
    if not path.exists():
        return
    failed = [] if kept is None or not kept.exists() else [dumps(line) for _, line in iterate_lines(kept)]
    before = set(failed)  # a stop between the two files leaves an item in both
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            for _, values in iterate_lines(path):
                line = dumps(values)
                generations = [vote["generation"] for vote in values.get("votes", ())]
                if not any(
                    one["finish_reason"] == "error" and not (keeps_refused and one.get("is_refused"))
                    for one in generations
                ):
                    file.write(line + b"\n")
                elif line not in before:
                    failed.append(line)
        if kept is not None and failed:
            write_text(kept, "".join(line.decode() + "\n" for line in failed))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _has_answer(line: Mapping[str, Any]) -> bool:
    """Whether a stored judgment holds a text or scores of the model."""
    generations = (vote["generation"] for vote in line.get("votes", ()))
    return bool(line.get("scores")) or any(one["finish_reason"] not in NO_TEXT for one in generations)


def _cut_torn_line(handle: int) -> None:
    """Drop what follows the last line break: a line whose write was cut short."""
    size = os.fstat(handle).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        block = os.pread(handle, end - start, start)
        position = block.rfind(b"\n")
        if position >= 0:
            end = start + position + 1
            break
        end = start
    if end != size:
        os.ftruncate(handle, end)


def refuse_differences(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """
    Raises:
        RunError: a section of `COMPARED` is not the same; the message shows how.
    """
    difference = describe_differences(
        {section: stored.get(section) for section in COMPARED},
        {section: wanted.get(section) for section in COMPARED},
    )
    if difference is not None:
        raise RunError(
            f"{folder}: this run was made in another way: {difference}; choose another folder, or repeat the "
            "old settings"
        )
