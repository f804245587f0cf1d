"""Re-score recorded judges: read their texts again, compare with what was recorded, score them.

    python benchmarks/rescore_recorded.py [SHARED] [--brief]

SHARED holds `data/` (default: $RMR1_SHARED, else ../shared beside the checkout). Printed are, per file,
how many decisions the text bears out as recorded, every disagreement with its cause (not with
--brief), and the official scores, for JudgeBench also by the recorded decisions; then RM-R1's own RMB logs, and LLMBar's judges by method.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from llmbar import read_llmbar_outputs, read_llmbar_pairs

from rmr1.bench.base import BenchmarkScores, Figure, score_judgments
from rmr1.bench.recorded import Agreement, RecordedJudgment, compare_recorded, decision_in, read_recorded
from rmr1.bench.tasks.judgebench import JUDGEBENCH, points
from rmr1.bench.tasks.rmb import RMB


def main() -> None:
    default = os.environ.get("RMR1_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", nargs="?", type=Path, default=Path(default), metavar="SHARED")
    parser.add_argument("--brief", action="store_true", help="count disagreements instead of listing them")
    arguments = parser.parse_args()
    data = arguments.shared / "data"
    for path in sorted((data / "judge-outputs" / "judgebench").glob("*.jsonl.gz")):
        items = list(read_recorded(path))
        print_agreement(path.name.removesuffix(".jsonl.gz"), compare_recorded(items), brief=arguments.brief)
        print_scores(score_judgments(JUDGEBENCH, (item.judgment for item in items)))
        print(f"  by the recorded decisions: {100 * score_recorded(items):.2f}")
    for folder in sorted(path.parent for path in (data / "rm-r1-published").rglob("META_RESULT.json")):
        items = list(read_recorded(folder))
        print_agreement(
            f"{folder.parent.name}, logs of {folder.name}", compare_recorded(items), brief=arguments.brief
        )
        print_scores(score_judgments(RMB, (item.judgment for item in items)))
    pairs = read_llmbar_pairs(data / "llmbar")
    for path in sorted((data / "judge-outputs" / "llmbar").glob("*.jsonl.gz")):
        askings: dict[tuple[str, bool], list[RecordedJudgment]] = defaultdict(list)
        published: dict[tuple[str, bool], list[RecordedJudgment]] = defaultdict(list)
        for target, as_published in ((askings, False), (published, True)):
            for method, is_last, item in read_llmbar_outputs(path, pairs, as_published=as_published):
                target[method, is_last].append(item)
        for (method, is_last), items in sorted(askings.items()):
            name = f"LLMBar {path.name.split('.')[0]} {method}" + (
                "" if is_last else " (before reconsidering)"
            )
            print_agreement(name, compare_recorded(items), brief=arguments.brief)
            exact = compare_recorded(published[method, is_last])
            ours, theirs = average_accuracy(items)
            print(
                f"  read as the authors did: {exact.agree} of {exact.decisions} agree; "
                f"right, mean of both orders: {100 * ours:.2f}% (recorded {100 * theirs:.2f}%)"
            )


def score_recorded(items: Sequence[RecordedJudgment]) -> float:
    """JudgeBench's overall score of the decisions as they were recorded."""
    totals = (
        sum(points(decision, item.judgment.pair.label or "") for _, decision in item.recorded)
        for item in items
    )
    return sum(total > 0 for total in totals) / len(items)


def average_accuracy(items: Sequence[RecordedJudgment]) -> tuple[float, float]:
    """The share of right decisions over both orders, ours and recorded; no verdict is not right."""
    ours = theirs = total = 0
    for item in items:
        for order, recorded in item.recorded:
            total += 1
            ours += decision_in(item.judgment, order)[0] == item.judgment.pair.label
            theirs += recorded == item.judgment.pair.label
    return ours / total, theirs / total


def print_agreement(name: str, agreement: Agreement, *, brief: bool) -> None:
    print(
        f"\n{name}: {agreement.decisions} decisions, {agreement.agree} agree, {len(agreement.disagreements)} do not"
    )
    for cause, count in Counter(one.cause for one in agreement.disagreements).most_common():
        print(f"  {count:4d} x {cause}")
    for one in () if brief else agreement.disagreements:
        ours = one.ours if one.problem is None else f"{one.ours} ({one.problem})"
        print(f"    {one.pair_id} {one.order}: {ours}, recorded {one.recorded}: ...{one.tail}")


def print_scores(scores: BenchmarkScores) -> None:
    for whole in scores.overall:
        value = "" if whole.value is None else f" {100 * whole.value:.2f}"
        print(f"  {scores.benchmark} {whole.group}:{value} ({whole.status})".replace("rmb rmb", "rmb"))
    ordered = sorted(scores.figures, key=lambda figure: figure.group)
    for group, figures in groupby(ordered, key=lambda figure: figure.group):
        print(f"  {group}: " + ", ".join(describe(figures)))


def describe(figures: Iterable[Figure]) -> Iterable[str]:
    for one in figures:
        if one.value is not None:
            missing = f", {one.no_verdict} without verdict" if one.no_verdict else ""
            yield f"{one.name} {100 * one.value:.2f} ({one.correct:g}/{one.total}{missing})"


if __name__ == "__main__":
    main()
