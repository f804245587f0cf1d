"""What each method of ranking finds in lists of known order, what it asks for, and how honest the errors are.

    python benchmarks/ranking.py --lists 500

Lists of 8 answers whose strengths are drawn from Normal(0, sd^2). A scripted judge names an answer with the probability of
Luce's choice model, exp(strength) over the sum of those that it is shown; each comparison has one lot of its own, drawn
from the seed and the texts. `perfect` always names the stronger one. Everything else is the package: prompts, parser,
waves, plans and the fit.

top-1    lists whose strongest answer is in the first place; of k that share it, 1/k
tau      Kendall's tau-b between the true order and the places
by fit   the same between the true order and the Bradley-Terry strengths
calls    comparisons for each list

Below: how often the 95% intervals of the strengths (less the list's mean, prior sd as drawn) hold the truth; of all
answers, of the one that has won all of its comparisons in its list, if there is one, and of the one that has lost all.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import time
from collections.abc import Iterable, Iterator

from scipy.stats import kendalltau

from rmr1.engines.scripted import ScriptedEngine
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.ranking.methods import METHODS
from rmr1.judge.ranking.record import Ranking
from rmr1.judge.ranking.waves import prepare_judge, rank_all
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Candidates, JudgePrompt
from rmr1.rewards.strengths import Result, fit_strengths
from rmr1.stats import Z_95, wilson_interval
from rmr1.store.keys import seed_for

STRENGTH = re.compile(r"answer of strength (-?\d+\.\d+)")


def draw_lists(number: int, size: int, sd: float, seed: int) -> Iterator[Candidates]:
    """Lists whose answers say how strong they are."""
    for index in range(number):
        draw = random.Random(f"{seed} {sd} {index}")
        strengths = [draw.gauss(0, sd) for _ in range(size)]
        yield Candidates(
            id=f"list {index}",
            prompt=(user(f"Question {index} of {seed}"),),
            responses=tuple((assistant(f"An answer of strength {one:.9f}"),) for one in strengths),
            best=max(range(size), key=strengths.__getitem__),
        )


def noisy_judge(seed: int, *, is_perfect: bool = False) -> GenerativeJudge:
    """A judge that reads the strengths and chooses by them, with a lot for each comparison."""

    def script(prompt: JudgePrompt, sample: int) -> str:
        shown = [float(one) for one in STRENGTH.findall(prompt.messages[-1].text)]
        weights = [math.exp(one - max(shown)) for one in shown]
        lot = seed_for(seed, "lot", *sorted(map(str, shown))) / 2**63 * sum(weights)
        # Sorted, so that the lot means the same in whatever order the answers are shown.
        place = max(range(len(shown)), key=shown.__getitem__)
        if not is_perfect:
            for place in sorted(range(len(shown)), key=shown.__getitem__):
                lot -= weights[place]
                if lot < 0:
                    break
        return f"<answer>[[{'ABCD'[place]}]]</answer>"

    script.__qualname__ = f"noisy {seed} {is_perfect}"
    return GenerativeJudge(ScriptedEngine(script, "noisy"), load_family("direct"), JudgeSettings())


def measure(rankings: Iterable[Ranking]) -> dict[str, float]:
    """Means over lists."""
    top = by_place = by_fit = calls = number = 0.0
    for ranking in rankings:
        truth = [float(STRENGTH.findall(one[0].text)[0]) for one in ranking.candidates.responses]
        places = [0.0] * len(truth)
        for place, group in enumerate(ranking.order):
            for one in group:
                places[one] = -place
        best = ranking.candidates.best
        top += (best in ranking.order[0]) / len(ranking.order[0])
        by_place += kendalltau(truth, places).statistic
        by_fit += kendalltau(truth, [round(one or 0.0, 6) for one in ranking.strengths]).statistic
        calls += ranking.spent.comparisons
        number += 1
    return {"top": top / number, "tau": by_place / number, "fit": by_fit / number, "calls": calls / number}


def cover(number: int, size: int, sd: float, seed: int) -> dict[str, tuple[int, int]]:
    """What is covered -> (intervals that hold the truth, intervals), of round robins."""
    held = {"all": [0, 0], "undefeated": [0, 0], "winless": [0, 0]}
    for index in range(number):
        draw = random.Random(f"cover {seed} {index}")
        truth = [draw.gauss(0, sd) for _ in range(size)]
        results = []
        for one in range(size):
            for other in range(one + 1, size):
                chance = 1 / (1 + math.exp(truth[other] - truth[one]))
                results.append(Result(answers=(one, other), winner=one if draw.random() < chance else other))
        wins = [sum(result.winner == one for result in results) for one in range(size)]
        fitted = fit_strengths(size, results, prior_sd=sd)
        mean = sum(truth) / size
        for one, (value, error) in enumerate(zip(fitted.values, fitted.errors, strict=True)):
            assert value is not None and error is not None
            is_held = abs(truth[one] - mean - value) <= Z_95 * error
            kinds = ["all", *(["undefeated"] * (wins[one] == size - 1)), *(["winless"] * (wins[one] == 0))]
            for kind in kinds:
                held[kind][0] += is_held
                held[kind][1] += 1
    return {name: (good, total) for name, (good, total) in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lists", type=int, default=500)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    size, seed = arguments.size, arguments.seed
    print(f"{arguments.lists} lists of {size} answers, seed {seed}")
    print(f"{'judge':10}{'method':14}{'top-1':>8}{'tau':>8}{'by fit':>8}{'calls':>8}")
    for name, sd in (("sd 1", 1.0), ("sd 2", 2.0), ("sd 4", 4.0), ("perfect", 1.0)):
        lists = list(draw_lists(arguments.lists, size, sd, seed))
        for method in METHODS:
            judge = prepare_judge(noisy_judge(seed, is_perfect=name == "perfect"), method)
            began = time.perf_counter()
            found = measure(rank_all(lists, judge, method=method, seed=seed, prior_sd=sd))
            print(
                f"{name:10}{method:14}{100 * found['top']:7.1f}%{found['tau']:8.3f}{found['fit']:8.3f}"
                f"{found['calls']:8.1f}   ({time.perf_counter() - began:.0f} s)",
                flush=True,
            )
    print(f"95% intervals of strengths, {arguments.lists} round robins of {size}")
    for sd in (0.5, 1.0, 2.0):
        parts = []
        for kind, (good, total) in cover(arguments.lists, size, sd, seed).items():
            low, high = wilson_interval(good, total) or (0.0, 1.0)
            parts.append(f"{kind} {100 * good / total:.1f}% of {total} ({100 * low:.1f} to {100 * high:.1f})")
        print(f"prior sd {sd:g}: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
