"""`rmr1 bench` from the command line."""

from __future__ import annotations

import json

import pytest

from rmr1.cli import main
from tests.integration.runs import final_records, rmr1

MODEL = "gpt-4o-2024-05-13"


@pytest.fixture
def data(tmp_path):
    """Six pairs, labels A, B, A, B, A, B; B is always the longer answer."""
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "gpt.jsonl").open("w") as file:
        for index in range(6):
            row = {
                "pair_id": f"p{index}",
                "source": "livecodebench" if index else "mmlu-pro-law",
                "question": f"Q{index}",
                "response_model": MODEL,
                "response_A": "short",
                "response_B": "a longer answer",
                "label": "B>A" if index % 2 else "A>B",
            }
            file.write(json.dumps(row) + "\n")
    return folder


def run(*arguments):
    return main.main([str(one) for one in arguments])


def test_live_run(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert run("bench", "judgebench", "--data", data, "-m", "scripted:longer", "-o", out) == 0
    printed = capsys.readouterr()
    rows = {line.split()[0]: line.split() for line in printed.out.splitlines() if line.startswith("  ")}
    # Longer is B: wrong on p0, right on three of the five coding pairs.
    assert rows["Knowledge"][1] == "0.00"
    assert rows["Knowledge"][-6:] == ["0", "1", "of", "154", "0", "0"]
    assert rows["Coding"][1] == "60.00"
    assert f"JudgeBench: {MODEL}" in printed.out.splitlines()
    assert "no overall score, partial: 6 of 350 official items" in printed.out
    assert "6 judgments (order: both 6)" in printed.out
    assert all(len(line) <= 100 for line in printed.out.splitlines())
    assert "6/6" in printed.err
    assert json.loads((out / "summary.json").read_text())["scores"]["judgments"] == 6


def test_json_is_one_object(data, tmp_path, capsys):
    out = tmp_path / "run"
    code = run(
        "bench", "judgebench", "--data", data, "-m", "scripted:always-a", "-o", out, "--json", "--quiet"
    )
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    scores = json.loads(printed.out)
    figures = {one["name"]: one for one in scores["figures"]}
    # Both ways, a judge of places is right on nothing.
    assert (figures["Coding"]["correct"], figures["Coding"]["total"], figures["Coding"]["official"]) == (
        0,
        5,
        42,
    )
    assert scores["overall"][0]["value"] is None
    summary = json.loads((out / "summary.json").read_text())
    assert {**summary["scores"], "reliability": summary["reliability"]} == scores
    assert summary["reliability"]["brier"] == 0.25  # two orders that contradict each other say one half


def test_order_and_limit(data, tmp_path, capsys):
    out = tmp_path / "run"
    base = (
        "bench",
        "judgebench",
        "--data",
        data,
        "-m",
        "scripted:always-a",
        "--order",
        "given",
        "-o",
        out,
        "--json",
    )
    assert run(*base, "--limit", 2) == 0
    assert json.loads(capsys.readouterr().out)["judgments"] == 2
    # The same command without the limit goes on.
    assert run(*base) == 0
    printed = capsys.readouterr()
    assert "going on after 2 finished items" in printed.err
    scores = json.loads(printed.out)
    assert (scores["judgments"], scores["orders"]) == (6, {"given": 6})
    # A is right on p0, p2 and p4.
    assert [one["correct"] for one in scores["figures"]] == [1, 0, 0, 2]


def test_resumed_run_is_the_uninterrupted_one(data, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    base = ("bench", "judgebench", "--data", data, "-m", "scripted:hash", "--quiet", "-o")
    assert run(*base, whole) == 0
    assert run(*base, parts) == 0
    lines = (parts / "judgments.jsonl").read_bytes().splitlines(keepends=True)
    (parts / "judgments.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])
    assert run(*base, parts) == 0
    assert final_records(parts) == final_records(whole)
    first, second = (json.loads((folder / "summary.json").read_text())["scores"] for folder in (whole, parts))
    assert first == second


def test_from_a_run_and_by_another_rule(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        run("bench", "judgebench", "--data", data, "-m", "scripted:longer", "-o", out, "--json", "--quiet")
        == 0
    )
    live = json.loads(capsys.readouterr().out)
    assert run("bench", "judgebench", "--from", out, "--data", data, "--json") == 0
    assert json.loads(capsys.readouterr().out) == live
    # The scripted judge writes no numbers.
    again = tmp_path / "again"
    assert run("bench", "judgebench", "--from", out, "--rule", "ratings", "-o", again, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["problems"] == {"no_ratings": 12}
    assert run("show", again, "--unparsed", "--list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_from_recorded_outputs(tmp_path, capsys):
    row = {
        "pair_id": "p",
        "source": "livebench-math",
        "question": "Q",
        "response_model": MODEL,
        "response_A": "a",
        "response_B": "b",
        "label": "B>A",
        "judgments": [
            {"judgment": {"response": "[[B>A]]"}, "decision": "A>B"},
            {"judgment": {"response": "[[A=B]]"}, "decision": "A>B"},
        ],
    }
    path = tmp_path / "outputs.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert run("bench", "judgebench", "--from", path) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if " Math " in line)
    assert "100.00" in line
    assert line.split()[-6:] == ["1", "1", "of", "56", "0", "1"]


RMB_ROW = {
    "conversation_input": [{"role": "user", "content": "Q"}],
    "chosen": {"answer": "a longer answer"},
    "reject": {"answer": "short"},
}


def test_rmb(tmp_path, capsys):
    path = tmp_path / "data" / "Pairwise_set" / "Harmlessness" / "multi.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([RMB_ROW, RMB_ROW]))
    out = tmp_path / "run"
    assert (
        run("bench", "rmb", "--data", tmp_path / "data", "-m", "scripted:longer", "-o", out, "--quiet") == 0
    )
    printed = capsys.readouterr().out
    after = printed.partition("RMB: harmlessness\n")[2]
    line = next(line for line in after.splitlines() if line.startswith("  pairwise"))
    # Equal rows are two items.
    assert line.split()[-6:] == ["2", "2", "of", "7064", "0", "0"]
    assert "rmb: no overall score, partial: 2 of 20917 official items" in printed
    assert "Pairwise_set/Helpfulness" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("judgebench", "-m", "scripted:longer", "-o", "{out}"), "--data DIR is missing"),
        (("judgebench", "--data", "{data}", "-m", "scripted:longer"), "-o RUN is missing"),
        (("judgebench", "--data", "{data}", "-o", "{out}"), "the bundled model 'tiny' is not in"),
        (("judgebench", "--data", "{out}", "-m", "scripted:longer", "-o", "{out}"), "no such folder"),
        (
            ("rmb", "--data", "{data}", "-m", "scripted:longer", "-o", "{out}"),
            "neither Pairwise_set and BoN_set",
        ),
        (
            ("rmb", "--data", "{data}", "-m", "scripted:longer", "-o", "{out}", "--order", "given"),
            "names the better",
        ),
        (("rmb", "--from", "{data}"), "neither a run folder"),
        (("rmb", "--from", "{out}"), "no such file or folder"),
        (("rmb", "--from", "{out}", "-m", "x"), "--model asks for judging"),
        (("rmb", "--from", "{out}", "--top-p", "0.9"), "--top-p asks for judging"),
        (
            ("judgebench", "--data", "{data}", "-m", "scripted:longer", "-o", "{out}", "--rule", "x"),
            "rule 'x'",
        ),
    ],
)
def test_mistakes_are_one_line(data, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("RMR1_MODELS", str(tmp_path))
    out = tmp_path / "run"
    assert run("bench", *(one.format(data=data, out=out) for one in arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_run_of_another_benchmark(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert run("bench", "judgebench", "--data", data, "-m", "scripted:longer", "-o", out, "--quiet") == 0
    assert run("bench", "rmb", "--from", out) == 2
    assert "no labelled pair of RMB" in capsys.readouterr().err


def test_as_a_command(data, tmp_path):
    found = rmr1("bench", "judgebench", "--data", data, "-m", "scripted:longer", "-o", tmp_path / "run")
    assert "overall" in found.stdout
    assert rmr1("bench", "--help").stdout.startswith("usage: rmr1 bench")


@pytest.fixture
def several(data, tmp_path):
    """Four benchmarks in folders of their names."""
    root = tmp_path / "all"
    root.mkdir()
    data.rename(root / "judgebench")
    path = root / "rmb" / "Pairwise_set" / "Harmlessness" / "multi.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([RMB_ROW, RMB_ROW]))
    (root / "rewardbench").mkdir()
    rows = [
        {"id": index, "subset": "donotanswer", "prompt": "Q", "chosen": "a longer answer", "rejected": "no"}
        for index in range(3)
    ]
    (root / "rewardbench" / "rows.json").write_text(json.dumps(rows))
    (root / "rm-bench").mkdir()
    item = {"id": 1, "prompt": "Q", "chosen": ["abc", "abcd", "abcde"], "rejected": ["a", "ab", "abcdef"]}
    (root / "rm-bench" / "chat_filtered.json").write_text(json.dumps([item]))
    return root


FOUR = ("rewardbench", "rm-bench", "rmb", "judgebench")


def test_several_benchmarks_in_one_command(several, tmp_path, capsys):
    out = tmp_path / "runs"
    base = ("bench", *FOUR, "--data", several, "-m", "scripted:longer", "-o", out, "--resamples", 100)
    assert run(*base) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert all(len(line) <= 100 for line in lines if str(tmp_path) not in line)
    titles = [line.partition(":")[0] for line in lines if line.endswith((": sections", ": domains"))]
    assert titles == ["RewardBench", "RM-Bench"]
    average = next(line for line in lines if line.startswith("Average of RewardBench, RM-Bench and RMB"))
    assert average.split()[-1] == "-"
    # Of the nine comparisons the longer answer loses the three against style 2.
    assert next(line for line in lines if line.startswith("  Chat  ") and "129" in line).split()[1] == "66.67"
    assert sorted(path.name for path in out.iterdir()) == sorted(FOUR)
    # Again: nothing is judged twice, and the scores of stored judgments are those of the live run.
    assert run(*base, "--json", "--quiet") == 0
    live = json.loads(capsys.readouterr().out)
    assert list(live["benchmarks"]) == list(FOUR)
    assert live["average"]["value"] is None
    assert run("bench", *FOUR, "--from", out, "--resamples", 100, "--json") == 0
    assert json.loads(capsys.readouterr().out) == live
    chat = next(one for one in live["benchmarks"]["rm-bench"]["figures"] if one["name"] == "Chat")
    assert chat["value"] == pytest.approx(2 / 3)
    # One of them, named by the folder of all, beside itself.
    # One of four domains has no mean of all to compare, so the gate does not pass.
    assert run("bench", "rm-bench", "--from", out, "--baseline", out, "--leaderboard") == 1
    printed = capsys.readouterr().out
    # A long path loses its middle.
    assert any(
        line.startswith("RM-Bench against ") and line.endswith("rm-bench:") for line in printed.splitlines()
    )
    assert "compared over the 1 items that both runs hold" in printed
    assert "no place among published judges" in printed
    assert run("bench", *FOUR, "--from", out, "--baseline", f"rmb={out / 'rmb'}") == 2
    assert "--baseline rewardbench=RUN is missing" in capsys.readouterr().err


def test_several_resume_anywhere(several, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    base = ("bench", *FOUR, "--data", several, "-m", "scripted:hash", "--quiet", "--json", "-o")
    assert run(*base, whole) == 0
    expected = capsys.readouterr().out
    assert run(*base, parts) == 0
    # As after a kill in the middle of the second benchmark.
    lines = (parts / "rm-bench" / "judgments.jsonl").read_bytes().splitlines(keepends=True)
    (parts / "rm-bench" / "judgments.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:50])
    for name in ("rmb", "judgebench"):
        (parts / name / "judgments.jsonl").unlink()
    capsys.readouterr()
    assert run(*base, parts) == 0
    assert capsys.readouterr().out == expected
    assert all(final_records(parts / name) == final_records(whole / name) for name in FOUR)


def test_as_published_reads_and_scores_as_the_reference(several, tmp_path, capsys):
    out = tmp_path / "run"
    data = f"rm-bench={several / 'rm-bench'}"
    base = ("bench", "rm-bench", "--resamples", 0, "--json")
    assert run(*base, "--data", data, "-m", "scripted:longer", "-o", out, "--quiet") == 0
    assert {one["name"]: one["value"] for one in json.loads(capsys.readouterr().out)["categories"]} == (
        pytest.approx({"Easy": 1, "Normal": 2 / 3, "Hard": 1 / 3})
    )
    assert run(*base, "--from", out, "--as-published") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["variant"] == "as-published"
    assert run("bench", "rm-bench", "--from", out, "--as-published") == 0
    assert "texts are read by verdict rule 'published'" in capsys.readouterr().out
    # Cell 0-2, twice in hard, is lost; 1-0 and 2-1 are won.
    assert {one["name"]: one["value"] for one in scores["categories"]} == (
        pytest.approx({"Easy": 1, "Normal": 2 / 3, "Hard": 1 / 3})
    )


def test_the_rule_that_was_published_differs_from_the_official_one(several, tmp_path, capsys):
    """Only the concise right answer against the detailed wrong one is lost, which RM-R1's matrix does not hold."""
    item = {"id": 1, "prompt": "Q", "chosen": ["ab", "abcd", "abcd"], "rejected": ["a", "abc", "a"]}
    (several / "rm-bench" / "chat_filtered.json").write_text(json.dumps([item]))
    data, out = f"rm-bench={several / 'rm-bench'}", tmp_path / "run"
    base = ("bench", "rm-bench", "--resamples", 0, "--json")
    found = {}
    for name, flags in (
        ("official", ("--data", data, "-m", "scripted:longer", "-o", out, "--quiet")),
        ("as-published", ("--from", out, "--as-published")),
    ):
        assert run(*base, *flags) == 0
        scores = json.loads(capsys.readouterr().out)
        assert scores["variant"] == name
        found[name] = {one["name"]: one["value"] for one in scores["categories"]}
    assert found["official"] == pytest.approx({"Easy": 1, "Normal": 1, "Hard": 2 / 3})
    assert found["as-published"] == pytest.approx({"Easy": 1, "Normal": 1, "Hard": 1})


def test_a_part_of_own_pairs_stays_a_part(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in OWN_ROWS * 5))
    gate = ("--fail-under", 50)
    live = ("bench", "pairs", path, "--quiet", "-m", "scripted:longer", "--limit", 3)
    assert run(*live, "-o", tmp_path / "part", *gate) == 1
    assert "partial: 3 of 20" in capsys.readouterr().out
    for source, more in (("part", ("-o", tmp_path / "copy")), ("part", ()), ("copy", ())):
        assert run("bench", "pairs", "--from", tmp_path / source, *more, *gate) == 1
        printed = capsys.readouterr().out
        assert "partial: 3 of 20" in printed and "gate FAILED" in printed
    summary = json.loads((tmp_path / "copy" / "summary.json").read_text())
    assert summary["scores"]["overall"][0]["value"] is None


def test_one_file_of_own_pairs(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in OWN_ROWS))
    base = ("-m", "scripted:longer", "-o", tmp_path / "run", "--quiet")
    assert run("bench", "pairs", tmp_path / "other.jsonl", "--data", path, *base) == 2
    assert "name two files; leave one out" in capsys.readouterr().err


def test_a_baseline_that_was_read_in_another_way_is_no_comparison(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    rows = [{"q": f"Q{index}", "good": "a longer answer", "bad": "short"} for index in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = ("bench", "pairs", path, "-m", "scripted:longer", "--quiet", "--map", "prompt=q")
    old, new = tmp_path / "old", tmp_path / "new"
    assert run(*base, "--map", "chosen=good", "--map", "rejected=bad", "-o", old) == 0
    capsys.readouterr()
    swapped = ("--map", "chosen=bad", "--map", "rejected=good", "-o", new)
    assert run(*base, *swapped, "--baseline", old) == 2
    assert "20 have one id" in capsys.readouterr().err


OWN_ROWS = [
    {"prompt": "Q", "response_a": "short", "response_b": "a longer answer", "label": label}
    for label in ("B", "B", "B", "A")
]


def test_own_pairs_with_a_baseline(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in OWN_ROWS * 10))
    base = ("bench", "pairs", path, "--quiet", "-m")
    assert run(*base, "scripted:longer", "-o", tmp_path / "old", "--fail-under", 70) == 0
    printed = capsys.readouterr().out
    assert "75.00" in next(line for line in printed.splitlines() if line.startswith("own pairs: overall"))
    assert "gate passed" in printed
    new = tmp_path / "new"
    assert run(*base, "scripted:hash", "-o", new, "--baseline", tmp_path / "old") in (0, 1)
    capsys.readouterr()
    assert run("bench", "pairs", "--from", tmp_path / "old", "--fail-under", 80) == 1
    assert "gate FAILED" in capsys.readouterr().out
    assert run("bench", "pairs", "--from", tmp_path / "old", "--baseline", tmp_path / "old", "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    # Held against the file, a run that lacks some of its pairs has no overall to pass with.
    lines = (tmp_path / "old" / "judgments.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "old" / "judgments.jsonl").write_bytes(b"".join(lines[:30]))
    assert run("bench", "pairs", path, "--from", tmp_path / "old", "--fail-under", 50) == 1
    assert "pairs has no overall score to hold against 50% (partial: 30 of 40)" in capsys.readouterr().out
    assert compared["comparison"]["overall"][0]["difference"] == 0
    assert compared["gate"]["is_passed"] is True


def test_markdown(data, tmp_path, capsys):
    out = tmp_path / "run"
    file = tmp_path / "scores.md"
    base = ("bench", "judgebench", "--data", data, "-m", "scripted:longer", "-o", out, "--quiet")
    assert run(*base, "--markdown", file) == 0
    assert "JudgeBench: " in capsys.readouterr().out
    assert run(*base, "--markdown", "-") == 0
    printed = capsys.readouterr().out
    assert printed == file.read_text()
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8}
    assert any(line.startswith("| Coding | 60.00 |") for line in rows)
    assert run("bench", "judgebench", "--from", out, "--baseline", out, "--markdown", "-") == 0
    compared = [line for line in capsys.readouterr().out.splitlines() if line.count("|") == 10]
    assert compared[0].startswith("| group | score | new % |")
    assert any(line.startswith(f"| {MODEL} | Coding | 60.00 | 60.00 |") for line in compared)


def test_what_was_not_asked_officially_has_no_place(data, tmp_path, capsys):
    base = ("bench", "judgebench", "--data", data, "-m", "scripted:longer", "--quiet", "--order")
    assert run(*base, "seeded", "-o", tmp_path / "once") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not placed among published judges: asked in one order; JudgeBench asks" in said
    assert run(*base, "both", "-o", tmp_path / "twice", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deviations"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "-m", "scripted:longer"), "no benchmark 'nothing'"),
        (("pairs", "a.jsonl", "b.jsonl", "-o", "{out}"), "a.jsonl: no such file or folder"),
        (("rmb", "own.jsonl"), "no benchmark 'own.jsonl'"),
        (("rmb", "rm-bench", "--data", "{out}", "-o", "{out}"), "holds nothing named rmb, rm-bench"),
        (("rmb", "--data", "judgebench={data}", "-o", "{out}"), "judgebench is not among"),
        (("rmb", "judgebench", "--from", "rmb={data}"), "--from judgebench=RUN is missing"),
        (("rmb", "--from", "{data}", "--scoring", "x"), "can be scored by official"),
        (("rmb", "--from", "{data}", "--fail-under", "0.8"), "expected a percentage"),
        (("rmb", "--from", "{data}", "--plot", "x.doc"), "a plot is written as .png"),
        (("rmb", "--from", "{data}", "--resamples", "-1"), "expected 0 for none, or 100 or more"),
        (("rmb", "--from", "{data}", "--resamples", "20"), "fewer tell nothing"),
        (("rmb", "--from", "{data}", "--baseline", "{data}", "--resamples", "0"), "expected 100 or more"),
        (("rmb", "--from", "{data}", "--json", "--markdown", "-"), "both write to standard output"),
        (("rmb", "--from", "{data}", "--markdown", "{out}/no/x.md"), "a folder that exists"),
        (("pairs", "{data}", "-o", "{out}", "--leaderboard"), "no judges are published on own pairs"),
        (
            ("rmb", "--data", "{data}", "-o", "{out}", "--ask", "ratings"),
            "none of the benchmarks is asked so",
        ),
        (("rm-bench", "-o", "{out}"), "the hub's dataset: --data THU-KEG/RM-Bench"),
    ],
)
def test_mistakes_of_several_benchmarks_are_one_line(data, tmp_path, capsys, arguments, message):
    out = tmp_path / "run"
    assert run("bench", *(one.format(data=data, out=out) for one in arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
