"""A run summed up: the figures, the judgments that are chosen, and pages on which foreign text stays text."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rmr1.audit.filters import Filter
from rmr1.audit.quotes import link_quotes
from rmr1.cli.main import main
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair
from rmr1.report.html import format_html
from rmr1.report.markdown import format_markdown
from rmr1.report.overview import build_report
from rmr1.report.pieces import mark_reasons, mark_turns
from rmr1.report.selection import Selection
from rmr1.stats import clustered_interval
from rmr1.store.labels import HumanLabel, append_label
from rmr1.store.runs import open_run

from .hostile import ATTACKS, WORDS, write_run

OURS = {
    *[
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "nav",
        "a",
        "main",
        "section",
        "article",
        "div",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ],
    *["code", "details", "summary", "sup", "footer"],
}
ATTRIBUTES = {
    *[
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "href",
        "id",
        "title",
        "dir",
        "scope",
        "tabindex",
        "role",
        "aria-label",
    ]
}
UNSEEN = "\x1b\x07\x9b\x00\u202e\u2066\u200b\ufeff\U000e0041\ud800"


class Page(HTMLParser):
    """Tags, attributes, links and text, as a reader of the page meets them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.policies: list[str] = []
        self.texts: list[str] = []
        self.comments = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        assert len(found) == len(attrs)
        self.attributes.update(found)
        if "href" in found:
            self.links.append(found["href"] or "")
        if "id" in found:
            self.ids.append(found["id"] or "")
        if found.get("http-equiv"):
            self.policies.append(found["content"] or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments += 1


def report_of(folder: Path, **more: object) -> str:
    return format_html(build_report(Selection(folder, **more), most=50, seed=0))  # type: ignore[arg-type]


def test_no_tag_of_foreign_text_survives(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    text = report_of(tmp_path / "run")
    page = Page(text)
    assert page.tags <= OURS
    assert page.attributes <= ATTRIBUTES
    assert page.comments == 0
    assert page.links and all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    (policy,) = page.policies
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert not set(UNSEEN) & set(text)
    said = "".join(page.texts)
    for attack in ATTACKS[:7]:
        assert said.count(attack) >= 8
    assert "49" not in said.partition("{{ 7 * 7 }}")[2][:20]


def test_the_policy_names_the_style_that_the_page_has(tmp_path: Path) -> None:
    import base64
    import hashlib

    write_run(tmp_path / "run")
    text = report_of(tmp_path / "run")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in Page(text).policies[0]
    assert "url(" not in style and "@import" not in style


def test_every_quotation_leads_to_its_place_and_back(tmp_path: Path) -> None:
    judgments = write_run(tmp_path / "run")
    page = Page(report_of(tmp_path / "run"))
    targets = {link[1:] for link in page.links}
    assert targets <= set(page.ids)
    quotes = [one for judgment in judgments for one in link_quotes(judgment)]
    assert sum("a" in one[1:] for one in targets) == sum(one.is_found for one in quotes)


def test_markdown_is_plain_text_and_json_is_whole(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    report = build_report(Selection(tmp_path / "run"), most=50, seed=0)
    text = format_markdown(report)
    assert "<script" not in text.replace("\\<", "") and not set(UNSEEN) & set(text)
    rows = [line for line in text.splitlines() if line.startswith("| 0000")]
    assert len(rows) == len(ATTACKS)
    told = json.loads(json.dumps(report.describe()))
    assert told["items"] == len(ATTACKS) and len({*told["worst"], *told["flips"], *told["sample"]}) == len(
        ATTACKS
    )


def make(
    number: int, said: str, label: str | None = "A", *, subset: str = "x", question: str = "q"
) -> Judgment:
    """Asked both ways; `said` are the pair's winners of the given and the swapped order."""
    pair = PreferencePair(
        id=str(number),
        prompt=(user(question),),
        response_a=(assistant(f"answer {number}"),),
        response_b=(assistant("other"),),
        label=label,  # type: ignore[arg-type]
        subset=subset,
    )
    shown = {"given": said[0], "swapped": {"A": "B", "B": "A", "-": "-"}[said[1]]}
    votes = []
    for order, letter in shown.items():
        text = "no verdict" if letter == "-" else f"<answer>[[{letter}]]</answer>"
        generation = Generation(text=text, finish_reason="stop", prompt_tokens=5, completion_tokens=2)
        votes.append(cast_vote(generation, order=order, sample=0, rule="tagged"))  # type: ignore[arg-type]
    return replace(
        conclude(pair, votes, family="rubric", rule="tagged"), prompt_tokens=10, completion_tokens=4
    )


def store(folder: Path, judgments: list[Judgment]) -> Path:
    with open_run(folder, {"format": 1, "model_name": "m", "created": "2026-11-30T16:24:27+00:00"}) as run:
        for judgment in judgments:
            run.append(f"{int(judgment.pair.id):032x}", judgment)
    return folder


MIXED = [
    make(1, "AA"),
    make(2, "AA", question="two"),
    make(3, "BB"),
    make(4, "AB"),  # the first place both times
    make(5, "BA", subset="y"),  # the second
    make(6, "--", subset="y", question="six"),
    make(7, "AA", None, subset="y"),
]


def test_the_figures_are_those_worked_by_hand(tmp_path: Path) -> None:
    import numpy as np

    one = build_report(Selection(store(tmp_path / "run", MIXED)), most=5, seed=0)
    found = one.overview
    assert (found.items, found.labelled, found.right, found.unparsed) == (7, 6, 2, 3)
    assert found.accuracy is not None and found.accuracy.accuracy == 2 / 6
    # prompts: q (items 1, 3, 4, 5; one right), two (right), six (wrong)
    assert found.accuracy.interval == clustered_interval(np.array([1.0, 1.0, 0.0]), np.array([4.0, 1.0, 1.0]))
    assert [(each.name, each.right, each.labelled, each.unparsed) for each in found.subsets] == [
        ("x", 2, 4, 1),
        ("y", 0, 2, 2),
    ]
    assert found.position is not None
    assert (found.position.pairs, found.position.consistent, found.position.first, found.position.second) == (
        6,
        4,
        1,
        1,
    )
    assert found.position.bias == 0
    assert found.problems == {"no_verdict": 1, "split_vote": 2}
    assert (found.prompt_tokens, found.completion_tokens) == (70, 28)
    ids = {name: {each.pair.id for _, each in getattr(one, name)} for name in ("worst", "flips", "sample")}
    assert ids == {"worst": {"3", "6"}, "flips": {"4", "5"}, "sample": {"1", "2", "7"}}


def test_the_sequence_of_the_file_counts_for_nothing(tmp_path: Path) -> None:
    many = [
        make(number, random.Random(number).choice(("AA", "BB", "AB", "BA", "--"))) for number in range(60)
    ]
    first = build_report(Selection(store(tmp_path / "a", many)), most=4, seed=1).describe()
    random.Random(5).shuffle(many)
    second = build_report(Selection(store(tmp_path / "b", many)), most=4, seed=1).describe()
    other = build_report(Selection(store(tmp_path / "c", many)), most=4, seed=2).describe()
    assert {**first, "folder": ""} == {**second, "folder": ""}
    assert other["sample"] != first["sample"] and other["items"] == first["items"]
    assert all(len(first[name]) == 4 for name in ("worst", "flips", "sample"))


def test_the_worst_are_the_surest_mistakes(tmp_path: Path) -> None:
    sure = [replace(make(number, "BB"), calibrated=number / 100) for number in range(1, 40)]
    report = build_report(Selection(store(tmp_path / "run", sure)), most=3, seed=0)
    assert [one.pair.id for _, one in report.worst] == ["1", "2", "3"]


def test_labels_of_people_and_filters_are_what_is_reported(tmp_path: Path) -> None:
    folder = store(tmp_path / "run", MIXED)
    when = "2026-11-30T16:20:02Z"
    append_label(folder, HumanLabel(key=f"{1:032x}", who="ada", when=when, label="B"))
    append_label(folder, HumanLabel(key=f"{2:032x}", who="ada", when=when, label="B"))
    append_label(folder, HumanLabel(key=f"{2:032x}", who="bob", when=when, label="A"))
    report = build_report(Selection(folder, Filter(subset="x"), with_labels=True), most=5, seed=0)
    found = report.overview
    assert (found.items, found.labelled, found.right, found.people_labels, found.disputed) == (4, 3, 0, 1, 1)
    assert report.conditions == ("subset x",)
    assert "those of people" in format_html(report) and "subset x" in format_markdown(report)


def test_an_empty_selection_is_a_page_too(tmp_path: Path) -> None:
    folder = store(tmp_path / "run", MIXED)
    report = build_report(Selection(folder, Filter(text="nowhere")), most=5, seed=0)
    assert "0 judgments" in format_html(report) and "No pair is labelled" in format_markdown(report)


def test_a_thousand_long_judgments_are_less_than_three_megabytes(tmp_path: Path) -> None:
    (judgment,) = write_run(tmp_path / "small")[:1]
    pair = judgment.pair
    long = replace(
        pair, response_a=(assistant("<&>'\"" * 4000),), response_b=(assistant(f"{WORDS} " * 4000),)
    )
    with open_run(tmp_path / "run", {"format": 1, "model_name": "m"}) as run:
        for number in range(1000):
            run.append(f"{number:032x}", replace(judgment, pair=replace(long, id=str(number))))
    page = format_html(build_report(Selection(tmp_path / "run"), most=100, seed=0))
    assert 1_000_000 < len(page.encode()) < 3_000_000
    assert "judgments are left out, because the page would be too large" in page
    assert "more characters" in page and page.rstrip().endswith("</html>")
    assert Page(page).tags <= OURS


def test_overlapping_quotations_divide_the_answer_and_lose_none_of_it() -> None:
    text = "<eval><quote_A>one two three</quote_A><quote_A>two  three four</quote_A><quote_B>x</quote_B> so</eval><answer>[[A]]</answer>"
    vote = cast_vote(Generation(text=text, finish_reason="stop"), order="given", sample=0, rule="tagged")
    pair = PreferencePair(
        id="1",
        prompt=(user("q"),),
        response_a=(assistant("zero one two"), assistant("three four five")),
        response_b=(assistant("y"),),
    )
    quotes = link_quotes(conclude(pair, [vote], family="rubric", rule="tagged"))
    turns = mark_turns(pair.response_a, [one for one in quotes if one.side == "A"])
    assert ["".join(piece.text for piece in turn.pieces) for turn in turns] == [
        "zero one two",
        "three four five",
    ]
    assert [
        [(piece.text, piece.quote and piece.quote.number) for piece in turn.pieces] for turn in turns
    ] == [
        [("zero ", None), ("one ", 0), ("two", 0)],
        [("three", 0), (" four", 1), (" five", None)],
    ]
    words = mark_reasons(vote, quotes, 1000)
    assert "".join(piece.text for piece in words.pieces) == "one two threetwo  three fourx so"
    assert mark_turns(pair.response_a, quotes, most=15)[1].cut == 12


def test_the_command_writes_one_page_and_never_over_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store(tmp_path / "run", MIXED)
    page = tmp_path / "report.html"
    assert main(["report", str(folder), "--html", str(page)]) == 0
    assert "7 judgments" in capsys.readouterr().out
    assert main(["report", str(folder), "--html", str(page)]) == 2
    assert "exists; choose another name or pass --force" in capsys.readouterr().err
    assert main(["report", str(folder), "--html", str(page), "--force", "--flips"]) == 0
    assert "flips" in page.read_text()
    capsys.readouterr()
    assert main(["report", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 7
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("# run\n")
    assert main(["report", str(folder), "--json", "--markdown"]) == 2
    assert main(["report", str(tmp_path), "--json"]) == 2
