"""Blocks that are out: each item comes back once, whatever is answered twice, lost or read again."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.cluster.blocks import Answer, Block, Ledger, Way, Window, Work, decode
from rmr1.cluster.hub import Hub
from rmr1.data.ids import OwnId
from rmr1.errors import GenerationError
from rmr1.messages import assistant, user
from rmr1.records import Judgment, PreferencePair


def make_pair(name: str) -> PreferencePair:
    return PreferencePair(
        id=OwnId(name), prompt=(user(name),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )


def make_judgment(pair: PreferencePair) -> Judgment:
    return Judgment(pair=pair, family="rubric", rule="tagged", winner="A")


def answer(block: Block, *, error: GenerationError | None = None, number: int | None = None) -> Answer:
    judged = tuple((key, make_judgment(pair)) for key, pair in block.items[:number])
    return Answer(number=block.number, judgments=judged, error=error)


def test_blocks_keep_the_mark_of_an_id_that_is_the_rows_own() -> None:
    block = Block(number=3, asking=Way(), items=(("k", make_pair("gsm8k:12")),))
    assert decode(block.encode()) == block
    assert isinstance(decode(block.encode()).items[0][1].id, OwnId)


@given(st.integers(0, 40), st.integers(1, 7), st.randoms(use_true_random=False))
def test_every_item_comes_back_once(number: int, size: int, draw: random.Random) -> None:
    ledger = Ledger(Way(), block_items=size)
    works = [Work(key=str(one), pair=make_pair(str(one))) for one in range(number)]
    blocks = [block for work in works if (block := ledger.add(work)) is not None]
    if (last := ledger.close_block()) is not None:
        blocks.append(last)
    assert ledger.close_block() is None
    assert [block.number for block in blocks] == list(range(len(blocks)))
    answers = [answer(block) for block in blocks for _ in range(draw.randint(1, 3))]
    draw.shuffle(answers)
    taken = [work for one in answers for work, _ in ledger.take(one)]
    assert sorted(work.key for work in taken) == sorted(work.key for work in works)
    assert ledger.num_out == 0


def test_what_was_finished_before_an_error_comes_first() -> None:
    ledger = Ledger(Way(), block_items=3)
    block = [ledger.add(Work(key=str(one), pair=make_pair(str(one)))) for one in range(3)][-1]
    assert block is not None
    stream = ledger.take(answer(block, error=GenerationError("out of memory"), number=2))
    assert [next(stream)[0].key, next(stream)[0].key] == ["0", "1"]
    with pytest.raises(GenerationError, match="out of memory"):
        next(stream)


def test_an_answer_about_something_else_is_refused() -> None:
    ledger = Ledger(Way(), block_items=2)
    ledger.add(Work(key="0", pair=make_pair("0")))
    block = ledger.add(Work(key="1", pair=make_pair("1")))
    assert block is not None
    with pytest.raises(GenerationError, match="left 1 items"):
        list(ledger.take(answer(block, number=1)))
    block = Ledger(Way(), block_items=1).add(Work(key="2", pair=make_pair("2")))
    assert block is not None
    ledger = Ledger(Way(), block_items=1)
    ledger.add(Work(key="3", pair=make_pair("3")))
    with pytest.raises(GenerationError, match="which was not in its block"):
        list(ledger.take(answer(block)))


def test_a_reader_that_begins_again_is_given_the_same_blocks() -> None:
    window = Window()
    for number in range(4):
        window.put(number, bytes([65 + number]))
    window.drop(0)
    window.drop(2)
    assert [window.get(number) for number in range(4)] == [b"", b"B", b"", b"D"]
    assert not window.is_ready(4)
    window.is_over = True
    assert window.is_ready(4) and window.get(4) is None and window.get(3) == b"D"


def test_a_reader_waits_for_its_block() -> None:
    async def meet() -> tuple[bytes | None, bytes | None]:
        hub = Hub(5)
        first = asyncio.create_task(hub.get(0))
        await asyncio.sleep(0)
        assert not first.done()
        await hub.put(0, b"x", [])
        read = await first
        second = asyncio.create_task(hub.get(1))
        await asyncio.sleep(0)
        await hub.end()
        return read, await second

    assert asyncio.run(meet()) == (b"x", None)


def test_a_block_that_ends_every_actor_ends_the_run() -> None:
    async def meet() -> tuple[object, object]:
        hub = Hub(2)
        for _ in range(3):
            await hub.begin(7)
        before = (await hub.take_reports()).failure
        await hub.begin(7)
        return before, (await hub.take_reports()).failure

    before, after = asyncio.run(meet())
    assert before is None
    assert str(after) == "3 actors were lost, one after the other, over the same block of items"
