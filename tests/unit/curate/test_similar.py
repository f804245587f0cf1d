"""MinHash against true similarities, and groups."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rmr1.curate.similar import Groups, Signer, estimate, estimate_sides, find_repeats, join_similar
from rmr1.curate.texts import hash_shingles

from .making import sentence


def change(text: str, draw: random.Random, number: int) -> str:
    words = text.split()
    for place in draw.sample(range(len(words)), number):
        words[place] = f"new{place}"
    return " ".join(words)


def true_similarity(one: str, other: str) -> float:
    first, second = set(hash_shingles(one, 3).tolist()), set(hash_shingles(other, 3).tolist())
    return len(first & second) / len(first | second)


def signatures_of(texts: list[str], permutations: int = 128) -> np.ndarray:
    signer = Signer(permutations)
    for text in texts:
        signer.add(hash_shingles(text, 3))
    return signer.signatures()


def test_the_estimate_is_the_jaccard_similarity() -> None:
    draw = random.Random(1)
    first = sentence(draw, 300)
    others = [change(first, draw, number) for number in (0, 3, 10, 30, 100)]
    signatures = signatures_of([first, *others], permutations=1024)
    found = estimate(signatures[1:], signatures[0])
    # The standard error of a share of 1024 is at most 0.016.
    assert found == pytest.approx([true_similarity(first, one) for one in others], abs=0.06)
    assert found[0] == 1.0


def test_signatures_repeat_and_a_long_text_is_signed_in_parts() -> None:
    text = " ".join(str(number) for number in range(10_000))
    assert (signatures_of([text]) == signatures_of([text])).all()
    halves = np.minimum(*signatures_of([" ".join(text.split()[:5002]), " ".join(text.split()[5000:])]))
    assert (signatures_of([text])[0] == halves).all()


def test_similar_texts_come_into_one_group_and_others_do_not() -> None:
    draw = random.Random(2)
    families = [sentence(draw, 100) for _ in range(20)]
    texts = [change(one, draw, 2) for one in families for _ in range(5)]
    groups = Groups(len(texts))
    join_similar(signatures_of(texts), 0.6, groups)
    assert groups.roots() == [5 * (item // 5) for item in range(100)]


def test_many_copies_are_one_group() -> None:
    groups = Groups(500)
    join_similar(signatures_of(["the very same text of some words"] * 500), 0.8, groups)
    assert set(groups.roots()) == {0}


def test_a_chain_does_not_drop_what_is_unlike_all_that_stays() -> None:
    # The signatures share 8 of 10 places with their neighbours, and 6 with the next but one.
    row = np.zeros((3, 10), dtype=np.uint32)
    row[1, :2] = 1
    row[2, :4] = 1
    assert list(find_repeats([0, 1, 2], lambda some, item: estimate(row[some], row[item]), 0.8)) == [
        (1, 0, 0.8)
    ]


def test_two_sides_are_as_alike_as_the_less_similar_of_their_texts() -> None:
    # Signatures of ten places: "other" shares 9 with the first text and 8 with the second.
    one, two = np.zeros(10, dtype=np.uint32), np.ones(10, dtype=np.uint32)
    first, second = one.copy(), two.copy()
    first[:1] = second[:2] = 7
    some = np.array([[one, two], [two, one], [one, one]])
    straight, crossed = estimate_sides(some, np.array([first, second]))
    assert straight.tolist() == [0.8, 0.0, 0.0]
    assert crossed.tolist() == [0.0, 0.8, 0.0]


def test_groups_are_called_by_their_smallest_item() -> None:
    groups = Groups(5)
    groups.join(4, 3)
    groups.join(1, 4)
    assert groups.roots() == [0, 1, 2, 1, 1]
