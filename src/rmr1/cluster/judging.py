"""A judge whose model is held by many actors. To everything else it is a judge like any other: its run folder is written
here, by the one loop that asks (`rmr1.judge.ask`), for which the pool of actors is the engine.

So what is finished is passed over before anything is sent, each judgment is stored as it comes, an alarm counts over all
actors, and cache and calibration are applied here, whatever storage the actors see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from rmr1.cluster.actor import Recipe
from rmr1.cluster.blocks import Answer, Block, Ledger, Way, Work
from rmr1.cluster.options import ClusterOptions, check_model
from rmr1.cluster.outline import Profile, outline_judge, read_thresholds
from rmr1.errors import ConfigError, RMR1Error
from rmr1.faces import name_option
from rmr1.judge.ask import Asking, Steps
from rmr1.judge.base import unfinished_pairs
from rmr1.judge.config import JudgeConfig
from rmr1.judge.finish import Finish
from rmr1.judge.load import LoadedJudge
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.stages import parse_stages
from rmr1.prompts import load_family
from rmr1.records import Judgment, PreferencePair
from rmr1.store.runs import RunWriter

_LATE_SECONDS = 1.0
"""How long a run that an engine ends waits for each of the answers that are on their way."""
OUT_PER_ACTOR = 16
"""Blocks that are out at a time for each actor: what it works on, and as many that wait."""


class Workers(Protocol):
    """The place where blocks are judged."""

    most: int
    """Actors at most."""

    def wait_for_profile(self) -> Profile:
        """What the model is, as soon as one has loaded it."""
        ...

    def put(self, block: Block) -> None:
        """Send a block."""
        ...

    def get(self, seconds: float | None = None) -> Answer | None:
        """The next answer; waits for it, at most so long if that is said, and gives None then."""
        ...

    def close(self) -> None:
        """End the actors."""
        ...


class _Sent:
    """The numbers of blocks, which go on from one run to the next."""

    def __init__(self) -> None:
        self.next_number = 0


class ClusterJudge:
    """An `AdaptableJudge` over actors."""

    def __init__(
        self,
        workers: Workers,
        outline: LoadedJudge,
        *,
        asking: Way | None = None,
        sent: _Sent | None = None,
    ):
        """`outline` is the judge as the driver knows it (`rmr1.cluster.outline`)."""
        self._workers = workers
        self._outline = outline
        self._asking = asking or Way()
        self._sent = sent or _Sent()
        self.name = outline.name
        self.kind = outline.kind
        self.order: Placement | None = outline.order
        self.engine: Any = None if isinstance(outline, ScalarJudge) else outline.engine
        self.scorer: Any = outline.scorer if isinstance(outline, ScalarJudge) else None

    @property
    def finish(self) -> Finish:
        """Its cache and its calibration, which the driver has."""
        return self._outline.finish

    @property
    def thresholds(self) -> tuple[float | None, ...] | None:
        """Those of a cascade."""
        return getattr(self._outline, "thresholds", None)

    def describe(self) -> dict[str, Any]:
        return self._outline.describe()

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        model: Any = self.engine or self.scorer
        # Actors write the time into prompts that the run has in its description.
        asking = replace(self._asking, model=model.fingerprint())

        def ask(key: str, pair: PreferencePair) -> Steps[Work, Judgment]:
            (judgment,) = yield (Work(key=key, pair=pair),)
            return judgment

        by_pool = Asking(
            ask=self._outline.finish.wrap(ask, self._outline.describe_asking),
            answer=lambda works: self._judge(works, asking, model.add_notes),
            models=(model,),
        )
        return by_pool.run(unfinished_pairs(pairs, run), run)

    def _judge(
        self, works: Iterator[Work], asking: Way, add_notes: Callable[[Iterable[str]], None]
    ) -> Iterator[tuple[Work, Judgment]]:
        """Each item with its judgment, as blocks finish; so many blocks are out that every actor has work at hand."""
        ledger = Ledger(asking, first=self._sent.next_number)
        most, has_more = OUT_PER_ACTOR * self._workers.most, True
        while has_more or ledger.num_out:
            while has_more and ledger.num_out < most:
                work = next(works, None)
                has_more = work is not None
                block = ledger.close_block() if work is None else ledger.add(work)
                if block is not None:
                    self._sent.next_number = ledger.next_number
                    self._workers.put(block)
            if ledger.num_out:
                answer = self._workers.get()
                assert answer is not None
                add_notes(answer.notes)
                try:
                    yield from ledger.take(answer)
                except RMR1Error:
                    # What is finished elsewhere is on its way.
                    while ledger.num_out and (late := self._workers.get(_LATE_SECONDS)) is not None:
                        with suppress(RMR1Error):
                            yield from ledger.take(late)
                    raise

    def place(self, order: Placement) -> ClusterJudge:
        return self._adapt(self._outline.place(order), "place", order)

    def ask_answers(self) -> ClusterJudge:
        return self._adapt(self._outline.ask_answers(), "ask_answers")

    def close(self) -> None:
        self._outline.close()
        self._workers.close()

    def _adapt(self, outline: LoadedJudge, *adaptation: str) -> ClusterJudge:
        asking = replace(self._asking, adapted=(*self._asking.adapted, adaptation))
        return ClusterJudge(self._workers, outline, asking=asking, sent=self._sent)


def open_cluster_judge(
    config: JudgeConfig,
    settings: JudgeSettings,
    options: ClusterOptions,
    *,
    directory: str,
    tell: Callable[[object], None],
) -> ClusterJudge:
    """The judge that the configuration names, over actors; `directory` is where relative names of files count from.

    Raises:
        ConfigError: the model cannot be divided among actors, Ray is not installed, or the cluster does not answer.
        StoppedError: an actor cannot load the model.
    """
    check_model(config.model, config.engine)
    thresholds = read_thresholds(config)
    stages = config.cascade or (None if thresholds is None else thresholds.stages)
    if stages is not None and any(one.model is not None for one in parse_stages(stages)):
        raise ConfigError(
            "a cascade over several models is not divided among actors; let all stages ask one model"
        )
    if settings.share_rubric:
        raise ConfigError(
            f"{name_option('share_rubric', True)} keeps the rubrics of a run in one place, which actors do not have; judge "
            "in one process"
        )
    recipe = Recipe(
        model=config.model,
        settings=settings,
        family=None if config.family is None else load_family(config.family),
        options=config.engine,
        cascade=None if stages is None else tuple(stages),
        thresholds=None if thresholds is None else thresholds.thresholds,
        directory=directory,
    )
    from rmr1.cluster.pool import Pool

    pool = Pool(options, recipe, tell=tell)
    try:
        outline = outline_judge(pool.wait_for_profile(), config, settings)
    except BaseException:
        pool.close()
        raise
    return ClusterJudge(pool, outline)
