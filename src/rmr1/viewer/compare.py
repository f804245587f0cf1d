"""Two runs on the same pairs: where they differ, who is right, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np

from rmr1.errors import ConfigError
from rmr1.report.terminal import PROBLEM_TEXTS
from rmr1.screen import one_line
from rmr1.stats import clustered_mcnemar_test, clustered_mean_interval
from rmr1.viewer.address import PAGE_SIZE
from rmr1.viewer.index import Row
from rmr1.viewer.joined import Joined, join_runs
from rmr1.viewer.runs import OpenRun

KINDS = {
    "differ": "where they name different winners",
    "only_a": "only the first is right",
    "only_b": "only the second is right",
    "both": "both are right",
    "neither": "neither is right",
    "same": "where they name the same winner",
    "silent": "where neither has a verdict",
}
"""Values of `show`, and what they are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Two judges on the same labelled items."""

    labelled: int
    share_a: float
    share_b: float
    interval: tuple[float, float] | None
    """95%, of the difference, by prompt; None if there are too few prompts for any."""
    p: float | None
    """McNemar's test, mid-p form, by prompt; None if they are right on the same items."""
    by_prompt: bool
    """Whether items share prompts."""


def describe_comparison(a: OpenRun, b: OpenRun, show: str, page: int) -> dict[str, Any]:
    """What the template of the page needs.

    Raises:
        ConfigError: there is no such part.
    """
    if show not in KINDS:
        raise ConfigError(f"show={show!r}: expected {', '.join(KINDS)}")
    joined = join_runs(a.judgments, b.judgments)
    chosen = _choose(joined, show)
    start = (page - 1) * PAGE_SIZE
    rows = [
        _describe_row(a, b, int(joined.number_a[one]), int(joined.number_b[one]))
        for one in chosen[start : start + PAGE_SIZE]
    ]
    values = {"a": a.slot, "b": b.slot, "show": show}
    return {
        "a": a,
        "b": b,
        "show": show,
        "title": f"{KINDS[show][0].upper()}{KINDS[show][1:]}",
        "shared": len(joined),
        "only_a": a.judgments.num_items - len(joined),
        "only_b": b.judgments.num_items - len(joined),
        "changed": int(joined.has_other_label.sum()),
        "half_labelled": int(((joined.right_a < 0) != (joined.right_b < 0)).sum()),
        "test": compare_rights(joined),
        "kinds": [(name, text, len(_choose(joined, name))) for name, text in KINDS.items()],
        "rows": rows,
        "first": start + 1,
        "previous_page": f"?{urlencode({**values, 'page': page - 1})}" if page > 1 else None,
        "next_page": f"?{urlencode({**values, 'page': page + 1})}"
        if start + PAGE_SIZE < len(chosen)
        else None,
    }


def _choose(joined: Joined, show: str) -> Any:
    is_labelled = (joined.right_a >= 0) & (joined.right_b >= 0) & ~joined.has_other_label
    right_a, right_b = joined.right_a == 1, joined.right_b == 1
    masks = {
        "differ": joined.has_other_winner,
        "same": ~joined.has_other_winner & ~joined.is_silent,
        "silent": joined.is_silent,
        "only_a": is_labelled & right_a & ~right_b,
        "only_b": is_labelled & right_b & ~right_a,
        "both": is_labelled & right_a & right_b,
        "neither": is_labelled & ~right_a & ~right_b,
    }
    return np.flatnonzero(masks[show])


def compare_rights(joined: Joined) -> PairedTest | None:
    """The paired test over the items that have the same label in both; None if there are none."""
    is_labelled = (joined.right_a >= 0) & (joined.right_b >= 0) & ~joined.has_other_label
    labelled = int(is_labelled.sum())
    if not labelled:
        return None
    right_a, right_b = joined.right_a[is_labelled] == 1, joined.right_b[is_labelled] == 1
    _, prompts = np.unique(joined.prompt[is_labelled], return_inverse=True)
    changes_P = np.bincount(prompts, weights=right_a.astype(np.float64) - right_b).astype(np.float64)
    items_P = np.bincount(prompts).astype(np.float64)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    test = clustered_mcnemar_test(changes_P.astype(np.int64), only_a, only_b) if only_a + only_b else None
    return PairedTest(
        labelled=labelled,
        share_a=float(right_a.mean()),
        share_b=float(right_b.mean()),
        interval=clustered_mean_interval(changes_P, items_P),
        p=None if test is None else test.mid_p,
        by_prompt=len(items_P) < labelled,
    )


def _describe_row(a: OpenRun, b: OpenRun, number_a: int, number_b: int) -> dict[str, Any]:
    row_a, row_b = a.judgments.row(number_a), b.judgments.row(number_b)
    a.seen.add(row_a.facts.key)
    b.seen.add(row_b.facts.key)
    facts = row_a.facts
    kind_a, said_a = _say(row_a)
    kind_b, said_b = _say(row_b)
    return {
        "head": one_line(row_a.head),
        "id": one_line(facts.id),
        "subset": None if facts.subset is None else one_line(facts.subset),
        "label": facts.label,
        "kind_a": kind_a,
        "said_a": said_a,
        "kind_b": kind_b,
        "said_b": said_b,
        "link_a": f"/runs/{a.slot}/items/{number_a}",
        "link_b": f"/runs/{b.slot}/items/{number_b}",
    }


def _say(row: Row) -> tuple[str, str]:
    facts = row.facts
    if facts.winner is None:
        return "warn", PROBLEM_TEXTS.get(facts.problem or "", "no verdict")
    kind = {True: "good", False: "bad", None: "none"}[facts.is_right]
    return kind, f"says {one_line(facts.winner)}"
