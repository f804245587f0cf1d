"""The fields of a row that a leak is looked for in, and what a finding in each of them means.

A field is *condemned* where nothing but a fault can make it tell the label, and *told* where honest data do:
a better model wins more often, and its name, its stray newlines and its habits go with it.
"""

from __future__ import annotations

from collections.abc import Mapping
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


FRAME = FieldRule(name="prompt frame", unit="pair", by_auc=True, by_feature=True)
TOKENS = FieldRule(name="control tokens", unit="side", by_auc=True, by_feature=True)
SPEAKERS = FieldRule(name="speaker names", unit="side", by_auc=True, by_feature=True)
TURNS = FieldRule(name="turns", unit="side", by_auc=True, by_feature=True)
EDGES = FieldRule(name="white space", unit="side", by_auc=False, by_feature=True)
PROMPT_ROLES = FieldRule(name="prompt roles", unit="pair", by_auc=False, by_feature=True)
IDS = FieldRule(name="ids", unit="pair", by_auc=False, by_feature=True)
SIDE_IDS = FieldRule(name="ids of answers", unit="side", by_auc=False, by_feature=True)
COLUMNS = FieldRule(name="other columns", unit="pair", by_auc=False, by_feature=True)
SIDE_COLUMNS = FieldRule(name="columns of answers", unit="side", by_auc=False, by_feature=False)
MODELS = FieldRule(name="models", unit="pair", by_auc=False, by_feature=False)
SIDE_MODELS = FieldRule(name="models of answers", unit="side", by_auc=False, by_feature=False)

RULES = (
    FRAME,
    TOKENS,
    SPEAKERS,
    TURNS,
    EDGES,
    PROMPT_ROLES,
    IDS,
    SIDE_IDS,
    COLUMNS,
    SIDE_COLUMNS,
    MODELS,
    SIDE_MODELS,
)
_OF_PAIRS = {"ids": IDS, "models": MODELS, "other columns": COLUMNS}
_OF_SIDES = {"ids": SIDE_IDS, "models": SIDE_MODELS, "other columns": SIDE_COLUMNS}
_ANSWERS = ((TOKENS, control_tokens), (SPEAKERS, speaker_names), (TURNS, turn_structure), (EDGES, edges))


class FieldTable:
    """The features of all fields, filled row by row."""

    def __init__(self, ignored: frozenset[str] = frozenset()) -> None:
        self.sides = {rule.name: SideFeatures() for rule in RULES if rule.unit == "side"}
        self.pairs = {rule.name: PairFeatures() for rule in RULES if rule.unit == "pair"}
        self.read_from: dict[str, dict[str, None]] = {rule.name: {} for rule in RULES}
        self._ignored = ignored

    def add(self, row: ProbeRow, number: int, named_number: int | None) -> None:
        """A row's features.

        Args:
            number: of the row among all.
            named_number: of the row among those with named sides; None where it has none, and nothing of the
                pair can tell one.
        """
        if row.response_a and row.response_b:
            better, worse = row.response_a, row.response_b
            if row.label == "B":
                better, worse = worse, better
            for rule, find in _ANSWERS:
                self._sides(rule, "answers", number, dict(find(better)), dict(find(worse)))
        if named_number is not None and row.rendered is not None:
            rendered = row.rendered
            self.read_from[FRAME.name]["prompts as rendered"] = None
            self.pairs[FRAME.name].add(
                named_number, frame_features(rendered), lambda name: excerpt_of_feature(rendered, name)
            )
        elif named_number is not None:
            roles = " ".join(message.role for message in row.prompt[:6])
            self.read_from[PROMPT_ROLES.name]["prompts"] = None
            self.pairs[PROMPT_ROLES.name].add(named_number, (f"roles {roles}",), lambda name: "")
        self._add_cells(row, number, named_number)

    def _add_cells(self, row: ProbeRow, number: int, named_number: int | None) -> None:
        pairs: dict[str, dict[str, str]] = {}
        sides: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        for cell in read_cells(
            row.columns, label=row.label, is_named=row.sides == "named", ignored=self._ignored
        ):
            if cell.sides is None:
                rule = _OF_PAIRS[cell.kind]
                self.read_from[rule.name][cell.column] = None
                if named_number is not None and cell.value is not None:
                    pairs.setdefault(cell.kind, {}).update(_features_of(cell.kind, cell.column, cell.value))
                continue
            rule = _OF_SIDES[cell.kind]
            self.read_from[rule.name][cell.column] = None
            both = cell.sides if row.label == "A" else cell.sides[::-1]
            for features, value in zip(sides.setdefault(cell.kind, ({}, {})), both, strict=True):
                if value is not None:
                    features.update(_features_of(cell.kind, _common_name(cell.column), value))
        for kind, found in pairs.items():
            self.pairs[_OF_PAIRS[kind].name].add(named_number or 0, found, found.__getitem__)
        for kind, (better, worse) in sides.items():
            self.sides[_OF_SIDES[kind].name].add(number, better, worse)

    def _sides(
        self,
        rule: FieldRule,
        place: str,
        number: int,
        better: Mapping[str, str],
        worse: Mapping[str, str],
    ) -> None:
        self.read_from[rule.name][place] = None
        self.sides[rule.name].add(number, better, worse)


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
