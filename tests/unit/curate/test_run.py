"""Whole curations of made-up pairs: every pair is accounted for, figures are true, results repeat."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rmr1.curate.run import run_curation
from rmr1.data.read import read_pairs
from rmr1.errors import ConfigError, DataError, RunError

from .making import make_pair, make_pairs, read_rows, recipe_of, sentence, write_rows

SPLITS = {"distill": 0.3, "held_out": 0.1, "rl": "rest"}


def curate(folder: Path, sources: dict[str, Any], **values: Any) -> dict[str, Any]:
    return run_curation(recipe_of(sources, **values), folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def reasons(folder: Path) -> dict[str, list[str]]:
    """Reason to the ids that went for it."""
    found: dict[str, list[str]] = {}
    for row in read_rows(folder / "dropped.jsonl"):
        found.setdefault(row["reason"], []).append(row["id"])
    return found


@pytest.fixture
def messy(tmp_path: Path) -> dict[str, Any]:
    """Two sources with one pair for every reason, and a benchmark."""
    draw = random.Random(9)
    good = make_pairs(60, seed=1)
    copy = dict(good[0], id="copy")
    turned = {
        **good[1],
        "id": "turned",
        "response_a": good[1]["response_b"],
        "response_b": good[1]["response_a"],
    }
    turned["label"] = "B" if good[1]["label"] == "A" else "A"
    liar = {**good[2], "id": "liar", "label": "B" if good[2]["label"] == "A" else "A"}
    words = good[3]["response_a"].split()
    near = {**good[3], "id": "near", "response_a": " ".join([*words[:-1], "other"])}
    leaked = make_pair(draw, id="leaked", prompt=f"Tell me: {sentence(draw, 14)}")
    rows = [
        *good,
        copy,
        turned,
        liar,
        near,
        leaked,
        make_pair(draw, id="tie", label="tie"),
        make_pair(draw, id="unlabelled", label=None),
        make_pair(draw, id="same", response_a="x  y", response_b="x y"),
        make_pair(draw, id="token", response_b="go <im_start>"),
        make_pair(draw, id="long", response_a="z" * 5000),
        make_pair(draw, id="hidden", subset="secret"),
        "{broken",
        make_pair(draw, id="blank", response_a=" "),
        make_pair(draw, id="label", label="C"),
    ]
    bench = [make_pair(draw, prompt=" ".join(leaked["prompt"].split()[2:]))]
    return {
        "first": {"data": str(write_rows(tmp_path / "first.jsonl", rows))},
        "second": {"data": str(write_rows(tmp_path / "second.jsonl", make_pairs(50, seed=2))), "take": 30},
        "bench": str(write_rows(tmp_path / "bench.jsonl", bench)),
    }


def settings(messy: dict[str, Any]) -> dict[str, Any]:
    return {
        "splits": SPLITS,
        "filters": {
            "forbid": ["<im_start>"],
            "response_characters": {"max": 1000},
            "drop_subsets": ["secret"],
        },
        "decontaminate": {"benchmarks": {"own": messy["bench"]}},
    }


def test_every_pair_goes_where_it_should(tmp_path: Path, messy: dict[str, Any]) -> None:
    sources = {name: messy[name] for name in ("first", "second")}
    found = curate(tmp_path / "out", sources, **settings(messy))
    gone = reasons(tmp_path / "out")
    assert {reason: sorted(ids) for reason, ids in gone.items() if reason != "not_sampled"} == {
        "benchmark": ["leaked"],
        "characters": ["long"],
        "contradiction": ["liar", "p1-2"],
        "duplicate": ["copy", "turned"],
        "empty": ["first.jsonl:73"],
        "forbidden_text": ["token"],
        "identical": ["same"],
        "near_duplicate": ["near"],
        "subset": ["hidden"],
        "tie": ["tie"],
        "unlabelled": ["unlabelled"],
        "unreadable": ["first.jsonl:72", "first.jsonl:74"],
    }
    assert len(gone["not_sampled"]) == 20
    kept = [row["id"] for name in SPLITS for row in read_rows(tmp_path / "out" / f"{name}.jsonl")]
    assert len(kept) == len(set(kept)) == 59 + 30
    counts = found["counts"]
    assert (counts["read"], counts["unreadable"], counts["kept"]) == (71 + 50, 3, 89)
    for name, one in counts["sources"].items():
        listed = Counter(
            row["reason"] for row in read_rows(tmp_path / "out" / "dropped.jsonl") if row["source"] == name
        )
        assert one["dropped"] == listed
        assert one["read"] + one["unreadable"] == one["kept"] + sum(listed.values())
        assert one["kept"] == sum(one["splits"].values())
    own = counts["benchmarks"]["own"]
    assert own["removed"]["prompts_by_kind"] == {"same": 0, "wording": 0, "ngram": 1}


def test_details_say_what_was_seen(tmp_path: Path, messy: dict[str, Any]) -> None:
    curate(tmp_path / "out", {"first": messy["first"]}, **settings(messy))
    details = {row["id"]: row.get("detail") for row in read_rows(tmp_path / "out" / "dropped.jsonl")}
    assert details["copy"] == "of p1-0"
    assert details["near"].startswith("of p1-3, similarity 0.")
    assert details["long"] == "response_a has 5000"
    assert details["token"] == "'<im_start>' in response_b"
    assert details["leaked"].startswith("own bench:1: ngram '")
    assert details["first.jsonl:74"] == "label 'C' is not 'A', 'B' or 'tie'"


def test_a_pair_is_written_as_it_was_but_for_its_side(tmp_path: Path, messy: dict[str, Any]) -> None:
    curate(tmp_path / "out", {"first": messy["first"]}, **settings(messy))
    before = {pair.id: pair for pair in read_pairs(messy["first"]["data"], on_error="skip")}
    sides = Counter()
    for name in SPLITS:
        labels = Counter()
        for pair in read_pairs(tmp_path / "out" / f"{name}.jsonl"):
            old = before[pair.id]
            assert pair.source == "first" and pair.prompt == old.prompt
            same = pair.response_a == old.response_a
            assert (pair if same else pair.swap()).label == old.label
            assert {pair.response_a, pair.response_b} == {old.response_a, old.response_b}
            labels[pair.label] += 1
        assert abs(labels["A"] - labels["B"]) <= 1
        sides += labels
    assert abs(sides["A"] - sides["B"]) <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(
    tmp_path: Path, messy: dict[str, Any]
) -> None:
    sources = {name: messy[name] for name in ("first", "second")}
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        curate(tmp_path / name, sources, seed=seed, **settings(messy))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one")["rl.jsonl"] != contents(tmp_path / "three")["rl.jsonl"]
    ids = {row["id"] for row in read_rows(tmp_path / "one" / "rl.jsonl")}
    assert ids != {row["id"] for row in read_rows(tmp_path / "three" / "rl.jsonl")}


def test_messages_and_parts_are_kept(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": parts},
    ]
    rows = [
        {
            "prompt": talk,
            "response_a": "one",
            "response_b": [{"role": "assistant", "content": "two"}] * 2,
            "label": "B",
        },
        {
            "prompt": [{"role": "system", "content": "Be brief."}],
            "response_a": "a\u2028\U0001f600",
            "response_b": "b",
            "label": "A",
        },
    ]
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    curate(tmp_path / "out", {"talk": path}, sides="as-read", order="sources")
    assert [
        (one.prompt, one.response_a, one.response_b, one.label)
        for one in read_pairs(tmp_path / "out/pairs.jsonl")
    ] == [(one.prompt, one.response_a, one.response_b, one.label) for one in read_pairs(path)]


def test_alternating_as_the_paper_in_the_order_of_the_sources(tmp_path: Path) -> None:
    files = {
        name: write_rows(tmp_path / f"{name}.jsonl", make_pairs(5, seed=at)) for at, name in enumerate("ab")
    }
    curate(tmp_path / "out", files, sides="alternate", order="sources")
    rows = read_rows(tmp_path / "out" / "pairs.jsonl")
    assert [row["id"] for row in rows] == [f"p{seed}-{place}" for seed in (0, 1) for place in range(5)]
    assert "".join(row["label"] for row in rows) == "ABABABABAB"


def test_what_the_row_calls_its_source_becomes_the_subset(tmp_path: Path) -> None:
    rows = [
        make_pair(random.Random(0), source="magpie_pro"),
        make_pair(random.Random(1), source="x", subset="math"),
    ]
    curate(tmp_path / "out", {"sky": write_rows(tmp_path / "a.jsonl", rows)}, order="sources")
    found = read_rows(tmp_path / "out" / "pairs.jsonl")
    assert [(row["source"], row["subset"]) for row in found] == [("sky", "magpie_pro"), ("sky", "math")]


def test_what_is_asked_inside_responses_counts_too(tmp_path: Path) -> None:
    """Conversations whose first answers differ hold the user's second question in both responses."""
    draw = random.Random(8)
    leaked, shared = sentence(draw, 6), sentence(draw, 8)

    def talk(question: str) -> list[dict[str, str]]:
        texts = (sentence(draw, 9), question, sentence(draw, 9))
        roles = ("assistant", "user", "assistant")
        return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]

    def pair(id: str, question: str) -> dict[str, Any]:
        return make_pair(draw, id=id, response_a=talk(question), response_b=talk(question))

    rows = [
        pair("leaked", leaked),
        *(pair(str(at), shared) for at in range(30)),
        make_pair(draw, prompt=shared),
    ]
    found = curate(
        tmp_path / "out",
        {"a": write_rows(tmp_path / "a.jsonl", rows)},
        decontaminate={
            "benchmarks": {"own": str(write_rows(tmp_path / "b.jsonl", [make_pair(draw, prompt=leaked)]))}
        },
        splits={"one": 0.5, "two": "rest"},
    )
    assert reasons(tmp_path / "out") == {"benchmark": ["leaked"]}
    assert sorted(one["pairs"] for one in found["counts"]["splits"].values()) == [0, 31]


def test_overlaps_are_counted_whatever_else_would_drop_the_pair(tmp_path: Path) -> None:
    draw = random.Random(5)
    leaked = sentence(draw, 20)
    named = {"source": "web", "subset": "secret"}
    rows = [
        make_pair(draw, id="named", prompt=leaked, **named),
        make_pair(draw, id="tie", prompt=leaked, label="tie"),
        make_pair(draw, id="clean", **named),
        make_pair(draw, id="good"),
    ]
    found = curate(
        tmp_path / "out",
        {"a": write_rows(tmp_path / "a.jsonl", rows)},
        filters={"drop_sources": ["web"]},
        decontaminate={
            "benchmarks": {"own": str(write_rows(tmp_path / "b.jsonl", [make_pair(draw, prompt=leaked)]))}
        },
    )
    assert reasons(tmp_path / "out") == {"benchmark": ["named", "tie"], "source": ["clean"]}
    assert found["counts"]["benchmarks"]["own"]["removed"]["pairs"] == 2


def test_few_pairs_of_one_prompt(tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [make_pair(draw, prompt=f"Question {at % 4} of the day?") for at in range(40)]
    curate(tmp_path / "out", {"a": write_rows(tmp_path / "a.jsonl", rows)}, duplicates={"per_prompt": 3})
    found = Counter(row["prompt"] for row in read_rows(tmp_path / "out" / "pairs.jsonl"))
    assert sorted(found.values()) == [3, 3, 3, 3]
    assert len(reasons(tmp_path / "out")["per_prompt"]) == 28


def test_answers_alone_make_no_near_duplicate(tmp_path: Path) -> None:
    draw = random.Random(4)
    first = make_pair(draw, id="0")
    # The same answers to another question, and other answers to the same long question, are new pairs.
    rows = [
        first,
        {**first, "id": "1", "prompt": sentence(draw, 20)},
        {**make_pair(draw, id="2"), "prompt": first["prompt"]},
    ]
    found = curate(tmp_path / "out", {"a": write_rows(tmp_path / "a.jsonl", rows)})
    assert found["counts"]["kept"] == 3


def test_a_long_answer_does_not_drown_a_short_one(tmp_path: Path) -> None:
    draw = random.Random(6)
    first = make_pair(draw, id="0", response_a=sentence(draw, 300), response_b=sentence(draw, 20), label="A")
    rows = [first] + [
        {**first, "id": str(at), "response_b": sentence(draw, 20), "label": "AB"[at % 2]} for at in (1, 2, 3)
    ]
    path = write_rows(tmp_path / "a.jsonl", rows)
    assert curate(tmp_path / "out", {"a": path})["counts"]["kept"] == 4


def test_near_duplicates_are_compared_whichever_side_their_answers_are_on(tmp_path: Path) -> None:
    draw = random.Random(7)

    def near(row: dict[str, Any], id: str, *, turned: bool, agrees: bool) -> dict[str, Any]:
        """One word of each answer is another, the sides are exchanged or not, the label follows or not."""
        one, two = (f"{row[side].rsplit(' ', 1)[0]} other" for side in ("response_a", "response_b"))
        label = row["label"] if agrees != turned else "AB"[row["label"] == "A"]
        sides = {"response_a": two, "response_b": one} if turned else {"response_a": one, "response_b": two}
        return {**row, **sides, "id": id, "label": label}

    good = [make_pair(draw, id=f"g{at}") for at in range(4)]
    rows = [
        *good,
        near(good[0], "same", turned=False, agrees=True),
        near(good[1], "turned", turned=True, agrees=True),
        near(good[2], "liar", turned=False, agrees=False),
        near(good[3], "turned liar", turned=True, agrees=False),
    ]
    curate(tmp_path / "out", {"a": write_rows(tmp_path / "a.jsonl", rows)})
    assert {reason: sorted(ids) for reason, ids in reasons(tmp_path / "out").items()} == {
        "near_duplicate": ["same", "turned"],
        "contradiction": ["g2", "g3", "liar", "turned liar"],
    }
    assert [row["id"] for row in read_rows(tmp_path / "out/pairs.jsonl")] in (["g0", "g1"], ["g1", "g0"])


def test_a_finished_folder_is_known_again_wherever_the_data_lie(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", make_pairs(20))
    first = curate(tmp_path / "out", {"a": path})
    before = contents(tmp_path / "out")
    again = curate(tmp_path / "out", {"a": path.rename(tmp_path / "b.jsonl")})
    assert again.pop("was_finished") is True and again == json.loads(json.dumps(first))
    assert contents(tmp_path / "out") == before
    with pytest.raises(RunError, match=r"made in another way: recipe\.seed was 0, now 1; choose another"):
        curate(tmp_path / "out", {"a": tmp_path / "b.jsonl"}, seed=1)
    write_rows(tmp_path / "b.jsonl", make_pairs(21))
    with pytest.raises(RunError, match=r"inputs\.sources\.a was"):
        curate(tmp_path / "out", {"a": tmp_path / "b.jsonl"})
    write_rows(tmp_path / "b.jsonl", make_pairs(20))
    (tmp_path / "out" / "pairs.jsonl").write_bytes(before["pairs.jsonl"][:-1])
    with pytest.raises(RunError, match=r"pairs\.jsonl is not what was written; delete the folder"):
        curate(tmp_path / "out", {"a": tmp_path / "b.jsonl"})
    (tmp_path / "out" / "pairs.jsonl").write_bytes(before["pairs.jsonl"])
    (tmp_path / "out" / "card.md").unlink()
    with pytest.raises(RunError, match=r"card\.md is gone"):
        curate(tmp_path / "out", {"a": tmp_path / "b.jsonl"})


def test_another_split_of_the_same_folder_is_another_input(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for seed, split in enumerate(("train", "test")):
        write_rows(tmp_path / "data" / f"{split}.jsonl", make_pairs(20, seed=seed))
    one, other = f"{tmp_path}/data@train", f"{tmp_path}/data@test"
    curate(tmp_path / "out", {"a": one})
    assert curate(tmp_path / "out", {"a": one})["was_finished"]
    with pytest.raises(
        RunError, match=r"inputs\.sources\.a was \[\{'split': 'train'.* now \[\{'split': 'test'"
    ):
        curate(tmp_path / "out", {"a": other})
    bench = write_rows(tmp_path / "b.jsonl", make_pairs(20, seed=2))
    curate(tmp_path / "clean", {"a": bench}, decontaminate={"benchmarks": {"own": one}})
    with pytest.raises(RunError, match=r"inputs\.benchmarks\.own was"):
        curate(tmp_path / "clean", {"a": bench}, decontaminate={"benchmarks": {"own": other}})


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", make_pairs(3))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds other files"):
        curate(tmp_path / "out", {"a": path})
    with pytest.raises(RunError, match="is a file"):
        curate(path, {"a": path})
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", make_pairs(30))
    with pytest.raises(DataError, match="a has 30 pairs left where 50 are asked for; ask for less"):
        curate(tmp_path / "out", {"a": {"data": str(path), "take": 50}})
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]
    found = curate(tmp_path / "out", {"a": {"data": str(path), "take": 50}}, mix={"on_shortage": "less"})
    assert found["counts"]["notes"] == ["a has 30 pairs left where 50 are asked for"]
    assert "Note: a has 30 pairs left" in (tmp_path / "out" / "card.md").read_text()


@pytest.mark.parametrize(
    ("rows", "values", "told"),
    [
        (
            ["{broken", '{"prompt": "x"'],
            {},
            r"sources\.a: not one pair could be read of 2 rows; the first: a\.jsonl:1: invalid JSON",
        ),
        ([{"x": 1}], {}, r"sources\.a: .*a\.jsonl:1: no known form has the columns 'x'"),
        ([], {}, r"sources\.a: not one pair could be read of 0 rows"),
        (
            make_pairs(4),
            {"filters": {"keep_subsets": ["none"]}},
            r"nothing is left of 4 pairs \(4 subset\); loosen the filters",
        ),
        (
            [{**row, "label": None} for row in make_pairs(4)],
            {},
            r"nothing is left of 4 pairs \(4 unlabelled\); name the column that says which is preferred",
        ),
    ],
)
def test_empty_results_are_told(tmp_path: Path, rows: Any, values: Any, told: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=told):
        curate(tmp_path / "out", {"a": path}, **values)
    assert not (tmp_path / "out").exists()


def test_bad_rows_end_the_run_where_that_is_asked(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*make_pairs(3), "{broken"])
    with pytest.raises(DataError, match=r"sources\.a: .*a\.jsonl:4: invalid JSON"):
        curate(tmp_path / "out", {"a": {"data": str(path), "on_invalid": "fail"}})


def test_data_that_change_between_the_readings_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", make_pairs(10))

    def report(stage: str, done: int) -> None:
        if stage == "sorting into splits":
            write_rows(path, make_pairs(10, seed=5))

    with pytest.raises(DataError, match=r"sources\.a: the data changed while they were read"):
        run_curation(recipe_of({"a": path}), tmp_path / "out", report=report)
    assert not (tmp_path / "out").exists()


class Stopped(BaseException):
    pass


def stop_at(recipe: Any, folder: Path, wanted: str) -> None:
    def report(stage: str, done: int) -> None:
        if stage == wanted:
            raise Stopped

    with pytest.raises(Stopped):
        run_curation(recipe, folder, report=report)


@pytest.mark.parametrize(
    "damage",
    [
        lambda scan: scan.write_bytes(scan.read_bytes()[:-30]),
        lambda scan: scan.write_bytes(scan.read_bytes()[::-1]),
        lambda scan: scan.rename(scan.with_name("scan.zip.new")),
    ],
)
def test_a_damaged_scan_begins_anew(tmp_path: Path, messy: dict[str, Any], damage: Any) -> None:
    recipe = recipe_of({name: messy[name] for name in ("first", "second")}, **settings(messy))
    run_curation(recipe, tmp_path / "whole")
    stop_at(recipe, tmp_path / "out", "reading second")
    damage(tmp_path / "out.part" / "scan.zip")
    run_curation(recipe, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "stage", ["reading second", "comparing pairs", "sorting into splits", "writing second", "writing rl"]
)
def test_a_stopped_run_ends_with_the_same_bytes(tmp_path: Path, messy: dict[str, Any], stage: str) -> None:
    """With overlaps, bad rows, conversations and languages, which the scan holds beside the pairs."""
    draw = random.Random(2)
    talk = [{"role": role, "content": sentence(draw, 9)} for role in ("user", "assistant", "user")]
    with open(messy["first"]["data"], "a") as file:
        file.write(json.dumps(make_pair(draw, id="talk", prompt=talk)) + "\n")
        file.write(json.dumps(make_pair(draw, id="more", response_a=[*talk[1:], talk[1]])) + "\n")
    values = settings(messy)
    values["filters"]["languages"] = ["en"]
    values["filters"]["language_confidence"] = 1.0
    recipe = recipe_of({name: messy[name] for name in ("first", "second")}, **values)
    run_curation(recipe, tmp_path / "whole")
    stop_at(recipe, tmp_path / "out", stage)
    stop_at(recipe, tmp_path / "out", "going on: 1 of 2 sources are read" if "reading" in stage else stage)
    run_curation(recipe, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / "out.part").exists()


def test_what_another_curation_left_is_thrown_away_and_what_is_not_ours_is_not(tmp_path: Path) -> None:
    path, other = (write_rows(tmp_path / f"{at}.jsonl", make_pairs(20, seed=at)) for at in range(2))
    stop_at(recipe_of({"a": path, "b": other}), tmp_path / "out", "reading b")
    curate(tmp_path / "out", {"b": other})
    assert {row["source"] for row in read_rows(tmp_path / "out" / "pairs.jsonl")} == {"b"}
    (tmp_path / "mine.part").mkdir()
    (tmp_path / "mine.part" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"mine\.part: holds other files and is needed here; move it"):
        curate(tmp_path / "mine", {"b": other})
    assert (tmp_path / "mine.part" / "thesis.txt").exists()


def test_a_surprise_is_noted(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", make_pairs(10))
    found = curate(tmp_path / "out", {"a": {"data": str(path), "expected": 12}})
    assert found["counts"]["notes"] == ["a: 10 pairs passed the filters where the recipe expects 12"]


def test_a_source_of_which_nothing_is_left_is_noted(tmp_path: Path) -> None:
    rows = [*make_pairs(4), *({**row, "label": None} for row in make_pairs(2, seed=9))]
    files = {name: write_rows(tmp_path / f"{name}.jsonl", rows) for name in ("a", "b")}
    found = curate(tmp_path / "out", files)
    assert found["counts"]["notes"] == ["b: none of its 6 pairs is left (2 unlabelled, 4 duplicate)"]


def test_lumps_are_noted(tmp_path: Path) -> None:
    draw = random.Random(6)
    frame = sentence(draw, 40)
    rows = [make_pair(draw, prompt=f"{frame} {at}") for at in range(30)] + make_pairs(30)
    path = write_rows(tmp_path / "a.jsonl", rows)
    found = curate(tmp_path / "out", {"a": path}, splits={"few": 0.001, "rl": "rest"})
    assert found["counts"]["prompt_groups"] == {"prompts": 60, "groups": 31, "largest": 30}
    assert [note.split(":")[0][:52] for note in found["counts"]["notes"]] == [
        "split few has no pair",
        "one group of similar prompts holds 30 of 60 and goes",
    ]
    assert read_rows(tmp_path / "out" / "few.jsonl") == []


def test_languages(tmp_path: Path) -> None:
    texts = {
        "en": "Please explain to me how a bicycle works and why it does not fall over when it moves.",
        "de": "Bitte erkläre mir, wie ein Fahrrad funktioniert und warum es beim Fahren nicht umfällt.",
        "zh": "请向我解释自行车是如何工作的，以及为什么它在移动时不会倒下。",
    }
    rows = [
        {"id": code, "prompt": text, "response_a": text + text, "response_b": text + "!", "label": "A"}
        for code, text in texts.items()
    ]
    path = write_rows(tmp_path / "a.jsonl", rows)
    found = curate(tmp_path / "out", {"a": path}, filters={"languages": ["en", "zh"]})
    assert reasons(tmp_path / "out") == {"language": ["de"]}
    assert found["counts"]["sources"]["a"]["languages"] == {"de": 1, "en": 1, "zh": 1}
    with pytest.raises(ConfigError, match=r"'xx' is no code of py3langid"):
        curate(tmp_path / "other", {"a": path}, filters={"languages": ["xx"]})


def test_tokens_of_the_bundled_tokenizer(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    from rmr1.models import find_bundled

    tokenizer = AutoTokenizer.from_pretrained(find_bundled())
    rows = [*make_pairs(6), {**make_pairs(1, seed=3)[0], "id": "long", "response_b": "the cat " * 400}]
    path = write_rows(tmp_path / "a.jsonl", rows)
    values = {"tokenizer": "tiny", "filters": {"response_tokens": {"max": 700}}}
    found = curate(tmp_path / "out", {"a": path}, **values)
    assert reasons(tmp_path / "out") == {"tokens": ["long"]}
    count = len(tokenizer("the cat " * 400, add_special_tokens=False)["input_ids"])
    assert read_rows(tmp_path / "out" / "dropped.jsonl")[0]["detail"] == f"response_b has {count}"
    longest = max(len(tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]) for row in rows[:6])
    assert found["counts"]["total"]["tokens"]["prompt"]["max"] == longest
    with pytest.raises(ConfigError, match="tokenizer 'no/such-folder/here' cannot be read"):
        curate(tmp_path / "other", {"a": path}, tokenizer="no/such-folder/here")


def test_hostile_text_is_inert_in_the_card(tmp_path: Path) -> None:
    row = {**make_pairs(1)[0], "label": "C|<script>alert(1)</script>\n# x"}
    path = write_rows(tmp_path / "a.jsonl", [*make_pairs(3), row])
    curate(tmp_path / "out", {"a": path})
    card = (tmp_path / "out" / "card.md").read_text()
    assert "<script>" not in card and "\\<script\\>" in card
    assert not any(line.startswith("# x") for line in card.splitlines())
