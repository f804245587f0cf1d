"""Can the label be guessed from anything but what the answers say?

In comes any data of `rmr1.probe.rows`, out goes a `LeakReport`. The rules, the limits and what each of them is good
for are in `docs/probes.md`. Memory grows with the features of a row, not with its text.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from rmr1.errors import ConfigError
from rmr1.probe.columns import flatten
from rmr1.probe.crossval import guess_label
from rmr1.probe.features import Feature, Occurrence
from rmr1.probe.fields import RULES, FieldRule, FieldTable
from rmr1.probe.rows import ProbeReport, ProbeRow, RowCounts, Sources, name_sources, scan_probe_rows
from rmr1.records import Label
from rmr1.stats import Booleans, Floats, Numbers, binomial_p, runs_p

ALPHA_AUC = 0.01
"""Chance that any field of clean data is condemned for its AUC; shared out evenly."""
ALPHA_FEATURE = 0.01
"""Chance that any feature of clean data is condemned; shared out evenly."""
FEWEST = 20
"""Occurrences below which a feature is not condemned."""
PURE = 0.95
"""Share of its occurrences with one outcome from which a feature is condemned."""
PERMUTATIONS = 1999
_TOLD_PERMUTATIONS = 199
"""Enough if nothing is decided by them."""

_FEWEST_FOR_AUC = 5
_MOST_FEATURES = 3000
_SHOWN = 8
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakExample:
    """One row with a feature."""

    path: str
    line: int
    value: str
    excerpt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakFinding:
    """One feature that goes with an outcome."""

    field: str
    feature: str
    occurrences: int
    outcome: str
    """"better answer" or "worse answer" of side features, "A wins" or "B wins" of pair features."""
    share: float
    p: float
    """Exact binomial test on prompts, against even odds (side) or the base rate (pair); uncorrected."""
    is_leak: bool = False
    examples: tuple[LeakExample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReport:
    """What one field tells."""

    name: str
    read_from: tuple[str, ...]
    num_features: int
    """Features tested (5 or more occurrences)."""
    auc: float | None = None
    """Out of fold; None without anything to guess with."""
    p: float | None = None
    permutations: int = 0
    is_condemnable: bool = False
    """Whether the AUC of this field decides."""
    is_leak: bool
    findings: tuple[LeakFinding, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakReport(ProbeReport):
    """The whole answer."""

    labels_a: int
    ignored: tuple[str, ...]
    auc_limit: float
    """p-value at which a field is condemned."""
    feature_limit: float
    """p-value at which a feature is condemned."""
    num_features: int
    """Tests of one feature, or of the rows without it."""
    fields: tuple[FieldReport, ...]

    @property
    def is_leak(self) -> bool:
        return any(field.is_leak for field in self.fields)


def probe_leak(
    source: Sources,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    labels: Mapping[str, Label] | None = None,
    limit: int | None = None,
    ignored: Iterable[str] = (),
    strict: bool = False,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    step: Callable[[int], Any] | None = None,
) -> LeakReport:
    """Look for a leak in the data of `source`.

    Args:
        columns: our column names to the file's, for pairs of no known form.
        labels: what the values of the label's column mean, as of `rmr1.data.read_pairs`.
        ignored: columns to pass over, under their names in the file.
        strict: condemn in every field what is condemned in any, also what honest data show.
        step: called with the number of rows read so far.

    Raises:
        DataError: nothing can be read.
        ConfigError: an argument is wrong, or there are too few permutations.
    """
    rules = tuple(replace(rule, by_auc=True, by_feature=True) if strict else rule for rule in RULES)
    num_fields = sum(rule.by_auc for rule in rules)
    if permutations < (needed := ceil(num_fields / ALPHA_AUC)):
        raise ConfigError(
            f"{permutations} permutations are too few: no p-value could fall to the limit of "
            f"{ALPHA_AUC / num_fields:.4f}; expected {needed} or more"
        )
    counts = RowCounts()
    ignored = tuple(ignored)
    passed = frozenset([*ignored, *(columns or {}).values()])
    table = FieldTable(passed)
    seen = _Seen()
    rows = scan_probe_rows(
        source, counts, columns=columns, format=format, labels=labels, limit=limit, step=step
    )
    absent = set(ignored)
    for row in rows:
        table.add(row, *seen.add(row))
        if absent:
            absent -= row.row.data.keys() | flatten(row.row.data).keys()
    if absent:
        first = next(column for column in ignored if column in absent)
        raise ConfigError(f"no column {first!r} to ignore in {name_sources(source)}")
    tests = _Tests(seen=seen, table=table, permutations=permutations, seed=seed)
    built = [(rule, tests.features(rule)) for rule in rules]
    num_guessed = sum(rule.by_auc and bool(features) for rule, features in built)
    auc_limit = ALPHA_AUC / max(num_guessed, 1)
    num_features = sum(tests.count(rule, features) for rule, features in built if rule.by_feature)
    orders = seen.order_findings()
    num_tests = num_features + len(orders)
    feature_limit = ALPHA_FEATURE / max(num_tests, 1)
    fields = [tests.report(rule, features, auc_limit, feature_limit) for rule, features in built]
    fields.append(_order_report(seen, orders, feature_limit))
    return LeakReport(
        source=name_sources(source),
        **counts.report(),
        pairs=counts.decided,
        labels_a=int(seen.labels.sum()),
        named=len(seen.named),
        prompts=len(np.unique(seen.groups)),
        ignored=tuple(sorted(ignored)),
        seed=seed,
        auc_limit=auc_limit,
        feature_limit=feature_limit,
        num_features=num_tests,
        fields=tuple(field for field in fields if field.read_from),
    )


class _Seen:
    def __init__(self) -> None:
        self._labels = array("b")
        self._groups = array("q")
        self._numbers: dict[bytes, int] = {}
        self._paths: dict[str, int] = {}
        self._places = array("q")
        self._named = array("q")

    def add(self, row: ProbeRow) -> tuple[int, int | None]:
        number = len(self._labels)
        self._labels.append(row.label == "A")
        self._groups.append(self._numbers.setdefault(row.group, len(self._numbers)))
        path = self._paths.setdefault(row.row.path, len(self._paths))
        self._places.extend((path, row.row.line))
        if row.sides != "named":
            return number, None
        self._named.append(number)
        return number, len(self._named) - 1

    @cached_property
    def labels(self) -> Booleans:
        return np.array(self._labels, dtype=bool)

    @cached_property
    def groups(self) -> Numbers:
        return np.array(self._groups, dtype=np.int64)

    @cached_property
    def named(self) -> Numbers:
        """Numbers of the rows with named sides."""
        return np.array(self._named, dtype=np.int64)

    def place(self, number: int) -> tuple[str, int]:
        paths = list(self._paths)
        return paths[self._places[2 * number]], self._places[2 * number + 1]

    def order_findings(self) -> tuple[LeakFinding, ...]:
        """What placement and order tell; whether it is a leak is not said here."""
        labels = self.labels[self.named]
        total = len(labels)
        if total < FEWEST:
            return ()
        first = int(labels.sum())
        more = max(first, total - first)
        winner = "A wins" if first == more else "B wins"
        found = [_order_finding("where the better answer stands", winner, more, total, 0.5)]
        if more / total < PURE:
            same = int((labels[1:] == labels[:-1]).sum())
            chance = (first / total) ** 2 + (1 - first / total) ** 2
            found.append(_order_finding("the label of the row before", "same label", same, total - 1, chance))
        return tuple(found)


def _order_finding(feature: str, outcome: str, count: int, total: int, chance: float) -> LeakFinding:
    return LeakFinding(
        field="order",
        feature=feature,
        occurrences=total,
        outcome=outcome,
        share=count / total,
        p=binomial_p(count, total, chance),
    )


def _order_report(seen: _Seen, findings: tuple[LeakFinding, ...], limit: float) -> FieldReport:
    leaks = tuple(
        replace(finding, is_leak=True) for finding in findings if finding.share >= PURE and finding.p < limit
    )
    return FieldReport(
        name="order",
        read_from=("order of the rows", "places of the answers"),
        num_features=len(findings),
        is_leak=bool(leaks),
        findings=leaks,
        note=_order_note(seen),
    )


def _order_note(seen: _Seen) -> str:
    labels = seen.labels
    named = labels[seen.named]
    notes = []
    if len(named) < len(labels):
        others = np.delete(labels, seen.named)
        share = others.mean()
        notes.append(
            f"{len(others)} pairs have sides without names (chosen and rejected, or scores), the better answer "
            f"first in {100 * share:.1f}%"
        )
        if share >= PURE:
            notes[0] += (
                ": a convention of the file, no leak of the text; place the answers by a seed before a judge sees them"
            )
    if len(named):
        share = named.mean()
        notes.append(f"A wins {100 * share:.1f}% of {len(named)} pairs with named sides")
        runs, expected, p = runs_p(["A" if label else "B" for label in named])
        if p < 0.001 and 0 < share < 1:
            if runs == len(named) and len(named) >= FEWEST:
                notes.append(
                    "A and B win in turn: a rule of placement that leaves every part of the file even"
                )
            else:
                what = "clumps" if runs < expected else "alternation"
                notes.append(f"labels come in {what}: {runs} runs, {expected:.0f} by chance")
    return "; ".join(notes)


class _Rows(NamedTuple):
    name: str
    examples: tuple[Occurrence, ...]
    plus: int
    """How many of `total` have the outcome whose sign is 1."""
    total: int
    net: Floats
    """Sums of signs, by prompt."""


@dataclass(frozen=True, kw_only=True)
class _Tests:
    seen: _Seen
    table: FieldTable
    permutations: int
    seed: int

    def features(self, rule: FieldRule) -> tuple[Feature, ...]:
        size = {"fewest": _FEWEST_FOR_AUC, "most": _MOST_FEATURES}
        if rule.unit == "side":
            return self.table.sides[rule.name].build(**size)
        return self.table.pairs[rule.name].build(self.seen.labels[self.seen.named], **size)

    def count(self, rule: FieldRule, features: tuple[Feature, ...]) -> int:
        num_rows = len(self.seen.named) if rule.unit == "pair" else len(self.seen.labels)
        return sum(
            (len(feature.rows) >= FEWEST)
            + (feature.outside is not None and num_rows - len(feature.rows) >= FEWEST)
            for feature in features
        )

    def report(
        self, rule: FieldRule, features: tuple[Feature, ...], auc_limit: float, feature_limit: float
    ) -> FieldReport:
        rows = self.seen.named if rule.unit == "pair" else np.arange(len(self.seen.labels))
        labels = self.seen.labels[rows]
        _, groups = np.unique(self.seen.groups[rows], return_inverse=True)
        permutations = self.permutations if rule.by_auc else min(self.permutations, _TOLD_PERMUTATIONS)
        guess = guess_label(features, rule.unit, labels, groups, permutations=permutations, seed=self.seed)
        findings = self._findings(rule, features, labels, groups, feature_limit)
        is_guessed = rule.by_auc and guess is not None and guess.auc > 0.5 and guess.p <= auc_limit
        is_leak = is_guessed or any(finding.is_leak for finding in findings)
        return FieldReport(
            name=rule.name,
            read_from=tuple(self.table.read_from[rule.name]),
            num_features=len(features),
            **({} if guess is None else asdict(guess)),
            is_condemnable=rule.by_auc,
            is_leak=is_leak,
            findings=findings if is_leak or (guess is not None and guess.p < 0.01) else (),
            note="sides have no names" if rule.unit == "pair" and not len(self.seen.named) else "",
        )

    def _findings(
        self,
        rule: FieldRule,
        features: tuple[Feature, ...],
        labels: Booleans,
        groups: Numbers,
        limit: float,
    ) -> tuple[LeakFinding, ...]:
        base = 0.5
        whole = np.bincount(groups, weights=np.where(labels, 1.0, -1.0)) if len(labels) else np.zeros(0)
        if rule.unit == "pair" and len(labels):
            base = float((whole > 0).sum() / max((whole != 0).sum(), 1))
        found = []
        for feature in features:
            plus, total = int((feature.signs > 0).sum()), len(feature.rows)
            net = np.bincount(groups[feature.rows], weights=feature.signs, minlength=len(whole)).astype(float)
            tested = [_Rows(feature.name, feature.examples, plus, total, net)]
            if (others := feature.outside) is not None:
                rest = int(labels.sum()) - plus, len(labels) - total, whole - net
                tested.append(_Rows(others.name, others.examples, *rest))
            told = [self._test(rule, one, base, limit) for one in tested if one.total >= FEWEST]
            # A feature and the rows without it are one finding: what tells more of the two.
            found += sorted((one for one in told if one.is_leak or one.p < 0.05), key=_rank)[:1]
        return tuple(sorted(found, key=_rank)[:_SHOWN])

    def _test(self, rule: FieldRule, rows: _Rows, base: float, limit: float) -> LeakFinding:
        names = ("better answer", "worse answer") if rule.unit == "side" else ("A wins", "B wins")
        is_plus = 2 * rows.plus >= rows.total
        share = max(rows.plus, rows.total - rows.plus) / rows.total
        p = binomial_p(int((rows.net > 0).sum()), int((rows.net != 0).sum()), base)
        fitting = [one for one in rows.examples if one.sign == (1 if is_plus else -1)] or list(rows.examples)
        return LeakFinding(
            field=rule.name,
            feature=rows.name,
            occurrences=rows.total,
            outcome=names[0] if is_plus else names[1],
            share=share,
            p=p,
            is_leak=rule.by_feature and share >= PURE and p < limit,
            examples=tuple(dict.fromkeys(self._example(rule, one, names) for one in fitting))[:_EXAMPLES],
        )

    def _example(self, rule: FieldRule, one: Occurrence, names: tuple[str, str]) -> LeakExample:
        number = int(self.seen.named[one.row]) if rule.unit == "pair" else one.row
        path, line = self.seen.place(number)
        return LeakExample(
            path=path, line=line, value=names[0] if one.sign > 0 else names[1], excerpt=one.excerpt
        )


def _rank(finding: LeakFinding) -> tuple[bool, float, int]:
    return not finding.is_leak, finding.p, -finding.occurrences
