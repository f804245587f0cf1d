"""A run with the vLLM engine, killed at any moment, ends with the records of an uninterrupted one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.engines.conftest import HAS_VLLM
from tests.integration.runs import final_records, kill_all_over, rmr1, write_pairs

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

pytestmark = [pytest.mark.engine, pytest.mark.soak]


def test_killed_runs_end_equal_to_an_uninterrupted_one(checkpoint: Path, tmp_path: Path, soak: bool) -> None:
    total, kills = (120, 20) if soak else (24, 2)
    pairs = write_pairs(tmp_path / "pairs.jsonl", total)
    command: list[object] = ["judge", pairs, "-m", f"vllm:{checkpoint}", "--max-new-tokens", 160, "--quiet"]
    command += ["--max-model-len", 4096, "--set", "engine.kv_cache_gb=0.3", "--set", "engine.max_num_seqs=4"]
    command += ["--set", "engine.engine_args.block_size=32"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    rmr1(*command, "-o", whole)
    told = kill_all_over(
        [*command, "-o", run],
        run,
        random.Random(0),
        kills=kills,
        total=total,
        most_at_once=5,
        linger_seconds=0.3,
    )
    rmr1(*command, "-o", run)
    found, wanted = final_records(run), final_records(whole)
    assert [record["key"] for record in found] == [record["key"] for record in wanted]
    assert len(found) == total
    different = [record["key"] for record, like in zip(found, wanted, strict=True) if record != like]
    assert not different, f"{len(different)} of {total} records differ: {different[:5]}"
    print(f"vllm, greedy: {told}")
