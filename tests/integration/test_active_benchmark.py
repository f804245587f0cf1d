"""The benchmark of choosing: its scripted judge writes what the parser reads, and its measures are right on what is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rmr1.active.pool import prepare_pool
from rmr1.active.settings import PoolSettings, pool_judge_settings
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.messages import assistant, user
from rmr1.records import PreferencePair, RubricItem

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _find_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("active_world", "active_real", "llmbar"):
        sys.modules.pop(name, None)


def test_the_blind_judge_lacks_what_its_rubric_lacks(tmp_path: Path) -> None:
    from active_world import GUIDES, BlindJudge, draw_pool

    pairs = draw_pool(0, 8, {"missing": 0.5, "hard": 0.5})
    assert [one.kind for one in pairs].count("missing") == 4
    engine, settings = BlindJudge(pairs, slip=0.0), PoolSettings(rubrics=6, check=0.0)
    judge = load_judge(engine, settings=pool_judge_settings(JudgeSettings(), settings))
    pool = prepare_pool([one.pair for one in pairs], judge, tmp_path / "p", settings)
    assert pool.describe()["askable"] == 8
    kinds = {one.pair.id: one.kind for one in pairs}
    told: dict[str, list[float]] = {"missing": [], "hard": []}
    for item in pool.items.values():
        assert item.information is not None
        told[kinds[item.pair.id]].append(item.information.about_rubric)
    assert np.mean(told["missing"]) > 0.3 > np.mean(told["hard"]) + 0.1
    # with everything that people would name it is right wherever it does not guess
    criteria = tuple(RubricItem(text=text) for text in GUIDES.values())
    asked = pool_judge_settings(JudgeSettings(criteria=criteria), settings)
    missing = [one.pair for one in pairs if one.kind == "missing"]
    found = [one.correct for _, one in load_judge(engine, settings=asked).run(missing)]
    assert sum(map(bool, found)) >= 3


def test_labels_find_the_way_that_is_right() -> None:
    from active_real import Ways, measure_strategies

    random = np.random.default_rng(0)
    pairs = [
        PreferencePair(
            id=str(place),
            prompt=(user(f"question {place}"),),
            response_a=(assistant(f"one {random.integers(99)}"),),
            response_b=(assistant(f"other {random.integers(99)}"),),
            label="AB"[place % 2],  # type: ignore[arg-type]
        )
        for place in range(80)
    ]
    right = np.array([1.0 - place % 2 for place in range(80)])
    guess = (random.random((80, 3)) < 0.5).astype(float)
    both = np.concatenate([right[:, None], guess], axis=1)
    found = measure_strategies(Ways(pairs, np.stack([both, both], axis=2)), seed=0)
    assert found["best"] == 1.0 and found["majority"] < 0.95
    for strategy in ("random", "information"):
        assert np.mean(found["chosen"][strategy]["40"]) == 1.0
