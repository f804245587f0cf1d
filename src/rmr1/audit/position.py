"""Position: does the answer that is shown first win because it is first?

Of pairs asked in both orders the size is how much more often the first place wins than the second: a judge without the fault
names the same answer in both orders, whichever is better, and its places win equally often. A judge that names the first
place with probability q whatever it reads has size q. Of pairs asked in one order it is the accuracy if the label's answer
stands first less that if it stands second, inside of subsets; or, without labels, the wins of the first place less those
of the second, which needs that places were drawn.
"""

from __future__ import annotations

import numpy as np

from rmr1.audit.finding import FEWEST, Audit, Evidence, Finding, percent
from rmr1.audit.leaning import read_leanings
from rmr1.audit.measures import measure_lean


def _examine(audit: Audit, evidence: Evidence) -> Finding:
    columns = evidence.columns
    given_a, given_b, swapped_a, swapped_b = (
        columns.is_named(order, side) for order in ("given", "swapped") for side in ("A", "B")
    )
    is_decided_I = (evidence.column("given") >= 0) & (evidence.column("swapped") >= 0)
    places_I = np.flatnonzero(is_decided_I)
    if len(places_I) < FEWEST:
        return _examine_single(audit, evidence)
    first_I, second_I = given_a & swapped_b, given_b & swapped_a
    lean_I = (first_I.astype(np.int8) - second_I)[places_I].astype(np.float64)
    measured = measure_lean(lean_I, evidence.column("prompt")[places_I], audit.limit)
    first, second = int(first_I.sum()), int(second_I.sum())
    says = (
        f"asked both ways, the first answer wins twice in {first:,} and the second in {second:,} of "
        f"{len(places_I):,} pairs"
    )
    behind = np.flatnonzero(first_I if first >= second else second_I)
    return audit.find(evidence, measured, used=len(places_I), says=says, behind=behind)


def _examine_single(audit: Audit, evidence: Evidence) -> Finding:
    """Pairs asked in one order are measured by how often the judge is right with the label first and second."""
    rows, fitted = read_leanings(evidence)
    if (number := fitted.find("first")) is not None and fitted.fit is not None:
        measured = fitted.fit.measure(number, audit.limit)
        says = "if the label's answer stands first, the judge is right more often by " + percent(
            measured.size, signed=True
        )
        return audit.find(
            evidence, measured, used=fitted.used, says=says, behind=fitted.behind("first", measured.size)
        )
    is_told_R = (rows.first != 0) & (rows.winner != 0)
    num_a, num_b = int((rows.first[is_told_R] > 0).sum()), int((rows.first[is_told_R] < 0).sum())
    if min(num_a, num_b) < FEWEST:
        lacks = (
            "pairs asked in both orders, or in drawn ones: every answer A stands in the same place"
            if num_a + num_b >= FEWEST
            else f"pairs with a verdict whose order is known: {num_a + num_b} of {FEWEST} at least"
        )
        return audit.lack(evidence, lacks)
    lean_R = (rows.first * rows.winner)[is_told_R].astype(np.float64)
    measured = measure_lean(lean_R, rows.prompt[is_told_R], audit.limit)
    says = f"places being drawn, the first answer wins {percent((1 + measured.size) / 2)} of {len(lean_R):,} pairs"
    behind = rows.item[is_told_R][lean_R * measured.size > 0]
    return audit.find(evidence, measured, used=len(lean_R), says=says, behind=behind)


POSITION = Audit(
    name="position",
    question="Does the answer that is shown first win because it is first?",
    columns=(
        *("given", "swapped", "shown_first", "winner", "label", "kind", "subset", "prompt"),
        *("length_a", "length_b", "marks_a", "marks_b", "refuses_a", "refuses_b"),
    ),
    limit=0.02,
    examine=_examine,
)
