"""`Judge`: the Python face of judging."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from rmr1.data.objects import as_pair, can_be_read_twice, describe_kind, is_path, is_row
from rmr1.data.read import UnknownFormError, read_pairs
from rmr1.engines import Engine, SamplingParams
from rmr1.errors import ConfigError, DataError
from rmr1.judge.base import PairJudge, list_keys
from rmr1.judge.criteria import read_criteria
from rmr1.judge.identity import describe_run
from rmr1.judge.load import default_settings, find_stages, load_judge
from rmr1.judge.settings import GuideKind, JudgeSettings, Placement
from rmr1.judge.several import SeveralAnswers
from rmr1.judge.stages import needs_own_model
from rmr1.judge.summary import Tally, summarize_run
from rmr1.models import JUDGE, describe_limits, resolve_model
from rmr1.models.words import refuse_foreign
from rmr1.prompts import PromptFamily
from rmr1.records import Judgment, Label, PreferencePair, RubricItem
from rmr1.store.keys import number_items
from rmr1.store.runs import JudgmentIndex, RunWriter, open_run
from rmr1.verdicts.votes import VoteBy

_SKIP = "drop the row, or pass rmr1.read_pairs(..., on_error='skip')"
_STREAM_START = 8
"""Pairs of a generator that are looked at before the bundled judge is asked."""


class Judge(SeveralAnswers):
    """A model and how it is asked, ready to compare.

    >>> judge = Judge("scripted:longer")
    >>> judge.compare("What is 2 + 2?", "4", "2 + 2 is 4, because ...").winner
    'B'

    As a context manager it is closed at the end.
    """

    def __init__(
        self,
        model: str | Path | Engine | PairJudge | None = None,
        *,
        family: str | Path | PromptFamily | None = None,
        rule: str = "tagged",
        order: Placement = "seeded",
        seed: int = 0,
        sampling: SamplingParams | None = None,
        control_tokens: Iterable[str] = (),
        guide: GuideKind | None = None,
        part_tokens: int = 1024,
        vote_by: VoteBy = "majority",
        stop_votes: float | None = None,
        criteria: str | Path | Sequence[str | RubricItem | Mapping[str, Any]] | None = None,
        share_rubric: bool = False,
        cascade: Sequence[str] | None = None,
        calibration: str | Path | None = None,
        cache: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ):
        """Load the model and the family.

        Args:
            model: a model name (`rmr1.judge.load_judge`), an engine of one's own, or a whole judge, which
                takes no other argument; None is the bundled judge, which knows only its own synthetic
                world, as a warning says: it refuses other pairs, unless it is named (`tiny`).
            family: the prompt family; None is `criteria` if there are any, the preset's for a released checkpoint, else
                `rubric`.
            order: which answer stands first: drawn from the seed per item, as given, or both ways.
            control_tokens: tokens of the model that are broken in user text, beside those that are known by
                their shape and those that its tokenizer names.
            guide: write the protocol's skeleton for the model ("protocol"), or only the verdict of a text that has none
                ("verdict"); for local models.
            part_tokens: most tokens of a part of a guided judgment.
            vote_by: what decides among several samples (`sampling.num_samples`) and orders: the most votes, or the mean of
                their probabilities.
            stop_votes: cast no more votes once the leading side has the majority with this probability, in (0.5, 1].
            criteria: what the judge is to go by, all weighed or none: a text with a criterion a line, a file, or a list
                of texts, `RubricItem`s and mappings (`{"name": "Truth", "text": "Is it true?", "weight": 2}`). It scores
                each answer by each (`Judgment.trace.scores`).
            share_rubric: have the judge write a rubric for each question first, and go by it for all answers, and by
                `criteria` beside it, if there are any.
            cascade: stages in which the model is asked, such as `["direct", "rubric", "votes:8"]`, or other models that
                they name, as `"direct@tiny"` or `"decisions:NAME@URL"` (`rmr1.judge.stages`).
            calibration: a file of `rmr1 calibrate`, for this judge.
            cache: a folder that keeps judgments and gives those that it has.
            options: settings of the engine, such as `device` and `dtype`.

        Raises:
            ConfigError: a setting is wrong, or means nothing to the model. CheckpointError: the model cannot be loaded.
        """
        model = str(model) if isinstance(model, Path) else model
        if not isinstance(model, str | Engine | PairJudge | None):
            raise ConfigError(
                f"Judge got {describe_kind(model)} as its model; expected a model's name, an engine or a judge"
            )
        self._is_closed = False
        names = find_stages(cascade, calibration)
        self._is_default = model is None and needs_own_model(names)
        self._seed = seed
        if self._is_default:
            warnings.warn(f"no model was named: {describe_limits()}", stacklevel=2)
            resolve_model(JUDGE)
            model = JUDGE
        if sampling is None:
            sampling = default_settings(model).sampling if isinstance(model, str) else SamplingParams()
        settings = JudgeSettings(
            rule=rule,
            order=order,
            seed=seed,
            sampling=sampling,
            control_tokens=tuple(control_tokens),
            guide=guide,
            part_tokens=part_tokens,
            vote_by=vote_by,
            stop_votes=stop_votes,
            criteria=() if criteria is None else read_criteria(criteria),
            share_rubric=share_rubric,
        )
        self._loaded: PairJudge | None = None
        self._load = partial(
            _load,
            model,
            settings,
            options,
            family=family,
            cascade=cascade,
            calibration=calibration,
            cache=cache,
        )
        if not self._is_default:
            self._loaded = self._load()

    @property
    def pair_judge(self) -> PairJudge:
        """The judge behind it; the bundled one is loaded when it is first asked, or looked at."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def compare(
        self,
        question: Any,
        a: Any = None,
        b: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        labels: Mapping[str, Label] | None = None,
        format: str | None = None,
    ) -> Judgment:
        """Judge one pair: which of two answers to a question, or two continuations of a conversation.

        Args:
            question: a text, a message or a list of messages (`{"role": "user", "content": "..."}`); or, alone, a row
                that holds its answers, in any form that files may have, or a pair.
            a: the first answer: a text, a message, or a list of messages for a longer trajectory.
            b: the second answer.
            columns: with a row, as `rmr1.read_pairs` takes them; so `labels` and `format`.

        Raises:
            DataError: an argument is something else, or empty; nothing was asked.
        """
        self._require_open()
        if a is None and b is None and is_row(question):
            pairs = list(read_pairs(question, columns=columns, labels=labels, format=format))
            if len(pairs) != 1:
                raise DataError(
                    f"the row holds {len(pairs)} pairs, expected one; Judge.judge([row]) judges all"
                )
            pair = pairs[0]
        elif columns or labels or format:
            raise ConfigError("columns=, labels= and format= are for a row, which holds its answers itself")
        else:
            pair = as_pair(question, a, b)
        return next(self.judge([pair]))

    def judge(
        self,
        pairs: Any,
        *,
        run: str | Path | None = None,
        as_completed: bool = False,
        retry_failed: bool = False,
        columns: Mapping[str, str] | None = None,
        labels: Mapping[str, Label] | None = None,
        format: str | None = None,
    ) -> Iterator[Judgment]:
        """Yield a judgment for every pair, in the order of the pairs; one that failed says so in its place.

        With `run`, judgments are stored in that folder, and those that it holds are yielded without asking again, so
        an interrupted call can be repeated, and more pairs can be given. Other pairs are refused.

        Args:
            pairs: whatever `rmr1.read_pairs` reads: a path, a DataFrame, a dataset, rows or `PreferencePair`s. What can
                be read twice is read whole before the model is asked; a generator is read as the model asks.
            as_completed: yield each as it finishes, in any order.
            retry_failed: ask again about stored pairs for which the engine gave an error.
            columns: our column name to the data's, as in `{"prompt": "question", "chosen": "good", "rejected": "bad"}`.
            labels: what the values of the label's column mean, as in `{"1": "A", "2": "B"}`.
            format: a name of `rmr1.data.read.list_formats()`, if the columns do not tell.

        Raises:
            DataError: `pairs` cannot be read; nothing was asked.
            RunError: the folder was made in another way, or holds judgments of pairs that are not given.
        """
        self._require_open()
        if retry_failed and run is None:
            raise ConfigError("retry_failed=True is for a run, which keeps what failed; pass run= too")
        source = self._read(pairs, partial(read_pairs, columns=columns, labels=labels, format=format))
        return self._judge(source, run, as_completed=as_completed, retry_failed=retry_failed)

    def _judge(
        self,
        pairs: Iterable[PreferencePair],
        run: str | Path | None,
        *,
        as_completed: bool,
        retry_failed: bool,
    ) -> Iterator[Judgment]:
        self._require_open()
        if run is None:
            yield from self._ask(pairs, None, Tally(), as_completed=as_completed)
            return
        description = describe_run("judge", self.pair_judge, data=None, folder=run)
        with (
            _readable_twice(pairs) as again,
            open_run(run, description, retry_failed=retry_failed, keys=lambda: list_keys(again)) as writer,
        ):
            tally = Tally()
            yield from self._ask(again, writer, tally, as_completed=as_completed)
            writer.write_summary(summarize_run(writer, tally, self.pair_judge))

    def _ask(
        self, pairs: Iterable[PreferencePair], writer: RunWriter | None, tally: Tally, *, as_completed: bool
    ) -> Iterator[Judgment]:
        stored = None if writer is None else JudgmentIndex(writer.path)

        def ask(asked: Iterable[PreferencePair]) -> Iterator[tuple[str, Judgment]]:
            for key, judgment in self.pair_judge.run(asked, run=writer):
                tally.add(judgment)
                yield key, judgment

        if as_completed:
            yield from stored or ()
            yield from (judgment for _, judgment in ask(pairs))
        elif stored is None:
            yield from judge_in_order(pairs, ask)
        else:
            yield from judge_in_order(pairs, ask, find_stored=stored.get)

    def close(self) -> None:
        """Release the model; a second time does nothing."""
        if not self._is_closed:
            self._is_closed = True
            if self._loaded is not None:
                self._loaded.close()

    def __enter__(self) -> Judge:
        self._require_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Judge {self._name!r}{', closed' if self._is_closed else ''}>"

    @property
    def _name(self) -> str:
        return JUDGE if self._loaded is None else self._loaded.name

    def _read(self, pairs: Any, read: Callable[[Any], Iterator[PreferencePair]]) -> Iterator[PreferencePair]:
        if can_be_read_twice(pairs):
            try:
                number = sum(1 for _ in read(pairs))
            except DataError as error:
                if error.line is None or isinstance(error, UnknownFormError):
                    raise
                raise DataError(f"{error.message}; {_SKIP}", path=error.path, line=error.line) from None
            if not number:
                warnings.warn(
                    f"{pairs if is_path(pairs) else describe_kind(pairs)} holds no pairs, so nothing is judged",
                    stacklevel=3,
                )
            elif self._is_default:
                self._refuse_foreign(read(pairs))
            return read(pairs)
        if not self._is_default:
            return read(pairs)
        rest = read(pairs)
        first = list(islice(rest, _STREAM_START))
        self._refuse_foreign(first)
        return chain(first, rest)

    def _refuse_foreign(self, pairs: Iterable[PreferencePair]) -> None:
        if (note := refuse_foreign(pairs)) is not None:
            warnings.warn(note, stacklevel=4)

    def _refuse_unknown(self, pairs: Iterable[PreferencePair]) -> None:
        if self._is_default:
            self._refuse_foreign(pairs)

    def _require_open(self) -> None:
        if self._is_closed:
            raise ConfigError(f"judge {self._name!r} is closed; make a new one with Judge(...)")


def _load(
    model: str | Engine | PairJudge | None,
    settings: JudgeSettings,
    options: Mapping[str, Any] | None,
    **more: Any,
) -> PairJudge:
    """`more` are the other arguments of `load_judge`."""
    if options and not isinstance(model, str | None):
        raise ConfigError(f"options {', '.join(options)} were given for {model.name!r}, which is loaded")
    if isinstance(model, str | Engine | None):
        return load_judge(model, settings=settings, options=options, **more)
    if settings != JudgeSettings() or any(one is not None for one in more.values()):
        raise ConfigError(f"judge {model.name!r} has its settings already; leave all others out")
    return model


def judge_in_order(
    pairs: Iterable[PreferencePair],
    judge: Callable[[Iterable[PreferencePair]], Iterator[tuple[str, Judgment]]],
    *,
    find_stored: Callable[[str], Judgment | None] = lambda _: None,
) -> Generator[Judgment, None, None]:
    """Yield what `judge`, which passes over stored pairs, makes of the pairs, each as soon as all before it are there.

    Only what has overtaken another is held. If judging ends with an error, what is finished comes first.
    """
    expected: deque[tuple[str, ...]] = deque()
    early: dict[str, Judgment] = {}

    def watch() -> Iterator[PreferencePair]:
        for keys, pair in number_items(pairs):
            expected.append(keys)
            yield pair

    def find(keys: tuple[str, ...]) -> Judgment | None:
        found = (early.pop(key) if key in early else find_stored(key) for key in keys)
        return next((one for one in found if one is not None), None)

    stream = judge(watch())
    try:
        for key, judgment in stream:
            early[key] = judgment
            while expected and (found := find(expected[0])) is not None:
                expected.popleft()
                yield found
        yield from (found for keys in expected if (found := find(keys)) is not None)
    except Exception:
        yield from (found for keys in expected if (found := find(keys)) is not None)
        raise
    finally:
        if close := getattr(stream, "close", None):
            close()


@contextmanager
def _readable_twice(pairs: Iterable[PreferencePair]) -> Iterator[Iterable[PreferencePair]]:
    """Those of an iterator are kept in a temporary file as they are read."""
    if iter(pairs) is not pairs:
        yield pairs
        return
    with tempfile.TemporaryFile(prefix="rmr1-") as file:
        yield _Spooled(pairs, file)


class _Spooled:
    def __init__(self, pairs: Iterable[PreferencePair], file: IO[bytes]):
        self._left = iter(pairs)
        self._file = file

    def __iter__(self) -> Iterator[PreferencePair]:
        place = 0
        while True:
            self._file.seek(place)
            try:
                # Not as JSON, which would lose the mark of an id that is the row's own.
                pair = pickle.load(self._file)
            except EOFError:
                pair = next(self._left, None)
                if pair is None:
                    return
                pickle.dump(pair, self._file)
            place = self._file.tell()
            yield pair
