"""What a gate and a comparison of `rmr1 bench` stand on: rules, missing answers, partial and foreign runs."""

from __future__ import annotations

import json

import pytest

from rmr1.bench.base import score_judgments
from rmr1.bench.results import check_baseline
from rmr1.bench.run import load_benchmark
from rmr1.cli import main

MODEL = "gpt-4o-2024-05-13"


def run(*arguments):
    return main.main([str(one) for one in arguments])


def jb_row(number, label="A>B", **fields):
    return {
        "pair_id": f"p{number}",
        "source": "livebench-math",
        "question": f"Q{number}",
        "response_model": MODEL,
        "response_A": "one",
        "response_B": "the other",
        "label": label,
        **fields,
    }


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def data(tmp_path):
    """Ten pairs of JudgeBench's Math; the longer answer, B, is right in four."""
    rows = [jb_row(number, "B>A" if number < 4 else "A>B") for number in range(10)]
    return write_lines(tmp_path / "data" / "gpt.jsonl", rows).parent


@pytest.fixture
def recorded(tmp_path):
    """Another judge's outputs for the same ten pairs, in arena form: right in all."""
    rows = []
    for number in range(10):
        right = "B>A" if number < 4 else "A>B"
        other = "A>B" if number < 4 else "B>A"
        judgments = [{"judgment": {"response": f"[[{said}]]"}, "decision": right} for said in (right, other)]
        rows.append(jb_row(number, right, judgments=judgments))
    return write_lines(tmp_path / "recorded.jsonl", rows)


@pytest.fixture
def scored(tmp_path):
    """A scalar judge's outputs for the same ten pairs: A is higher in all, which is right in six."""
    rows = []
    for number in range(10):
        judgments = [{"judgment": {"scores": scores}, "decision": "A>B"} for scores in ([2, 1], [1, 2])]
        rows.append(jb_row(number, "B>A" if number < 4 else "A>B", judgments=judgments))
    return write_lines(tmp_path / "scored.jsonl", rows)


def live(data, folder, judge="longer", *more):
    return run(
        "bench", "judgebench", "--data", data, "-m", f"scripted:{judge}", "-o", folder, "--quiet", *more
    )


def overall_of(capsys):
    found = json.loads(capsys.readouterr().out)
    return found, found["comparison"]["overall"][0]


def test_as_published_rereads_what_was_read_by_tags_and_nothing_else(
    data, recorded, scored, tmp_path, capsys
):
    assert live(data, tmp_path / "run") == 0
    capsys.readouterr()
    base = ("bench", "judgebench", "--from", tmp_path / "run", "--as-published", "--json", "--baseline")
    # Arena texts keep their own rule: the baseline is right in all ten, not in none.
    assert run(*base, recorded) == 1
    found, overall = overall_of(capsys)
    assert (overall["old"], overall["new"]) == (1, 0.4)
    assert (found["rule"], "baseline_rule" in found) == ("published", False)
    assert run(*base, scored) == 0
    assert overall_of(capsys)[1]["old"] == 0.6
    # The other way round: the recorded outputs are new, the run folder is old.
    assert run("bench", "judgebench", "--from", recorded, *base[4:], tmp_path / "run") == 0
    found, overall = overall_of(capsys)
    assert (overall["old"], overall["new"]) == (0.4, 1)
    assert ("rule" in found, found["baseline_rule"]) == (False, "published")


def test_a_stored_copy_and_its_baseline_are_read_by_the_same_rule(data, tmp_path, capsys):
    assert live(data, tmp_path / "run") == 0
    base = ("bench", "judgebench", "--from", tmp_path / "run", "--rule", "ratings", "--json")
    capsys.readouterr()
    # The scripted judge writes no numbers: nothing can be read, of neither run.
    assert run(*base, "-o", tmp_path / "copy", "--baseline", tmp_path / "run") == 0
    found, overall = overall_of(capsys)
    assert (overall["new"], overall["old"]) == (0, 0)
    assert (found["rule"], found["baseline_rule"]) == ("ratings", "ratings")
    assert run(*base[:-1], "-o", tmp_path / "again", "--markdown", "-") == 0
    assert "- texts are read by verdict rule 'ratings'" in capsys.readouterr().out
    # Of a live run --rule says how its own texts are read; the baseline keeps its rule.
    assert live(data, tmp_path / "live", "longer", "--rule", "published", "--json") == 0
    capsys.readouterr()
    again = ("--rule", "published", "--json", "--baseline", tmp_path / "run")
    assert live(data, tmp_path / "live", "longer", *again) == 0
    assert overall_of(capsys)[1]["old"] == 0.4


def test_a_gate_needs_something_that_passed(data, tmp_path, capsys):
    assert live(data, tmp_path / "run") == 0
    (tmp_path / "run" / "judgments.jsonl").write_bytes(b"")
    capsys.readouterr()
    assert run("bench", "judgebench", "--from", tmp_path / "run", "--fail-under", 1.5) == 2
    assert "no judgments in it, so JudgeBench cannot be scored" in capsys.readouterr().err
    scores = score_judgments(load_benchmark("judgebench"), [])
    gate = check_baseline(scores, fail_under=1.5)
    assert (gate.is_passed, gate.line) == (
        False,
        "judgebench has no overall score, because nothing was judged",
    )


def fail(folder, *numbers):
    """Turn these judgments into ones that the engine did not answer."""
    path = folder / "judgments.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number in numbers:
        lines[number] |= {"winner": None, "problem": "generation_failed"}
        for vote in lines[number]["votes"]:
            vote["generation"] |= {"text": "", "finish_reason": "error", "error": "503"}
            vote["verdict"] = {"winner": None, "problem": "generation_failed"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def own_pairs(tmp_path, labels="BBBA"):
    rows = [
        {"prompt": f"Q{number}", "response_a": "short", "response_b": "a longer one", "label": label}
        for number, label in enumerate(labels)
    ]
    return write_lines(tmp_path / "own.jsonl", rows)


def test_requests_that_failed_are_no_answers_of_the_judge(tmp_path, capsys):
    path = own_pairs(tmp_path)
    base = ("bench", "pairs", path, "-m", "scripted:longer", "-o", tmp_path / "run", "--quiet")
    assert run(*base) == 0
    fail(tmp_path / "run", 0, 3)
    capsys.readouterr()
    assert run("bench", "pairs", "--from", tmp_path / "run", "--fail-under", 50) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "2 of 4 judgments failed, for which the engine gave no answer, and are left out; "
        "--retry-failed asks again" in said
    )
    assert "gate FAILED: pairs has no overall score to hold against 50% (partial: 2 of 4)" in said
    assert run("bench", "pairs", path, "--from", tmp_path / "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["failed"], found["unfinished"], found["problems"]) == (2, 0, {})
    assert found["overall"][0]["status"] == "partial: 2 of 4"
    assert run(*base, "--retry-failed", "--json") == 0
    assert json.loads(capsys.readouterr().out)["overall"][0]["value"] == 0.75


def test_own_pairs_are_read_as_it_is_said(tmp_path, capsys):
    rows = [
        {"q": f"Q{number}", "better": "a longer one", "worse": "short", "id": str(number)}
        for number in range(3)
    ]
    path = write_lines(tmp_path / "own.jsonl", [*rows, {"q": "Q", "better": None, "worse": "x", "id": "3"}])
    columns = ("--map", "prompt=q", "--map", "chosen=better", "--map", "rejected=worse")
    base = ("bench", "pairs", path, "-m", "scripted:longer", "-o", tmp_path / "run", "--quiet")
    assert run(*base, *columns) == 2
    assert "own.jsonl:4: " in capsys.readouterr().err
    assert run(*base, *columns, "--skip-invalid", "--json") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["overall"][0]["value"], found["judgments"], found["invalid_rows"]) == (1, 3, 1)
    assert printed.err.count("own.jsonl:4: ") == 1
    # The same by settings; read in another way it is another run.
    config = tmp_path / "judge.toml"
    config.write_text(
        '[data]\nskip_invalid = true\nmap = {prompt = "q", chosen = "better", rejected = "worse"}\n'
    )
    assert run(*base, "--config", config) == 0
    said = capsys.readouterr().out
    assert "rows passed over, because they cannot be read: 1" in said
    other = ("--map", "prompt=q", "--map", "chosen=worse", "--map", "rejected=better", "--skip-invalid")
    assert run(*base, *other) == 2
    said = capsys.readouterr().err
    assert (
        "3 of 3 finished items are not in the data" in said
        and "data.map.chosen was 'better', now 'worse'" in said
    )
    assert run("bench", "rmb", "--from", path, *columns) == 2
    assert "data.map (--map) says how own pairs are read" in capsys.readouterr().err


def test_one_side_that_is_always_right_is_not_shown_as_read(tmp_path, capsys):
    path = own_pairs(tmp_path, "AAAA")
    base = ("bench", "pairs", path, "-m", "scripted:always-a", "--quiet", "-o", tmp_path / "run")
    for more in ((), ("--dry-run",)):
        assert run(*base, "--order", "given", *more) == 2
        assert "the better answer is A in every pair, so order 'given' would" in capsys.readouterr().err
    path.unlink()
    own_pairs(tmp_path, "AAAB")
    assert run(*base, "--order", "given", "--limit", 1) == 0


def test_both_orders_leave_the_official_figure_of_own_pairs(tmp_path, capsys):
    path = own_pairs(tmp_path, "AABB" * 5)
    found = {}
    for order in ("seeded", "both"):
        base = ("bench", "pairs", path, "-m", "scripted:always-a", "-o", tmp_path / order, "--quiet")
        assert run(*base, "--order", order, "--json") == 0
        found[order] = json.loads(capsys.readouterr().out)
    assert found["both"]["overall"][0] == found["seeded"]["overall"][0]
    assert 0 < found["both"]["overall"][0]["correct"] < 20
    beside = {one["name"]: one["value"] for one in found["both"]["figures"] if one["group"] == "pairs"}
    assert beside == {"same verdict both ways": 0, "right both ways": 0}


def test_a_part_of_own_pairs_is_partial_live_too(tmp_path, capsys):
    path = own_pairs(tmp_path)
    base = ("bench", "pairs", path, "-m", "scripted:longer", "-o", tmp_path / "run", "--quiet")
    assert run(*base, "--limit", 2, "--fail-under", 50) == 1
    said = capsys.readouterr().out
    assert "pairs: no overall score, partial: 2 of 4 items" in said
    assert "2 pairs of the data are not judged" in said
    assert "official" not in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["scores"]["overall"][0]["status"] == "partial: 2 of 4"
    assert run(*base, "--fail-under", 50) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pairs", "-m", "scripted:longer", "-o", "{run}"), "bench pairs lacks its FILE"),
        (("judgebench", "--from", "{run}", "--retry-failed"), "--retry-failed asks for judging"),
        (("judgebench", "--from", "{run}", "--temperature", "0"), "--temperature asks for judging"),
    ],
)
def test_mistakes(tmp_path, capsys, arguments, message):
    assert run("bench", *(one.format(run=tmp_path / "run") for one in arguments)) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err


def test_a_baseline_is_looked_at_before_judging(data, tmp_path, capsys):
    assert (
        run("bench", "pairs", own_pairs(tmp_path), "-m", "scripted:longer", "-o", tmp_path / "own", "--quiet")
        == 0
    )
    capsys.readouterr()
    for baseline, message in (
        (tmp_path / "nowhere", "nowhere: no such file or folder"),
        (tmp_path / "own", "a run of pairs; expected one of judgebench"),
        (data / "gpt.jsonl", "no recorded outputs: expected the key"),
    ):
        assert live(data, tmp_path / "run", "longer", "--baseline", baseline) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_data_that_is_there_twice_is_refused(tmp_path, capsys):
    rows = [jb_row(number) for number in range(30)]
    data = write_lines(tmp_path / "data" / "one.jsonl", rows).parent
    write_lines(data / "two.jsonl", [{**row, "question": "Q" + row["question"]} for row in rows])
    assert live(data, tmp_path / "run") == 2
    said = capsys.readouterr().err
    # Math has 56 pairs, of one set of answers.
    assert "60 items of Math, of which JudgeBench has 56: is the data there twice?" in said
    assert "Read were one.jsonl, two.jsonl" in said
    # The same rows under another name are no further items.
    write_lines(data / "two.jsonl", rows[3:20])
    assert live(data, tmp_path / "run", "longer", "--json") == 0
    assert json.loads(capsys.readouterr().out)["overall"][0]["total"] == 30


def test_a_folder_of_several_serves_one(data, tmp_path, capsys):
    data.rename(tmp_path / "judgebench")
    assert live(tmp_path, tmp_path / "run") == 0


def test_a_partial_result_is_not_drawn_and_keeps_the_gate(data, tmp_path, capsys):
    base = ("bench", "judgebench", "--data", data, "-m", "scripted:longer", "-o", tmp_path / "run", "--quiet")
    plot = tmp_path / "plot.png"
    assert run(*base, "--plot", plot) == 0
    said = capsys.readouterr().err
    assert said.endswith(f"{plot}: not drawn, because no overall is complete and official\n")
    assert run(*base, "--plot", plot, "--fail-under", 50) == 1
    assert not plot.exists()


def test_gates_are_said_last(data, recorded, tmp_path, capsys):
    assert live(data, tmp_path / "run", "longer", "--baseline", recorded) == 1
    printed = capsys.readouterr()
    *before, last = printed.out.splitlines()
    assert last.startswith(
        f"gate FAILED: judgebench {MODEL} is worse than the baseline: 40.00% against 100.00%"
    )
    assert not any(line.startswith("gate") for line in before)
    assert all(len(line) <= 100 for line in before)
    base = ("bench", "judgebench", "--from", recorded, "--baseline", recorded)
    for more in (("--json",), ("--markdown", "-")):
        assert run(*base, *more) == 0
        printed = capsys.readouterr()
        assert printed.err.startswith(f"gate passed: judgebench {MODEL} is not significantly worse")
        assert printed.err.count("\n") == 1
    assert printed.out.splitlines()[-1] == f"- {printed.err.strip()}"


def test_comparisons_fit_a_terminal(tmp_path, capsys):
    """Long names, a long path and long ids: nothing is wider than 100 columns, numbers are whole."""
    subset = "a subset with a name of many words " * 3
    rows = [
        {
            "id": f"{'id' * 40}-{number}",
            "prompt": f"Q{number}",
            "response_a": "short",
            "response_b": "a longer one",
            "label": "AB"[number % 2],
            "subset": subset.strip(),
            "source": "somewhere " * 8,
        }
        for number in range(12)
    ]
    old = tmp_path / ("a-folder-" * 15) / "old"
    path = write_lines(tmp_path / "own.jsonl", rows[:6])
    assert run("bench", "pairs", path, "-m", "scripted:longer", "-o", old, "--quiet") == 0
    write_lines(path, rows)
    capsys.readouterr()
    base = ("bench", "pairs", path, "-m", "scripted:always-b", "-o", tmp_path / "new", "--quiet")
    run(*base, "--baseline", old, "--categories")
    lines = capsys.readouterr().out.splitlines()
    wide = [line for line in lines if len(line) > 100 and not line.startswith(("gate", "read them"))]
    assert not wide
    heading = next(index for index, line in enumerate(lines) if line.startswith("own pairs against "))
    assert lines[heading].endswith("/old:") and "..." in lines[heading]
    header = lines[heading + 1].split()
    assert header == ["score", "new", "%", "old", "%", "points", "95%", "p", "+/-", "items"]
    assert any(line.startswith("left out, in the new run only: 6 (") for line in lines)
    assert any(line.startswith("own pairs, categories: subset and source") for line in lines)


def test_categories(tmp_path, capsys):
    rows = [
        {
            "id": number,
            "subset": subset,
            "prompt": f"Q {subset} {number}",
            "chosen": "a longer answer",
            "rejected": "no",
        }
        for subset in ("donotanswer", "hep-go")
        for number in range(3)
    ]
    path = write_lines(tmp_path / "rewardbench.jsonl", rows)
    base = ("bench", "rewardbench", "--data", path, "-m", "scripted:longer", "--quiet")
    assert run(*base, "-o", tmp_path / "old") == 0
    assert "donotanswer" not in capsys.readouterr().out.partition("incomplete parts")[0]
    again = (*base, "-o", tmp_path / "old", "--categories", "--baseline", tmp_path / "old", "--markdown")
    run(*again, tmp_path / "table.md")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["donotanswer", "100.00", "43.9-100.0", "3", "3", "of", "136", "0", "0"] in lines
    compared = lines.index(["Safety"])
    assert lines[compared + 1][:4] == ["donotanswer", "100.00", "100.00", "+0.00"]
    text = (tmp_path / "table.md").read_text()
    assert "| hep-go | 100.00 |" in text and "| Reasoning | hep-go | 100.00 | 100.00 |" in text


def test_a_live_run_is_read_and_scored_once(data, tmp_path, capsys, monkeypatch):
    def read_again(*arguments, **options):
        raise AssertionError("the run was read a second time")

    monkeypatch.setattr("rmr1.bench.results.read_outcomes", read_again)
    monkeypatch.setattr("rmr1.bench.results.score_outcomes", read_again)
    assert live(data, tmp_path / "run") == 0
    assert "40.00" in capsys.readouterr().out
