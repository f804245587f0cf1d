"""The judge that rates answers alone and chooses among four: judgments, resuming, reading again."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from rmr1 import Judge
from rmr1.bench.tasks.rewardbench2 import ask_answers
from rmr1.engines.scripted import ScriptedEngine, load_scripted
from rmr1.errors import ConfigError
from rmr1.judge import GenerativeJudge, JudgeSettings, PairJudge, ScalarJudge
from rmr1.judge.base import AdaptableJudge
from rmr1.judge.identity import describe_run
from rmr1.judge.load import load_judge
from rmr1.judge.plan import plan_judge
from rmr1.judge.votes import read_again
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import JudgePrompt, Judgment, PreferencePair, swap_label
from rmr1.report.terminal import print_judgment
from rmr1.store.codec import dump_record, dumps, load_judgment
from rmr1.store.rulings import read_rulings, ruling_of
from rmr1.store.runs import open_run, read_judgments
from tests.unit.judge.test_scalar import TableScorer

RATINGS = {"alpha": "Good. <answer>[[9]]</answer>", "beta": "<answer>[[4]]</answer>", "gamma": "no idea"}


def pair(a: str, b: str, *others: str, id: str = "0") -> PreferencePair:
    return PreferencePair(
        id=id,
        prompt=(user("q"),),
        response_a=(assistant(a),),
        response_b=(assistant(b),),
        others=tuple((assistant(other),) for other in others),
    )


def block(prompt: JudgePrompt, label: str) -> str:
    text = prompt.messages[-1].text
    inside = text.partition(f"[The Start of Chatbot {label}'s Response]\n")[2]
    return inside.partition(f"\n[The End of Chatbot {label}'s Response]")[0]


def script(prompt: JudgePrompt, sample: int) -> str:
    """Rates by the table; of four answers it takes the one called alpha."""
    if len(prompt.labels) == 10:
        return RATINGS.get(block(prompt, "A"), f"<answer>[[{1 + sample}]]</answer>")
    best = next((label for label in prompt.labels if block(prompt, label) == "alpha"), None)
    return "none of them" if best is None else f"<answer>[[{best}]]</answer>"


def make_judge(**settings: object) -> GenerativeJudge:
    return GenerativeJudge(
        ScriptedEngine(script),
        load_family("rating"),
        JudgeSettings(**settings),  # type: ignore[arg-type]
        choice=load_family("four_way"),
    )


def judge_one(one: PreferencePair, **settings: object) -> Judgment:
    ((_, judgment),) = make_judge(**settings).run([one])
    return judgment


def test_a_pair_gets_two_ratings() -> None:
    judgment = judge_one(pair("beta", "alpha"))
    assert (judgment.scores, judgment.winner, judgment.problem) == ((4.0, 9.0), "B", None)
    assert (judgment.family, judgment.rule, judgment.confidence) == ("rating", "rated", None)
    assert [(vote.order, vote.side, vote.verdict.ratings) for vote in judgment.votes] == [
        ("given", "A", (4.0,)),
        ("given", "B", (9.0,)),
    ]
    assert judgment.prompt_tokens == sum(vote.generation.prompt_tokens for vote in judgment.votes)


def test_equal_ratings_are_a_tie_and_equal_answers_are_asked_about_once() -> None:
    judgment = judge_one(pair("beta", "beta"))
    assert (judgment.scores, judgment.winner, len(judgment.votes)) == ((4.0, 4.0), "tie", 1)


def test_one_rating_that_cannot_be_read_leaves_no_verdict_and_the_other_rating_in_its_vote() -> None:
    judgment = judge_one(pair("alpha", "gamma"))
    assert (judgment.scores, judgment.winner, judgment.problem) == (None, None, "no_ratings")
    assert judgment.votes[0].verdict.ratings == (9.0,)


def test_of_several_samples_the_mean_counts() -> None:
    from rmr1.engines.base import SamplingParams

    sampling = SamplingParams(num_samples=4, temperature=1.0)
    judgment = judge_one(pair("alpha", "other"), sampling=sampling)
    assert judgment.scores == (9.0, 2.5)  # 1, 2, 3 and 4


@pytest.mark.parametrize("seed", range(8))
def test_a_choice_is_stored_in_the_frame_of_the_pair(seed: int) -> None:
    judgment = judge_one(pair("alpha", "beta", "gamma", "delta"), seed=seed)
    (vote,) = judgment.votes
    assert judgment.winner == "A" == vote.winner
    assert vote.verdict.winner == swap_label("A", vote.order)
    assert (judgment.family, judgment.rule, judgment.scores) == ("four_way", "tagged", None)
    third = judge_one(pair("beta", "gamma", "alpha", "delta"), seed=seed)
    assert third.winner == "C"
    assert judge_one(pair("beta", "gamma", "x", "y"), seed=seed).problem == "no_verdict"


def test_both_asks_at_two_places_that_must_agree() -> None:
    judgment = judge_one(pair("alpha", "beta", "gamma", "delta"), order="both")
    assert len({vote.order for vote in judgment.votes}) == 2
    assert (judgment.winner, judgment.confidence) == ("A", 1.0)
    judge = make_judge(order="both")
    judge.engine = ScriptedEngine("<answer>[[A]]</answer>")
    ((_, split),) = judge.run([pair("alpha", "beta", "gamma", "delta")])
    assert (split.winner, split.problem) == (None, "split_vote")


def test_a_run_goes_on_and_reads_back_what_was_stored(tmp_path: Path) -> None:
    pairs = [pair("alpha", "beta", id="1"), pair("a", "alpha", "b", "c", id="2"), pair("gamma", "x", id="3")]
    judge = make_judge()
    with open_run(tmp_path, describe_run("t", judge, data=None)) as run:
        first = list(judge.run(pairs[:2], run=run))
    with open_run(tmp_path, describe_run("t", make_judge(), data=None)) as run:
        assert run.num_resumed == 2
        rest = list(make_judge().run(pairs, run=run))
    assert [judgment.pair.id for _, judgment in rest] == ["3"]
    assert list(read_judgments(tmp_path)) == [*first, *rest]


def test_lines_of_earlier_versions_are_read_as_they_were_meant(tmp_path: Path) -> None:
    """They name no kind, and tell the answer that a vote rated alone by its order."""
    found = [
        judge_one(pair("beta", "alpha", id="1")),
        judge_one(pair("alpha", "gamma", id="2")),
        judge_one(pair("alpha", "beta", "gamma", "delta", id="3")),
        next(ScalarJudge(TableScorer()).run([pair("short", "longer", id="4")]))[1],
    ]
    assert [judgment.kind for judgment in found] == ["rating", "rating", "choice", "score"]
    lines = [dump_record(judgment) for judgment in found]
    for line in lines:
        del line["kind"]
        for vote in line.get("votes", ()):
            if vote.pop("side", None) == "B":
                vote["order"] = "swapped"
    assert [load_judgment(line) for line in lines] == found
    (tmp_path / "run.json").write_text("{}")
    stored = b"".join(dumps({"key": str(number), **line}) + b"\n" for number, line in enumerate(lines))
    (tmp_path / "judgments.jsonl").write_bytes(stored)
    assert list(read_rulings(tmp_path)) == [ruling_of(judgment) for judgment in found]


def test_texts_are_read_again_by_another_rule() -> None:
    rated = judge_one(pair("alpha", "beta"))
    again = read_again(rated, "published")  # both texts end with a tag, not with a number
    assert (again.rule, again.scores, again.problem) == ("rated-published", None, "no_ratings")
    assert read_again(again, "tagged") == rated
    judge = make_judge()
    judge.engine = ScriptedEngine("[[D]] beats [[B]]")
    ((_, choice),) = judge.run([pair("alpha", "beta", "gamma", "delta")])
    assert choice.problem == "ambiguous"
    (vote,) = choice.votes
    assert read_again(choice, "published").winner == swap_label("B", vote.order)
    assert (rated.kind, choice.kind) == ("rating", "choice")
    ((_, compared),) = GenerativeJudge(load_scripted("always-a"), load_family("direct"), JudgeSettings()).run(
        [pair("alpha", "beta")]
    )
    assert compared.kind == "pair"


def test_a_family_makes_the_judge() -> None:
    judge = load_judge("scripted:hash", family="rating")
    assert isinstance(judge, AdaptableJudge) and isinstance(judge, PairJudge)
    assert (judge.kind, judge.order) == ("rating", None)
    with pytest.raises(ConfigError, match="shows 4 answers at a time, not 1 or 2"):
        load_judge("scripted:hash", family="four_way")
    with pytest.raises(ConfigError, match="shows 2 answers at a time, not 4"):
        GenerativeJudge(
            load_scripted("hash"), load_family("rating"), JudgeSettings(), choice=load_family("direct")
        )
    with pytest.raises(ConfigError, match="has four answers; prompt family 'rating' rates one alone"):
        list(judge.run([pair("a", "b", "c", "d")]))
    found = Judge(ScriptedEngine(script), family="rating").compare("q", "beta", "alpha")
    assert (found.scores, found.winner) == ((4.0, 9.0), "B")


def test_the_same_model_is_asked_otherwise() -> None:
    compares = GenerativeJudge(load_scripted("hash"), load_family("direct"), JudgeSettings(seed=5))
    asked = ask_answers(compares)
    assert isinstance(asked, GenerativeJudge) and asked.engine is compares.engine
    assert asked.settings.seed == 5 and asked.order == "seeded"
    prompt = asked.describe()["prompt"]
    assert (prompt["family"], prompt["choice"]["family"]) == ("rating", "four_way")
    assert ask_answers(asked) is asked
    rates = load_judge("scripted:hash", family="rating")
    widened = ask_answers(rates)
    assert isinstance(widened, GenerativeJudge) and widened.choice is not None
    scalar = ScalarJudge(TableScorer())
    assert ask_answers(scalar) is scalar

    class Own:
        name = "own"
        order = None

        def describe(self) -> dict[str, object]:
            return {}

        def run(self, pairs: object, *, run: object = None) -> object:
            return iter(())

        def close(self) -> None:
            pass

    with pytest.raises(ConfigError, match="'own' compares two answers and can be asked in no other way"):
        ask_answers(Own())  # type: ignore[arg-type]


def test_a_dry_run_counts_the_prompts() -> None:
    counter = plan_judge("scripted:hash", family="rating").counter
    assert len(list(counter("k", pair("a", "b")))) == 2
    assert len(list(counter("k", pair("a", "a")))) == 1
    assert len(list(counter("k", pair("a", "b", "c", "d")))) == 1


def test_judgments_are_shown() -> None:
    console = Console(record=True, width=100, file=None, force_terminal=False, quiet=True)
    console.quiet = False
    with console.capture() as capture:
        print_judgment(console, "key", judge_one(pair("beta", "alpha")))
        print_judgment(console, "key", judge_one(pair("gamma", "beta", "alpha", "delta"), seed=1))
    text = capture.get()
    assert "scores: A 4.0000, B 9.0000" in text and "said 9 of 10" in text
    assert "vote 2 of 2, about answer B alone" in text and "B is better" in text
    assert "Answer C (chosen by the judge)" in text and "Answer D" in text and "C is best" in text


def test_ratings_have_no_order_of_their_own_in_scoring() -> None:
    from rmr1.store.rulings import ruling_of

    rated = ruling_of(judge_one(pair("beta", "alpha")))
    assert (rated.placement, rated.by_order()) == ("scores", {"given": ("B", None)})
    unread = ruling_of(judge_one(pair("gamma", "alpha")))
    assert unread.by_order() == {"given": (None, "no_ratings")}
