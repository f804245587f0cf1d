"""`Judge`: the Python face of judging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.data.runs import open_run
from rmr1.engines import Engine, SamplingParams, load_engine
from rmr1.judge.describe import describe_run
from rmr1.judge.run import run_judge
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.summary import Tally, summarize_run
from rmr1.prompts import PromptFamily, load_family
from rmr1.records import Judgment, Message, PreferencePair, as_messages


class Judge:
    """A model, a prompt family and settings, ready to compare.

    >>> judge = Judge("scripted:longer")
    >>> judge.compare("What is 2 + 2?", "4", "2 + 2 is 4, because ...").winner
    'B'
    """

    def __init__(
        self,
        model: str | Engine,
        *,
        family: str | Path | PromptFamily = "rubric",
        rule: str = "tagged",
        order: Placement = "seeded",
        seed: int = 0,
        sampling: SamplingParams | None = None,
        options: Mapping[str, Any] | None = None,
    ):
        """Load the model and the family.

        Args:
            model: a model name (`rmr1.engines.load_engine`) or an engine of one's own.
            order: which answer stands first: drawn from the seed per item, as given, or both ways.
            options: settings of the engine, such as `device` and `dtype`.

        Raises:
            ConfigError: a setting is wrong. CheckpointError: the model cannot be loaded.
        """
        self.family = load_family(family)
        self.settings = JudgeSettings(
            rule=rule, order=order, seed=seed, sampling=sampling or SamplingParams()
        )
        self.engine: Engine = load_engine(model, options) if isinstance(model, str) else model

    def compare(
        self,
        question: str | Message | Iterable[Message],
        a: str | Message | Iterable[Message],
        b: str | Message | Iterable[Message],
    ) -> Judgment:
        """Judge one pair: which of two answers to a question, or two continuations of a conversation."""
        pair = PreferencePair(
            id="0",
            prompt=as_messages(question, role="user"),
            response_a=as_messages(a, role="assistant"),
            response_b=as_messages(b, role="assistant"),
        )
        return next(self.judge([pair]))

    def judge(self, pairs: Iterable[PreferencePair], *, run: str | Path | None = None) -> Iterator[Judgment]:
        """Yield a judgment for every pair as it finishes; order is not kept.

        With `run`, judgments are stored in that folder and pairs that are finished there are passed
        over, so an interrupted call can be repeated.
        """
        if run is None:
            for _, judgment in run_judge(pairs, self.engine, self.family, self.settings):
                yield judgment
            return
        description = describe_run("judge", self.engine, self.family, self.settings, data=None)
        with open_run(run, description) as writer:
            tally = Tally()
            for _, judgment in run_judge(pairs, self.engine, self.family, self.settings, run=writer):
                tally.add(judgment)
                yield judgment
            writer.write_summary(summarize_run(writer, tally))

    def close(self) -> None:
        """Release the model."""
        self.engine.close()
