"""No path of the product computes a model wrongly: each is exact, slow but right, or refused."""

from __future__ import annotations

import time

import pytest

from rmr1.engines.proof.probe import Pairs, judge_numbers
from tests.zoo import table
from tests.zoo.configs import Case, list_cases
from tests.zoo.paths import PATHS, Outcome
from tests.zoo.table import examine

CASES = {case.name: case for case in list_cases()}
QUICK = (
    "llama",
    "qwen2_moe+window",
    "gemma2+sdpa",
    "lfm2",
    "minimax",
    "mamba2",
    "recurrent_gemma",
    "falcon_h1",
    "gemma4_text",
    "phi3+longrope",
    "llama+dynamic",
    "deepseek_v3",
    "bart",
    "falcon+alibi",
    "kimi_linear",
    "llama4_text",
    "reformer",
)
"""One of each kind that is computed differently."""


@pytest.mark.parametrize("name", QUICK)
def test_no_path_is_wrong(name: str) -> None:
    check(CASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in QUICK])
def test_no_path_is_wrong_of_any_kind(name: str) -> None:
    check(CASES[name], may_be_missing=True)


def test_a_path_that_takes_too_long_is_no_finding_of_the_self_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_: object) -> Outcome:
        def numbers() -> Pairs:
            time.sleep(30)
            yield from ()

        finding = judge_numbers("anything", 1e-6, numbers())  # it makes a finding of every error
        return Outcome(difference=0.0, notes=(finding.describe(),))

    monkeypatch.setattr(table, "SECONDS", 1)
    monkeypatch.setitem(PATHS, "judge", wait)
    cell = table._examine_path(CASES["llama"], None, "judge", 0.0)  # type: ignore[arg-type]
    assert (cell.verdict, cell.reason.split(" (")[0]) == ("crashed", "_TooLong: more than 1 seconds")


def check(case: Case, *, may_be_missing: bool = False) -> None:
    cells = examine(case)
    if cells[0].verdict == "not built":
        assert may_be_missing, cells[0].reason
        pytest.skip(cells[0].reason)
    bad = [f"{one.path}: {one.verdict} {one.difference} {one.reason}" for one in cells if one.is_bad]
    assert not bad, "\n".join(bad)
