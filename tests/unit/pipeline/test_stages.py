"""Stages: what is done once, what is done anew, and what a stop leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from rmr1.errors import ConfigError, RunError
from rmr1.pipeline.stages import Stage, compute_key, read_state, run_stages

ROW = {"prompt": "Q", "response_a": "short", "response_b": "a longer answer", "label": "B"}


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({**ROW, "prompt": f"Q{number}"}) + "\n" for number in range(12)))
    return path


def make_stages(pairs, *, second="scripted:longer", check=None):
    """The same pairs judged by two judges; the second one's run is then scored."""
    return (
        Stage(
            name="first",
            command=("judge", str(pairs), "-m", "scripted:always-a", "-o", "{DIR}/first", "--quiet"),
            reads=(str(pairs),),
            check=check,
        ),
        Stage(
            name="second",
            command=("judge", str(pairs), "-m", second, "-o", "{DIR}/second", "--quiet"),
            reads=(str(pairs),),
        ),
        Stage(
            name="scores",
            command=("bench", "pairs", "--from", "{DIR}/second", "--fail-under", "90", "-o", "{DIR}/scores"),
            reads=("{DIR}/second",),
            may_say_no=True,
        ),
    )


def run(stages, folder):
    said = []
    return run_stages(stages, folder, say=said.append), said


def test_each_stage_once(pairs, tmp_path):
    out = tmp_path / "out"
    code, said = run(make_stages(pairs), out)
    assert code == 0
    assert [one.partition(":")[0] for one in said] == [
        "stage 1 of 3, first",
        "stage 2 of 3, second",
        "stage 3 of 3, scores",
    ]
    assert f"rmr1 judge {pairs} -m scripted:always-a -o {out}/first --quiet" in said[0]
    stored = {name: (out / name / "judgments.jsonl").read_bytes() for name in ("first", "second")}
    code, said = run(make_stages(pairs), out)
    assert (code, [one.endswith("done before") for one in said]) == (0, [True] * 3)
    assert all((out / name / "judgments.jsonl").read_bytes() == content for name, content in stored.items())


def test_what_changed_and_what_follows_is_done_anew(pairs, tmp_path):
    out = tmp_path / "out"
    run(make_stages(pairs), out)
    code, said = run(make_stages(pairs, second="scripted:always-a"), out)
    # What stands first is right about every second time: the command is done and its answer is no.
    assert code == 1
    assert "done before" in said[0]
    assert [one for one in said if "have changed" in one] == [
        f"stage 2 of 3, second: its inputs have changed; what it had made is in {out}/replaced/second-1",
        f"stage 3 of 3, scores: its inputs have changed; what it had made is in {out}/replaced/scores-1",
    ]
    assert (out / "replaced" / "second-1" / "judgments.jsonl").exists()
    # Its answer stays no when nothing is run.
    assert run(make_stages(pairs, second="scripted:always-a"), out)[0] == 1
    # Other data: everything.
    pairs.write_text(json.dumps({**ROW, "prompt": "another"}) + "\n")
    _, said = run(make_stages(pairs), out)
    assert sum("have changed" in one for one in said) == 3


def test_a_stage_that_fails(pairs, tmp_path, capfd):
    out = tmp_path / "out"
    with pytest.raises(RunError, match="stage second ended with exit code 2"):
        run(make_stages(pairs, second="scripted:nobody"), out)
    assert "nobody" in capfd.readouterr().err
    assert [(name, one["is_done"]) for name, one in read_state(out).items()] == [
        ("first", True),
        ("second", False),
    ]
    code, said = run(make_stages(pairs), out)
    assert code == 0
    assert "done before" in said[0]


def test_a_stage_with_something_left_is_not_done(pairs, tmp_path):
    """A gate may answer no; exit code 1 of a stage that makes something means that it is not whole."""
    stages = make_stages(pairs, second="scripted:always-a")
    unfinished = replace(stages[2], may_say_no=False)
    for _ in range(2):
        with pytest.raises(RunError, match="stage scores ended with exit code 1"):
            run((*stages[:2], unfinished), tmp_path / "out")
    assert not read_state(tmp_path / "out")["scores"]["is_done"]


def test_a_crash_is_no_answer(pairs, tmp_path):
    """A gate that ends with 1 and leaves no scores has not answered; it is begun again."""
    out = tmp_path / "out"
    stages = make_stages(pairs)

    def crash(words):
        (out / "scores").mkdir()
        return 1

    run(stages[:2], out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmr1.pipeline.stages.run_command", crash)
        with pytest.raises(RunError, match="stage scores ended with exit code 1"):
            run(stages, out)
    assert not read_state(out)["scores"]["is_done"]
    assert run(stages, out)[0] == 0


def test_a_model_that_answered_nothing_is_no_answer(pairs, tmp_path):
    """Nor is a bench of several benchmarks of which the last was given up."""
    out = tmp_path / "out"
    recording = tmp_path / "nothing.jsonl"
    recording.write_text('{"id": "of other pairs", "text": "<answer>[[A]]</answer>"}\n')
    bench = Stage(
        name="scores",
        command=(
            "bench",
            "pairs",
            str(pairs),
            "-m",
            f"replay:{recording}",
            "--limit",
            "9",
            "-o",
            "{DIR}/scores",
        ),
        may_say_no=True,
    )
    for _ in range(2):
        with pytest.raises(RunError, match="stage scores ended with exit code 1"):
            run((bench,), out)
    assert not read_state(out)["scores"]["is_done"]
    # A check of its own has more to say than that.
    looked = []
    assert run((replace(bench, check=looked.append),), out)[0] == 1
    assert looked == [out / "scores"]

    def give_up(words):
        for name in ("first", "last"):
            (tmp_path / "two/scores" / name).mkdir(parents=True)
            (tmp_path / "two/scores" / name / "run.json").write_text("{}")
        summary = {"items": 1, "problems": {}}
        (tmp_path / "two/scores/first/summary.json").write_text(json.dumps(summary))
        return 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmr1.pipeline.stages.run_command", give_up)
        with pytest.raises(RunError, match="stage scores ended with exit code 1"):
            run((bench,), tmp_path / "two")


CRASHING = """
import sys
import rmr1.cli.main
from rmr1.cli import follow
rmr1.cli.main.main = lambda: [][0]
sys.exit(follow.main())
"""


def test_a_crash_has_an_exit_code_of_its_own():
    done = subprocess.run([sys.executable, "-c", CRASHING], capture_output=True, text=True)
    assert done.returncode == 70
    assert "IndexError" in done.stderr


def test_what_was_paid_for_is_not_moved(pairs, tmp_path):
    """The command itself takes changed inputs, or refuses them as here, where the judge is another one."""
    out = tmp_path / "out"
    before, after = make_stages(pairs), make_stages(pairs, second="scripted:always-a")
    run(before[:2], out)
    stored = (out / "second" / "judgments.jsonl").read_bytes()
    with pytest.raises(RunError, match="stage second ended with exit code 2"):
        run((after[0], replace(after[1], in_place=True)), out)
    assert (out / "second" / "judgments.jsonl").read_bytes() == stored
    assert not (out / "replaced").exists()


def test_a_check_stops_every_time(pairs, tmp_path):
    def refuse(folder):
        raise ConfigError(f"{folder.name}: no")

    for _ in range(2):
        with pytest.raises(ConfigError, match="first: no"):
            run(make_stages(pairs, check=refuse), tmp_path / "out")
    assert not (tmp_path / "out" / "second").exists()


def test_keys(tmp_path):
    first = Stage(name="a", command=("judge", "{DIR}/x"), recipe={"lr": 1.0})
    assert compute_key(first, tmp_path) == compute_key(replace(first, name="b"), tmp_path)
    assert compute_key(first, tmp_path) != compute_key(replace(first, recipe={"lr": 2.0}), tmp_path)


def test_what_is_read_counts_by_its_contents(tmp_path):
    """Not by how it came about: other files of the same stage, and how a model was trained, make no difference."""
    rows, model = tmp_path / "distill", tmp_path / "sft"
    rows.mkdir()
    model.mkdir()
    (rows / "train.jsonl").write_text("one")
    for name in ("config.json", "model.safetensors", "summary.json"):
        (model / name).write_text("one")
    stage = Stage(name="grpo", command=("grpo",), reads=("{DIR}/distill/train.jsonl", "{DIR}/sft"))
    key = compute_key(stage, tmp_path)
    (rows / "summary.json").write_text("two")
    (model / "summary.json").write_text("two")
    assert compute_key(stage, tmp_path) == key
    (model / "model.safetensors").write_text("two")
    other = compute_key(stage, tmp_path)
    (rows / "train.jsonl").write_text("two")
    assert len({key, other, compute_key(stage, tmp_path)}) == 3


def test_a_stage_that_gives_the_same_again_leaves_what_follows(pairs, tmp_path):
    """The first two stages are asked in another way; what they write is the same."""
    out = tmp_path / "out"
    before = [replace(one, reads=(*one.reads, "{DIR}/second")) for one in make_stages(pairs)[2:]]
    made = make_stages(pairs)[1]
    copy = replace(made, name="copy", command=("world", "--help"), reads=("{DIR}/scores/summary.json",))
    (out / "copy").mkdir(parents=True)
    (out / "stages.json").write_text("{}")
    run((made, *before, copy), out)
    again = [replace(one, command=(*one.command, "--json")) for one in before]
    _, said = run((made, *again, copy), out)
    assert [one.rpartition(": ")[2] for one in said if "rmr1 bench" not in one] == [
        "done before",
        f"its inputs have changed; what it had made is in {out}/replaced/scores-1",
        "done before",
    ]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (shutil.rmtree, "its results are gone"),
        (lambda folder: (folder / "judgments.jsonl").unlink(), "judgments.jsonl is gone"),
        (
            lambda folder: (folder / "judgments.jsonl").write_text("{"),
            "judgments.jsonl is not what was written",
        ),
    ],
)
def test_what_is_gone_or_damaged_is_done_anew(pairs, tmp_path, damage, told):
    out = tmp_path / "out"
    run(make_stages(pairs), out)
    (out / "first" / "notes.txt").write_text("mine")
    assert all(one.endswith("done before") for one in run(make_stages(pairs), out)[1])
    damage(out / "second")
    _, said = run(make_stages(pairs), out)
    assert said[0].endswith("done before")
    assert said[1].startswith(f"stage 2 of 3, second: {told}")
    assert len((out / "second" / "judgments.jsonl").read_text().splitlines()) == 12


def test_folder_of_something_else(pairs, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"but no stages\.json"):
        run(make_stages(pairs), tmp_path / "out")


KILLED = """
import sys
from pathlib import Path
from rmr1.pipeline.stages import Stage, run_stages
pairs, out = sys.argv[1:]
command = ("judge", pairs, "-m", "scripted:always-a", "-o", "{DIR}/only", "--quiet")
run_stages([Stage(name="only", command=command, reads=(pairs,))], Path(out), say=print)
"""


INTERRUPTED = """
import sys
from rmr1.pipeline.stages import Interrupted, run_command
try:
    run_command(["judge", sys.argv[1], "-m", "scripted:always-a", "-o", sys.argv[2], "--quiet"])
except Interrupted:
    print("it has said so")
"""


@pytest.mark.parametrize("reaches_both", [False, True])
def test_an_interrupt_ends_the_command_and_is_told_once(tmp_path, reaches_both):
    """`kill -INT` reaches this process alone, a terminal's Ctrl-C both."""
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    pairs.write_text("".join(json.dumps({**ROW, "prompt": f"Q{number}"}) + "\n" for number in range(200_000)))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(pairs), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that starts the tests in the background has them, and all they start, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    stored = out / "judgments.jsonl"
    deadline = time.monotonic() + 60
    while not (stored.exists() and stored.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    (os.killpg if reaches_both else os.kill)(process.pid, signal.SIGINT)
    printed, told = process.communicate(timeout=30)
    assert printed == "it has said so\n"
    assert told.count("interrupted; what is stored stays") == 1
    assert 0 < len(stored.read_bytes().splitlines()) < 200_000


def test_the_command_ends_with_a_killed_chain(tmp_path):
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    pairs.write_text("".join(json.dumps({**ROW, "prompt": f"Q{number}"}) + "\n" for number in range(20_000)))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(pairs), str(out)], stdout=subprocess.DEVNULL
    )
    stored = out / "only" / "judgments.jsonl"
    deadline = time.monotonic() + 60
    while not (stored.exists() and stored.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # The command lets go of its folder at once, so the same chain goes on and judges the rest.
    stage = Stage(
        name="only",
        command=("judge", str(pairs), "-m", "scripted:always-a", "-o", "{DIR}/only", "--quiet"),
        reads=(str(pairs),),
    )
    for _ in range(200):
        try:
            code = run_stages([stage], out, say=lambda line: None)
            break
        except RunError:
            time.sleep(0.05)
    assert code == 0
    lines = stored.read_bytes().splitlines()
    assert len(lines) == len({json.loads(line)["key"] for line in lines}) == 20_000
