"""A pool of pairs -> judgments under several rubrics, in ordinary run folders of one folder.

DIR/run.json                    how the pool is judged and asked about
DIR/rubric-1 ... DIR/rubric-R   the judge's judgments of all pairs; it writes each question's rubric anew in each of them
DIR/labels.jsonl                what people say (`rmr1.store.labels`)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rmr1.active.settings import PoolSettings
from rmr1.engines.base import SamplingParams
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.faces import name_option
from rmr1.judge.base import PairJudge, Watcher, list_keys
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.identity import describe_run
from rmr1.judge.summary import Tally, summarize_run
from rmr1.records import PreferencePair
from rmr1.store.folder import open_folder
from rmr1.store.identity import refuse_differences
from rmr1.store.keys import seed_for
from rmr1.store.kinds import POOL
from rmr1.store.labels import LABELS_FILE
from rmr1.store.replace import read_json, write_json
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE, open_run, read_finished


def judge_pool(
    pairs: Sequence[PreferencePair],
    judge: PairJudge,
    folder: str | Path,
    settings: PoolSettings,
    *,
    data: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    retry_failed: bool = False,
) -> None:
    """Judge what is not judged yet, under each of the rubrics.

    Args:
        judge: asked as `pool_judge_settings` says.
        data: what run.json says of the data.
        watcher: sees every judgment that is asked for now.
        retry_failed: ask again about what the engine failed on.

    Raises:
        ConfigError: the judge writes no rubrics.
        DataError: there are no pairs.
        RunError: the folder holds something else, or a pool that was made in another way.
    """
    writer = check_pool_judge(judge)
    if not pairs:
        raise DataError("the pool holds no pairs; name data with at least one")
    folder = Path(folder)
    others = [pair for pair in pairs if pair.others]
    if others:
        raise DataError(f"{others[0].id!r} has four answers; a pool is of pairs, and compares two")
    description = describe_run("label", writer, data=data, folder=folder)
    description = {**description, "kind": POOL, "pool": {**settings.describe(), "pairs": len(pairs)}}
    ours = (LABELS_FILE,)
    with open_folder(folder, RUN_FILE, description, identify=_identify, is_ours=lambda name: name in ours):
        stored = read_json(folder / RUN_FILE)
        if stored != (renewed := {**stored, "data": description["data"], "pool": description["pool"]}):
            write_json(folder / RUN_FILE, renewed)
        for place, one in enumerate(list_rubric_folders(folder, settings.rubrics), start=1):
            _judge_by_rubric(
                pairs,
                vary_seed(writer, rubric_seed(settings.seed, place)),
                one,
                data=data,
                watcher=watcher,
                retry_failed=retry_failed,
            )


def check_pool_judge(judge: PairJudge) -> GenerativeJudge:
    """The judge, if it writes the rubrics of questions and judges pairs by them.

    Raises:
        ConfigError: it does not, or is not asked to.
    """
    if not isinstance(judge, GenerativeJudge) or judge.kind != "pair":
        raise ConfigError(
            f"judge {judge.name!r} does not judge pairs by rubrics that it writes itself; a pool needs one model that "
            "writes, without cascade or cluster"
        )
    settings = judge.settings
    if not settings.share_rubric or settings.order != "both" or settings.sampling == SamplingParams():
        raise ConfigError(
            f"judge {judge.name!r} is not asked as for a pool; take its settings from pool_judge_settings"
        )
    return judge


def vary_seed(judge: GenerativeJudge, seed: int) -> GenerativeJudge:
    """The same judge with other rubrics and verdicts."""
    return GenerativeJudge(
        judge.engine, judge.family, replace(judge.settings, seed=seed), finish=judge.finish
    )


def rubric_seed(seed: int, place: int) -> int:
    """The seed of the judge under the rubric of a number, from 1, in a pool of this seed."""
    return seed_for(seed, "rubric", str(place))


def list_rubric_folders(folder: str | Path, number: int) -> Iterator[Path]:
    """The run folders of a pool with so many rubrics."""
    return (Path(folder) / f"rubric-{place}" for place in range(1, number + 1))


def count_judged(folder: str | Path) -> int:
    """Judgments that the runs of a pool hold, those of all rubrics together; 0 if there is no such folder."""
    runs = Path(folder).glob(f"rubric-*/{JUDGMENTS_FILE}")
    return sum(len(read_finished(path).keys) for path in runs)


def read_pool_description(folder: str | Path) -> tuple[dict[str, Any], PoolSettings, int]:
    """(what run.json says, the pool's settings, the number of its pairs).

    Raises:
        RunError: the folder is no pool.
    """
    path = Path(folder) / RUN_FILE
    if not path.is_file():
        raise RunError(
            f"{folder}: no pool (no {RUN_FILE}); judge one first, with rmr1 label POOL -m MODEL -o DIR"
        )
    description = read_json(path)
    if description.get("kind") != POOL:
        raise RunError(
            f"{folder}: a run, and no pool of pairs that were judged under several rubrics; label it as a run"
        )
    values = dict(description["pool"])
    number = values.pop("pairs")
    return description, PoolSettings(**values), number


def _judge_by_rubric(
    pairs: Sequence[PreferencePair],
    judge: GenerativeJudge,
    folder: Path,
    *,
    data: Mapping[str, Any] | None,
    watcher: Watcher | None,
    retry_failed: bool,
) -> None:
    description = describe_run("label", judge, data=data, folder=folder)
    with open_run(folder, description, retry_failed=retry_failed, keys=partial(list_keys, pairs)) as writer:
        tally = Tally()
        for _, judgment in judge.run(pairs, run=writer):
            tally.add(judgment)
            if watcher is not None:
                watcher.update(judgment)
        writer.write_summary(summarize_run(writer, tally, judge))


def _identify(description: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be equal for a pool to go on."""
    pool = description.get("pool") or {}
    settings = {name: value for name, value in description.get("settings", {}).items() if name != "seed"}
    return {
        "kind": description.get("kind"),
        "model": description.get("model"),
        "prompt": description.get("prompt"),
        "settings": settings,
        "pool": {name: pool.get(name) for name in PoolSettings().identify()},
    }


def refuse_another_judge(folder: str | Path, judge: GenerativeJudge) -> None:
    """
    Raises:
        RunError: the pool of this folder was judged by another judge, or by one that was asked in another way.
    """
    stored, asked = read_json(Path(folder) / RUN_FILE), describe_run("label", judge, data=None, folder=folder)
    asked |= {"kind": POOL, "pool": stored["pool"]}
    refuse_differences(Path(folder), _identify(stored), _identify(asked))


def tell_retry() -> str:
    """What to do about pairs that the engine failed on, as the end of a sentence."""
    return f"{name_option('retry_failed', True)} asks again"
