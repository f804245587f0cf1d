"""What scoring stored judgments costs, beside only decoding the same file.

    python benchmarks/scoring.py [SHARED] [--items 1000000] [--rounds 3] [--keep DIR]

Two run folders are written: all of RMB (the pairs of SHARED/data/rmb, each with a synthetic verdict: a
written judgment of some 3,000 characters, 75% right) and synthetic own pairs with short texts in two
orders of one subset each of ten. Then, each in a process of its own and in turns:

    decode      every line of judgments.jsonl through orjson.loads, nothing else
    score       read_rulings, tally and all values, without a bootstrap
    bootstrap   the same with intervals from 2,000 resamples; what it takes longer than `score`
    compare     for RMB: two such runs against each other, 2,000 resamples and as many swaps

Printed are seconds of processor time (the least of the rounds; a busy machine does not change them much),
the ratio of score to decode, the highest memory of each process above what it held after its imports, and
the size of the arrays that the outcomes are made of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rmr1.bench.outcomes import Part
from rmr1.judge.votes import cast_vote
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, Vote, swap_label
from rmr1.store.codec import dump_record, dumps
from rmr1.store.keys import content_digest, format_key
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE
from rmr1.verdicts.votes import decide

ARMS = ("decode", "score", "bootstrap", "compare")
RIGHT, NO_VERDICT = 0.75, 0.01

_REASONING = (
    "Chatbot {side} answers the question directly and its steps hold; the other one drifts off. " * 28
)
_TEXT = """<type>Chat</type>
<rubric>
Accuracy (50%): the facts are right
Helpfulness (30%): the question is answered
Clarity (20%): it reads well
<justify>Wrong facts do harm, so they weigh most.</justify>
</rubric>
<eval>
{reasoning}
<quote_A>the first answer</quote_A> <summary_B>the second answer in short</summary_B>
</eval>
{verdict}"""


def main() -> None:
    default = os.environ.get("RMR1_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", nargs="?", type=Path, default=Path(default), metavar="SHARED")
    parser.add_argument("--items", type=int, default=1_000_000, help="synthetic own pairs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the run folders here and keep them")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--runs", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(measure(arguments.arm, *arguments.runs)))
        return
    print(
        f"{date.today()}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        rmb = [folder / "rmb", folder / "rmb-other"]
        for seed, run in enumerate(rmb):
            write_run(run, rmb_judgments(arguments.shared / "data" / "rmb", seed))
        report("rmb", rmb, arguments.rounds)
        pairs = folder / "pairs"
        write_run(pairs, synthetic_judgments(arguments.items))
        report("pairs", [pairs], arguments.rounds)


def report(name: str, runs: list[Path], rounds: int) -> None:
    arms = [arm for arm in ARMS if arm != "compare" or len(runs) == 2]
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    for _ in range(rounds):
        for arm in arms:
            command = [sys.executable, __file__, "--arm", arm, "--runs", name, *map(str, runs)]
            found[arm].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    least = {arm: min(one["seconds"] for one in values) for arm, values in found.items()}
    size = (runs[0] / JUDGMENTS_FILE).stat().st_size
    items = found["score"][0]["judgments"]
    print(
        f"\n{name}: {items:,} judgments, {size / 1e6:,.0f} MB, {size / items:,.0f} bytes each; least of {rounds}"
    )
    print(f"  decode with orjson   {least['decode']:7.2f} s")
    print(
        f"  score                {least['score']:7.2f} s   {least['score'] / least['decode']:.2f} x decode, "
        f"{1e6 * least['score'] / items:.1f} us each"
    )
    print(f"  bootstrap on top     {least['bootstrap'] - least['score']:7.2f} s   2,000 resamples")
    if "compare" in least:
        print(f"  compare two runs     {least['compare']:7.2f} s   reading both twice, resamples and swaps")
    arrays = found["score"][0]["arrays"]
    print(f"  arrays of the outcomes {arrays / 1e6:.1f} MB, {arrays / items:.0f} bytes each, names included")
    for arm in arms:
        peak = max(one["peak"] for one in found[arm])
        print(f"  peak memory, {arm:<9} {peak / 1e6:7.1f} MB above the imports")


def measure(arm: str, name: str, *runs: str) -> dict[str, Any]:
    """One arm, in this process."""
    import orjson

    from rmr1.bench.base import score_outcomes
    from rmr1.bench.compare import compare_runs
    from rmr1.bench.tasks.pairs import PAIRS
    from rmr1.bench.tasks.rmb import RMB
    from rmr1.store.rulings import read_rulings

    benchmark = {"rmb": RMB, "pairs": PAIRS}[name]
    run = Path(runs[0])
    found: dict[str, Any] = {}
    before = peak_bytes()
    start = time.process_time()
    if arm == "decode":
        with (run / JUDGMENTS_FILE).open("rb") as file:
            found["judgments"] = sum(1 for line in file if orjson.loads(line))
    elif arm == "compare":
        comparison = compare_runs(benchmark, run, Path(runs[1]))
        found["judgments"] = comparison.shared
    else:
        outcomes = benchmark.tally(read_rulings(run))
        scores = score_outcomes(benchmark, outcomes, num_resamples=2000 if arm == "bootstrap" else 0)
        found["judgments"] = scores.judgments
    found["seconds"] = time.process_time() - start
    found["peak"] = peak_bytes() - before
    if arm == "score":
        found["arrays"] = sum(map(array_bytes, outcomes.parts.values()))
    return found


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there may still be the parent's
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def array_bytes(part: Part) -> int:
    arrays: list[NDArray[Any]] = [part.credits, part.no_verdict, part.ties, *part.beside.values()]
    if part.clusters is not None:
        arrays.append(part.clusters)
    names = sys.getsizeof(part.items) + sum(map(sys.getsizeof, part.items))
    return names + sum(array.nbytes for array in arrays)


def rmb_judgments(data: Path, seed: int) -> Iterator[dict[str, Any]]:
    from rmr1.bench.tasks.rmb import read_rmb

    draw = random.Random(seed)
    votes = make_votes()
    for pair in read_rmb(data):
        order: Order = draw.choice(("given", "swapped"))
        winner = draw_winner(draw, pair.label)
        yield {
            "key": format_key(content_digest(pair), 0),
            **dump_record(conclude(pair, [votes[order, winner]])),
        }


def synthetic_judgments(items: int) -> Iterator[dict[str, Any]]:
    """Short answers: the less text there is to decode, the more the rest of scoring shows."""
    draw = random.Random(2)
    votes = make_votes(reasoning="Short reasoning.")
    made: dict[Any, dict[str, Any]] = {}
    for number in range(items):
        label, subset = draw.choice(("A", "B", "tie")), f"part {number % 10}"
        order: Order = draw.choice(("given", "swapped"))
        winner = draw_winner(draw, label)
        known = made.get((label, subset, order, winner))
        if known is None:
            pair = PreferencePair(
                id="",
                prompt=(user("What is the capital of the country that lies between the two seas?"),),
                response_a=(assistant("It is the first of the two that you name. " * 2),),
                response_b=(assistant("It is the second of the two that you name. " * 2),),
                label=label,  # type: ignore[arg-type]
                subset=subset,
            )
            known = made[label, subset, order, winner] = dump_record(conclude(pair, [votes[order, winner]]))
        pair_values = {**known["pair"], "id": f"item-{number}"}
        yield {"key": f"{number:032x}", **known, "pair": pair_values}


def draw_winner(draw: random.Random, label: str | None) -> str | None:
    chance = draw.random()
    if chance < NO_VERDICT:
        return None
    return label if chance < NO_VERDICT + RIGHT else draw.choice(("A", "B"))


def make_votes(reasoning: str = _REASONING) -> dict[tuple[Order, str | None], Vote]:
    """(order, winner in the pair frame) -> a vote whose text says so."""
    votes: dict[tuple[Order, str | None], Vote] = {}
    for order in ("given", "swapped"):
        for winner in ("A", "B", "tie", None):
            said = winner if order == "given" else swap_label(winner)
            verdict = "" if said is None else f"<answer>[[{'A=B' if said == 'tie' else said}]]</answer>"
            text = _TEXT.format(reasoning=reasoning.format(side=said), verdict=verdict)
            generation = Generation(text=text, finish_reason="stop", prompt_tokens=900, completion_tokens=700)
            rule = "arena" if said == "tie" else "tagged"
            votes[order, winner] = cast_vote(generation, order=order, sample=0, rule=rule, labels=("A", "B"))
            assert votes[order, winner].winner == winner, (order, winner, votes[order, winner].verdict)
    return votes


def conclude(pair: PreferencePair, votes: list[Vote]) -> Judgment:
    decision = decide(votes)
    return Judgment(
        pair=pair,
        family="rubric",
        rule="tagged",
        winner=decision.winner,
        problem=decision.problem,
        confidence=decision.confidence,
        votes=tuple(votes),
        prompt_tokens=900,
        completion_tokens=700,
        seconds=1.25,
    )


def write_run(folder: Path, lines: Iterator[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(
        json.dumps({"command": "bench", "data": {}, "model": {}}), encoding="utf-8"
    )
    with (folder / JUDGMENTS_FILE).open("wb") as file:
        for line in lines:
            file.write(dumps(line) + b"\n")


if __name__ == "__main__":
    main()
