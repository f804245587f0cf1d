"""A judge that kills its process as soon as it is asked, as a text may that an engine cannot bear."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rmr1.cluster.actor import Recipe
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.judge.generative import GenerativeJudge
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
