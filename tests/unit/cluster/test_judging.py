"""A judge over actors leaves what the same judge leaves in one process; here the actors are threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmr1.cluster.actor import Desk, Recipe
from rmr1.cluster.blocks import Block, Way
from rmr1.cluster.judging import ClusterJudge
from rmr1.cluster.outline import outline_judge, profile_judge, read_thresholds
from rmr1.data.read import read_pairs
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError, GenerationError, StoppedError
from rmr1.judge.base import AdaptableJudge
from rmr1.judge.config import JudgeConfig
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.identity import describe_run
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.summary import Tally, summarize_run
from rmr1.prompts import load_family
from rmr1.records import Generation, PreferencePair
from rmr1.store.runs import open_run
from tests.integration.runs import final_records, write_pairs
from tests.unit.cluster.workers import ThreadWorkers


@pytest.fixture
def pairs(tmp_path: Path) -> list[PreferencePair]:
    """The last of ten equals the one before it."""
    return list(read_pairs(write_pairs(tmp_path / "pairs.jsonl", 100)))


def make_config(model: str = "scripted:hash", **values: Any) -> JudgeConfig:
    return JudgeConfig.from_values({"model": model, **values}, "test")


def load_local(config: JudgeConfig) -> Any:
    return load_judge(
        config.model,
        family=config.family,
        settings=config.judge_settings(),
        options=config.engine,
        cascade=config.cascade,
        calibration=config.calibration,
        cache=config.cache,
    )


def spread(config: JudgeConfig, *, number: int = 3, **options: Any) -> ClusterJudge:
    stored = read_thresholds(config)
    recipe = Recipe(
        model=config.model,
        settings=config.judge_settings(),
        family=None if config.family is None else load_family(config.family),
        cascade=config.cascade or (None if stored is None else stored.stages),
        thresholds=None if stored is None else stored.thresholds,
    )
    workers = ThreadWorkers(recipe.load, number, **options)
    return ClusterJudge(workers, outline_judge(workers.wait_for_profile(), config, config.judge_settings()))


def judge_into(folder: Path, judge: Any, pairs: Iterable[PreferencePair], **options: Any) -> dict[str, Any]:
    tally = Tally()
    with open_run(folder, describe_run("judge", judge, data=None, folder=folder), **options) as run:
        for _, judgment in judge.run(pairs, run=run):
            tally.add(judgment)
        return summarize_run(run, tally, judge)


CONFIGS = [
    make_config(),
    make_config(order="both", sampling={"num_samples": 3}, seed=5),
    make_config(family="reasoning", sampling={"num_samples": 8}, stop_votes=0.9),
    make_config(cascade=["direct", "rubric", "votes:3"]),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "votes", "waves", "cascade"])
def test_a_run_is_that_of_one_process(
    config: JudgeConfig, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    here, there = load_local(config), spread(config, answer_twice=True)
    assert isinstance(there, AdaptableJudge)
    assert there.describe() == here.describe()
    assert (there.name, there.kind, there.order) == (here.name, here.kind, here.order)
    summary = judge_into(tmp_path / "one", here, pairs)
    assert judge_into(tmp_path / "many", there, pairs) == summary
    assert final_records(tmp_path / "many") == final_records(tmp_path / "one")
    assert len({one["key"] for one in final_records(tmp_path / "many")}) == len(pairs)


def test_only_what_is_left_is_sent(pairs: list[PreferencePair], tmp_path: Path) -> None:
    config = make_config()
    judge_into(tmp_path / "many", load_local(config), pairs[:40])
    judge = spread(config)
    judge_into(tmp_path / "many", judge, pairs)
    assert len(judge._workers.asked) == 60  # type: ignore[attr-defined]
    judge_into(tmp_path / "one", load_local(config), pairs)
    assert final_records(tmp_path / "many") == final_records(tmp_path / "one")


def test_a_run_that_is_broken_off_goes_on(pairs: list[PreferencePair], tmp_path: Path) -> None:
    config = make_config()
    judge = spread(config)
    with open_run(tmp_path / "run", describe_run("judge", judge, data=None)) as run:
        stream = judge.run(pairs, run=run)
        first = {next(stream)[0] for _ in range(25)}
        stream.close()  # type: ignore[attr-defined]
    # The same actors go on, as they do from one benchmark to the next: late answers count for nothing.
    judge_into(tmp_path / "run", judge, pairs)
    keys = [one["key"] for one in final_records(tmp_path / "run")]
    assert len(keys) == len(set(keys)) == len(pairs) and first <= set(keys)


def test_another_placement_and_other_asking(pairs: list[PreferencePair], tmp_path: Path) -> None:
    def make() -> ScriptedEngine:
        return ScriptedEngine(["The rating is [[7]]. <answer>[[A]]</answer>"], "rates")

    here: Any = GenerativeJudge(make(), load_family("rubric"), JudgeSettings())
    there = spread_engine(make)
    for name, adapt in {
        "both": lambda judge: judge.place("both"),
        "answers": lambda judge: judge.ask_answers(),
        "given": lambda judge: judge.place("both").place("given"),
    }.items():
        assert adapt(there).describe() == adapt(here).describe()
        judge_into(tmp_path / f"one-{name}", adapt(here), pairs)
        judge_into(tmp_path / f"many-{name}", adapt(there), pairs)
        assert final_records(tmp_path / f"many-{name}") == final_records(tmp_path / f"one-{name}")


def test_the_cache_is_the_drivers(pairs: list[PreferencePair], tmp_path: Path) -> None:
    config = make_config(cache=str(tmp_path / "cache"))
    judge_into(tmp_path / "one", load_local(config), pairs[:50])
    judge = spread(config)
    summary = judge_into(tmp_path / "many", judge, pairs)
    assert summary["cached"] == 50 and len(judge._workers.asked) == 50  # type: ignore[attr-defined]
    again = spread(config)
    assert judge_into(tmp_path / "again", again, pairs)["cached"] == 100
    assert again._workers.asked == []  # type: ignore[attr-defined]


def spread_engine(make: Any, number: int = 2) -> ClusterJudge:
    settings = JudgeSettings()
    workers = ThreadWorkers(lambda: GenerativeJudge(make(), load_family("rubric"), settings), number)
    return ClusterJudge(workers, outline_judge(workers.wait_for_profile(), make_config(), settings))


def test_failures_are_counted_over_all_actors(pairs: list[PreferencePair]) -> None:
    judge = spread_engine(lambda: ScriptedEngine({}, "empty"), number=4)
    judged = []
    with pytest.raises(StoppedError, match="the first 20 items failed, all in the same way"):
        judged.extend(judge.run(pairs))
    assert len(judged) == 20


def test_a_few_failures_are_counted_and_no_more(pairs: list[PreferencePair], tmp_path: Path) -> None:
    judge = spread_engine(lambda: ScriptedEngine(["<answer>[[A]]</answer>"], "some", fail_every=10))
    summary = judge_into(tmp_path / "run", judge, pairs)
    assert summary["items"] == 100 and 8 <= summary["failed"] <= 10


class _Breaking(ScriptedEngine):
    notes = ("it is warm in here",)
    num_answered = 0

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for one in super().generate(requests, params):
            if self.num_answered == 20:
                raise GenerationError("the engine is out of memory")
            self.num_answered += 1
            yield one


def test_an_engine_that_breaks_ends_the_run_and_what_it_had_is_kept(
    pairs: list[PreferencePair], tmp_path: Path
) -> None:
    judge = spread_engine(lambda: _Breaking(["<answer>[[A]]</answer>"], "breaking"), number=1)
    with (
        pytest.raises(GenerationError, match="out of memory"),
        open_run(tmp_path / "run", describe_run("judge", judge, data=None)) as run,
    ):
        list(judge.run(pairs, run=run))
    assert len(final_records(tmp_path / "run")) == 20
    assert "it is warm in here" in (tmp_path / "run" / "run.json").read_text()


def test_an_actor_answers_many_blocks_at_once(pairs: list[PreferencePair]) -> None:
    desk = Desk(load_local(make_config()))
    blocks = [
        Block(
            number=number,
            asking=Way(adapted=(("place", "both"),) if number % 3 == 0 else ()),
            items=tuple((f"{number}-{place}", pair) for place, pair in enumerate(pairs[:9])),
        )
        for number in range(12)
    ]
    answers: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda one=one: answers.update({one.number: desk.judge(one)}))
        for one in blocks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for block in blocks:
        found = answers[block.number]
        assert found.error is None
        assert {key for key, _ in found.judgments} == {key for key, _ in block.items}
        expected = 2 if block.number % 3 == 0 else 1
        assert {len(judgment.votes) for _, judgment in found.judgments} == {expected}


def test_the_time_in_prompts_is_the_runs() -> None:
    profile = replace(
        profile_judge(load_local(make_config())),
        fingerprint={"engine": "x", "template_time": "2026-11-30T10:00:00"},
        is_dated=True,
    )
    config = make_config()
    settings = config.judge_settings()
    first: Any = outline_judge(profile, config, settings)
    first.engine.begin_run(None)
    assert first.describe()["model"]["template_time"] == "2026-11-30T10:00:00"
    first.engine.begin_run({"template_time": "2025-01-01T00:00:00"})
    assert first.describe()["model"]["template_time"] == "2025-01-01T00:00:00"
    # A run of an earlier version holds none.
    later: Any = outline_judge(profile, config, settings)
    later.engine.begin_run({"engine": "x"})
    assert "template_time" not in later.describe()["model"]


def test_a_setting_that_means_nothing_to_the_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be guided"):
        spread(make_config(guide="protocol"))
