"""Judging over a real Ray on this machine: a run is that of one process, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.ray_judging import compare_runs, count_lines, list_actors, wait_for_lines

from rmr1.cluster import pool
from rmr1.errors import ConfigError
from rmr1.judge.ranking.run import read_rankings
from tests.integration.runs import final_records, rmr1
from tests.ray.conftest import HAS_RAY, list_left_behind

if not HAS_RAY:
    pytest.skip("ray is not installed here; see `make test-ray`", allow_module_level=True)

RAY = ("--ray=local", "--ray-actors", "2", "--quiet")


def list_told(errors: str) -> list[str]:
    """What was said, but for the line that a slow start brings."""
    return [line for line in errors.splitlines() if "waiting for the first actor" not in line]


def test_a_run_over_two_actors_is_that_of_one_process(world_pairs: Path, tmp_path: Path) -> None:
    command = ("judge", world_pairs, "-m", "scripted:hash", "--order", "both", "-n", 3)
    rmr1(*command, "-o", tmp_path / "one")
    rmr1(*command, "-o", tmp_path / "many", "--limit", 30)
    before = list_left_behind()
    done = rmr1(*command, "-o", tmp_path / "many", *RAY)
    assert "140 pairs judged" in done.stdout
    assert list_told(done.stderr) == []
    assert compare_runs(tmp_path / "one", tmp_path / "many") is None
    assert len(final_records(tmp_path / "many")) == 140
    assert list_left_behind() <= before


def test_an_actor_that_cannot_load_ends_the_run_in_one_line(world_pairs: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}')
    failed = rmr1("judge", world_pairs, "-m", model, "-o", tmp_path / "run", *RAY, check=False)
    assert failed.returncode == 1
    told = list_told(failed.stderr)
    assert len(told) == 1 and "an actor cannot load the judge" in told[0] and "no tokenizer" in told[0]
    assert not (tmp_path / "run").exists()


def test_nothing_answers_at_an_address(world_pairs: Path) -> None:
    failed = rmr1("judge", world_pairs, "-m", "scripted:hash", "--ray", "127.0.0.1:1", check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("rmr1: nothing answers at 127.0.0.1:1")
    assert failed.stderr.count("\n") == 1


def test_what_answers_is_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConfigError, match="is no Ray cluster: no answer in 1 s"):
            pool.probe(address)
        assert time.monotonic() - started < 20


@pytest.mark.slow
def test_lost_actors_and_stopped_drivers_lose_nothing(world_pairs: Path, tmp_path: Path) -> None:
    """The bundled judge over two actors: one is killed, then the driver is interrupted, then killed."""
    folder, total = tmp_path / "many", 140
    rmr1("judge", world_pairs, "-m", "tiny", "-o", tmp_path / "one")
    command = [sys.executable, "-m", "rmr1", "judge", str(world_pairs), "-m", "tiny", "-o", str(folder), *RAY]

    said = tmp_path / "said"

    def start_until(number: int) -> subprocess.Popen[bytes]:
        with said.open("ab") as file:
            process = subprocess.Popen(command, stdout=file)
        wait_for_lines(folder, number, process)
        return process

    driver = start_until(1)
    os.kill(list_actors(driver.pid)[0], signal.SIGKILL)
    wait_for_lines(folder, 40, driver)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=120) == 130
    assert said.read_text() == ""
    before = count_lines(folder)
    assert before < total
    driver = start_until(before + 1)
    driver.kill()
    driver.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert compare_runs(tmp_path / "one", folder) is None


@pytest.mark.slow
def test_a_block_that_ends_every_actor_ends_the_run(world_pairs: Path) -> None:
    # In a process of its own, since Ray warns of itself.
    command = "import sys; from tests.ray.deadly import judge_with_it; judge_with_it(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", command, str(world_pairs)], capture_output=True, text=True, check=False
    )
    told = f"{1 + pool.MOST_RETRIES} actors were lost, one after the other, over the same block of items"
    assert done.stdout == f"stopped: {told}\n", done.stderr


@pytest.mark.slow
def test_a_cluster_that_is_there_is_joined(world_pairs: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ray = str(Path(sys.executable).with_name("ray"))
    start = [ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=3", "--include-dashboard=false"]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with (tmp_path / "ray.log").open("wb") as log:
        head = subprocess.Popen(start, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        for _ in range(120):
            try:
                pool.probe(f"127.0.0.1:{port}")
                break
            except ConfigError:
                assert head.poll() is None, (tmp_path / "ray.log").read_text()
                time.sleep(1)
        command = ("judge", world_pairs, "-m", "scripted:hash", "--quiet")
        rmr1(*command, "-o", tmp_path / "one")
        rmr1(*command, "-o", tmp_path / "many", "--ray", f"127.0.0.1:{port}", "--ray-actors", "1,2")
        assert compare_runs(tmp_path / "one", tmp_path / "many") is None
        assert head.poll() is None
    finally:
        head.terminate()
        head.wait(timeout=60)


@pytest.mark.slow
def test_rankings_and_group_rewards_are_those_of_one_process(tmp_path: Path) -> None:
    lists = tmp_path / "lists.jsonl"
    rows = [
        {"prompt": f"Question {number}", "responses": [f"{number} {'x' * k}" for k in range(5)]}
        for number in range(8)
    ]
    lists.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("rank", lists, "-m", "scripted:hash", "--method", "swiss")
    rmr1(*command, "-o", tmp_path / "one")
    rmr1(*command, "-o", tmp_path / "many", *RAY)
    assert compare_runs(tmp_path / "one", tmp_path / "many") is None
    assert list(read_rankings(tmp_path / "many")) == list(read_rankings(tmp_path / "one"))
    # In a process of its own, since Ray warns of itself.
    command = "from tests.ray.rewards import tell_rewards; tell_rewards()"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    one, many = map(json.loads, done.stdout.splitlines()[-2:])
    assert one == many and len(set(one)) > 1, done.stderr
