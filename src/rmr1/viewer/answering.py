"""What a person answers on the page -> labels in the folder: one standing label of a person on an item, each on the disk
before the next question is shown.

The file of labels is all that is known of the answers, so several pages, people and processes work on one folder, and a
killed one goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from rmr1.active.asking import Asker, Task
from rmr1.active.said import find_seen, find_standing, is_answer
from rmr1.active.sides import Shown, name_side, unseal
from rmr1.errors import ConfigError, DataError
from rmr1.screen import one_line
from rmr1.store.labels import LABELS_FILE, HumanLabel, append_label, now, read_labels

_SIDES: Mapping[str, Shown] = {"1": "1", "2": "2", "tie": "tie"}
_SKIP = "skip"
NO_CRITERION = "-"
"""The form's value for a side that none of the criteria decides."""
_MOST_LETTERS = 10_000
_MOST_NAME = 200

Kept = Literal["kept", "replaced", "again", "skipped", "seen"]
"""What became of an answer: a new label; one in the place of an earlier one; the same once more, of which there is one
label still; a skip; a label that is not blind, because the person had seen the item judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a person is."""

    done: int
    """Questions that they have answered or skipped."""
    total: int
    """Those that they are asked at most."""
    skipped: tuple[str, ...]
    """Keys of the items that they skipped."""
    last: str | None
    """The key of their last answer, which an undo takes back."""


class Answers:
    """The answers of all people about the questions of an asker."""

    def __init__(self, asker: Asker):
        self.asker = asker
        self._lock = threading.Lock()
        self._state: object = None
        self._labels: tuple[HumanLabel, ...] = ()
        self._is_asked: dict[str, bool] = {}

    def choose(self, who: str) -> Task | None:
        """The person's next question."""
        with self._lock:
            return self.asker.choose(self._read(), who)

    def find(self, key: str) -> Task:
        """The question about an item.

        Raises:
            DataError: Nobody is asked about it.
        """
        with self._lock:
            return self._find(key)

    def find_said(self, key: str, who: str) -> HumanLabel | None:
        """What the person says of an item now."""
        with self._lock:
            return find_standing(self._read(), who).get(key)

    def measure(self, who: str) -> Progress:
        """How far the person is."""
        with self._lock:
            mine = self._list_answers(who)
            return Progress(
                done=len(mine),
                total=self.asker.total,
                skipped=tuple(one.key for one in mine if one.is_skipped),
                last=mine[-1].key if mine else None,
            )

    def take(self, who: str, form: Mapping[str, str]) -> Kept:
        """Keep what a form says.

        Raises:
            ConfigError: It says nothing, or what cannot be. DataError: Its item is not asked about. RunError: The folder
                cannot be written.
        """
        who, key, said = check_name(who), form.get("key", ""), form.get("side", "")
        with self._lock:
            task = self._find(key)
            first = unseal(key, form.get("placed", ""))
            if first is None:
                raise ConfigError(
                    "this page does not tell which answer stood where; load it again and answer anew"
                )
            note = _read_note(form)
            labels = self._read()
            before = find_standing(labels, who).get(key)
            new = HumanLabel(key=key, who=who, when=now(), note=note or None)
            if said == _SKIP:
                new = replace(new, is_skipped=True)
            elif said in _SIDES:
                new = replace(
                    new, label=name_side(_SIDES[said], first), criterion=_read_criterion(task, form, said)
                )
                new = replace(new, is_blind=key not in find_seen(labels, who))
            else:
                raise ConfigError(
                    f"answer {said!r}: expected 1, 2, tie or skip" if said else "say which answer is better"
                )
            if before is not None and replace(new, when=before.when) == before:
                return "again"
            append_label(self.asker.folder, new)
            if new.is_skipped:
                return "skipped"
            if not new.is_blind:
                return "seen"
            return "kept" if before is None else "replaced"

    def undo(self, who: str) -> str | None:
        """Take back the person's last answer: its item's key, or None if there is nothing to take back.

        Raises:
            RunError: The folder cannot be written.
        """
        with self._lock:
            mine = self._list_answers(check_name(who))
            if not mine:
                return None
            append_label(self.asker.folder, HumanLabel(key=mine[-1].key, who=who, when=now(), is_undone=True))
            return mine[-1].key

    def _list_answers(self, who: str) -> list[HumanLabel]:
        """The person's standing answers to the asker's questions, the last one last."""
        found = []
        for key, one in find_standing(self._read(), who).items():
            if is_answer(one):
                if key not in self._is_asked:
                    self._is_asked[key] = self.asker.find(key) is not None
                if self._is_asked[key]:
                    found.append(one)
        return found

    def _find(self, key: str) -> Task:
        task = self.asker.find(key)
        if task is None:
            raise DataError(f"no question is about item {one_line(key[:80])!r}")
        return task

    def _read(self) -> tuple[HumanLabel, ...]:
        """All labels, read again if the file has changed."""
        path = self.asker.folder / LABELS_FILE
        about = path.stat() if path.is_file() else None
        state = about and (about.st_ino, about.st_size, about.st_mtime_ns)
        if self._state != state:
            self._labels = tuple(read_labels(self.asker.folder))
            self._state = state
        return self._labels


def check_name(who: str) -> str:
    """A person's name without white space around it.

    Raises:
        ConfigError: It is empty, long, or not one line.
    """
    name = who.strip()
    if not name:
        raise ConfigError("say who you are: a label is somebody's")
    if len(name) > _MOST_NAME or not name.isprintable():
        raise ConfigError(f"a name is one line of at most {_MOST_NAME} characters that can be seen")
    return name


def _read_note(form: Mapping[str, str]) -> str:
    note = form.get("note", "").replace("\r\n", "\n").strip()
    if len(note) > _MOST_LETTERS:
        raise ConfigError(f"a note of more than {_MOST_LETTERS} characters is not taken")
    return note


def _read_criterion(task: Task, form: Mapping[str, str], said: str) -> str | None:
    """The criterion that decides, in the person's own words if there are some."""
    if task.ask != "criterion":
        return None
    own, chosen = " ".join(form.get("own", "").split()), form.get("criterion", "")
    if len(own) > _MOST_LETTERS:
        raise ConfigError(f"a criterion of more than {_MOST_LETTERS} characters is not taken")
    if own:
        return own
    if chosen in {one.name or one.text for one in task.criteria}:
        return chosen
    if chosen not in ("", NO_CRITERION):
        raise ConfigError("this criterion is not among those that are shown; load the page again")
    if not chosen and said != "tie":
        raise ConfigError("say which criterion decides, write your own, or choose none of them")
    return None
