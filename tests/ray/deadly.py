"""A judge that kills its process as soon as it is asked, as a text may that an engine cannot bear."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from rmr1.cluster.actor import Recipe
from rmr1.cluster.judging import ClusterJudge
from rmr1.cluster.options import ClusterOptions
from rmr1.cluster.outline import outline_judge
from rmr1.cluster.pool import Pool
from rmr1.data.read import read_pairs
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import StoppedError
from rmr1.judge.config import JudgeConfig
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import load_family
from rmr1.records import Generation


class DeadlyEngine(ScriptedEngine):
    """An engine that does not outlive a request."""

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        next(iter(requests))
        os.kill(os.getpid(), signal.SIGKILL)
        yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlyRecipe(Recipe):
    """Loads it."""

    def load(self) -> GenerativeJudge:
        return GenerativeJudge(DeadlyEngine({}, "deadly"), load_family("rubric"), self.settings)


def judge_with_it(pairs: str) -> None:
    """Ask it about pairs, on one actor, and print how that ends."""
    config, settings = JudgeConfig(model="scripted:hash"), JudgeSettings()
    actors = Pool(
        ClusterOptions(least=1, most=1),
        DeadlyRecipe(model="deadly", settings=settings),
        tell=lambda line: print(line, file=sys.stderr),
    )
    with closing(ClusterJudge(actors, outline_judge(actors.wait_for_profile(), config, settings))) as judge:
        try:
            list(judge.run(read_pairs(pairs)))
        except StoppedError as error:
            print(error)
