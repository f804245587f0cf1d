"""The fields of a row that a leak is looked for in, and what a finding in each of them means.

A field is *condemned* where nothing but a fault can make it tell the label, and *told* where honest data do:
a better model wins more often, and its name, its stray newlines and its habits go with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rmr1.probe.columns import id_features, read_cells
from rmr1.probe.features import PairFeatures, SideFeatures, Unit
from rmr1.probe.frame import excerpt_of_feature, frame_features
from rmr1.probe.rows import ProbeRow
from rmr1.probe.tokens import control_tokens, edges, speaker_names, turn_structure


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """One field and when it is condemned."""

    name: str
    unit: Unit
    by_auc: bool
    """An AUC above chance is a leak, however small."""
    by_feature: bool
    """One feature that goes with one outcome nearly always is a leak."""


RULES = (
    FieldRule(name="prompt frame", unit="pair", by_auc=True, by_feature=True),
    FieldRule(name="control tokens", unit="side", by_auc=True, by_feature=True),
    FieldRule(name="speaker names", unit="side", by_auc=True, by_feature=True),
    FieldRule(name="turns", unit="side", by_auc=True, by_feature=True),
    FieldRule(name="white space", unit="side", by_auc=False, by_feature=True),
    FieldRule(name="prompt roles", unit="pair", by_auc=False, by_feature=True),
    FieldRule(name="ids", unit="pair", by_auc=False, by_feature=True),
    FieldRule(name="ids of answers", unit="side", by_auc=False, by_feature=True),
    FieldRule(name="other columns", unit="pair", by_auc=False, by_feature=True),
    FieldRule(name="columns of answers", unit="side", by_auc=False, by_feature=False),
    FieldRule(name="models", unit="pair", by_auc=False, by_feature=False),
    FieldRule(name="models of answers", unit="side", by_auc=False, by_feature=False),
)
_OF_SIDES = {"ids": "ids of answers", "models": "models of answers", "other columns": "columns of answers"}
"""Kind of a column that has a partner -> its field; of any other column the kind is the field."""
_OF_ANSWERS = {
    "control tokens": control_tokens,
    "speaker names": speaker_names,
    "turns": turn_structure,
    "white space": edges,
}


class FieldTable:
    """The features of all fields, filled row by row."""

    def __init__(self, ignored: frozenset[str] = frozenset()) -> None:
        self.sides = {rule.name: SideFeatures() for rule in RULES if rule.unit == "side"}
        self.pairs = {rule.name: PairFeatures() for rule in RULES if rule.unit == "pair"}
        self.read_from: dict[str, dict[str, None]] = {rule.name: {} for rule in RULES}
        self._ignored = ignored

    def add(self, row: ProbeRow, number: int, named_number: int | None) -> None:
        """A row's features.

        `number` is the row's among all, `named_number` that among those with named sides; None if it has none.
        """
        if row.response_a and row.response_b:
            better, worse = row.response_a, row.response_b
            if row.label == "B":
                better, worse = worse, better
            for name, find in _OF_ANSWERS.items():
                self.read_from[name]["answers"] = None
                self.sides[name].add(number, dict(find(better)), dict(find(worse)))
        if named_number is not None and row.rendered is not None:
            rendered = row.rendered
            self.read_from["prompt frame"]["prompts as rendered"] = None
            self.pairs["prompt frame"].add(
                named_number, frame_features(rendered), lambda name: excerpt_of_feature(rendered, name)
            )
        elif named_number is not None:
            roles = " ".join(message.role for message in row.prompt[:6])
            self.read_from["prompt roles"]["prompts"] = None
            self.pairs["prompt roles"].add(named_number, (f"roles {roles}",), lambda name: "")
        self._add_cells(row, number, named_number)

    def _add_cells(self, row: ProbeRow, number: int, named_number: int | None) -> None:
        pairs: dict[str, dict[str, str]] = {}
        sides: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        for cell in read_cells(
            row.row.data, label=row.label, is_named=row.sides == "named", ignored=self._ignored
        ):
            if cell.sides is None:
                self.read_from[cell.kind][cell.column] = None
                if named_number is not None and cell.value is not None:
                    pairs.setdefault(cell.kind, {}).update(_features_of(cell.kind, cell.column, cell.value))
                continue
            self.read_from[_OF_SIDES[cell.kind]][cell.column] = None
            both = cell.sides if row.label == "A" else cell.sides[::-1]
            for features, value in zip(sides.setdefault(cell.kind, ({}, {})), both, strict=True):
                if value is not None:
                    features.update(_features_of(cell.kind, _common_name(cell.column), value))
        for kind, found in pairs.items():
            self.pairs[kind].add(named_number or 0, found, found.__getitem__)
        for kind, (better, worse) in sides.items():
            self.sides[_OF_SIDES[kind]].add(number, better, worse)


@lru_cache(maxsize=256)
def _common_name(columns: str) -> str:
    """`generator_*` for `generator_1, generator_2`."""
    first, second = columns.split(", ", 1)
    start = next((i for i, (one, two) in enumerate(zip(first, second, strict=False)) if one != two), 0)
    rest = zip(first[:start:-1], second[:start:-1], strict=False)
    end = next((i for i, (one, two) in enumerate(rest) if one != two), len(first) - start - 1)
    return f"{first[:start]}*{first[len(first) - end :]}"


def _features_of(kind: str, column: str, value: str) -> list[tuple[str, str]]:
    if kind == "ids":
        return [(f"{column}: {name}", value) for name in id_features(value)]
    return [(f"{column} = {value!r}", value)]
