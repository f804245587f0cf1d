"""How often a cascade's promise is broken, on simulated judges whose true risk is known.

    python benchmarks/selective_risk.py --sets 2000 --items 300

Three worlds of two stages. An item has a hardness; each stage's confidence follows it with noise, and the chance of
being right is a known function of hardness and confidence, so the true risk of every threshold is computed from a
large population. `over` is the share of calibration sets whose accepted items, of any stage, are wrong more often than
promised; the bound allows delta, and sampling of the simulation three standard errors above it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from rmr1.judge.selective import Floats, find_cascade

POPULATION = 400_000


def draw(world: str, number: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(confidence_SI, correct_SI) of two stages."""
    ease_I = rng.random(number)
    noise_SI = rng.normal(size=(2, number)) * np.array([[0.25], [0.12]])
    confidence_SI = 0.5 + 0.5 * np.clip(ease_I + noise_SI, 0, 1)
    if world == "calibrated":
        right_SI = confidence_SI
    elif world == "overconfident":
        right_SI = 0.5 + 0.5 * ease_I * np.array([[0.75], [0.9]])
    else:  # the surest items are not the best ones: risk is not monotone in the threshold
        right_SI = 0.55 + 0.4 * np.sin(np.pi * (confidence_SI - 0.5) * 1.6)
    # Both stages tend to be wrong about the same items.
    shared_I = rng.random(number)
    draws_SI = np.where(rng.random((2, number)) < 0.6, shared_I, rng.random((2, number)))
    return confidence_SI.round(3), (draws_SI < right_SI).astype(np.float64)


def measure(world: str, sets: int, items: int, risk: float, delta: float) -> dict[str, float]:
    population = draw(world, POPULATION, np.random.default_rng(12345))
    over = none = 0
    coverages = []
    for number in range(sets):
        confidence_SI, correct_SI = draw(world, items, np.random.default_rng(number))
        thresholds = find_cascade(confidence_SI, correct_SI, risk=risk, delta=delta)
        is_left_I = np.ones(POPULATION, dtype=bool)
        is_over = False
        for stage, threshold in enumerate(thresholds):
            if threshold is None:
                continue
            accepts_I = is_left_I & (population[0][stage] >= threshold.confidence)
            is_over |= bool((1 - population[1][stage][accepts_I]).mean() > risk)
            is_left_I &= ~accepts_I
        over += is_over
        none += bool(is_left_I.all())
        coverages.append(1 - is_left_I.mean())
    return {"over": over / sets, "none": none / sets, "coverage": float(np.mean(coverages))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--delta", type=float, default=0.1)
    arguments = parser.parse_args()
    sets, delta = arguments.sets, arguments.delta
    most = delta + 3 * (delta * (1 - delta) / sets) ** 0.5
    print(f"{sets} sets of {arguments.items} items, delta {delta}: at most {most:.3f} may be over")
    for world in ("calibrated", "overconfident", "bumpy"):
        for risk in (0.1, 0.2, 0.3):
            began = time.perf_counter()
            found = measure(world, sets, arguments.items, risk, delta)
            mark = "" if found["over"] <= most else "  BROKEN"
            print(
                f"{world:14} risk {risk:.1f}: over {found['over']:.4f}, abstains from all {found['none']:.3f}, "
                f"coverage {found['coverage']:.3f} ({time.perf_counter() - began:.0f} s){mark}",
                flush=True,
            )


if __name__ == "__main__":
    main()
