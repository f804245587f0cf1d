"""`rmr1 judge` and `rmr1 show` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.cli.main import main

from .runs import rmr1, write_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.jsonl", 40)


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_judge_then_show(capsys, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, out, err = run_main(capsys, "judge", pairs, "-m", "scripted:hash", "-o", run)
    assert code == 0
    assert "40 pairs judged:" in out and "of 40 labelled" in out and f"rmr1 show {run}" in out
    assert "judged 40/40" in err and "without verdict" in err
    summary = json.loads((run / "summary.json").read_text())
    assert summary["items"] == 40 and sum(summary["winners"].values()) == 40
    assert set(summary["subsets"]) <= {"one", "two"}
    assert summary["correct"] == sum(one["correct"] for one in summary["subsets"].values())
    description = json.loads((run / "run.json").read_text())
    assert description["prompt"]["family"] == "rubric" and description["settings"]["seed"] == 0
    assert description["prompt"]["system"].startswith("You are a fair")

    code, out, err = run_main(capsys, "show", run, "3")
    assert code == 0 and "Question 3:" in out and "Rubric" in out and "Verdict:" in out
    code, out, err = run_main(capsys, "show", run, "--wrong", "--limit", "0")
    assert out.count("Verdict:") == 40 - summary["correct"]
    code, out, err = run_main(capsys, "show", run, "--subset", "one", "--list", "--limit", "0")
    assert len(out.splitlines()) == summary["subsets"]["one"]["labelled"]
    code, out, err = run_main(capsys, "show", run, "--json", "--limit", "2")
    assert [json.loads(line)["family"] for line in out.splitlines()] == ["rubric", "rubric"]
    code, out, err = run_main(capsys, "show", run, "no-such-id")
    assert code == 1 and "no judgment matches 'no-such-id'" in err


def test_the_same_seed_repeats_and_another_differs(capsys, pairs: Path, tmp_path: Path) -> None:
    def orders(run: Path, seed: int) -> dict[str, str]:
        run_main(capsys, "judge", pairs, "-m", "scripted:hash", "-o", run, "--seed", seed, "--quiet")
        records = map(json.loads, (run / "judgments.jsonl").read_text().splitlines())
        return {record["key"]: record["votes"][0]["order"] for record in records}

    first, again, other = orders(tmp_path / "a", 0), orders(tmp_path / "b", 0), orders(tmp_path / "c", 5)
    assert first == again and first.keys() == other.keys() and first != other
    assert set(first.values()) == {"given", "swapped"}


def test_both_orders_expose_an_always_a_judge(capsys, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _, out, _ = run_main(
        capsys, "judge", pairs, "-m", "scripted:always-a", "--order", "both", "-o", run, "--json", "--quiet"
    )
    summary = json.loads(out)
    assert summary["winners"] == {"none": 40} and summary["problems"] == {"split_vote": 40}
    assert summary["orders"] == {"asked": 40, "decided": 40, "consistent": 0, "first": 40, "second": 0}
    _, out, _ = run_main(capsys, "judge", "-o", run)  # nothing left to judge
    assert (
        "consistency: 0 of 40 pairs have the same verdict in both orders (0.0%, 95% interval 0.0 to 8.8)"
        in out
    )
    assert (
        "position bias: +100.0% (95% interval" in out and "the first place wins both ways in 40 pairs" in out
    )


def test_both_orders_are_counted_over_a_resumed_run(capsys, pairs: Path, tmp_path: Path) -> None:
    run, samples = tmp_path / "run", ("-n", "3", "--temperature", "1")
    words = ("judge", pairs, "-m", "scripted:longer", "--order", "both", *samples, "-o", run, "--quiet")
    run_main(capsys, *words, "--limit", "15")
    _, out, _ = run_main(capsys, *words)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["orders"] == {"asked": 40, "decided": 40, "consistent": 40, "first": 0, "second": 0}
    assert "consistency: 40 of 40 pairs" in out and "position bias: +0.0%" in out
    _, out, _ = run_main(capsys, "judge", pairs, "-m", "scripted:longer", "--quiet", "-o", tmp_path / "one")
    assert "consistency" not in out


def test_one_pair_from_flags(capsys) -> None:
    code, out, _ = run_main(
        capsys,
        "judge",
        "-m",
        "scripted:longer",
        "--question",
        "2+2?",
        "--a",
        "4",
        "--b",
        "It is four.",
        "--json",
    )
    assert code == 0 and json.loads(out)["winner"] == "B"
    code, out, _ = run_main(
        capsys, "judge", "-m", "scripted:longer", "--question", "2+2?", "--a", "4", "--b", "It is four."
    )
    assert "B is better" in out and "(not labelled)" in out


def test_pairs_from_standard_input() -> None:
    row = {"prompt": "q", "response_a": "a long answer", "response_b": "b", "label": "B"}
    found = rmr1("judge", "-", "-m", "scripted:longer", "--json", input=json.dumps(row) + "\n")
    assert json.loads(found.stdout)["winner"] == "A"


def test_a_config_file_is_read_and_flags_win(capsys, pairs: Path, tmp_path: Path) -> None:
    config = tmp_path / "judge.toml"
    config.write_text('model = "scripted:always-b"\nfamily = "direct"\norder = "given"\n[data]\nlimit = 4\n')
    run = tmp_path / "run"
    _, out, _ = run_main(capsys, "judge", pairs, "--config", config, "-o", run, "--json", "--quiet")
    assert json.loads(out)["winners"] == {"B": 4}
    run = tmp_path / "run2"
    _, out, _ = run_main(
        capsys,
        "judge",
        pairs,
        "--config",
        config,
        "--limit",
        7,
        "--set",
        "family=reasoning",
        "-o",
        run,
        "--json",
        "--quiet",
    )
    assert json.loads(out)["items"] == 7
    assert json.loads((run / "run.json").read_text())["prompt"]["family"] == "reasoning"


def test_a_run_is_replayed_from_its_own_folder(capsys, pairs: Path, tmp_path: Path) -> None:
    run_main(capsys, "judge", pairs, "-m", "scripted:hash", "-o", tmp_path / "a", "--quiet")
    _, out, _ = run_main(
        capsys, "judge", pairs, "-m", f"replay:{tmp_path / 'a'}", "-o", tmp_path / "b", "--json", "--quiet"
    )
    first = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert json.loads(out)["winners"] == first["winners"] and json.loads(out)["correct"] == first["correct"]


def test_hostile_text_is_printed_inert(capsys, tmp_path: Path) -> None:
    row = {
        "id": "x",
        "prompt": "[bold]q[/bold] \x1b[31mred",
        "response_a": "\x1b]0;title\x07 a",
        "response_b": "b\u202etxt",
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    _, out, _ = run_main(capsys, "judge", tmp_path / "p.jsonl", "-m", "scripted:longer")
    assert "\x1b" not in out and "\x07" not in out and "\u202e" not in out
    assert "[bold]q[/bold] \\x1b[31mred" in out


def test_engine_failures_are_recorded_and_counted(capsys, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text(
        json.dumps({"id": "1", "order": "given", "text": "<answer>[[A]]</answer>"}) + "\n"
    )
    rows = [{"id": str(i), "prompt": "q", "response_a": "a", "response_b": "b", "label": "A"} for i in (1, 2)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = run_main(
        capsys,
        "judge",
        tmp_path / "p.jsonl",
        "-m",
        f"replay:{tmp_path / 'out.jsonl'}",
        "--order",
        "given",
        "-o",
        tmp_path / "r",
    )
    assert code == 0 and "without verdict: 1 (generation_failed 1)" in out and "right: 1 of 2" in out
    _, out, _ = run_main(capsys, "show", tmp_path / "r", "--unparsed")
    assert "nothing is recorded for pair '2'" in out


def test_failures_alone_are_judged_again(capsys, pairs: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    recording = tmp_path / "out.jsonl"

    def record(ids: list[str]) -> None:
        lines = ({"id": one, "text": "<answer>[[A]]</answer>"} for one in ids)
        recording.write_text("".join(json.dumps(line) + "\n" for line in lines))

    run = tmp_path / "run"
    command = [
        "judge",
        pairs,
        "-m",
        f"replay:{recording}",
        "--order",
        "given",
        "-o",
        run,
        "--quiet",
        "--json",
    ]
    record([row["id"] for row in rows[:30]])
    _, out, _ = run_main(capsys, *command)
    failed = json.loads(out)["problems"]["generation_failed"]
    assert failed > 0
    kept = set((run / "judgments.jsonl").read_text().splitlines()[:10])
    # The recording grew, which makes it another model; the run is told so by hand.
    description = json.loads((run / "run.json").read_text())
    record([row["id"] for row in rows])
    from rmr1.engines.replay import ReplayEngine

    description["model"] |= ReplayEngine(recording).fingerprint()
    (run / "run.json").write_text(json.dumps(description))
    _, out, _ = run_main(capsys, *command)
    assert json.loads(out)["problems"] == {"generation_failed": failed}
    _, out, _ = run_main(capsys, *command, "--retry-failed")
    assert json.loads(out)["items"] == 40 and json.loads(out)["problems"] == {}
    assert kept <= set((run / "judgments.jsonl").read_text().splitlines())


def test_a_run_from_python_that_goes_on_is_summed_up_whole(pairs: Path, tmp_path: Path) -> None:
    from rmr1 import Judge, read_pairs

    rows, run = list(read_pairs(pairs)), tmp_path / "run"
    judge = Judge("scripted:hash")
    assert len(list(judge.judge(rows[:15], run=run))) == 15
    assert [one.pair for one in judge.judge(rows, run=run)] == rows
    summary = json.loads((run / "summary.json").read_text())
    assert summary["items"] == 40 and sum(summary["winners"].values()) == 40
