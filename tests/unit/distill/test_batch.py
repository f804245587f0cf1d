"""Batch files: what is exported, and what half-failed, cut, foreign and repeated results become."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.distill_report import list_next_steps
from rmr1.distill.batch import export_requests, import_results
from rmr1.distill.run import finish, run_distill
from rmr1.errors import ConfigError, DataError
from tests.unit.distill.pairs import good_text, make_recipe, write_pairs


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    return make_recipe(
        write_pairs(tmp_path / "pairs.jsonl", "ABABAB"),
        pass1={"teacher": "batch:gpt-4.1"},
        pass2={"teacher": "batch:o3-2025-04-16"},
    )


def export(recipe: Any, tmp_path: Path, number: int = 1, **options: Any) -> list[dict[str, Any]]:
    path = tmp_path / "requests.jsonl"
    export_requests(recipe, tmp_path / "out", number, path, force=True, **options)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def result(custom_id: str, text: str, **body: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "batch_req_1",
        "custom_id": custom_id,
        "response": {
            "status_code": 200,
            "request_id": "r",
            "body": {
                "model": "gpt-4.1-2025-04-14",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 700, "completion_tokens": 90},
                **body,
            },
        },
        "error": None,
    }


def expired(custom_id: str) -> dict[str, Any]:
    error = {
        "code": "batch_expired",
        "message": "This request could not be executed before the batch expired.",
    }
    return {"id": "batch_req_2", "custom_id": custom_id, "response": None, "error": error}


def refused(custom_id: str) -> dict[str, Any]:
    body = {"error": {"message": "flagged by the content policy", "code": "content_policy_violation"}}
    return {"custom_id": custom_id, "response": {"status_code": 400, "body": body}, "error": None}


def write_results(path: Path, rows: Iterable[Any], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


def test_requests_have_the_form_that_batches_take(recipe: Any, tmp_path: Path) -> None:
    rows = export(recipe, tmp_path)
    assert len(rows) == 6 and len({row["custom_id"] for row in rows}) == 6
    for row in rows:
        assert set(row) == {"custom_id", "method", "url", "body"}
        assert (row["method"], row["url"]) == ("POST", "/v1/chat/completions")
        assert len(row["custom_id"]) <= 64
        assert set(row["body"]) == {"model", "messages", "temperature", "max_tokens"}
        assert (row["body"]["model"], row["body"]["max_tokens"]) == ("gpt-4.1", 8192)
        assert [message["role"] for message in row["body"]["messages"]] == ["system", "user"]


def test_reasoning_models_are_asked_in_their_form(recipe: Any, tmp_path: Path) -> None:
    rows = export(recipe, tmp_path)
    results = [result(row["custom_id"], good_text("A")) for row in rows]
    import_results(recipe, tmp_path / "out", [write_results(tmp_path / "r.jsonl", results)])
    told = export(recipe, tmp_path, 2)
    assert len(told) == 3
    for row in told:
        assert set(row["body"]) == {"model", "messages", "max_completion_tokens"}
        assert "The right verdict is [[B]]" in row["body"]["messages"][-1]["content"]


def test_a_half_failed_batch_leaves_open_what_failed(recipe: Any, tmp_path: Path) -> None:
    ids = [row["custom_id"] for row in export(recipe, tmp_path)]
    output = write_results(
        tmp_path / "output.jsonl",
        [
            result(ids[0], good_text("A")),
            result(ids[1], good_text("B")),
            result(ids[0], good_text("B")),  # a second line for one request
            result("request-7", good_text("A")),  # somebody else's
            result("rmr1-1-" + "0" * 32, good_text("A")),  # of another distillation
            result(ids[2], "", choices=[]),
        ],
        tail=json.dumps(result(ids[5], good_text("B")))[:120],
    )
    errors = write_results(tmp_path / "errors.jsonl", [expired(ids[3]), refused(ids[4])])
    counts = import_results(recipe, tmp_path / "out", [output, errors]).describe()
    assert counts == {
        "lines": 9,
        "stored": {"pass1": 2, "pass2": 0},
        "refused": 1,
        "failed": 2,
        "given_up": 0,
        "repeated": 1,
        "foreign": 2,
        "unreadable": 1,
    }
    summary = finish(recipe, tmp_path / "out")
    assert (summary["rows"], summary["waiting"]["pass1"]) == (2, 3)
    assert summary["dropped"] == {"refused": 1}
    assert summary["passes"][0]["prompt_tokens"] == 1400
    assert {row["custom_id"] for row in export(recipe, tmp_path)} == {ids[2], ids[3], ids[5]}
    # The same files once more change nothing.
    again = import_results(recipe, tmp_path / "out", [output]).describe()
    assert (again["stored"]["pass1"], again["repeated"]) == (0, 3)


def test_giving_up_stores_failures(recipe: Any, tmp_path: Path) -> None:
    ids = [row["custom_id"] for row in export(recipe, tmp_path)]
    results = [expired(ids[0]), *(result(one, good_text("A")) for one in ids[1:])]
    path = write_results(tmp_path / "r.jsonl", results)
    counts = import_results(recipe, tmp_path / "out", [path], give_up=True)
    assert (counts.kinds["failed"], counts.kinds["given_up"]) == (1, 1)
    assert counts.shown["failed"] == [
        f"{ids[0]}: This request could not be executed before the batch expired."
    ]
    summary = finish(recipe, tmp_path / "out")
    assert summary["dropped"] == {"failed": 1} and summary["waiting"] == {"pass1": 0, "pass2": 3}
    # As the chain runs it: no teacher is asked here, so what was given up is not opened again.
    summary = run_distill(recipe, tmp_path / "out", retry_failed=True)
    assert summary["dropped"] == {"failed": 1} and summary["waiting"]["pass1"] == 0
    (step,) = (
        one
        for one in list_next_steps(recipe, summary, recipe_path="r.toml", folder="out")
        if "got no text" in one
    )
    assert step.startswith("1 of 6 pairs got no text from their teacher; --set max_failed_share=0.17 goes on")


def test_both_passes_come_in_one_file_in_any_order(recipe: Any, tmp_path: Path) -> None:
    first = [row["custom_id"] for row in export(recipe, tmp_path)]
    import_results(
        recipe,
        tmp_path / "out",
        [write_results(tmp_path / "a.jsonl", (result(one, good_text("A")) for one in first[:4]))],
    )
    second = [row["custom_id"] for row in export(recipe, tmp_path, 2)]
    assert len(second) == 2
    mixed = [
        *(result(one, good_text("B")) for one in second),
        *(result(one, good_text("A")) for one in first[4:]),
    ]
    counts = import_results(recipe, tmp_path / "out", [write_results(tmp_path / "b.jsonl", mixed)])
    assert counts.describe()["stored"] == {"pass1": 2, "pass2": 2}
    summary = finish(recipe, tmp_path / "out")
    assert (summary["rows"], summary["waiting"]) == (5, {"pass1": 0, "pass2": 1})
    # A run asks nothing of teachers that only batches reach.
    assert run_distill(recipe, tmp_path / "out")["waiting"]["pass2"] == 1


def test_files_that_are_not_ours_are_refused(recipe: Any, tmp_path: Path) -> None:
    export(recipe, tmp_path)
    foreign = write_results(tmp_path / "foreign.jsonl", [result("request-1", "x")], tail='{"custom')
    with pytest.raises(DataError, match=r"none of the 2 lines answers a request of .*custom_id 'request-1'"):
        import_results(recipe, tmp_path / "out", [foreign])
    with pytest.raises(DataError, match="no such file"):
        import_results(recipe, tmp_path / "out", [tmp_path / "none.jsonl"])


def test_large_exports_are_split(recipe: Any, tmp_path: Path) -> None:
    found = export_requests(recipe, tmp_path / "out", 1, tmp_path / "q.jsonl", most_requests=4)
    assert [(Path(one["path"]).name, one["requests"]) for one in found["files"]] == [
        ("q.jsonl", 4),
        ("q-2.jsonl", 2),
    ]
    size = (tmp_path / "q-2.jsonl").stat().st_size
    found = export_requests(recipe, tmp_path / "out", 1, tmp_path / "s.jsonl", most_bytes=size + 100)
    assert [one["requests"] for one in found["files"]] == [2, 2, 2]
    assert all(Path(one["path"]).stat().st_size <= size + 100 for one in found["files"])
    with pytest.raises(ConfigError, match=r"q.jsonl exists; choose another name or pass force=True"):
        export_requests(recipe, tmp_path / "out", 1, tmp_path / "q.jsonl")


def test_teachers_that_are_asked_directly_have_no_batch(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl"))
    with pytest.raises(ConfigError, match="pass 1: teacher 'scripted:one' is asked directly"):
        export(recipe, tmp_path)


def test_several_samples_and_thinking(tmp_path: Path) -> None:
    recipe = make_recipe(
        write_pairs(tmp_path / "pairs.jsonl", "A"),
        pass1={"teacher": "batch:qwen", "samples": 2, "temperature": 0.7},
    )
    (row,) = export(recipe, tmp_path)
    assert row["body"]["n"] == 2 and isinstance(row["body"]["seed"], int)
    assert row["body"]["top_p"] == 1.0
    # A hosted API refuses rows that hold more than its own format.
    assert not {"top_k", "min_p", "repetition_penalty"} & set(row["body"])
    choices = [
        {
            "message": {"content": "<answer>[[B]]</answer> no", "reasoning_content": "hm"},
            "finish_reason": "stop",
        },
        {"message": {"content": good_text("A")}, "finish_reason": "stop"},
    ]
    path = write_results(tmp_path / "r.jsonl", [result(row["custom_id"], "", choices=choices)])
    import_results(recipe, tmp_path / "out", [path])
    assert finish(recipe, tmp_path / "out")["rows"] == 1
    stored = json.loads((tmp_path / "out/train.jsonl").read_text())
    assert stored["messages"][-1]["content"] == good_text("A")
    votes = json.loads((tmp_path / "out/pass1.jsonl").read_text())["votes"]
    assert [vote["generation"]["text"][:7] for vote in votes] == ["<think>", "<type>C"]
    assert votes[0]["generation"]["text"].endswith("<answer>[[B]]</answer> no")  # as it was delivered


def test_a_batch_without_usage_is_estimated_from_characters(tmp_path: Path) -> None:
    recipe = make_recipe(write_pairs(tmp_path / "pairs.jsonl", "A"), pass1={"teacher": "batch:gpt-4.1"})
    (row,) = export(recipe, tmp_path)
    results = [result(row["custom_id"], good_text("A"), usage=None)]
    import_results(recipe, tmp_path / "out", [write_results(tmp_path / "r.jsonl", results)])
    (about, _) = finish(recipe, tmp_path / "out")["passes"]
    read = math.ceil(sum(len(message["content"]) for message in row["body"]["messages"]) / 4)
    assert (about["prompt_tokens"], about["completion_tokens"]) == (read, math.ceil(len(good_text("A")) / 4))
    assert about["is_estimated"] and about["cost_usd"] > 0


def test_an_export_says_what_it_can_take_and_what_is_left_of_the_budget(tmp_path: Path) -> None:
    recipe = make_recipe(
        write_pairs(tmp_path / "pairs.jsonl", "AAA"),
        budget="10k",
        pass1={"teacher": "batch:x", "max_new_tokens": 200, "engine": {"price_in": 1.0, "price_out": 10.0}},
    )
    folder = tmp_path / "out"
    found = export_requests(recipe, folder, 1, tmp_path / "q.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    read = sum(math.ceil(sum(len(one["content"]) for one in row["body"]["messages"]) / 4) for row in rows)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (read, {"most": 600})
    assert found["cost_usd"] == {"most": pytest.approx((read + 6000) / 1e6)}
    import_results(
        recipe,
        folder,
        [write_results(tmp_path / "r.jsonl", [result(rows[0]["custom_id"], good_text("A"))])],
    )
    found = export_requests(recipe, folder, 1, tmp_path / "q.jsonl", force=True)
    assert found["requests"] == 2
    assert found["budget"] == {"unit": "tokens", "amount": 10_000, "spent": 790}
