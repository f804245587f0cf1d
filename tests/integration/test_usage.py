"""What a finished run says it used, against what the server counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1 import Judge
from rmr1.cli.main import main
from rmr1.cli.session import format_usage
from rmr1.data.read import read_pairs
from rmr1.screen import format_usd

from .faulty_server import FaultyServer, good
from .runs import write_pairs

PRICES = ("--set", "engine.price_in=2", "--set", "engine.price_out=10")


def read_summary(run: Path) -> dict[str, object]:
    return json.loads((run / "summary.json").read_text())


@pytest.mark.parametrize(
    ("cost", "text"), [(0.0, "0.00 USD"), (0.00321, "0.0032 USD"), (0.5, "0.5 USD"), (1234.5, "1,234.50 USD")]
)
def test_small_sums_do_not_read_as_nothing(cost: float, text: str) -> None:
    assert format_usd(cost) == text


def test_nothing_used_is_nothing_said() -> None:
    assert format_usage({"prompt_tokens": 0, "completion_tokens": 0}) == []
    assert format_usage({"prompt_tokens": 1200, "completion_tokens": 0}) == ["tokens: 1,200 read, 0 written"]


def test_a_hosted_run_says_what_it_cost_also_after_a_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, run = write_pairs(tmp_path / "pairs.jsonl", 10), tmp_path / "run"
    with FaultyServer(lambda call: good()) as server:
        asked = ["judge", str(pairs), "-m", f"openai:judge@{server.base_url}", "-o", str(run), "--quiet"]
        assert main([*asked, *PRICES, "--limit", "4"]) == 0
        # Each reply has 100 tokens read and 20 written.
        assert "tokens: 400 read, 80 written\ncost: 0.0016 USD for what is stored" in capsys.readouterr().out
        assert read_summary(run)["cost_usd"] == pytest.approx(4 * (100 * 2 + 20 * 10) / 1e6)
        assert main([*asked, *PRICES]) == 0
        assert len(server.calls) == 10
        printed = capsys.readouterr().out
        assert "tokens: 1,000 read, 200 written\ncost: 0.004 USD for what is stored" in printed
        assert "replies that were lost may have been billed beside it" in printed
        summary = read_summary(run)
        assert summary["cost_usd"] == pytest.approx(10 * 400 / 1e6)
        assert summary["price_usd"] == {"prompt": 2.0, "completion": 10.0}
        # The price is no part of what makes a run, so it may be told later.
        assert main(asked) == 0
        assert "cost: not known; set engine.price_in" in capsys.readouterr().out
        assert read_summary(run)["cost_usd"] is None and read_summary(run)["prompt_tokens"] == 1000
        assert len(server.calls) == 10


def test_other_ways_to_run_say_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 3)
    row = {
        "pair_id": "p",
        "source": "livebench-math",
        "question": "Q",
        "response_model": "gpt-4o-2024-05-13",
        "response_A": "a",
        "response_B": "b",
        "label": "A>B",
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gpt.jsonl").write_text(json.dumps(row) + "\n")
    with FaultyServer(lambda call: good()) as server:
        model = f"openai:judge@{server.base_url}"
        judge = Judge(model, options={"price_in": 2, "price_out": 10})
        assert len(list(judge.judge(read_pairs(pairs), run=tmp_path / "run"))) == 3
        judge.close()
        bench = ["bench", "judgebench", "--data", str(tmp_path / "data"), "-m", model]
        assert main([*bench, *PRICES, "-o", str(tmp_path / "bench"), "--quiet"]) == 0
    assert read_summary(tmp_path / "run")["cost_usd"] == pytest.approx(3 * 400 / 1e6)
    # Both orders of one pair.
    assert "tokens: 200 read, 40 written\ncost: 0.0008 USD" in capsys.readouterr().out
    assert read_summary(tmp_path / "bench")["cost_usd"] == pytest.approx(2 * 400 / 1e6)


def test_a_local_run_has_no_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs, run = write_pairs(tmp_path / "pairs.jsonl", 3), tmp_path / "run"
    assert main(["judge", str(pairs), "-m", "scripted:hash", "-o", str(run), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "tokens: " in printed and "cost: " not in printed
    assert not {"cost_usd", "price_usd"} & read_summary(run).keys()
