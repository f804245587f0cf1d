"""One prompt with four answers: where each stands, and which one the judge's text names the best.

One answer, A in the pair's frame, is exchanged with the one at a place drawn per item, as RewardBench 2's
authors do but with a seed; the others keep theirs. The text is read by the verdict rule with four labels.
With the rule `published` it is read as the authors do (`rewardbench` 0.1.4, `generative_v2.py`): of A, B, C
and D in this order the first whose `[[A]]` occurs anywhere in the raw text.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmr1.judge.settings import Placement
from rmr1.prompts.thinking import Pair
from rmr1.records import Generation, Order, Verdict, Vote
from rmr1.store.keys import seed_for
from rmr1.verdicts import parse_verdict

LABELS = ("A", "B", "C", "D")
PLACES: tuple[Order, ...] = ("given", "swapped", "swapped_c", "swapped_d")
"""The order that puts the pair's A to each of the four places."""


def places_for(placement: Placement, *, seed: int, key: str) -> tuple[Order, ...]:
    """The orders an item is asked in: one that is drawn, the given one, or the drawn one and the one that is
    two places further. A draw depends on the seed and the item's key alone."""
    if placement == "given":
        return ("given",)
    place = seed_for(seed, "placement", key) % len(PLACES)
    return (PLACES[place],) if placement == "seeded" else (PLACES[place], PLACES[(place + 2) % len(PLACES)])


def read_choice(
    text: str, rule: str = "tagged", *, truncated: bool = False, thinking: Sequence[Pair] = ()
) -> Verdict:
    """Which of four answers the text names the best.

    Raises:
        ConfigError: for an unknown rule; never for a text.
    """
    verdict = parse_verdict(text, rule, LABELS, truncated=truncated, thinking=thinking)
    if rule != "published":
        return verdict
    winner = next((label for label in LABELS if f"[[{label}]]" in text), None)
    return verdict if winner is None else Verdict(winner=winner, trace=verdict.trace)


def cast_choice(
    generation: Generation, *, order: Order, sample: int, rule: str, thinking: Sequence[Pair] = ()
) -> Vote:
    """Read one generation by `rule`; `thinking` holds a user's own forms of thinking."""
    if generation.finish_reason == "error":
        verdict = Verdict(winner=None, problem="generation_failed")
    elif generation.finish_reason == "skipped":
        verdict = Verdict(winner=None, problem="prompt_too_long")
    else:
        is_cut = generation.finish_reason == "length"
        verdict = read_choice(generation.text, rule, truncated=is_cut, thinking=thinking)
    return Vote(order=order, sample=sample, generation=generation, verdict=verdict)
