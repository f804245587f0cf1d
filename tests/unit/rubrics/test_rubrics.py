"""The criteria of judgments: counts by hand, and groups of near-equal names."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import pytest

from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, RubricItem, Vote
from rmr1.rubrics.count import count_rubrics, cut_title, name_criterion
from rmr1.rubrics.group import MOST_GROUPED, group_names
from rmr1.rubrics.report import report_rubrics
from rmr1.verdicts import parse_verdict

PAIR = PreferencePair(
    id="0", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),), label="A"
)
CRITERIA = (
    RubricItem(name="Truth", text="is it true?", weight=0.5),
    RubricItem(text="Tone: is it kind?", weight=0.3),
    RubricItem(text="Length", weight=0.2),
)


def judge(winner: str, cells: Sequence[tuple[float, float] | None], order: Order = "given") -> Judgment:
    """A judgment by the criteria; scores and winner as the judge saw the answers."""
    lines = [
        f"<score_{number}>A: {cell[0]}, B: {cell[1]}</score_{number}>"
        for number, cell in enumerate(cells, start=1)
        if cell is not None
    ]
    return make_judgment(
        "\n".join(["<eval>", *lines, f"</eval><answer>[[{winner}]]</answer>"]), order, CRITERIA
    )


def make_judgment(text: str, order: Order = "given", criteria: tuple[RubricItem, ...] = ()) -> Judgment:
    verdict = parse_verdict(text, num_criteria=len(criteria))
    said = Generation(text=text, finish_reason="stop")
    vote = Vote(order=order, sample=0, generation=said, verdict=verdict)
    return Judgment(
        pair=PAIR, family="criteria", rule="tagged", winner=vote.winner, votes=(vote,), criteria=criteria
    )


def test_scores_against_verdicts_by_hand() -> None:
    judgments = [
        # 5.9 : 4.6 for A; without Truth 3.8 : 6.2 for B; without Tone 6.14 : 5.14; without Length 6.125 : 4.75
        judge("A", [(8, 3), (3, 7), (5, 5)]),
        # the same seen the other way round
        judge("B", [(3, 8), (7, 3), (5, 5)], "swapped"),
        # 3.1 : 7.1 for B, the verdict is for A
        judge("A", [(2, 9), (4, 6), (5, 4)]),
        # Tone is not scored
        judge("B", [(2, 9), None, (5, 5)]),
    ]
    counts = count_rubrics(judgments)
    assert (counts.judgments, counts.texts, counts.with_rubric) == (4, 4, 4)
    assert dict(counts.sums) == {"with": 2, "against": 1}
    told = {one["names"][0]: one for one in report_rubrics(counts, similar=1).describe()["criteria"]}
    truth, tone, length = (told[name] for name in ("truth", "tone", "length"))
    assert (truth["uses"], truth["per_text"], truth["weight"], truth["from"]) == (4, 1.0, 0.5, {"given": 4})
    assert (truth["scored"], truth["parted"], truth["followed"]) == (4, 4, 0.75)
    assert (truth["weighable"], truth["turned"]) == (2, 1.0)
    assert (tone["scored"], tone["parted"], tone["followed"], tone["turned"]) == (3, 3, 0.0, 0.0)
    assert (length["scored"], length["parted"], length["followed"], length["turned"]) == (4, 1, 1.0, 0.0)


def test_rubrics_of_the_judges_own_have_weights_and_no_scores() -> None:
    first = "<rubric>\n1. Accuracy (60%): is 2 right?\n2. Tone (40%)\n</rubric><answer>[[A]]</answer>"
    second = "<rubric>\n1. accuracy (100%): is 3 right?\n</rubric><answer>[[A]]</answer>"
    third = "<rubric>\n1. Accuracy (50%)\n2. Tone\n</rubric><answer>[[A]]</answer>"
    counts = count_rubrics(map(make_judgment, [first, second, third, "<answer>[[A]]</answer>"]))
    assert (counts.texts, counts.with_rubric) == (4, 3)
    accuracy, tone = report_rubrics(counts, similar=0.8).describe()["criteria"]
    # of the third rubric's weights nothing is known, since one is missing
    assert (accuracy["uses"], accuracy["weight"], accuracy["from"]) == (3, 0.8, {"own": 3})
    assert (tone["uses"], tone["per_text"], tone["weight"], tone["followed"]) == (
        2,
        round(2 / 3, 6),
        0.4,
        None,
    )


def test_texts_that_are_none_are_left_out() -> None:
    failed = make_judgment("", "given", CRITERIA)
    said = Generation(text="", finish_reason="error", error="busy")
    (vote,) = failed.votes
    lost = Judgment(
        pair=PAIR,
        family="criteria",
        rule="tagged",
        winner=None,
        votes=(Vote(order="given", sample=0, generation=said, verdict=vote.verdict),),
        criteria=CRITERIA,
    )
    counts = count_rubrics([lost], is_shared=True)
    assert (counts.judgments, counts.texts, counts.criteria) == (1, 0, {})
    shared = count_rubrics([judge("A", [(8, 3), (3, 7), (5, 5)])], is_shared=True)
    assert shared.criteria["truth"].origins == {"shared": 1}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Factual accuracy: does it hold?", "factual accuracy"),
        ("**Tone** - kind words", "tone"),
        ("事实准确：是否正确", "事实准确"),
        ("Is it true that the answer says so?", "is it true that the answer says so?"),
        ("First line\nsecond: line", "first line"),
        (": odd", ": odd"),
        ("x" * 90 + ": y", "x" * 90 + ": y"),
    ],
)
def test_what_a_criterion_is_known_by(text: str, name: str) -> None:
    assert name_criterion(RubricItem(text=text)) == name
    assert cut_title(text).casefold() == name


NAMES = [
    "accuracy",
    "factual accuracy",
    "accuracy of facts",
    "tone",
    "tone of voice",
    "at least 3 steps",
    "at least 4 steps",
]


def test_near_equal_names_are_one_group() -> None:
    assert group_names(NAMES, 0.8)[-1] == ["at least 3 steps", "at least 4 steps"]
    assert group_names(NAMES, 1) == [[name] for name in NAMES]
    assert [name for group in group_names(NAMES, 0.5) for name in group if "tone" in name] == [
        "tone",
        "tone of voice",
    ]
    assert group_names(NAMES, 0.01) != group_names(NAMES, 0.8)
    assert group_names(["one"], 0.8) == [["one"]] and group_names([], 0.8) == []


def test_every_two_of_a_group_are_as_similar_as_asked_for() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = [
        f"{a} {b}" for a in ("clear", "clearly", "clarity", "kind") for b in ("words", "wording", "style")
    ]
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(names)
    cosines = (vectors @ vectors.T).toarray()
    for similar in (0.3, 0.5, 0.7):
        groups = group_names(names, similar)
        assert sorted(name for group in groups for name in group) == sorted(names)
        assert any(len(group) > 1 for group in groups)
        for group in groups:
            places = [names.index(name) for name in group]
            assert all(cosines[one, other] >= similar - 1e-6 for one in places for other in places)


def test_rare_names_beyond_what_memory_holds_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmr1.rubrics.group.MOST_GROUPED", 2)
    assert MOST_GROUPED > 1000
    assert group_names(["same word", "same words", "same wordss"], 0.5) == [
        ["same word", "same words"],
        ["same wordss"],
    ]


@pytest.mark.parametrize("similar", [0, -1, 1.5, float("nan")])
def test_a_similarity_out_of_range_is_refused(similar: float) -> None:
    with pytest.raises(ConfigError, match="expected more than 0, and at most 1"):
        group_names(["a"], similar)


def test_a_missing_library_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("sklearn"):
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"needs sklearn.*rmr1\[data\].*similar=1"):
        group_names(["a", "b"], 0.5)
    assert group_names(["a", "b"], 1) == [["a"], ["b"]]
