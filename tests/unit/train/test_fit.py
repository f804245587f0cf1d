"""Numbers of a training, from its recipe and its data."""

from __future__ import annotations

from rmr1.train.fit import _count_look


def test_a_look_is_as_large_as_its_longest_prompt() -> None:
    assert _count_look(64, [30, 700, 10]) == {"look_rows": 3, "look_prompt_tokens": 700}
    assert _count_look(2, [30, 700, 10]) == {"look_rows": 2, "look_prompt_tokens": 700}
    assert _count_look(64, ()) == {"look_rows": 64} and _count_look(0, [30]) == {"look_rows": 0}
