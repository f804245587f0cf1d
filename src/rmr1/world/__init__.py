"""The synthetic preference world: endless labelled pairs whose labels are exact.

`sample_pair` draws an item, `teacher_trace` writes the judgment of a teacher that knows the facts, `export` streams items as training rows. Pure Python. docs/world.md describes the world.
"""

from rmr1.world.draw import SPLITS, Split
from rmr1.world.items import FAMILIES, STYLE_CLASSES, WorldCandidates, WorldFacts, WorldItem
from rmr1.world.oracle import oracle_trace
from rmr1.world.sample import Distribution, sample_candidates, sample_pair, sample_pairs
from rmr1.world.teacher import (
    FallibleTrace,
    Flaw,
    WorldTeacher,
    anchored_trace,
    fallible_trace,
    teacher_trace,
)

__all__ = [
    "FAMILIES",
    "SPLITS",
    "STYLE_CLASSES",
    "Distribution",
    "FallibleTrace",
    "Flaw",
    "Split",
    "WorldCandidates",
    "WorldFacts",
    "WorldItem",
    "WorldTeacher",
    "anchored_trace",
    "fallible_trace",
    "oracle_trace",
    "sample_candidates",
    "sample_pair",
    "sample_pairs",
    "teacher_trace",
]
