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
    rows = {
        tuple(line.split()[1:3]): line.split() for line in printed.out.splitlines() if line.startswith(MODEL)
    }
    # Longer is B: wrong on p0, right on three of the five coding pairs.
    assert rows["Knowledge", "0.00"][-5:] == ["0", "1", "of", "154", "0", "0"][-5:]
    assert "60.00" in rows["Coding", "60.00"]
    assert "no overall score, partial: 6 of 350 official items" in printed.out
    assert "6 judgments (order: both 6)" in printed.out
    assert all(len(line) <= 120 for line in printed.out.splitlines())
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
    assert json.loads((out / "summary.json").read_text())["scores"] == scores


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
    line = next(line for line in printed.splitlines() if line.startswith("harmlessness  pairwise"))
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
