"""The judgments of a run that are wanted, with the labels that count: what exports and reports read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rmr1.audit.filters import Filter
from rmr1.errors import ConfigError
from rmr1.records import Judgment
from rmr1.store.kinds import find_kind
from rmr1.store.labels import SettledLabels, read_labels, settle_labels
from rmr1.store.runs import read_description, read_judgments


class Selection:
    """Reads the run anew each time it is gone through, one judgment at a time."""

    def __init__(
        self,
        folder: Path,
        wanted: Filter | None = None,
        *,
        with_labels: bool = False,
        only_labelled: bool = False,
    ):
        """Name the run and what is wanted of it. If `with_labels` is set, what people agree on takes the place
        of the data's label, before anything is filtered or counted; an item of which they disagree has no label. With
        `only_labelled`, items about which people have said nothing are left out.

        Raises:
            ConfigError: the folder holds no judgments. RunError: it is no folder of ours.
        """
        if (kind := find_kind(folder)) != "run":
            raise ConfigError(f"{folder}: holds no judgments (it was made by rmr1 {kind})")
        self.folder = folder
        self.wanted = wanted or Filter()
        self.with_labels = with_labels
        self.only_labelled = only_labelled
        self.people = settle_labels(read_labels(folder))
        """What people agree on, whether or not it counts."""
        self.settled = self.people if with_labels else SettledLabels(labels={})

    def __iter__(self) -> Iterator[tuple[str, Judgment]]:
        for key, judgment in read_judgments(self.folder):
            if self.has_people_label(key) or key in self.settled.disputed:
                label = self.settled.labels.get(key)
                judgment = replace(judgment, pair=replace(judgment.pair, label=label))
            elif self.only_labelled:
                continue
            if self.wanted.matches(key, judgment):
                yield key, judgment

    def has_people_label(self, key: str) -> bool:
        """Whether the item's label is that of people."""
        return key in self.settled.labels

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """What the run says of itself (run.json)."""
        return read_description(self.folder)

    @property
    def model_name(self) -> str:
        """The judge as it was named."""
        return str(self.description.get("model_name") or "unknown")
