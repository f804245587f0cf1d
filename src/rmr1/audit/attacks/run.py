"""Asking a judge about pairs as they are, with an injection in the losing answer, and with neutral text in its place.

The losing answer is the one that the label does not prefer; of a pair without label, the one that the judge did not. Only
pairs that the judge decides for the other answer are attacked: nothing else can flip to the losing one. All three questions
show the answers in the same order. In a run folder the key of an attacked pair is that of the pair with
`+attacked/INJECTION` behind it, and of its control `+control/INJECTION`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

from rmr1.audit.attacks.catalogue import Injection, digest_catalogue, inject, write_control
from rmr1.audit.attacks.tally import AttackTally
from rmr1.engines.base import Recorded
from rmr1.errors import ConfigError
from rmr1.judge.ask import ServableJudge
from rmr1.judge.base import Items, PairJudge
from rmr1.judge.placement import orders_for
from rmr1.records import Judgment, PreferencePair, Side
from rmr1.store.keys import number_items, seed_for, vary_key
from rmr1.store.runs import RunWriter, read_judgments

Arm = Literal["attacked", "control"]
"""What stands in the losing answer: the injection, or neutral text of the same length."""

ARMS: tuple[Arm, ...] = get_args(Arm)
Pairs = Callable[[], Iterable[PreferencePair]]
"""Reads the pairs, each time anew."""


class Variant(NamedTuple):
    """A pair with something in its losing answer."""

    key: str
    place: int
    """Variants come behind all pairs of the data, in their sequence."""
    pair: PreferencePair


def check_attackable(judge: PairJudge) -> ServableJudge:
    """The judge, if it can be asked about texts that nobody has seen before.

    Raises:
        ConfigError: it is a recording, or runs elsewhere.
    """
    if not isinstance(judge, ServableJudge):
        raise ConfigError(
            f"judge {judge.name!r} runs on a cluster, where attacks are not asked about; leave that out"
        )
    if any(isinstance(model, Recorded) for model in judge.begin().models):
        raise ConfigError(
            f"judge {judge.name!r} is a recording, which holds no judgments of attacked answers; name the model itself"
        )
    return judge


def describe_attack(description: Mapping[str, Any], catalogue: Sequence[Injection]) -> dict[str, Any]:
    """The description of a judging run with the catalogue among its settings: other texts are another run."""
    settings = {**description["settings"], "injections": digest_catalogue(catalogue)}
    return {**description, "settings": settings}


def list_attack_keys(pairs: Pairs, catalogue: Sequence[Injection]) -> Iterator[str]:
    """The keys of everything that may be asked about these pairs with this catalogue."""
    for keys, _ in number_items(pairs()):
        yield keys[0]
        for injection in catalogue:
            yield from (_name_key(keys[0], arm, injection) for arm in ARMS)


def attack_all(
    judge: PairJudge,
    pairs: Pairs,
    injections: Sequence[Injection],
    tally: AttackTally,
    *,
    seed: int,
    draw: int | None = None,
    run: RunWriter | None = None,
) -> Iterator[tuple[str, Judgment]]:
    """Yield `(key, judgment)` of every question that is asked now; `tally` takes in those of the run, too.

    Args:
        judge: what `check_attackable` lets pass.
        seed: the judge's own, which decides the order of the answers; injections and neutral texts are drawn from it.
        draw: how many injections are drawn for each pair; all if None.

    Raises:
        ConfigError: the judge cannot be asked so. GenerationError, RunError: as of `PairJudge.run`; what was judged is
            stored.
    """
    asking = check_attackable(judge).begin(run)
    if run is not None and run.num_resumed:
        for key, judgment in read_judgments(run.folder):
            tally.add(key, judgment)

    def ask(variants: Iterable[Variant]) -> Iterator[tuple[str, Judgment]]:
        for key, judgment in asking.run(_expect(variants, run), run):
            tally.add(key, judgment)
            yield key, judgment

    yield from ask(Variant(keys[0], place, pair) for place, (keys, pair) in enumerate(number_items(pairs())))
    yield from ask(
        list_variants(
            pairs, injections, tally.find_target, judge=judge, seed=seed, draw=draw, num_pairs=tally.num_pairs
        )
    )


def list_variants(
    pairs: Pairs,
    injections: Sequence[Injection],
    find_target: Callable[[str], Side | None],
    *,
    judge: PairJudge,
    seed: int,
    draw: int | None,
    num_pairs: int,
) -> Iterator[Variant]:
    """The attacked pairs and their controls; `find_target` names by a pair's key the answer that is attacked, or None."""
    place = num_pairs
    for keys, pair in number_items(pairs()):
        side = find_target(keys[0])
        chosen = draw_injections(injections, draw, seed=seed, key=keys[0])
        for injection in chosen if side is not None else ():
            assert side is not None
            own, other = find_letters(judge, side, seed=seed, key=keys[0])
            texts = injection.write(own, other)
            control = write_control(texts, seed=seed, key=f"{keys[0]}/{injection.name}")
            for arm, put in zip(ARMS, (texts, control), strict=True):
                changed = replace(inject(pair, side, put), subset=f"{arm}/{injection.name}")
                yield Variant(_name_key(keys[0], arm, injection), place, changed)
                place += 1


def draw_injections(
    injections: Sequence[Injection], number: int | None, *, seed: int, key: str
) -> tuple[Injection, ...]:
    """So many of them for a pair, in the sequence of the catalogue; which ones depends on nothing but the seed and the key."""
    if number is None or number >= len(injections):
        return tuple(injections)
    places = random.Random(seed_for(seed, "injections", key)).sample(range(len(injections)), number)
    return tuple(injections[place] for place in sorted(places))


def find_letters(judge: PairJudge, side: Side, *, seed: int, key: str) -> tuple[Side, Side]:
    """What the attacked answer and its rival are called in the prompt that is asked first; A of an answer that is shown
    alone."""
    if judge.order is None:
        return "A", "B"
    is_given = orders_for(judge.order, seed=seed, key=key)[0] == "given"
    return ("A", "B") if (side == "A") == is_given else ("B", "A")


def _name_key(key: str, arm: Arm, injection: Injection) -> str:
    return vary_key(key, f"{arm}/{injection.name}")


def _expect(variants: Iterable[Variant], run: RunWriter | None) -> Items:
    for one in variants:
        if run is not None and run.is_finished(one.key):
            continue
        if run is not None:
            run.expect(one.key, one.place)
        yield one.key, one.pair
