"""Choosing among the judgments of a run: one set of conditions for `rmr1 show`, `rmr1 export` and `rmr1 report`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from rmr1.audit.quotes import answer_text, has_invented
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.consistency import do_differ, read_orders
from rmr1.judge.summary import list_failures
from rmr1.records import Judgment
from rmr1.verdicts.probability import tell_probability

SHORTEST_KEY = 6
"""Characters of a key that name a judgment, at the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a judgment has to be; all of it at once. Without any condition every judgment is wanted."""

    id: str | None = None
    """The pair's id, or the beginning of the key."""
    right: bool = False
    """The verdict is the label."""
    wrong: bool = False
    """The pair is labelled and the verdict is not the label, or missing."""
    unparsed: bool = False
    """There is no verdict."""
    failed: bool = False
    """The engine gave an error."""
    flips: bool = False
    """The two orders name different winners."""
    unsure: float | None = None
    """The confidence in the winner is less than this, in (0, 1]."""
    invented: bool = False
    """A quotation does not stand in the answer that it names."""
    rubric: str | None = None
    """A criterion holds this text, in any case."""
    subset: str | None = None
    text: str | None = None
    """Question, answers or the judge's words hold this text, in any case."""

    def __post_init__(self) -> None:
        if self.right and self.wrong:
            raise ConfigError(
                f"{name_option('right')} and {name_option('wrong')}: no judgment is both; choose one"
            )
        if self.unsure is not None and not 0 < self.unsure <= 1:
            raise ConfigError(f"{name_option('unsure')} {self.unsure:g}: expected more than 0, and at most 1")
        for name in ("rubric", "text"):
            if (wanted := getattr(self, name)) is not None and not wanted.strip():
                raise ConfigError(f"{name_option(name)}: the text is empty; say what is looked for")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the conditions that were set."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) not in (None, False))

    def describe(self) -> tuple[str, ...]:
        """The conditions that were set, each as text.

        >>> Filter(wrong=True, unsure=0.7).describe()
        ('wrong', 'unsure 0.7')
        """
        values = ((name, getattr(self, name)) for name in self.given)
        return tuple(name if value is True else f"{name} {value}" for name, value in values)

    def matches(self, key: str, judgment: Judgment) -> bool:
        """Whether the judgment under this key is wanted."""
        id, subset = self.id, self.subset
        return (
            (id is None or id == judgment.pair.id or (len(id) >= SHORTEST_KEY and key.startswith(id)))
            and (subset is None or subset == judgment.pair.subset)
            and not (self.right and judgment.correct is not True)
            and not (self.wrong and judgment.correct is not False)
            and not (self.unparsed and judgment.winner is not None)
            and not (self.failed and not list_failures(judgment))
            and not (self.flips and not has_flipped(judgment))
            and not (self.unsure is not None and not is_unsure(judgment, self.unsure))
            and (self.rubric is None or _holds(list_criteria(judgment), self.rubric))
            and (self.text is None or _holds(iterate_texts(judgment), self.text))
            and not (self.invented and not has_invented(judgment))
        )


def has_flipped(judgment: Judgment) -> bool:
    """Whether both orders have a verdict, and not the same one."""
    return do_differ(read_orders(judgment))


def winner_confidence(judgment: Judgment) -> float | None:
    """How sure the judge is of its winner, in [0, 1]: by its probability, calibrated if it has a calibration, else by the
    share of votes; None without a winner, or if nothing tells."""
    probability = tell_probability(judgment)
    if probability is None or judgment.winner not in ("A", "B"):
        return judgment.confidence
    return probability if judgment.winner == "A" else 1 - probability


def is_unsure(judgment: Judgment, limit: float) -> bool:
    """Whether there is a winner, in which the confidence is less than `limit`."""
    confidence = winner_confidence(judgment)
    return judgment.winner is not None and confidence is not None and confidence < limit


def list_criteria(judgment: Judgment) -> tuple[str, ...]:
    """Every criterion that the judge was given or wrote, each wording once."""
    given = [one.text if one.name is None else f"{one.name}: {one.text}" for one in judgment.criteria]
    own = [item.text for vote in judgment.votes for item in vote.verdict.trace.rubric]
    return tuple(dict.fromkeys([*given, *own]))


def iterate_texts(judgment: Judgment) -> Iterator[str]:
    """The question, the answers and every text of the judge."""
    yield answer_text(judgment.pair.prompt)
    yield from map(answer_text, judgment.pair.responses)
    for vote in judgment.votes:
        yield vote.generation.text


def _holds(texts: Iterable[str], wanted: str) -> bool:
    wanted = wanted.casefold()
    return any(wanted in text.casefold() for text in texts)
