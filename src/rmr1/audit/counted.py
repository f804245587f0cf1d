"""Audits of counts that each judgment has by itself: of so many that were checked, so many were faulty.

grounding    quotations that do not stand in the answer they name
solution     texts whose verdict is against the answer that their own solution ends in
weights      texts whose verdict is against the side that their scores by the criteria add up to
votes        pairs of votes on the same prompt that name different sides
twins        criteria that say nearly what another of the same rubric says
level        scored criteria by which both answers get the same
hinge        texts whose verdict hangs on one criterion: without it the sum would not be on its side
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rmr1.audit.columns import Array
from rmr1.audit.finding import FEWEST, Audit, Evidence, Finding, percent
from rmr1.audit.measures import measure_mean, measure_share

Count = Callable[[Evidence], tuple[Array, Array]]
"""Hits and totals, judgment by judgment."""


def _make(
    name: str,
    question: str,
    columns: tuple[str, ...],
    *,
    limit: float,
    count: Count,
    units: str,
    fault: str,
    lacks: str,
) -> Audit:
    def examine(audit: Audit, evidence: Evidence) -> Finding:
        hits_I, totals_I = count(evidence)
        places_I = np.flatnonzero(totals_I > 0)
        if not len(places_I):
            return audit.lack(evidence, lacks)
        if len(places_I) < FEWEST:
            return audit.lack(
                evidence, f"enough {units}: {len(places_I)} judgments have any, {FEWEST} are needed"
            )
        hits_I, totals_I = hits_I[places_I], totals_I[places_I]
        measured = measure_share(hits_I, totals_I, evidence.column("prompt")[places_I], audit.limit)
        says = f"{int(hits_I.sum()):,} of {int(totals_I.sum()):,} {units} {fault}"
        behind = places_I[np.argsort(-hits_I, kind="stable")][: int((hits_I > 0).sum())]
        return audit.find(evidence, measured, used=len(places_I), says=says, behind=behind)

    return Audit(name=name, question=question, columns=(*columns, "prompt"), limit=limit, examine=examine)


def _of(hits: str, totals: str) -> Count:
    return lambda evidence: (evidence.column(hits), evidence.column(totals))


def _count_quotes(evidence: Evidence) -> tuple[Array, Array]:
    invented_I = evidence.column("quotes_invented")
    return invented_I, invented_I + evidence.column("quotes_exact") + evidence.column("quotes_levelled")


GROUNDING = _make(
    "grounding",
    "Do its quotations stand in the answers that they name?",
    ("quotes_exact", "quotes_levelled", "quotes_invented"),
    limit=0.02,
    count=_count_quotes,
    units="quotations",
    fault="do not stand in the answer they name",
    lacks="quotations: no text has any in <quote_A> or <quote_B>",
)
SOLUTION = _make(
    "solution",
    "Does its verdict go against its own solution?",
    ("solutions", "solutions_denied"),
    limit=0.02,
    count=_of("solutions_denied", "solutions"),
    units="solutions that end in the answer of one side",
    fault="are followed by a verdict for the other",
    lacks="solutions: no text solves the question in a form that can be compared with both answers",
)
WEIGHTS = _make(
    "weights",
    "Does its verdict go against its own scores?",
    ("sums", "sums_denied"),
    limit=0.05,
    count=_of("sums_denied", "sums"),
    units="weighted sums or totals that lean to one side",
    fault="are followed by a verdict for the other",
    lacks="scores: no text scores the answers by given criteria, or ends its rubric's evaluation in totals",
)
TWINS = _make(
    "twins",
    "Does its rubric say the same twice?",
    ("twins", "num_criteria"),
    limit=0.1,
    count=_of("twins", "num_criteria"),
    units="criteria",
    fault="say nearly what one before them says",
    lacks="rubrics: no text has one, and no criteria were given",
)
LEVEL = _make(
    "level",
    "Are there criteria on which no answers differ?",
    ("scored", "scored_level"),
    limit=0.5,
    count=_of("scored_level", "scored"),
    units="scores by a criterion",
    fault="are the same for both answers",
    lacks="scores by criteria: they are only given by criteria that the judge is given",
)
HINGE = _make(
    "hinge",
    "Do its verdicts hang on one criterion?",
    ("weighable", "turned"),
    limit=0.75,
    count=_of("turned", "weighable"),
    units="verdicts by weighted sums",
    fault="hang on one criterion",
    lacks="weighted sums of several criteria: scores are only given by criteria that the judge is given",
)


def _examine_votes(audit: Audit, evidence: Evidence) -> Finding:
    agreement_I = evidence.column("vote_agreement")
    places_I = np.flatnonzero(~np.isnan(agreement_I))
    if len(places_I) < FEWEST:
        return audit.lack(evidence, "votes: no prompt, or too few, were answered several times")
    differs_I = 1 - agreement_I[places_I]
    measured = measure_mean(differs_I, evidence.column("prompt")[places_I], audit.limit, "above")
    says = f"two votes on the same prompt differ in {percent(measured.size)}; of coins it would be 50%"
    behind = places_I[np.argsort(-differs_I, kind="stable")][: int((differs_I > 0).sum())]
    return audit.find(evidence, measured, used=len(places_I), says=says, behind=behind)


VOTES = Audit(
    name="votes",
    question="Does it say the same if it is asked the same again?",
    columns=("vote_agreement", "prompt"),
    limit=0.4,
    examine=_examine_votes,
)
