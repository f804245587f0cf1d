"""Killed at any moment and started again, each engine ends with the records of an uninterrupted run.

The command lines are real ones. A few kills in the tests, twenty of each kind under `make soak`. The vLLM
engine is killed in `tests/engines/test_kill.py`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from rmr1.store.codec import dumps

from .faulty_server import Answer, Call, FaultyServer, completion
from .runs import final_records, kill_all_over, write_pairs

SAMPLED = ("--temperature", 1, "--top-p", 0.95, "-n", 2)


def judge(*arguments: object) -> None:
    """A whole run in this process: what counts here is what it leaves, not how it is started."""
    assert main(["judge", *map(str, arguments), "--quiet", "--json"]) == 0


def assert_same_records(found: Path, wanted: Path) -> None:
    """Every record equal to the last bit, but for its timing."""
    one, other = final_records(found), final_records(wanted)
    assert [record["key"] for record in one] == [record["key"] for record in other]
    different = [record["key"] for record, like in zip(one, other, strict=True) if record != like]
    assert not different, f"{len(different)} of {len(one)} records differ: {different[:5]}"
    assert len({dumps(record["votes"]) for record in one}) > 0.8 * len(one)


@pytest.mark.engine
@pytest.mark.soak
def test_the_transformers_engine_greedy(checkpoint: Path, tmp_path: Path, soak: bool) -> None:
    """Other batches than the uninterrupted run's, of other sizes: the texts are the same."""
    draw = random.Random(0)
    told = kill_and_compare(
        [
            write_pairs(tmp_path / "pairs.jsonl", 40 if soak else 12),
            "-m",
            checkpoint,
            "--max-new-tokens",
            160,
        ],
        tmp_path,
        draw,
        kills=20 if soak else 2,
        total=40 if soak else 12,
        most_at_once=3,
        vary=lambda: ["--batch-size", draw.randint(1, 3)],
    )
    print(f"transformers, greedy: {told}")


@pytest.mark.engine
@pytest.mark.soak
def test_the_transformers_engine_sampled(checkpoint: Path, tmp_path: Path, soak: bool) -> None:
    """One prompt at a time, nothing depends on what else is judged: log-probabilities are the same to the
    last bit. In other batches they differ in it, and rarely a draw then falls on the other side of the line
    between two tokens."""
    total = 40 if soak else 5
    command: list[object] = [write_pairs(tmp_path / "pairs.jsonl", total), "-m", checkpoint, *SAMPLED]
    command += ["--max-new-tokens", 160, "--logprobs"]
    told = kill_and_compare(
        [*command, "--batch-size", 1],
        tmp_path,
        random.Random(0),
        kills=20 if soak else 2,
        total=total,
        most_at_once=1,
    )
    print(f"transformers, sampled: {told}")
    assert any(
        vote["generation"].get("verdict_logprobs")
        for record in final_records(tmp_path / "run")
        for vote in record["votes"]
    )
    if not soak:
        return
    judge(*command, "-o", tmp_path / "batched")
    pairs = list(zip(list_texts(tmp_path / "batched"), list_texts(tmp_path / "whole"), strict=True))
    different = sum(one != other for one, other in pairs)
    print(f"in batches of 16 {different} of {len(pairs)} texts differ from those made one prompt at a time")
    assert different <= 0.05 * len(pairs)


def kill_and_compare(
    command: list[object], folder: Path, draw: random.Random, *, total: int, **kills: Any
) -> str:
    """Kill one run of the command on and on; it ends like another one that was left alone."""
    whole, run = folder / "whole", folder / "run"
    judge(*command, "-o", whole)
    told = kill_all_over(["judge", *command, "-o", run, "--quiet"], run, draw, total=total, **kills)
    judge(*command, "-o", run)
    assert_same_records(run, whole)
    assert len(final_records(run)) == total
    return told


def list_texts(run: Path) -> list[str]:
    return [vote["generation"]["text"] for record in final_records(run) for vote in record["votes"]]


def answer_by_content(call: Call) -> Answer:
    """Texts that follow from the prompt, the seed and the place among the choices alone."""
    count = call.body.get("n", 1)
    digests = [
        hashlib.sha256(f"{call.item}/{call.body.get('seed')}/{place}".encode()).hexdigest()
        for place in range(count)
    ]
    choices: list[dict[str, Any]] = [
        {
            "index": place,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": f"{digest} <answer>[[{'AB'[int(digest, 16) % 2]}]]</answer>",
            },
        }
        for place, digest in enumerate(digests)
    ]
    return Answer(body=completion(choices=choices), is_billed=True, seconds=0.02)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    pytest.importorskip("aiohttp")
    with FaultyServer(answer_by_content) as server:
        yield server


@pytest.mark.soak
@pytest.mark.parametrize("sampling", [(), (*SAMPLED, "--order", "both")], ids=["greedy", "sampled"])
def test_the_openai_engine(
    server: FaultyServer, tmp_path: Path, soak: bool, sampling: tuple[object, ...]
) -> None:
    total = 600 if soak else 150
    pairs = write_pairs(tmp_path / "pairs.jsonl", total)
    model = f"openai:judge@{server.base_url}"
    told = kill_and_compare(
        [pairs, "-m", model, *sampling, "--set", "engine.concurrency=8"],
        tmp_path,
        random.Random(1),
        kills=20 if soak else 3,
        total=total,
        most_at_once=20,
        linger_seconds=0.03,
    )
    print(f"openai, {'sampled' if sampling else 'greedy'}: {told}")
