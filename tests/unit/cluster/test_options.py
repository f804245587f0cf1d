"""What the command line says of the cluster, and what follows for the actors."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.cluster.options import (
    ClusterOptions,
    check_model,
    choose_gpus,
    read_cluster_options,
    share_limits,
    split_address,
)
from rmr1.errors import ConfigError


def test_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert read_cluster_options(None) is None
    assert read_cluster_options("") == ClusterOptions(address="local")


def test_a_process_of_a_cluster_judges_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    found = read_cluster_options("")
    assert found is not None and found.address == "10.0.0.1:6379" and not found.is_local
    assert read_cluster_options("local") == ClusterOptions()


@pytest.mark.parametrize(
    ("actors", "least", "most"), [("3", 3, 3), ("1,8", 1, 8), (" 2 , 4 ", 2, 4), (None, None, None)]
)
def test_actors(actors: str | None, least: int | None, most: int | None) -> None:
    found = read_cluster_options("auto", actors=actors)
    assert found is not None and (found.least, found.most) == (least, most)


@pytest.mark.parametrize(
    ("address", "actors", "gpus", "told"),
    [
        ("auto", "0", None, "expected N actors"),
        ("auto", "1,2,3", None, "expected N actors"),
        ("auto", "-1", None, "expected N actors"),
        ("auto", "8,2", None, "8 to begin with are more than 2"),
        ("auto", None, -1.0, "expected 0 or more"),
        ("auto", None, float("nan"), "expected 0 or more"),
        ("auto", None, 1.5, "only whole GPUs"),
        ("host", None, None, "expected HOST:PORT"),
        ("host:0", None, None, "expected HOST:PORT"),
        ("host:99999", None, None, "expected HOST:PORT"),
        ("http://host:6379", None, None, "expected HOST:PORT"),
        ("ray://host:10001", None, None, "has to run in the cluster"),
        (None, "2", None, "is for judging over Ray"),
        (None, None, 1.0, "is for judging over Ray"),
    ],
)
def test_what_has_no_meaning_is_refused(
    address: str | None, actors: str | None, gpus: float | None, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        read_cluster_options(address, actors=actors, gpus=gpus)
    assert "\n" not in str(refused.value)


def test_data_that_stand_behind_the_flag_are_no_address(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.touch()
    with pytest.raises(ConfigError, match="that is a file or folder"):
        read_cluster_options(str(file))


def test_addresses_are_split() -> None:
    assert split_address("node-1.example:6379") == ("node-1.example", 6379)
    assert split_address("[::1]:6379") == ("::1", 6379)


@pytest.mark.parametrize(
    ("gpus", "model", "engine", "has_gpus", "expected"),
    [
        (None, "vllm:x", {"tensor_parallel_size": 4}, True, 4),
        (None, "vllm:x", {}, True, 1),
        (None, "org/name", {}, True, 1),
        (None, "org/name", {"device": "cpu"}, True, 0),
        (None, "vllm:x", {}, False, 0),
        (None, "openai:x@http://h/v1", {}, True, 0),
        (None, "scripted:hash", {}, True, 0),
        (0.5, "org/name", {}, True, 0.5),
    ],
)
def test_gpus_of_an_actor(
    gpus: float | None, model: str, engine: dict[str, object], has_gpus: bool, expected: float
) -> None:
    assert choose_gpus(ClusterOptions(gpus=gpus), model, engine, has_gpus=has_gpus) == expected


def test_all_actors_together_keep_to_a_servers_limits() -> None:
    said = {"concurrency": 32, "requests_per_minute": 600.0, "max_retries": 2}
    shared = share_limits("openai:m@http://h/v1", said, 4)
    assert shared == {"concurrency": 8, "requests_per_minute": 150.0, "max_retries": 2}
    assert share_limits("openai:m@http://h/v1", {}, 64) == {"concurrency": 1}  # 32 by default
    assert share_limits("vllm:m", {"max_num_seqs": 8}, 4) == {"max_num_seqs": 8}


def test_what_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ConfigError, match="taken in their sequence"):
        check_model("replay:outputs.jsonl", {})
    with pytest.raises(ConfigError, match="devices of its own: 'cuda'"):
        check_model("org/name", {"device": "cuda:1"})
    check_model("org/name", {"device": "cuda"})
