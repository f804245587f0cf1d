"""Which items of a run people are asked about, in which sequence, and where the answers stand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.active.blind import BlindRun
from rmr1.active.said import find_seen, find_standing
from rmr1.active.sides import draw_first, name_side, seal, unseal
from rmr1.errors import ConfigError, DataError
from rmr1.messages import assistant
from rmr1.store.labels import read_labels
from rmr1.store.runs import JUDGMENTS_FILE
from tests.unit.active.asked import key_of, make_judgment, say, write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [make_judgment(number, "A") for number in range(30)])


def walk(asker: BlindRun, who: str, label: str = "A") -> list[str]:
    """The keys that a person is asked about, who always says the same."""
    asked = []
    while (task := asker.choose(list(read_labels(asker.folder)), who)) is not None:
        asked.append(task.key)
        say(asker.folder, int(task.key, 16), who, label)  # type: ignore[arg-type]
    return asked


def test_everybody_is_asked_the_same_in_the_same_sequence(folder: Path) -> None:
    ada, eve = (walk(BlindRun(folder, number=12), who) for who in ("ada", "eve"))
    assert ada == eve and len(set(ada)) == 12
    assert ada != [key_of(number) for number in range(12)]
    other = walk(BlindRun(folder, number=12, seed=1), "bob")
    assert other != ada and len(other) == 12
    assert walk(BlindRun(folder, number=0), "zoe")[:12] == ada


def test_a_task_holds_the_pair_as_it_was_judged(folder: Path) -> None:
    task = BlindRun(folder).find(key_of(7))
    assert task is not None and task.pair == make_judgment(7, "A").pair and task.ask == "label"
    assert BlindRun(folder).find("unknown") is None


def test_a_new_asker_goes_on_where_the_old_one_was(folder: Path) -> None:
    first = BlindRun(folder, number=5)
    task = first.choose([], "ada")
    assert task is not None
    say(folder, int(task.key, 16), "ada", None, is_skipped=True)
    rest = walk(BlindRun(folder, number=5), "ada")
    assert len(rest) == 4 and task.key not in rest


def test_an_undone_item_is_asked_again_and_a_seen_one_never(folder: Path) -> None:
    asker = BlindRun(folder, number=0)
    (first, second, *_) = asked = walk(asker, "ada")
    say(folder, int(second, 16), "ada", None, is_undone=True)
    again = asker.choose(list(read_labels(folder)), "ada")
    assert again is not None and again.key == second
    say(folder, int(first, 16), "eve", "B", is_blind=False)
    assert walk(asker, "eve") == asked[1:]
    assert find_seen(list(read_labels(folder)), "eve") == {first}


def test_no_item_is_asked_of_more_people_than_wanted(folder: Path) -> None:
    walked = [walk(BlindRun(folder, number=15, people=2), who) for who in ("ada", "eve", "bob", "zoe", "max")]
    counts = Counter(key for one in walked for key in one)
    assert set(counts.values()) == {2} and len(counts) == 30 and walked[4] == []


def test_a_growing_run_is_taken_in_and_a_replaced_one_anew(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [make_judgment(0, "A")])
    asker = BlindRun(folder, number=0)
    assert walk(asker, "ada") == [key_of(0)]
    write_run(folder, [make_judgment(number, "B") for number in range(1, 4)], first=1)
    with (folder / JUDGMENTS_FILE).open("ab") as file:
        file.write(b'{"key": "torn')
    assert sorted(walk(asker, "ada")) == [key_of(number) for number in (1, 2, 3)] and asker.total == 4
    (folder / JUDGMENTS_FILE).unlink()
    write_run(folder, [make_judgment(9, "A")], first=9)
    task = asker.choose(list(read_labels(folder)), "ada")
    assert task is not None and task.pair.id == "item-9" and asker.total == 1


def test_what_nobody_is_asked_about_is_counted(tmp_path: Path) -> None:
    four, failed, plain = make_judgment(0, "A"), make_judgment(1, None), make_judgment(2, None)
    four = replace(four, pair=replace(four.pair, others=((assistant("C"),), (assistant("D"),))))
    folder = write_run(tmp_path / "run", [four, replace(failed, problem="generation_failed"), plain])
    asker = BlindRun(folder)
    assert asker.left_out == {"choices among four": 1, "judgments that the engine failed to give": 1}
    assert walk(asker, "ada") == [key_of(2)]


@pytest.mark.parametrize(("options", "told"), [({"number": -1}, "number= -1"), ({"people": 0}, "people= 0")])
def test_numbers_out_of_range(folder: Path, options: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        BlindRun(folder, **options)  # type: ignore[arg-type]


def test_a_run_without_anything_to_ask(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no judgment is finished"):
        BlindRun(write_run(tmp_path / "run", []))
    folder = write_run(tmp_path / "other", [])
    (folder / JUDGMENTS_FILE).write_text("{}\n")
    with pytest.raises(DataError, match="has no 'key'"):
        BlindRun(folder)


def test_sides_are_drawn_evenly_and_apart_for_each_person() -> None:
    drawn = {who: [draw_first(3, key_of(number), who) for number in range(400)] for who in ("ada", "eve")}
    for sides in drawn.values():
        assert 160 < sides.count("A") < 240
    same = sum(one == other for one, other in zip(*drawn.values(), strict=True))
    assert 160 < same < 240


@given(st.text(), st.sampled_from(["A", "B"]), st.sampled_from(["1", "2", "tie"]))
def test_what_was_said_is_read_in_the_frame_in_which_it_was_shown(key: str, first: str, said: str) -> None:
    """By a table of its own: the answer with the number that was said, or neither."""
    sealed = seal(key, first)  # type: ignore[arg-type]
    assert unseal(key, sealed) == first and unseal(key + "x", sealed) is None
    shown = {"1": first, "2": {"A": "B", "B": "A"}[first], "tie": "tie"}
    assert name_side(said, first) == shown[said]  # type: ignore[arg-type]


def test_what_stands_of_a_person(folder: Path) -> None:
    say(folder, 1, "ada", "A")
    say(folder, 2, "ada", "B")
    say(folder, 1, "eve", "B")
    say(folder, 1, "ada", "tie")
    say(folder, 2, "ada", None, is_undone=True)
    standing = find_standing(read_labels(folder), "ada")
    assert {key: one.label for key, one in standing.items()} == {key_of(1): "tie"}
