"""A judge that writes before it decides: an engine, a prompt family and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rmr1.engines.base import Engine
from rmr1.errors import ConfigError
from rmr1.judge.run import run_judge
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.prompts import PromptFamily
from rmr1.records import Judgment, PreferencePair
from rmr1.store.runs import RunWriter


class GenerativeJudge:
    """`run_judge` with everything it needs but the pairs."""

    def __init__(self, engine: Engine, family: PromptFamily, settings: JudgeSettings):
        """
        Raises:
            ConfigError: the family does not compare two answers.
        """
        if family.num_answers != 2:
            raise ConfigError(
                f"prompt family {family.name!r} shows {family.num_answers} answers at a time, not two"
            )
        self.engine = engine
        self.family = family
        self.settings = settings
        self.name = engine.name
        self.order: Placement | None = settings.order

    def describe(self) -> dict[str, Any]:
        return {
            # What was typed is told but not compared: a folder may be named in many ways.
            "model_name": self.engine.name,
            "model": self.engine.fingerprint(),
            "prompt": describe_family(self.family),
            "settings": self.settings.describe(),
        }

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        return run_judge(pairs, self.engine, self.family, self.settings, run=run)

    def close(self) -> None:
        self.engine.close()


def describe_family(family: PromptFamily) -> dict[str, Any]:
    """What run.json keeps of a prompt family: all of it."""
    return {
        "family": family.name,
        "digest": family.digest,
        "system": family.system,
        "single": family.single,
        "multi": family.multi,
    }
