"""What scoring needs of a judgment, read from a run folder without building the judgment: no texts of the pair, and
no reasoning of the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from rmr1.errors import DataError
from rmr1.records import Judgment, Kind, Order, Problem, Side, share_out, swap_label
from rmr1.store.codec import RATED_RULES as _RATED
from rmr1.store.codec import dump_record, dumps, kind_of
from rmr1.store.runs import JUDGMENTS_FILE, iterate_lines, read_description
from rmr1.verdicts.votes import VoteBy, decide


class CastVote(NamedTuple):
    """One vote: the order it was asked in, what it says in the pair frame, why if nothing, the ratings in the
    prompt's order, and the answer that was rated alone."""

    order: Order
    winner: str | None
    problem: Problem | None
    ratings: tuple[float, ...] | None
    side: Side | None = None
    probability: float | None = None
    """P(A is better) by the verdict letter, in the pair frame."""


class Ruling(NamedTuple):
    """One judgment without its texts. All labels are in the pair frame."""

    id: str
    label: str | None
    source: str | None
    subset: str | None
    winner: str | None
    problem: str | None
    votes: tuple[CastVote, ...]
    scores: tuple[float, float] | None
    kind: Kind
    prompt: int
    """A number that equal prompts share (`number_prompt`)."""
    vote_by: VoteBy = "majority"
    """What decides among the votes."""
    calibrated: float | None = None
    """P(A is better) by the judge's calibration."""

    @property
    def placement(self) -> str:
        """`given`, `swapped` (and `swapped_c`, `swapped_d`), `both`; `scores` where each answer was judged
        alone, `none` where there are no votes at all."""
        if self.scores is not None:
            return "scores"
        orders = {vote.order for vote in self.votes}
        return next(iter(orders), "none") if len(orders) < 2 else "both"

    @property
    def has_failed(self) -> bool:
        """Whether the engine did not answer, in one of the orders asked; nothing is known of the judge then."""
        if not any(vote.problem == "generation_failed" for vote in self.votes):
            return False
        return any(problem == "generation_failed" for _, problem in self._by_prompt().values())

    def asked_first(self) -> tuple[str | None, str | None]:
        """(winner, problem) of the order that was asked first: of a pair asked both ways the drawn one."""
        if len(self.votes) < 2:
            return self.winner, self.problem
        return next(iter(self.by_order().values()))

    def by_order(self) -> dict[str, tuple[str | None, str | None]]:
        """order -> (winner, problem) by the majority of its votes. Answers judged alone have no order, and count as
        `given`."""
        if not self.votes or self.scores is not None or self.kind == "rating":
            return {"given": (self.winner, self.problem)}
        return self._by_prompt()

    def _by_prompt(self) -> dict[str, tuple[str | None, str | None]]:
        found: dict[str, list[CastVote]] = {}
        for vote in self.votes:
            found.setdefault(vote.side or vote.order, []).append(vote)
        decisions = {name: decide(votes, self.vote_by) for name, votes in found.items()}
        return {name: (one.winner, one.problem) for name, one in decisions.items()}


def ruling_of(judgment: Judgment) -> Ruling:
    return _from_line({"kind": judgment.kind, **dump_record(judgment)})


def number_prompt(messages: Sequence[Mapping[str, Any]]) -> int:
    """63 bits of a hash of all that a prompt's messages say, as they are stored."""
    return int.from_bytes(blake2b(dumps(messages), digest_size=8).digest(), "big") >> 1


def read_rulings(folder: str | Path) -> Iterator[Ruling]:
    """One ruling for every line of a run folder, in their order."""
    folder = Path(folder)
    read_description(folder)
    path = folder / JUDGMENTS_FILE
    for number, line in iterate_lines(path):
        try:
            yield _from_line(line)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a judgment: {error!r}", path=path, line=number) from None


def _from_line(line: Mapping[str, Any]) -> Ruling:
    # Written for speed: a million of these are read to score a run.
    pair, get = line["pair"], line.get
    about, stored, scores = pair.get, get("votes", ()), get("scores")
    votes: tuple[CastVote, ...]
    if len(stored) == 1 and _is_plain(vote := stored[0], verdict := vote["verdict"]):
        votes = _cast_alone(vote["order"], verdict["winner"], verdict.get("problem"))
    else:
        votes = tuple(map(_vote_from, stored))
        if line["rule"] in _RATED and "kind" not in line:  # as earlier versions stored them
            votes = tuple(
                vote._replace(order="given", side="B" if vote.order == "swapped" else "A") for vote in votes
            )
    return Ruling(
        pair["id"],
        about("label"),
        about("source"),
        about("subset"),
        line["winner"],
        get("problem"),
        votes,
        None if scores is None else (scores[0], scores[1]),
        kind_of(line),
        number_prompt(pair["prompt"]),
        get("vote_by", "majority"),
        get("calibrated"),
    )


def _is_plain(vote: Mapping[str, Any], verdict: Mapping[str, Any]) -> bool:
    """Whether a lone vote says no more than who won."""
    return "ratings" not in verdict and not vote["generation"].get("verdict_logprobs")


@lru_cache(maxsize=256)
def _cast_alone(order: Order, said: str | None, problem: Problem | None) -> tuple[CastVote]:
    return (CastVote(order, swap_label(said, order), problem, None),)


def _vote_from(vote: Mapping[str, Any]) -> CastVote:
    order, verdict = vote["order"], vote["verdict"]
    ratings = verdict.get("ratings")
    return CastVote(
        order,
        swap_label(verdict["winner"], order),
        verdict.get("problem"),
        None if ratings is None else tuple(ratings),
        vote.get("side"),
        share_out(vote["generation"].get("verdict_logprobs") or (), order),
    )
