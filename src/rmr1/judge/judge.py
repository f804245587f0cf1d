"""`Judge`: the Python face of judging."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.data.runs import open_run
from rmr1.engines import Engine, SamplingParams
from rmr1.errors import ConfigError
from rmr1.judge.base import PairJudge
from rmr1.judge.describe import describe_run
from rmr1.judge.load import DEFAULT_FAMILY, build_judge, default_settings, load_judge
from rmr1.judge.settings import JudgeSettings, Placement
from rmr1.judge.summary import Tally, summarize_run
from rmr1.models import JUDGE, NOTE
from rmr1.prompts import PromptFamily, load_family
from rmr1.records import Judgment, Message, PreferencePair, as_messages


class Judge:
    """A model and how it is asked, ready to compare.

    >>> judge = Judge("scripted:longer")
    >>> judge.compare("What is 2 + 2?", "4", "2 + 2 is 4, because ...").winner
    'B'
    """

    def __init__(
        self,
        model: str | Engine | PairJudge | None = None,
        *,
        family: str | Path | PromptFamily | None = None,
        rule: str = "tagged",
        order: Placement = "seeded",
        seed: int = 0,
        sampling: SamplingParams | None = None,
        control_tokens: Iterable[str] = (),
        options: Mapping[str, Any] | None = None,
    ):
        """Load the model and the family.

        Args:
            model: a model name (`rmr1.judge.load_judge`), an engine of one's own, or a whole judge, which
                takes no other argument; None is the bundled judge, which knows only its own synthetic
                world, as a warning says.
            family: the prompt family; None is the preset's for a released checkpoint, else `rubric`.
            order: which answer stands first: drawn from the seed per item, as given, or both ways.
            control_tokens: tokens of the model that are broken in user text, beside those that are known by
                their shape and those that its tokenizer names.
            options: settings of the engine, such as `device` and `dtype`.

        Raises:
            ConfigError: a setting is wrong, or means nothing to the model. CheckpointError: the model cannot be loaded.
        """
        if model is None:
            warnings.warn(f"no model was named: {NOTE}", stacklevel=2)
            model = JUDGE
        if sampling is None:
            sampling = default_settings(model).sampling if isinstance(model, str) else SamplingParams()
        settings = JudgeSettings(
            rule=rule, order=order, seed=seed, sampling=sampling, control_tokens=tuple(control_tokens)
        )
        if isinstance(model, str):
            self.pair_judge = load_judge(model, family=family, settings=settings, options=options)
            return
        if options:
            raise ConfigError(f"options {', '.join(options)} were given for {model.name!r}, which is loaded")
        if isinstance(model, Engine):
            found = load_family(DEFAULT_FAMILY if family is None else family)
            self.pair_judge = build_judge(model, found, settings)
            return
        if family is not None or settings != JudgeSettings():
            raise ConfigError(f"judge {model.name!r} has its settings already; leave family and settings out")
        self.pair_judge = model

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
            for _, judgment in self.pair_judge.run(pairs):
                yield judgment
            return
        with open_run(run, describe_run("judge", self.pair_judge, data=None, folder=run)) as writer:
            tally = Tally()
            for _, judgment in self.pair_judge.run(pairs, run=writer):
                tally.add(judgment)
                yield judgment
            writer.write_summary(summarize_run(writer, tally, self.pair_judge))

    def close(self) -> None:
        """Release the model."""
        self.pair_judge.close()
