"""Both passes with scripted teachers: what is asked, stored, kept, dropped and counted, also after stops."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rmr1.distill.budget import parse_budget
from rmr1.distill.run import run_distill
from rmr1.distill.second import JUDGMENT_START
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.records import JudgePrompt
from rmr1.store.runs import read_judgments
from tests.unit.distill.pairs import good_text, make_recipe, write_pairs

NOTE = "[Note to the judge]"


class Teacher:
    """Answers by pair, and remembers what it was asked."""

    def __init__(self, texts: dict[str, str] | None = None, default: str = good_text("A")):
        self.texts = texts or {}
        self.default = default
        self.asked: list[JudgePrompt] = []
        self.engine = ScriptedEngine(self.answer, "teacher")

    def answer(self, prompt: JudgePrompt, sample: int) -> str:
        self.asked.append(prompt)
        text = self.texts.get(prompt.pair_id, self.default)
        if text == "stop":
            raise KeyboardInterrupt
        return text

    @property
    def ids(self) -> Counter[str]:
        return Counter(prompt.pair_id for prompt in self.asked)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(
    recipe: Any, folder: Path, one: Teacher, two: Teacher | None = None, **options: Any
) -> dict[str, Any]:
    engines = {1: one.engine, 2: (two or Teacher()).engine}
    return run_distill(recipe, folder, engines=engines, **options)


def test_right_ones_are_kept_wrong_ones_go_to_the_second_teacher(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "ABBB-t"))
    one = Teacher()  # says A to everything
    two = Teacher(
        {
            "p1": good_text("B"),
            "p2": good_text("A"),
            "p3": good_text("B", words="As stated, the correct verdict is B."),
        }
    )
    summary = run(recipe, tmp_path / "out", one, two)
    assert set(one.ids) == {"p0", "p1", "p2", "p3"}
    assert set(two.ids) == {"p1", "p2", "p3"}
    rows = read_lines(tmp_path / "out/train.jsonl")
    assert [(row["id"], row["pass"], row["verdict"]) for row in rows] == [("p0", 1, "A"), ("p1", 2, "B")]
    dropped = read_lines(tmp_path / "out/dropped.jsonl")
    assert [(row["id"], row["pass"], row["reason"]) for row in dropped] == [
        ("p2", 2, "wrong"),
        ("p3", 2, "hint"),
        ("p4", None, "no_label"),
        ("p5", None, "tie"),
    ]
    assert summary["dropped"] == {"hint": 1, "no_label": 1, "tie": 1, "wrong": 1}
    assert summary["right"] == {"pass1": 1, "pass2": 2, "pass2_asked": 3}
    assert (summary["pairs"], summary["labelled"], summary["rows"], summary["yield"]) == (6, 4, 2, 0.5)
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary


def test_the_hint_is_shown_to_the_second_teacher_and_stored_nowhere(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "BB"))
    two = Teacher(default=good_text("B"))
    run(recipe, tmp_path / "out", Teacher(), two)
    for prompt in two.asked:
        text = prompt.messages[-1].text
        assert NOTE in text and "The right verdict is [[B]]" in text
        assert text.index(JUDGMENT_START) < text.index("<answer>[[A]]</answer>", text.index(JUDGMENT_START))
    train = (tmp_path / "out/train.jsonl").read_text()
    assert train.count("\n") == 2 and NOTE not in train
    for name in ("train", "dropped", "pass1", "pass2"):
        assert "Note to the judge" not in (tmp_path / f"out/{name}.jsonl").read_text()
    first = read_lines(tmp_path / "out/train.jsonl")[0]["messages"]
    assert [message["role"] for message in first] == ["system", "user", "assistant"]
    assert first[1]["content"].endswith("[The End of Chatbot B's Response]")


def test_the_label_is_told_and_stored_in_the_frame_of_the_prompt(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 12)
    recipe = make_recipe(data, data={"order": "seeded"}, seed=3)
    two = Teacher()
    two.engine = ScriptedEngine(
        lambda prompt, sample: (
            two.asked.append(prompt) or good_text("A" if prompt.order == "given" else "B", order=prompt.order)
        ),
        "two",
    )
    summary = run(recipe, tmp_path / "out", Teacher(default="no idea"), two)
    assert summary["rows"] == 12
    for prompt in two.asked:
        told = "A" if prompt.order == "given" else "B"
        assert f"The right verdict is [[{told}]]" in prompt.messages[-1].text
    rows = read_lines(tmp_path / "out/train.jsonl")
    assert {(row["order"], row["verdict"]) for row in rows} == {("given", "A"), ("swapped", "B")}
    for row in rows:
        assert row["messages"][-1]["content"].endswith(f"<answer>[[{row['verdict']}]]</answer>")
        first = row["messages"][1]["content"].split("[The Start of Chatbot A's Response]\n")[1]
        assert first.startswith("Here the first" if row["order"] == "given" else "Here the second")
    # The same seed places the same way.
    again = run(recipe, tmp_path / "again", Teacher(default="no idea"), two)
    assert (tmp_path / "again/train.jsonl").read_bytes() == (tmp_path / "out/train.jsonl").read_bytes()
    assert again["verdicts"] == summary["verdicts"]


def test_nothing_is_asked_twice_after_a_stop(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "ABABAB"))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "out", stopped := Teacher({"p3": "stop"}))
    assert set(stopped.ids) == {"p0", "p1", "p2", "p3"}
    with (tmp_path / "out/pass1.jsonl").open("a") as file:
        file.write('{"key": "torn')
    second_one = Teacher()
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "out", second_one, first_two := Teacher({"p3": "stop"}, good_text("B")))
    assert set(second_one.ids) == {"p3", "p4", "p5"}
    third_one, last_two = Teacher(), Teacher(default=good_text("B"))
    summary = run(recipe, tmp_path / "out", third_one, last_two)
    assert not third_one.ids
    assert set(first_two.ids) - {"p3"} | set(last_two.ids) == {"p1", "p3", "p5"}
    assert not (set(first_two.ids) - {"p3"}) & set(last_two.ids)
    assert summary["rows"] == 6
    run(recipe, tmp_path / "whole", Teacher(), Teacher(default=good_text("B")))
    assert (tmp_path / "whole/train.jsonl").read_bytes() == (tmp_path / "out/train.jsonl").read_bytes()


class DatedEngine(ScriptedEngine):
    """One whose prompts hold the time at which its run began."""

    now = time = ""

    def begin_run(self, stored: Any) -> None:
        self.time = self.now if stored is None else stored["template_time"]

    def fingerprint(self) -> dict[str, object]:
        return {**super().fingerprint(), "template_time": self.time}


def test_a_pass_that_goes_on_keeps_the_time_of_its_prompts(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "ABAB"))
    times = []
    for now, teacher in (("noon", Teacher({"p2": "stop"})), ("night", Teacher())):
        teacher.engine = DatedEngine(teacher.answer, "teacher")
        teacher.engine.now = now
        if now == "noon":
            with pytest.raises(KeyboardInterrupt):
                run(recipe, tmp_path / "out", teacher)
        else:
            run(recipe, tmp_path / "out", teacher)
        passes = json.loads((tmp_path / "out/run.json").read_text())["passes"]
        times.append((teacher.engine.time, passes["pass1"]["teacher"]["template_time"]))
    assert times == [("noon", "noon"), ("noon", "noon")]


def test_data_that_have_grown_are_asked_about_where_they_are_new(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AAAA")
    run(make_recipe(data, data={"limit": 2}), tmp_path / "out", Teacher())
    one = Teacher()
    summary = run(make_recipe(data), tmp_path / "out", one)
    assert set(one.ids) == {"p2", "p3"} and summary["rows"] == 4
    narrowed = run(make_recipe(data, data={"limit": 1}), tmp_path / "out", Teacher())
    assert narrowed["rows"] == 1


def test_another_way_of_making_is_refused_and_another_selection_is_not(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AAAA")
    assert run(make_recipe(data), tmp_path / "out", Teacher())["rows"] == 4
    stricter = run(make_recipe(data, select={"max_chars": 10}), tmp_path / "out", idle := Teacher())
    assert not idle.asked and stricter["dropped"] == {"length": 4}
    with pytest.raises(RunError, match=r"settings\.seed was 0, now 1"):
        run(make_recipe(data, seed=1), tmp_path / "out", Teacher())
    write_pairs(data, "AAAB")
    with pytest.raises(RunError, match=r"data\.sources was"):
        run(make_recipe(data), tmp_path / "out", Teacher())
    write_pairs(data, "AAAA")
    (tmp_path / "out/pass1.jsonl").write_text("")
    with pytest.raises(RunError, match=r"pass1\.temperature was 0\.0, now 0\.5"):
        run(make_recipe(data, pass1={"temperature": 0.5}), tmp_path / "out", Teacher())


def test_of_several_texts_the_second_teacher_is_shown_the_one_that_the_note_speaks_of(tmp_path: Path) -> None:
    recipe = make_recipe(
        write_pairs(tmp_path / "pairs.jsonl", "A"),
        pass1={"samples": 2, "temperature": 0.5},
        pass2={"redo": "all"},
    )
    one, two = Teacher(), Teacher()
    one.engine = ScriptedEngine([good_text("B"), good_text("A") + " Bye."], "teacher")
    run(recipe, tmp_path / "out", one, two)
    text = two.asked[0].messages[-1].text
    assert "came to the right end" in text and "wrong end" not in text
    assert "[[A]]</answer> Bye." in text and "<answer>[[B]]" not in text


def test_texts_of_a_finished_pass_are_not_credited_to_another_teacher(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AAAA")
    assert run(make_recipe(data), tmp_path / "out", Teacher())["rows"] == 4
    for values, told in (
        ({"temperature": 0.5}, r"pass1\.temperature was 0\.0, now 0\.5"),
        ({"max_new_tokens": 10}, r"pass1\.max_new_tokens was 8192, now 10"),
    ):
        with pytest.raises(RunError, match=told):
            run(make_recipe(data, pass1=values), tmp_path / "out", Teacher())
    other = Teacher()
    other.engine = ScriptedEngine([good_text("A")], "other")
    with pytest.raises(RunError, match=r"pass1\.teacher"):
        run(make_recipe(data, pass1={"teacher": "scripted:three"}), tmp_path / "out", other)
    # The same teacher may go by another name, as a checkpoint does that was moved.
    moved = run(make_recipe(data, pass1={"teacher": "scripted:moved"}), tmp_path / "out", Teacher())
    assert moved["passes"][0]["teacher"] == "scripted:moved"
    # Under its name it is not loaded: there is no scripted judge that is called so.
    recipe = make_recipe(data, pass1={"teacher": "scripted:moved"})
    assert run_distill(recipe, tmp_path / "out")["rows"] == 4


def test_data_that_changed_in_a_split_of_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_pairs(tmp_path / "data/train.jsonl", "AAAA")
    recipe = make_recipe(f"{tmp_path}/data@train")
    assert run(recipe, tmp_path / "out", Teacher())["rows"] == 4
    write_pairs(tmp_path / "data/train.jsonl", "AAAB")
    with pytest.raises(RunError, match=r"data\.sources was"):
        run(recipe, tmp_path / "out", Teacher())


@pytest.mark.parametrize(
    ("redo", "ids"), [("wrong", {"p1", "p3"}), ("all", {"p1", "p2", "p3"})], ids=["wrong", "all"]
)
def test_what_goes_to_the_second_teacher(redo: str, ids: set[str], tmp_path: Path) -> None:
    one = Teacher({"p1": "", "p2": good_text("A") + " Bye.", "p3": "I refuse."})
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "AAAA"), pass2={"redo": redo})
    two = Teacher()
    summary = run(recipe, tmp_path / "out", one, two)
    assert set(two.ids) == ids
    assert summary["rows"] == 1 + len(ids)
    told = {prompt.pair_id: "came to the wrong end" in prompt.messages[-1].text for prompt in two.asked}
    assert told == {name: name != "p2" for name in ids}  # the verdict of p2 was right
    empty = next(prompt for prompt in two.asked if prompt.pair_id == "p1")
    assert JUDGMENT_START not in empty.messages[-1].text  # there was nothing to show


def test_a_teacher_that_fails_is_counted_and_asked_again_on_request(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "AAAA"))
    one = Teacher()
    one.engine = ScriptedEngine(one.answer, "teacher", fail_every=2)
    summary = run(recipe, tmp_path / "out", one)
    assert (summary["rows"], summary["dropped"], summary["passes"][0]["failed"]) == (2, {"failed": 2}, 2)
    assert "scripted failure" in read_lines(tmp_path / "out/dropped.jsonl")[0]["detail"]
    assert run(recipe, tmp_path / "out", idle := Teacher())["rows"] == 2 and not idle.asked
    assert summary["answered"] == {"pass1": 2, "pass2": 0}
    assert summary["passes"][0]["failures"] == {
        f"scripted failure of request {number}": 1 for number in (2, 4)
    }
    before = summary["passes"][0]["prompt_tokens"]
    failed = [
        line["prompt_tokens"]
        for line in read_lines(tmp_path / "out/pass1.jsonl")
        if line.get("problem") == "generation_failed"
    ]
    summary = run(recipe, tmp_path / "out", again := Teacher(), retry_failed=True, budget=parse_budget("1M"))
    assert len(again.asked) == 2 and summary["rows"] == 4 and summary["passes"][0]["failed"] == 0
    # What the failures took stays counted, in the figures and in the budget.
    about = summary["passes"][0]
    assert about["prompt_tokens"] == before + sum(failed) > before
    assert summary["budget"]["spent"] == about["prompt_tokens"] + about["completion_tokens"]
    run(recipe, tmp_path / "out", Teacher(), retry_failed=True)
    assert len(read_lines(tmp_path / "out/pass1-failed.jsonl")) == 2


def test_what_was_refused_for_good_is_not_asked_again(tmp_path: Path) -> None:
    recipe = make_recipe(
        write_pairs(tmp_path / "pairs.jsonl", "AAA"), pass1={"samples": 2, "temperature": 0.5}
    )
    run(recipe, tmp_path / "out", Teacher())
    error = {"text": "", "finish_reason": "error", "error": "HTTP 400"}
    lines = read_lines(tmp_path / "out/pass1.jsonl")
    for line, is_refused in zip(lines, ((True, True), (True, False)), strict=False):
        for vote, one in zip(line["votes"], is_refused, strict=True):
            vote["generation"] |= {**error, "is_refused": one}
    (tmp_path / "out/pass1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = run(recipe, tmp_path / "out", again := Teacher(), retry_failed=True)
    assert again.ids == {lines[1]["pair"]["id"]: 2}
    assert (summary["passes"][0]["refused"], summary["passes"][0]["failed"]) == (1, 0)


def test_a_budget_is_never_exceeded_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AB" * 10)
    recipe = make_recipe(data, pass1={"max_new_tokens": 200}, pass2={"max_new_tokens": 200})
    asked: Counter[str] = Counter()
    spent = []
    for budget in ("5k", "12k", "16k", "10M"):
        one = Teacher()
        summary = run(
            recipe, tmp_path / "out", one, Teacher(default=good_text("B")), budget=parse_budget(budget)
        )
        asked += one.ids
        used = sum(one["prompt_tokens"] + one["completion_tokens"] for one in summary["passes"])
        assert summary["budget"]["spent"] == used <= parse_budget(budget).amount
        spent.append((used, summary["budget"]["is_exhausted"], summary["waiting"]["pass1"]))
    assert [end for _, end, _ in spent] == [True, True, True, False]
    assert spent[0][2] > spent[1][2] > 0
    assert set(asked.values()) == {1} and summary["rows"] == 20


def test_quotas_by_family_are_drawn_by_the_seed(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    with data.open("w") as file:
        for number, subset in enumerate(["Chat/x"] * 6 + ["Math/y"] * 3 + [None] * 2):
            line = json.loads(write_pairs(tmp_path / "one.jsonl", "A", subset=subset).read_text())
            file.write(json.dumps({**line, "id": f"p{number}"}) + "\n")

    def kept(seed: int, **quotas: int) -> list[str]:
        folder = tmp_path / f"out{seed}"
        run(make_recipe(data, seed=seed, select={"quotas": quotas}), folder, Teacher())
        return [row["id"] for row in read_lines(folder / "train.jsonl")]

    first = kept(0, Chat=2, **{"*": 1})
    assert len([one for one in first if int(one[1:]) < 6]) == 2 and len(first) == 4
    assert kept(0, Chat=2, **{"*": 1}) == first
    assert set(first) <= set(kept(0, Chat=4, **{"*": 2}))  # a larger quota holds the smaller one's rows
    assert len(kept(0, Math=0)) == 8
    assert len({tuple(kept(seed, Chat=2)) for seed in range(5)}) > 1


def test_identical_pairs_are_pairs_of_their_own(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    line = write_pairs(data, "B").read_text()
    data.write_text(line * 3)
    summary = run(make_recipe(data), tmp_path / "out", Teacher(), Teacher(default=good_text("B")))
    rows = read_lines(tmp_path / "out/train.jsonl")
    assert summary["rows"] == 3 and len({row["key"] for row in rows}) == 3


def test_bad_data_are_said_before_a_teacher_is_asked(tmp_path: Path) -> None:
    one = Teacher()
    with pytest.raises(DataError, match="no such file"):
        run(make_recipe(tmp_path / "none.jsonl"), tmp_path / "out", one)
    unlabelled = write_pairs(tmp_path / "unlabelled.jsonl", "--t")
    with pytest.raises(DataError, match="none of its 3 pairs has a label 'A' or 'B'"):
        run(make_recipe(unlabelled), tmp_path / "out", one)
    data = write_pairs(tmp_path / "pairs.jsonl", "AB")
    data.write_text(data.read_text() + "{broken\n")
    with pytest.raises(DataError, match=r"pairs.jsonl:3: .*1 of 3 rows cannot be read.*data.skip_invalid"):
        run(make_recipe(data), tmp_path / "out", one)
    assert not one.asked and not (tmp_path / "out").exists()
    assert run(make_recipe(data, data={"skip_invalid": True}), tmp_path / "out", one)["pairs"] == 2


def test_a_judging_run_is_no_distillation_and_a_scalar_model_no_teacher(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AB")
    recipe = make_recipe(data, pass1={"teacher": "tiny-scalar"})
    with pytest.raises(ConfigError, match="scalar reward model"):
        run_distill(recipe, tmp_path / "out")
    with pytest.raises(ConfigError, match="scripted judge 'one' is not known"):
        run_distill(make_recipe(data), tmp_path / "out2")


def test_a_pass_is_stored_as_judgments(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "AB"))
    run(recipe, tmp_path / "out", Teacher(), Teacher(default=good_text("B")))
    stored = {
        judgment.pair.id: judgment for _, judgment in read_judgments(tmp_path / "out", file="pass1.jsonl")
    }
    assert {name: one.correct for name, one in stored.items()} == {"p0": True, "p1": False}
    assert stored["p0"].votes[0].generation.text == good_text("A")


def test_a_lowered_limit_counts_both_figures_of_what_is_in_it(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AABAAA")
    run(make_recipe(data), tmp_path / "out", Teacher(), Teacher(default="no idea"))
    summary = run(make_recipe(data, data={"limit": 3}), tmp_path / "out", Teacher())
    assert summary["answered"] == {"pass1": 3, "pass2": 1}
    assert summary["right"] == {"pass1": 2, "pass2": 0, "pass2_asked": 1}


def test_a_quota_of_an_unknown_family_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    write_pairs(data, "AB", subset="Chat/x")
    one = Teacher()
    with pytest.raises(
        ConfigError,
        match=r"select\.quotas\.Chatt: no pair .* did you mean 'Chat'\? by subset there are Chat,",
    ):
        run(make_recipe(data, select={"quotas": {"Chatt": 1}}), tmp_path / "out", one)
    with pytest.raises(ConfigError, match=r"by task there are chat, reasoning, none"):
        run(make_recipe(data, select={"quotas": {"Chat": 1}, "quota_by": "task"}), tmp_path / "out", one)
    assert not one.asked
    # Of a part of the data it is not known what the rest holds.
    limited = make_recipe(data, select={"quotas": {"Math": 1, "*": 5}}, data={"limit": 1})
    assert run(limited, tmp_path / "out", one)["rows"] == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "AB"))
    folder = tmp_path / "curated"
    folder.mkdir()
    (folder / "dropped.jsonl").write_text("of the curation\n")
    one = Teacher()
    with pytest.raises(
        RunError, match=r"curated: not a distillation, and not empty \(it holds dropped.jsonl\)"
    ):
        run(recipe, folder, one)
    assert not one.asked and [path.name for path in folder.iterdir()] == ["dropped.jsonl"]
    assert (folder / "dropped.jsonl").read_text() == "of the curation\n"
    (folder / "dropped.jsonl").rename(folder / ".hidden")
    assert run(recipe, folder, one)["pairs"] == 2


@pytest.mark.parametrize("text", ["I refuse.", ""])
def test_a_useless_teacher_is_given_up_and_goes_on_on_request(text: str, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 70)
    summary = run(make_recipe(data), tmp_path / "out", Teacher(default=text), two := Teacher())
    assert len(read_lines(tmp_path / "out/pass1.jsonl")) == 50 and not two.asked
    assert summary["stopped"] == {"pass": 1, "pairs": 50, "reason": "empty" if not text else "no_verdict"}
    assert summary["waiting"] == {"pass1": 20, "pass2": 50}
    summary = run(
        make_recipe(data, pass1={"give_up_after": 0}), tmp_path / "out", Teacher(default=text), Teacher()
    )
    assert "stopped" not in summary and summary["rows"] == 70


def test_a_teacher_that_stops_answering_is_given_up_and_one_that_refuses_a_topic_is_not(
    tmp_path: Path,
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 70)
    quiet = {f"p{number}": "I refuse." for number in range(5, 65)}
    assert "stopped" not in run(make_recipe(data), tmp_path / "topic", Teacher(quiet), Teacher())
    one = Teacher()
    answered = Counter[str]()

    def answer(prompt: JudgePrompt, sample: int) -> str:
        answered[prompt.pair_id] += 1
        if len(answered) > 10:
            raise DataError("gone")
        return good_text("A")

    one.engine = ScriptedEngine(answer, "teacher")
    summary = run(make_recipe(data), tmp_path / "gone", one)
    assert summary["stopped"] == {"pass": 1, "pairs": 50, "reason": "gone"}
    assert (summary["rows"], summary["passes"][0]["failed"], summary["waiting"]["pass1"]) == (10, 50, 10)
