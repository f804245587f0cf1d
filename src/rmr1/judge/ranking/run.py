"""Rankings in a run folder: the judgments as of every run, and beside them what they add up to.

    runs/x/
      run.json, judgments.jsonl, summary.json    as of every judging run; `summary.json` has a section `ranking`
      rankings.jsonl                             one line per question, in their sequence; derived, replaced as a whole

Going on plays the contests again on the stored judgments and asks for what is missing, so another method, or more
questions, may go on in the same folder.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rmr1.data.ids import own_id
from rmr1.judge.base import PairJudge
from rmr1.judge.identity import describe_run
from rmr1.judge.ranking.contest import identify
from rmr1.judge.ranking.record import NOTHING, Ranking, Spent
from rmr1.judge.ranking.waves import Watch, prepare_judge, rank_all
from rmr1.judge.summary import Tally, summarize_run
from rmr1.messages import Messages
from rmr1.records import Candidates, Judgment, PreferencePair
from rmr1.rewards.strengths import PRIOR_SD
from rmr1.store.codec import dump_record, dumps, load_record
from rmr1.store.keys import KeyCounter, content_digest, format_key
from rmr1.store.replace import replacing, writing
from rmr1.store.runs import (
    JUDGMENTS_FILE,
    iterate_keys,
    iterate_lines,
    open_run,
    read_description,
)

RANKINGS_FILE = "rankings.jsonl"

Questions = Callable[[], Iterable[Candidates]]
"""Reads the questions, each time anew."""


@dataclass(slots=True)
class RankingTally:
    """Counts of rankings."""

    method: str
    prior_sd: float = PRIOR_SD
    questions: int = 0
    spent: Spent = NOTHING
    ties: int = 0
    splits: int = 0
    without_verdict: Counter[str] = field(default_factory=Counter)
    with_cycles: int = 0
    """Questions in whose verdicts answers beat one another in a circle."""
    not_told_apart: int = 0
    """Questions all of whose answers share one place, or have none."""
    unranked: int = 0
    """Answers about which no comparison has a verdict."""
    labelled: int = 0
    right: int = 0
    """Questions whose labelled best answer is alone in the first place."""

    def add(self, ranking: Ranking) -> None:
        self.questions += 1
        self.spent += ranking.spent
        self.ties += ranking.ties
        self.splits += ranking.splits
        self.without_verdict.update(ranking.without_verdict)
        self.with_cycles += bool(ranking.cycles)
        self.not_told_apart += len(ranking.order) < 2
        self.unranked += len(ranking.unranked)
        self.labelled += ranking.is_right is not None
        self.right += bool(ranking.is_right)

    def describe(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values, "without_verdict": dict(sorted(self.without_verdict.items()))}


def rank_to_folder(
    folder: str | Path,
    judge: PairJudge,
    questions: Questions,
    *,
    all_questions: Questions | None = None,
    method: str,
    seed: int,
    prior_sd: float = PRIOR_SD,
    sections: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    on_open: Callable[[int], Watch | None] = lambda _: None,
) -> Iterator[Ranking]:
    """Yield the ranking of every question; when all are through, rankings and summary are written.

    Args:
        all_questions: those that a limit leaves out among them, to know stored comparisons by.
        sections: what run.json says besides the judge. `more`: what the summary says besides.
        on_open: is called with the number of stored judgments, and gives what sees the new ones.

    Raises:
        RunError: the folder was made in another way, or holds comparisons of other questions.
    """
    folder = Path(folder)
    judge = prepare_judge(judge, method)
    description = {**describe_run("rank", judge, data=None, folder=folder), **(sections or {})}
    keys = list_stored_keys(folder / JUDGMENTS_FILE, all_questions or questions)
    with open_run(folder, description, retry_failed=retry_failed, keys=keys) as writer:
        tally, counts = Tally(), RankingTally(method=method, prior_sd=prior_sd)
        also = on_open(writer.num_resumed)

        def watch(judgment: Judgment) -> None:
            tally.add(judgment)
            if also is not None:
                also(judgment)

        occurrences = KeyCounter()
        path = folder / RANKINGS_FILE
        with replacing(path) as part, part.open("wb") as file:
            for ranking in rank_all(
                questions(), judge, method=method, seed=seed, prior_sd=prior_sd, run=writer, watch=watch
            ):
                digest = content_digest(ranking.candidates)
                key = format_key(digest, occurrences.increment(digest))
                with writing(path):
                    file.write(dumps({"key": key, **dump_record(ranking)}) + b"\n")
                counts.add(ranking)
                yield ranking
            with writing(path):
                file.flush()
        summary = summarize_run(writer, tally, judge)
        writer.write_summary({**summary, "ranking": counts.describe(), **(more or {})})


def read_rankings(folder: str | Path) -> Iterator[Ranking]:
    """The rankings of a finished run, in the sequence of the questions.

    Raises:
        RunError: it is no run folder. DataError: a line was changed or damaged.
    """
    read_description(folder)
    for _, line in iterate_lines(Path(folder) / RANKINGS_FILE):
        yield load_record(Ranking, {name: value for name, value in line.items() if name != "key"})


def list_stored_keys(path: Path, questions: Questions) -> Callable[[], Iterator[str]]:
    """The keys of all stored comparisons whose answers are among those of the questions.

    All comparisons that a list of answers allows would be many more, and need not be listed to tell whether what is
    stored belongs to it.
    """

    def list_keys() -> Iterator[str]:
        stored = [
            (key, _list_parts(load_record(PreferencePair, line["pair"])))
            for _, key, line in iterate_keys(path)
        ]
        missing = {part for _, parts in stored for part in parts}
        wanted = frozenset(missing)
        for one in questions():
            missing.difference_update(_identify_answers(one, one.id, one.responses))
            if not missing:
                break
        found = wanted - missing
        return (key for key, parts in stored if found.issuperset(parts))

    return list_keys


def _list_parts(pair: PreferencePair) -> tuple[bytes, ...]:
    return _identify_answers(pair, pair.id.rpartition("/")[0], pair.responses)


def _identify_answers(
    item: Candidates | PreferencePair, id: str, answers: Iterable[Messages]
) -> tuple[bytes, ...]:
    question = [own_id(id), identify(item.prompt), item.source, item.subset]
    return tuple(
        hashlib.blake2b(dumps([*question, identify(answer)]), digest_size=16).digest() for answer in answers
    )
