"""What the probes say of public data."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.probe import probe_bias, probe_leak

pytestmark = pytest.mark.shared


def test_rmb_is_quiet(shared: Path, soak: bool) -> None:
    folder = shared / "data" / "rmb"
    sources = (
        [folder]
        if soak
        else [folder / f"pairwise_set_{name}.jsonl.gz" for name in ("harmlessness", "helpfulness")]
    )
    for source in sources:
        report = probe_leak(source, limit=None if soak else 1500)
        assert not report.is_leak, [one.name for one in report.fields if one.is_leak]
        models = next(one for one in report.fields if one.name == "models of answers")
        assert models.auc is not None and models.auc > 0.6  # better models win, and it is told


@pytest.mark.parametrize(
    "name",
    [
        "autoj_pairwise_test",
        "dpo_en_demo",
        "ifbench_pairs",
        "mtbench_human_300",
        "webgpt_test",
        "zh_customer_service_test",
    ],
)
def test_public_pairs_are_quiet(name: str, shared: Path) -> None:
    report = probe_leak(shared / "data" / "preference-train" / f"{name}.jsonl.gz")
    assert not report.is_leak, [one.name for one in report.fields if one.is_leak]


def test_length_counts_more_for_people_who_chat_than_for_people_who_read_summaries(shared: Path) -> None:
    """Shares recounted from the files by hand: pairs in which the longer answer wins."""
    folder = shared / "data" / "preference-train"
    shares = {}
    for name in ("mtbench_human_300", "tldr_2k"):
        report = probe_bias(folder / f"{name}.jsonl.gz")
        shares[name] = next(one for one in report.features if one.name == "characters")
    assert (shares["mtbench_human_300"].larger_wins, shares["mtbench_human_300"].differing) == (193, 300)
    assert (shares["tldr_2k"].larger_wins, shares["tldr_2k"].differing) == (1160, 1983)
