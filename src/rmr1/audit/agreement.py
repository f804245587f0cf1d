"""Agreement: of judges with each other, by the items that they share, and of a judge with people.

Cohen's kappa of two (Cohen 1960) and Krippendorff's alpha of any number (nominal; Krippendorff 2011), beyond what chance would
give: 1 is full agreement, 0 what chance gives, below 0 less than that. A verdict of A, B or a tie is a value; no verdict is
none. Alpha's chance is that of all values together, kappa's that of each rater's own. Intervals are of the jackknife by prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmr1.audit.columns import Array, Columns
from rmr1.audit.finding import FEWEST, Audit, Evidence, Finding, percent
from rmr1.audit.measures import Measured, number_groups, weigh_limit
from rmr1.stats import Floats, student_quantile
from rmr1.store.labels import SettledLabels

VALUES = ("A", "B", "tie")
LEAST = 0.2
"""Agreement of this size or more is no alarm: below it is what Landis and Koch (1977) call slight."""


def find_kappa(table_VV: Floats) -> float:
    """Cohen's kappa of a table of the first rater's values by the second's; nan if chance explains all.

    >>> round(find_kappa(np.array([[20.0, 5.0], [10.0, 15.0]])), 3)
    0.4
    """
    total = table_VV.sum()
    chance = float(table_VV.sum(axis=1) @ table_VV.sum(axis=0)) / total**2
    return float((np.trace(table_VV) / total - chance) / (1 - chance)) if chance < 1 else float("nan")


def find_alpha(table_VV: Floats) -> float:
    """Krippendorff's alpha of a table of coincidences (`count_coincidences`); nan if all values are the same."""
    counts_V, total = table_VV.sum(axis=1), table_VV.sum()
    expected = total**2 - float((counts_V**2).sum())
    return float(1 - (total - 1) * (total - np.trace(table_VV)) / expected) if expected > 0 else float("nan")


def count_coincidences(values_IR: Array) -> Floats:
    """Tables of coincidences `[I, V, V]`, one for each item: of its raters' values, -1 being none, how often two of
    different raters go together, divided by its raters less one."""
    counts_IV = np.stack([(values_IR == value).sum(axis=1) for value in range(len(VALUES))], axis=1).astype(
        float
    )
    raters_I = counts_IV.sum(axis=1)
    pairs_IVV = counts_IV[:, :, None] * counts_IV[:, None, :]
    diagonal = np.arange(len(VALUES))
    pairs_IVV[:, diagonal, diagonal] -= counts_IV
    tables: Floats = pairs_IVV / np.maximum(raters_I - 1, 1)[:, None, None]
    return tables


def count_crossed(first_I: Array, second_I: Array) -> Floats:
    """Tables `[I, V, V]` of two raters' values, one for each item; both have one."""
    one_V = np.arange(len(VALUES))
    crossed: Floats = (
        (first_I[:, None] == one_V)[:, :, None] & (second_I[:, None] == one_V)[:, None, :]
    ).astype(float)
    return crossed


def measure_agreement(tables_IVV: Floats, prompts_I: Array, find: Callable[[Floats], float]) -> Measured:
    """A coefficient of the sum of the items' tables, its interval by leaving out each prompt in turn, and whether it is
    below `LEAST`."""
    index_I = number_groups(prompts_I)
    prompts = int(index_I.max()) + 1
    width = tables_IVV.shape[1]
    flat = tables_IVV.reshape(len(tables_IVV), -1)
    tables_P = np.stack([np.bincount(index_I, one) for one in flat.T], axis=1).reshape(-1, width, width)
    whole = tables_P.sum(axis=0)
    size = find(whole)
    if prompts < 2 or np.isnan(size):
        return Measured(size=size, interval=None, p=None)
    # Prompts with equal tables are left out once for all of them.
    kinds, counts = np.unique(tables_P.reshape(prompts, -1), axis=0, return_counts=True)
    left = np.array([find(whole - one.reshape(width, width)) for one in kinds])
    if np.isnan(left).any():
        return Measured(size=size, interval=None, p=None)
    mean = float((left * counts).sum() / prompts)
    error = float(np.sqrt((prompts - 1) / prompts * (counts * (left - mean) ** 2).sum()))
    half = student_quantile(prompts - 1) * error
    interval = max(-1.0, size - half), min(1.0, size + half)
    return Measured(size=size, interval=interval, p=weigh_limit(size, error, prompts - 1, LEAST, "below"))


def code_winners(columns: Columns, field: str = "winner") -> Array:
    """The verdicts as places in `VALUES`; -1 for none and for answers C and D."""
    names = columns.names[field]
    codes = np.array([*(VALUES.index(one) if one in VALUES else -1 for one in names), -1], dtype=np.int64)
    coded: Array = codes[columns.numbers[field]]
    return coded


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One judge's verdicts, by the keys of their items."""

    name: str
    evidence: Evidence
    """It has the columns `winner` and `prompt`."""

    def by_key(self) -> dict[str, int]:
        """Key -> place."""
        return {
            one.decode() if isinstance(one, bytes) else str(one): place
            for place, one in enumerate(self.evidence.keys)
        }


BETWEEN = Audit(
    name="judges",
    question="Do the judges agree on the items that they share?",
    columns=("winner", "prompt"),
    limit=LEAST,
    is_coefficient=True,
    examine=lambda audit, evidence: audit.lack(evidence, "a second run"),
)
PEOPLE = Audit(
    name="people",
    question="Does it agree with people?",
    columns=("winner", "prompt"),
    limit=LEAST,
    is_coefficient=True,
    examine=lambda audit, evidence: audit.lack(evidence, "labels of people (labels.jsonl)"),
)


def compare_runs(runs: Sequence[Run]) -> tuple[Finding, ...]:
    """The agreement of every two runs, and of all together if there are more than two; nothing for a single run."""
    places = [one.by_key() for one in runs]
    found = []
    for first in range(len(runs)):
        for second in range(first + 1, len(runs)):
            found.append(_compare(runs, places, (first, second)))
    if len(runs) > 2:
        found.append(_compare(runs, places, tuple(range(len(runs)))))
    return tuple(found)


def _compare(runs: Sequence[Run], places: Sequence[Mapping[str, int]], chosen: tuple[int, ...]) -> Finding:
    """The agreement over the items that all of them have: kappa of two runs, alpha of more."""
    shared = [key for key in places[chosen[0]] if all(key in places[number] for number in chosen[1:])]
    names = (
        " and ".join(runs[number].name for number in chosen)
        if len(chosen) == 2
        else f"all {len(chosen)} runs"
    )
    evidence = Evidence(columns=runs[chosen[0]].evidence.columns, keys=shared)
    total = len({key for number in chosen for key in places[number]})
    if not shared:
        lacks = f"shared items: {names} are of different pairs (items are the same if all their texts, ids and labels are)"
        return replace(BETWEEN.lack(evidence, lacks), items=total)
    values_IR = np.stack(
        [
            code_winners(runs[number].evidence.columns)[[places[number][key] for key in shared]]
            for number in chosen
        ],
        axis=1,
    )
    prompts_I = runs[chosen[0]].evidence.column("prompt")[[places[chosen[0]][key] for key in shared]]
    finding = _describe(BETWEEN, evidence, values_IR, prompts_I, names)
    return replace(finding, items=total)


def _describe(audit: Audit, evidence: Evidence, values_IR: Array, prompts_I: Array, names: str) -> Finding:
    is_told_I = (values_IR >= 0).sum(axis=1) > 1
    used = int(is_told_I.sum())
    if used < FEWEST:
        return audit.lack(evidence, f"more items with verdicts: {names} share {used}, {FEWEST} are needed")
    values_IR, prompts_I = values_IR[is_told_I], prompts_I[is_told_I]
    alpha = measure_agreement(count_coincidences(values_IR), prompts_I, find_alpha)
    differs_I = values_IR.max(axis=1) != np.where(values_IR < 0, len(VALUES), values_IR).min(axis=1)
    told = f"the same in {percent(1 - float(differs_I.mean()))} of {used:,} items with verdicts"
    measured, word = alpha, f"alpha {alpha.size:.3f}"
    if values_IR.shape[1] == 2:
        measured = measure_agreement(count_crossed(values_IR[:, 0], values_IR[:, 1]), prompts_I, find_kappa)
        word = f"kappa {measured.size:.3f}, alpha {alpha.size:.3f}"
    behind = np.flatnonzero(is_told_I)[differs_I]
    return audit.find(evidence, measured, used=used, says=f"{names}: {word}, {told}", behind=behind)


def compare_people(evidence: Evidence, people: SettledLabels) -> Finding:
    """The agreement of the verdicts with what people agree on, and in the sentence that of people among themselves."""
    keys = [one.decode() if isinstance(one, bytes) else str(one) for one in evidence.keys]
    places = np.array([place for place, key in enumerate(keys) if key in people.labels], dtype=np.int64)
    if not len(places):
        return PEOPLE.lack(evidence, "labels of people (labels.jsonl)")
    winners_I = code_winners(evidence.columns)[places]
    said_I = np.array([VALUES.index(people.labels[keys[place]]) for place in places])
    taken = Evidence(columns=evidence.columns, keys=[keys[place] for place in places])
    prompts_I = evidence.column("prompt")[places]
    finding = _describe(
        PEOPLE, taken, np.stack([winners_I, said_I], axis=1), prompts_I, "the judge and people"
    )
    if not finding.says:
        return replace(finding, items=len(evidence))
    more = _tell_opinions([people.opinions[key] for key in keys if key in people.opinions])
    return replace(finding, items=len(evidence), says=finding.says + more)


def _tell_opinions(opinions: Sequence[Sequence[str]]) -> str:
    """How far people agree with each other, as the end of a sentence."""
    if not opinions:
        return ""
    most = max(map(len, opinions))
    coded = [[VALUES.index(side) for side in sides] + [-1] * (most - len(sides)) for sides in opinions]
    alpha = find_alpha(count_coincidences(np.array(coded)).sum(axis=0))
    told = "no alpha, as all labels are the same" if np.isnan(alpha) else f"alpha {alpha:.3f}"
    return f"; people among themselves: {told}, over {len(opinions):,} items"
