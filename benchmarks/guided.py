"""What guiding costs on the transformers engine: the same pairs guided and not, in one process, arm by arm.

    python benchmarks/guided.py [-m tiny] [--pairs 200] [--order both] [--votes 4] [--repeats 2] [-o FILE.jsonl]

The arms: `free` (greedy), `guided` (the protocol's parts), `forced` (greedy with a budget that most texts do not
keep, then the verdict), and, with several votes, `votes` and `guided votes`. They follow one another in each repeat,
so that a load on the machine meets all of them; the fastest repeat counts. Of each: pairs a second, tokens written,
and the processor's seconds per thousand of them, which other processes change little, also as a multiple of the arm
without a guide. Pairs are the synthetic world's, for other models too: what is measured is time.

Expected: with the parts going on in one cache, guided texts cost at most 1.3 times as much per written token as free ones.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.engine import TransformersEngine
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.models import resolve_model
from rmr1.prompts import load_family
from rmr1.records import PreferencePair
from rmr1.world import sample_pairs


def build_arms(arguments: argparse.Namespace) -> dict[str, JudgeSettings]:
    sampling = SamplingParams(max_new_tokens=arguments.max_new_tokens, verdict_logprobs=True)
    free = JudgeSettings(order=arguments.order, sampling=sampling)
    guided = replace(free, guide="protocol", part_tokens=arguments.part_tokens)
    brief = replace(sampling, max_new_tokens=arguments.budget)
    arms = {"free": free, "guided": guided, "forced": replace(free, guide="verdict", sampling=brief)}
    if arguments.votes > 1:
        drawn = replace(sampling, temperature=1.0, num_samples=arguments.votes)
        arms["votes"], arms["guided votes"] = (replace(one, sampling=drawn) for one in (free, guided))
    return arms


def measure(
    engine: TransformersEngine, settings: JudgeSettings, pairs: list[PreferencePair]
) -> dict[str, Any]:
    judge = GenerativeJudge(engine, load_family("rubric"), settings)
    started, processed = time.perf_counter(), time.process_time()
    judgments = [judgment for _, judgment in judge.run(iter(pairs))]
    seconds, busy = time.perf_counter() - started, time.process_time() - processed
    tokens = sum(judgment.completion_tokens for judgment in judgments)
    return {
        "seconds": round(seconds, 2),
        "processor seconds": round(busy, 2),
        "pairs a second": round(len(pairs) / seconds, 2),
        "tokens": tokens,
        "processor seconds per 1000 tokens": round(1000 * busy / tokens, 3),
        "with verdict": sum(vote.winner is not None for one in judgments for vote in one.votes),
        "texts": sum(len(one.votes) for one in judgments),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--model", default="tiny")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--order", default="seeded", choices=("seeded", "given", "both"))
    parser.add_argument("--votes", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--max-new-tokens", type=int, default=1024)
    parser.add_argument("--part-tokens", type=int, default=1024)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    pairs = [item.pair for item in sample_pairs(1, arguments.pairs, split="test")]
    engine = TransformersEngine(str(resolve_model(arguments.model)), device="cpu")
    arms = build_arms(arguments)
    best: dict[str, dict[str, Any]] = {}
    for _ in range(arguments.repeats):
        for name, settings in arms.items():
            found = measure(engine, settings, pairs)
            if name not in best or found["processor seconds"] < best[name]["processor seconds"]:
                best[name] = found
    for name, found in best.items():
        other = "votes" if "votes" in name else "free"
        found["times the time per token"] = round(
            found["processor seconds per 1000 tokens"] / best[other]["processor seconds per 1000 tokens"], 2
        )
        print(f"{name:14}", json.dumps(found), flush=True)
    if arguments.output is not None:
        settings = {name: str(value) for name, value in vars(arguments).items()}
        line = {"date": str(date.today()), "machine": platform.machine(), "settings": settings, "arms": best}
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
