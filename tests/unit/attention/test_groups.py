"""What a row of groups holds."""

from __future__ import annotations

import torch

from rmr1.attention.groups import Group, build_group_row, pack_groups


def test_what_a_row_holds() -> None:
    row = build_group_row(
        [
            Group(prompt=(5, 6, 7), completions=((8, 9), (10,))),
            Group(prompt=(11,), completions=((12, 13, 14),)),
        ]
    )
    assert row.input_ids.tolist() == [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 2, 3]]
    assert row.layout == ((3, (2, 1)), (1, (3,)))
    # 8 and 10 both from the 7; 9 from the 8; 12, 13, 14 from 11, 12, 13.
    assert row.places.tolist() == [2, 3, 2, 6, 7, 8]
    assert row.targets.tolist() == [8, 9, 10, 12, 13, 14]
    assert row.lengths == (2, 1, 3)


def test_the_layout_can_be_looked_up() -> None:
    group = Group(prompt=[1, 2], completions=[[3], [4, 5]])
    assert hash(build_group_row([group]).layout) == hash(((2, (1, 2)),))


def test_tensors_are_whole_numbers_on_the_device_asked_for() -> None:
    row = build_group_row([Group(prompt=(1,), completions=((2,),))], torch.device("meta"))
    for tensor in (row.input_ids, row.position_ids, row.places, row.targets):
        assert tensor.dtype == torch.long and tensor.device.type == "meta"


def test_groups_are_packed_whole() -> None:
    groups = [
        Group(prompt=(0,) * prompt, completions=((0,) * own,) * count)
        for prompt, own, count in ((10, 2, 5), (4, 1, 2), (30, 5, 4), (5, 1, 1))
    ]
    assert [group.num_tokens for group in groups] == [20, 6, 50, 6]
    # The prompt counts once: the third has 50 tokens, more than a row, and has one to itself.
    assert pack_groups(groups, 27) == [[2], [0, 1], [3]]
