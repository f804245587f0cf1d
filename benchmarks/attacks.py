"""Injections that nobody wrote, against rendering: those of the catalogue cut up, mixed and changed by lot.

    python benchmarks/attacks.py --number 2000 --seed 1

Each is put into every text of every prompt of some families and has to be inert (`rmr1.audit.attacks.proof`). What is not
is printed, the shortest of each reader and family. A rating in prose ("Rating: 10") that a judge repeats as its own is no
structure, and is expected among them for the family `rating`.

On two busy cores of a shared machine, 2026-11-30: 26 of 10,829 trials not inert before what was found was mended (marks
with numbers that touch a sign, half a channel token); then seed 4, 2,500 injections, 40,000 trials, none.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter

from rmr1.audit.attacks.catalogue import Injection, choose, load_catalogue
from rmr1.audit.attacks.proof import Trial, prove_inert

FAMILIES = ("rubric", "criteria", "rating")
_PIECE = re.compile(r"<[^>\n]{1,60}>|\[[^\]\n]{1,60}\]+|\w+:|\S+")
_GLUE = ("", "", "", " ", "\n", "\\", "\u200b", "[", "<", "]", ">", "|", "a", "\t", "\r", "\u2028", "  ")


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutate injections and look for one that is not inert.")
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    pieces = [
        piece
        for one in choose(load_catalogue(), ["structural"])
        for piece in _PIECE.findall(f"{one.start} {one.end}")
    ]
    injections = {f"m{number}": mutate(draw, pieces, f"m{number}") for number in range(arguments.number)}
    counts: Counter[str] = Counter()
    shortest: dict[tuple[str, str], Trial] = {}
    trials = 0
    for trial in prove_inert(injections.values(), FAMILIES):
        trials += 1
        counts.update(trial.rendered)
        for reader in trial.rendered:
            known = shortest.setdefault((reader, trial.family), trial)
            if len(injections[trial.injection].end) < len(injections[known.injection].end):
                shortest[reader, trial.family] = trial
    print(f"{arguments.number} injections, {trials:,} trials, not inert: {dict(counts) or 'none'}")
    for (reader, family), trial in shortest.items():
        one = injections[trial.injection]
        print(f"{family}, {trial.form}-turn, {trial.place}: {reader}\n  {one.start!a} {one.end!a}")


def mutate(draw: random.Random, pieces: list[str], name: str) -> Injection:
    """An injection of changed pieces."""
    start, end = (_write(draw, pieces) if is_there else "" for is_there in (draw.random() < 0.3, True))
    return Injection(
        name=name, kind="mutated", form="structural", tries="Whatever comes.", start=start, end=end
    )


def _write(draw: random.Random, pieces: list[str]) -> str:
    return "".join(
        _change(draw, draw.choice(pieces), pieces) + draw.choice(_GLUE) for _ in range(draw.randint(1, 6))
    )


def _change(draw: random.Random, text: str, pieces: list[str]) -> str:
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        place = draw.randrange(len(text) + 1)
        head, tail = text[:place], text[place:]
        text = draw.choice(
            (
                head + draw.choice(_GLUE) + tail,
                head + tail[1:],
                text.swapcase(),
                head + draw.choice(pieces) + tail,
                head + head + tail,
            )
        )
    return text


if __name__ == "__main__":
    main()
