"""Calibration: is the judge as often right as it is sure?

The size is the mean confidence in the side that the probability names less the share that is right; above 0 the judge is too
sure, below 0 not sure enough. A tie is right by half. The expected calibration error beside it is never below 0 and never
quite 0 for a calibrated judge; the size is.
"""

from __future__ import annotations

import numpy as np

from rmr1.audit.finding import FEWEST, Audit, Evidence, Finding, percent
from rmr1.audit.measures import measure_mean
from rmr1.judge.reliability import LABELS, calibration_error, name_sides


def _examine(audit: Audit, evidence: Evidence) -> Finding:
    labels = np.array([*(LABELS.get(name, np.nan) for name in evidence.columns.names["label"]), np.nan])
    label_I = labels[evidence.column("label")]
    probability_I = evidence.column("probability")
    places_I = np.flatnonzero(~np.isnan(label_I) & ~np.isnan(probability_I))
    if len(places_I) < FEWEST:
        told = int((~np.isnan(probability_I)).sum())
        lacks = "labels" if told else "probabilities: verdict log-probabilities, scores, or several votes"
        return audit.lack(
            evidence, lacks if told < FEWEST or not len(places_I) else f"more of both: {len(places_I)}"
        )
    probability_I, label_I = probability_I[places_I], label_I[places_I]
    confidence_I, correct_I = name_sides(probability_I, label_I)
    measured = measure_mean(confidence_I - correct_I, evidence.column("prompt")[places_I], audit.limit)
    says = (
        f"sure by {percent(float(confidence_I.mean()))} on average, right in {percent(float(correct_I.mean()))}; "
        f"expected calibration error {calibration_error(probability_I, label_I):.3f}"
    )
    gap_I = confidence_I - correct_I
    ranked_I = np.argsort(-gap_I if measured.size >= 0 else gap_I, kind="stable")
    behind = ranked_I[correct_I[ranked_I] == 0] if measured.size >= 0 else ranked_I[correct_I[ranked_I] == 1]
    return audit.find(evidence, measured, used=len(places_I), says=says, behind=places_I[behind])


CALIBRATION = Audit(
    name="calibration",
    question="Is the judge as often right as it is sure?",
    columns=("probability", "label", "prompt"),
    limit=0.02,
    examine=_examine,
)
