"""Length and Markdown: does the longer answer, or that with more Markdown, win beyond its being right?

The size is the accuracy if the label's answer is the longer one less that if it is the shorter one, inside of subsets and
with the other leanings held (`rmr1.audit.leaning`); lengths within 10% are alike. Without labels it is how much more often
the longer answer wins than loses, which is no fault by itself: longer answers may be better.
"""

from __future__ import annotations

import numpy as np

from rmr1.audit.finding import FEWEST, Audit, Evidence, Finding, percent
from rmr1.audit.leaning import count_items, read_leanings
from rmr1.audit.measures import measure_lean
from rmr1.audit.position import POSITION

_WORDS = {
    "length": ("is longer", "is shorter"),
    "markdown": ("has more Markdown", "has less Markdown"),
    "refusal": ("refuses", "does not refuse"),
}
NO_LABELS = "labels: without them it cannot be told from a judge who is right"


def _examine(audit: Audit, evidence: Evidence) -> Finding:
    rows, fitted = read_leanings(evidence)
    more, less = _WORDS[audit.name]
    if (number := fitted.find(audit.name)) is not None and fitted.fit is not None:
        measured = fitted.fit.measure(number, audit.limit)
        says = (
            f"if the label's answer {more}, the judge is right more often by {percent(measured.size, signed=True)} than if it "
            f"{less}"
        )
        used = sum(fitted.counts[audit.name])
        behind = fitted.behind(audit.name, measured.size)
        return audit.find(evidence, measured, used=used, says=says, behind=behind)
    if (rows.label != 0).any():
        with_more, with_less = fitted.counts[audit.name]
        return audit.lack(
            evidence,
            f"labelled pairs of both kinds inside of subsets: the label's answer {more} in {with_more:,} and {less} in {with_less:,}; "
            f"{FEWEST} of each at least, apart from other leanings",
        )
    is_told_R = (rows.more[audit.name] != 0) & (rows.winner != 0)
    if is_told_R.sum() < FEWEST:
        return audit.lack(evidence, NO_LABELS)
    lean_R = (rows.more[audit.name] * rows.winner)[is_told_R].astype(np.float64)
    measured = measure_lean(lean_R, rows.prompt[is_told_R], audit.limit)
    says = f"the answer that {more} wins {percent((1 + measured.size) / 2)} of verdicts"
    used = count_items(rows.item[is_told_R])
    return audit.find(evidence, measured, used=used, says=says, behind=np.array([], int), lacks=NO_LABELS)


LENGTH = Audit(
    name="length",
    question="Does the longer answer win beyond its being right?",
    columns=POSITION.columns,
    limit=0.05,
    examine=_examine,
)
MARKDOWN = Audit(
    name="markdown",
    question="Does the answer with more Markdown win beyond its being right?",
    columns=POSITION.columns,
    limit=0.05,
    examine=_examine,
)
REFUSAL = Audit(
    name="refusal",
    question="Does the answer that refuses win, or lose, beyond its being right?",
    columns=POSITION.columns,
    limit=0.05,
    examine=_examine,
)
