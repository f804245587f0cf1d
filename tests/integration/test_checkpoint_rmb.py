"""The test checkpoint judges real pairs through the command line, killed and resumed on the way.

A small sample in the tests; all 2,000 pairs under `make soak`, which also prints the figures.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from rmr1.data import read_pairs
from rmr1.records import Judgment
from rmr1.store.codec import dump_record, dumps
from rmr1.store.runs import read_judgments

from .runs import kill_at_random, rmr1

SAMPLE_STEP = 7
NUM_PAIRS = 2000


def write_rmb_sample(shared: Path, path: Path, number: int) -> None:
    """Every seventh of RMB's pairwise rows, single- and multi-turn, as our own form."""
    rows = [
        dumps(dump_record(pair))
        for split in ("harmlessness", "helpfulness")
        for pair in read_pairs(shared / "data" / "rmb" / f"pairwise_set_{split}.jsonl.gz", on_error="skip")
    ]
    rows = rows[::SAMPLE_STEP][:NUM_PAIRS]
    assert len(rows) == NUM_PAIRS
    path.write_bytes(b"\n".join(rows[:: NUM_PAIRS // number]) + b"\n")


def has_full_trace(judgment: Judgment) -> bool:
    """Task type, rubric items or solution, a quotation of each side, verdict."""
    verdict = judgment.votes[0].verdict
    trace = verdict.trace
    body = trace.rubric if trace.task_type == "chat" else trace.solution
    return bool(
        verdict.winner and trace.task_type and body and {quote.side for quote in trace.quotes} == {"A", "B"}
    )


@pytest.mark.engine
@pytest.mark.shared
@pytest.mark.soak
def test_the_checkpoint_judges_real_pairs(checkpoint: Path, shared: Path, tmp_path: Path, soak: bool) -> None:
    number = NUM_PAIRS if soak else 80
    pairs, run = tmp_path / "rmb.jsonl", tmp_path / "run"
    write_rmb_sample(shared, pairs, number)
    command = ["judge", pairs, "-m", checkpoint, "-o", run, "--max-new-tokens", 400, "--quiet", "--json"]
    draw = random.Random(0)
    kills = sum(kill_at_random(command, run, draw, most_seconds=300) for _ in range(20 if soak else 2))
    assert kills >= 1
    summary = json.loads(rmr1(*command).stdout)
    assert summary["items"] == summary["labelled"] == number
    judgments = [judgment for _, judgment in read_judgments(run)]
    said = [judgment.votes[0].verdict.winner for judgment in judgments]
    texts = {judgment.votes[0].generation.text for judgment in judgments}
    full = sum(map(has_full_trace, judgments)) / number
    shares = {side: said.count(side) / number for side in "AB"}
    print(
        f"{number} pairs, {kills} kills: full traces {full:.1%}, said A {shares['A']:.1%}, B {shares['B']:.1%}, "
        f"{len(texts)} different texts, accuracy {summary['accuracy']:.1%}, without verdict {summary['unparsed']}"
    )
    assert full >= (0.95 if soak else 0.9)
    assert min(shares.values()) >= (0.3 if soak else 0.2)
    assert len(texts) >= (100 if soak else 30)
    assert summary["correct"] == sum(judgment.winner == judgment.pair.label for judgment in judgments)
