"""The viewer's pages, asked without a browser: what they say, what they refuse, and that foreign text stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from rmr1.records import Generation, Judgment, Verdict, Vote
from rmr1.store.codec import dump_record, dumps
from rmr1.store.labels import HumanLabel, append_labels, read_labels, settle_labels
from rmr1.viewer.gate import POLICY
from rmr1.viewer.index import Index
from rmr1.viewer.runs import Runs
from rmr1.viewer.search import Query
from tests.unit.viewer.varied import key_of, make_judgment, write_lines, write_run
from tests.unit.viewer.viewing import TOKEN, URL, viewing


class _Elements(HTMLParser):
    """Every element that a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed(text)
    return parser.found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "varied", 150)


def test_only_the_link_lets_in(run: Path) -> None:
    with viewing(run, is_known=False) as browser:
        assert browser.get("/runs/0/").status_code == 401
        assert browser.get("/static/view.js").status_code == 401
        assert browser.get("/?token=wrong").status_code == 401
        entered = browser.get(f"/runs/0/list?is=wrong&token={TOKEN}")
        assert entered.status_code == 303
        assert entered.headers["location"] == "/runs/0/list?is=wrong"
        assert (
            "HttpOnly" in entered.headers["set-cookie"]
            and "samesite=lax" in entered.headers["set-cookie"].lower()
        )
        assert browser.get("/runs/0/").status_code == 200


def test_a_link_never_leads_to_another_host(run: Path) -> None:
    with viewing(run, is_known=False) as browser:
        answer = browser.get(f"{URL}//evil.example/?token={TOKEN}")
        assert answer.headers.get("location", "/").startswith("/evil.example") or answer.status_code == 401


@pytest.mark.parametrize(
    "headers", [{"host": "rebound.example:8400"}, {"origin": "https://evil.example"}, {"origin": "null"}]
)
def test_pages_of_other_sites_are_refused(run: Path, headers: dict[str, str]) -> None:
    with viewing(run) as browser:
        assert browser.get("/runs/0/", headers=headers).status_code == 403


def test_every_answer_has_the_policy(run: Path) -> None:
    with viewing(run) as browser:
        for path in (
            "/runs/0/",
            "/runs/0/list",
            "/runs/0/items/1",
            "/nowhere",
            "/static/style.css",
            "/runs/0/state",
        ):
            answer = browser.get(path)
            assert answer.headers["content-security-policy"] == POLICY, path
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_page_of_odd_texts_fails_or_holds_foreign_elements(run: Path) -> None:
    """Every judgment of a run whose texts try to be more than text, in every form."""
    scripts = [("script", {"src": "/static/view.js", "defer": None})]
    with viewing(run) as browser:
        for number in range(1, 151, 3):
            for form in ("formatted", "plain", "diff"):
                answer = browser.get(f"/runs/0/items/{number}?form={form}")
                assert answer.status_code == 200, (number, form)
                found = _elements(answer.text)
                assert [one for one in found if one[0] == "script"] == scripts
                for tag, attributes in found:
                    assert tag not in ("iframe", "object", "embed", "img", "base", "audio", "video", "style")
                    assert not any(name.startswith("on") or name == "style" for name in attributes), (
                        attributes
                    )
                    target = attributes.get("href") or attributes.get("src") or attributes.get("action") or ""
                    assert re.match(r"(?![a-z]+:|//)|data:,$", target, re.IGNORECASE), target
                    assert attributes.get("http-equiv") is None


def test_lists_say_what_they_show(run: Path) -> None:
    made = [make_judgment(number) for number in range(150)]
    wrong = [one for one in made if one.correct is False]
    with viewing(run) as browser:
        page = browser.get("/runs/0/list?is=wrong").text
        assert f"1 to {min(50, len(wrong))} of {len(wrong)}" in page
        assert page.count("data-row") == min(50, len(wrong))
        second = browser.get("/runs/0/list?is=wrong&page=2").text
        assert second.count("data-row") == min(50, max(0, len(wrong) - 50))
        assert "No judgment matches" in browser.get("/runs/0/list?q=nowhereatall").text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/runs/0/list?is=maybe", 422, "expected right, wrong"),
        ("/runs/0/list?colour=red", 422, "no parameter of a list"),
        ("/runs/0/list?unsure=700", 422, "expected a share, as 70%"),
        ("/runs/0/list?q=%22%22", 422, "no word in it"),
        ("/runs/0/list?page=0", 422, "a whole number from 1"),
        ("/runs/0/list?sort=mood", 422, "expected place"),
        ("/runs/0/list?length=bigger", 422, "expected one of longer"),
        ("/runs/0/items/151", 404, "the run has 150"),
        ("/runs/0/items/0", 404, "the run has 150"),
        ("/runs/0/items/x", 404, "leads nowhere"),
        ("/runs/0/items/1?form=poem", 422, "expected formatted"),
        ("/runs/1/", 404, "leads nowhere"),
        ("/runs/-1/", 404, "leads nowhere"),
        ("/runs/0/rankings", 404, "leads nowhere"),
        ("/runs/0/training", 404, "leads nowhere"),
        ("/compare", 422, "two runs are needed"),
        ("/static/../app.py", 404, "leads nowhere"),
        (f"/runs/0/list?q={'a' * 5000}", 422, "letters is not read"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(run: Path, path: str, status: int, said: str) -> None:
    with viewing(run) as browser:
        answer = browser.get(path)
        assert answer.status_code == status
        assert said in answer.text
        assert "Traceback" not in answer.text


def test_neighbours_follow_the_list(run: Path) -> None:
    with viewing(run) as browser:
        rows = re.findall(
            r'href="items/(\d+)[^"]*" data-row', browser.get("/runs/0/list?is=wrong&sort=tokens&down=1").text
        )
        page = browser.get(f"/runs/0/items/{rows[1]}?is=wrong&sort=tokens&down=1").text
        before = re.search(r'rel="prev" href="(\d+)\?', page)
        behind = re.search(r'rel="next" href="(\d+)\?', page)
        assert before and before[1] == rows[0]
        assert behind and behind[1] == rows[2]


def test_marks_are_kept_and_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 5)
    with viewing(folder) as browser:
        form = {"label": "B", "judge_wrong": "yes", "note": "<b>bold</b>\r\nwhy", "who": "ada"}
        answer = browser.ask("POST", "/runs/0/items/2/marks", data=form)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/runs/0/items/2?said=kept")
        page = browser.get("/runs/0/items/2?said=kept").text
        assert "&lt;b&gt;bold&lt;/b&gt;" in page and "<b>bold" not in page and "Kept." in page
        (label,) = read_labels(folder)
        assert (label.key, label.who, label.label, label.is_judge_wrong, label.is_blind) == (
            key_of(1),
            "ada",
            "B",
            True,
            False,
        )
        assert label.note == "<b>bold</b>\nwhy"
        assert browser.get("/runs/0/labels.jsonl").text.count("\n") == 1
        pairs = browser.get("/runs/0/pairs.jsonl")
        assert pairs.json()["label"] == "B" and "attachment" in pairs.headers["content-disposition"]
        nothing = browser.ask("POST", "/runs/0/items/2/marks", data={"who": "ada"})
        assert nothing.status_code == 422 and "says nothing" in nothing.text
        nobody = browser.ask("POST", "/runs/0/items/2/marks", data={"label": "A", "who": " "})
        assert nobody.status_code == 422 and "who you are" in nobody.text
        foreign = browser.ask(
            "POST", "/runs/0/items/2/marks", data=form, headers={"origin": "http://evil.example"}
        )
        assert foreign.status_code == 403
        large = browser.ask("POST", "/runs/0/items/2/marks", data={**form, "note": "x" * 70_000})
        assert large.status_code == 413
        assert len(list(read_labels(folder))) == 1


def test_a_blind_page_shows_no_verdict(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 40)
    number = next(
        n for n in range(40) if make_judgment(n).pair.label == "A" and make_judgment(n).winner == "B"
    )
    with viewing(folder) as browser:
        blind = browser.get(f"/runs/0/items/{number + 1}?blind=1").text
        for said in ("preferred by the label", "chosen by the judge", "The judge prefers", "<eval>", "quote"):
            assert said not in blind.split("<main")[1]
        form = {"label": "A", "who": "ada", "blind": "1"}
        kept = browser.ask("POST", f"/runs/0/items/{number + 1}/marks", data=form)
        assert kept.headers["location"].startswith(f"/runs/0/items/{number + 2}?blind=1&said=next")
        open_page = browser.get(f"/runs/0/items/{number + 1}").text
        assert "preferred by the label" in open_page and "chosen by the judge" in open_page
        again = browser.ask("POST", f"/runs/0/items/{number + 1}/marks", data=form)
        assert "said=seen" in again.headers["location"]
        assert [label.is_blind for label in read_labels(folder)] == [True, False]


def test_a_mark_that_says_nothing_keeps_its_form(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 3)
    with viewing(folder) as browser:
        answer = browser.ask(
            "POST", "/runs/0/items/2/marks", data={"who": "ada <a>", "judge_wrong": "", "label": ""}
        )
        assert answer.status_code == 422 and "says nothing" in answer.text
        assert 'value="ada &lt;a&gt;"' in answer.text and "data-marks" in answer.text
        assert not list(read_labels(folder))


def test_a_search_that_cannot_be_read_keeps_its_form(run: Path) -> None:
    with viewing(run) as browser:
        answer = browser.get("/runs/0/list?q=%2A&is=wrong")
        assert answer.status_code == 422 and "no word in it" in answer.text
        assert 'name="q" value="*"' in answer.text and '<option value="wrong" selected>' in answer.text


def test_a_pair_is_found_by_its_id(run: Path) -> None:
    id = next(make_judgment(n).pair.id for n in range(150) if make_judgment(n).pair.id.startswith("item-"))
    with viewing(run) as browser:
        number = int(id.removeprefix("item-")) + 1
        assert f'<a href="items/{number}">Open {id}</a>' in browser.get(f"/runs/0/list?q={id}").text


def test_the_figures_of_a_list_are_of_its_judgments(run: Path) -> None:
    with viewing(run) as browser:
        page = browser.get("/runs/0/list?is=wrong&flips=1").text
        link = re.search(r'<a href="([^"]*)">Figures of these', page)
        total = re.search(r"to \d+ of (\d+)", page)
        assert link and total
        shown = browser.get(f"/runs/0/{link[1].replace('&amp;', '&')}").text
        assert f"<strong>{total[1]}</strong> judgments" in shown


def test_what_people_say_counts_in_figures_and_lists(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 60)
    made = [make_judgment(number) for number in range(60)]
    wrong = [n for n, one in enumerate(made) if one.correct is False and one.winner in ("A", "B")][:2]
    right = [n for n, one in enumerate(made) if one.correct and one.winner in ("A", "B")][:1]
    with viewing(folder) as browser:
        for number in wrong:  # people side with the judge
            browser.ask(
                "POST", f"/runs/0/items/{number + 1}/marks", data={"who": "ada", "label": made[number].winner}
            )
        for who, label in (("ada", "A"), ("bob", "B")):  # and disagree about one
            browser.ask("POST", f"/runs/0/items/{right[0] + 1}/marks", data={"who": who, "label": label})
        with Index.open(folder) as index:
            index.refresh()
        page = browser.get("/runs/0/?labels=1").text
        assert "the labels of 2 are those of people, 1 have none because people disagree" in page
        counts = [sum(one.correct is value for one in made) for value in (True, False)]
        for said, count in (("right", counts[0] + 2 - 1), ("wrong", counts[1] - 2)):
            found = browser.get(f"/runs/0/list?is={said}&labels=1").text
            assert f" of {count}." in found
        assert f"{counts[1] - 2}</strong> not right" in page


def test_figures_lead_to_as_many_judgments(run: Path) -> None:
    """Every count of the overview that is a link leads to a list of that many."""
    with viewing(run) as browser:
        page = browser.get("/runs/0/").text
        links = re.findall(r'<a[^>]*href="(list[^"]*)"[^>]*>(?:<strong>)?([\d,]+)<', page)
        assert len(links) > 12
        for link, count in links:
            found = browser.get(f"/runs/0/{link.replace('&amp;', '&')}").text
            total = re.search(r"to [\d,]+ of ([\d,]+)", found)
            assert (total[1] if total else "0") == count, link


def test_groups_of_the_overview_lead_to_their_judgments(run: Path) -> None:
    """The wrong ones of a group, its size and the list agree; ties have no preferred answer."""
    with viewing(run) as browser:
        page = browser.get("/runs/0/").text
        rows = re.findall(r'<tr><th scope="row"><a href="(list[^"]*)">[^<]*</a></th>.*?</tr>', page)
        assert any("length=longer" in link for link in rows) and any("markdown=" in link for link in rows)
        for link in rows:
            path = link.replace("&amp;", "&")
            right = browser.get(f"/runs/0/{path}&is=right").text
            wrong = browser.get(f"/runs/0/{path}&is=wrong").text
            counts = [
                int(found[1]) if (found := re.search(r"to \d+ of (\d+)", one)) else 0
                for one in (right, wrong)
            ]
            row = re.search(rf'<a href="{re.escape(link)}">.*?</tr>', page)
            assert row is not None
            cells = [int(one) for one in re.findall(r"<td>(?:<a[^>]*>)?(\d+)(?:</a>)?</td>", row[0])]
            assert counts[1] == cells[0] and sum(counts) == cells[1], link


def test_a_run_that_grows_is_followed(tmp_path: Path) -> None:
    from rmr1.viewer.app import make_app
    from rmr1.viewer.runs import Runs
    from tests.unit.viewer.viewing import Browser

    folder = write_run(tmp_path / "x", 3)
    with Runs([folder]) as runs:
        (one,) = runs.judged
        assert one.index is not None
        browser = Browser(make_app(runs, token=TOKEN))
        browser.get(f"/?token={TOKEN}")
        one.index.refresh()
        assert browser.get("/runs/0/state").json() == {"items": 3, "failure": None}
        runs.follow()
        with (folder / "judgments.jsonl").open("ab") as file:
            file.write(write_lines(range(3, 7)))
        import time

        deadline = time.monotonic() + 20
        while browser.get("/runs/0/state").json()["items"] != 7:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "<strong>7</strong> judgments" in browser.get("/runs/0/").text


def test_two_runs_are_compared(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", 60), write_run(tmp_path / "b", 40)
    with viewing(first, second) as browser:
        page = browser.get("/compare").text
        assert "40 items are in both; 20 only in a, 0 only in b" in page
        assert "They are right on the same ones" in page
        assert "<strong>0</strong> where they name different winners" in page
        assert browser.get("/compare?show=nothing").status_code == 422
        assert browser.get("/").text.count("data-row") == 2


def test_runs_without_a_shared_item(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", 3)
    second = write_run(tmp_path / "b", 0)
    (second / "judgments.jsonl").write_bytes(write_lines(range(10, 13)))
    with viewing(first, second) as browser:
        assert "share no item" in browser.get("/compare").text


def test_audits_name_judgments_behind_them(run: Path) -> None:
    with viewing(run) as browser:
        page = browser.get("/runs/0/audits").text
        linked = re.findall(r'<a href="(items/\d+)">([0-9a-f]{8})</a>', page)
        assert linked and "What cannot be told" in page
        for link, key in linked[:3]:
            assert f"<code>{key}" in browser.get(f"/runs/0/{link}").text
        assert page == browser.get("/runs/0/audits").text
        some = browser.get("/runs/0/audits?subset=Chat").text
        assert "remove: subset: Chat" in some and some != page


def test_what_is_not_said_anew_stays(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 3)
    with viewing(folder) as browser:
        for form in ({"label": "A"}, {"note": "why"}, {"judge_wrong": "yes"}):
            browser.ask("POST", "/runs/0/items/2/marks", data={"who": "ada", **form})
        last = list(read_labels(folder))[-1]
        assert (last.label, last.note, last.is_judge_wrong) == ("A", "why", True)
        assert settle_labels(read_labels(folder)).labels == {key_of(1): "A"}
        browser.ask("POST", "/runs/0/items/2/marks", data={"who": "ada", "label": "none"})
        assert settle_labels(read_labels(folder)).labels == {}
        page = browser.get("/runs/0/?labels=1").text
        assert "the labels of 0 are those of people" in page  # at once, not when the run is next looked at


@pytest.mark.parametrize("query", ["is=wrong", "flips=1", "winner=A", "sort=confidence", "sure_from=0.9"])
def test_a_list_that_tells_verdicts_makes_no_blind_labels(tmp_path: Path, query: str) -> None:
    folder = write_run(tmp_path / "x", 6)
    with viewing(folder) as browser:
        form = {"who": "ada", "label": "A", "blind": "1"}
        browser.ask("POST", f"/runs/0/items/2/marks?{query}", data=form)
        assert [one.is_blind for one in read_labels(folder)] == [False]


def test_a_judgment_seen_in_a_list_is_not_blind(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 6)
    with viewing(folder) as browser:
        browser.get("/runs/0/list")
        browser.ask("POST", "/runs/0/items/2/marks", data={"who": "ada", "label": "A", "blind": "1"})
        assert [one.is_blind for one in read_labels(folder)] == [False]


@pytest.mark.parametrize(
    "asked", ["is=unparsed", "is=wrong", "is=right", "flips=1", "winner=B", "task_type=chat"]
)
def test_links_of_filtered_figures_lead_to_as_many(run: Path, asked: str) -> None:
    with viewing(run) as browser:
        page = browser.get(f"/runs/0/?{asked}").text
        links = re.findall(r'<a[^>]*href="(list[^"]*)"[^>]*>(?:<strong>)?([\d,]+)<', page)
        links += re.findall(r'<a href="(list[^"]*)" aria-label="[^"]*, ([\d,]+) pairs"', page)
        assert links
        for link, count in links:
            found = browser.get(f"/runs/0/{link.replace('&amp;', '&')}").text
            total = re.search(r"to [\d,]+ of ([\d,]+)", found)
            assert (total[1] if total else "0") == count, link


def test_a_replaced_run_has_other_figures(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 40)
    with viewing(folder) as browser, Index.open(folder) as index:
        before = browser.get("/runs/0/").text
        (folder / "judgments.jsonl").write_bytes(write_lines(range(40, 80)))
        index.refresh()
        assert len(index.columns("is_right")) == 40
        with Runs([folder]) as runs:
            (one,) = runs.judged
            kept = one.figures(Query())
            (folder / "judgments.jsonl").write_bytes(write_lines(range(40)))
            one.judgments.refresh()
            assert one.figures(Query()).figures != kept.figures
        assert "<strong>40</strong> judgments" in before


def test_keys_that_repeat_are_compared_once(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", 3), write_run(tmp_path / "b", 3)
    lines = (first / "judgments.jsonl").read_bytes().splitlines(keepends=True)
    (first / "judgments.jsonl").write_bytes(b"".join([lines[0], *lines]))
    with viewing(first, second) as browser:
        assert "3 items are in both" in browser.get("/compare").text


def test_a_run_that_is_gone_is_said(tmp_path: Path) -> None:
    import shutil

    folder = write_run(tmp_path / "x", 3)
    with viewing(folder) as browser:
        shutil.rmtree(folder)
        for path in ("/runs/0/", "/runs/0/list", "/runs/0/items/1", "/runs/0/state"):
            answer = browser.get(path)
            assert answer.status_code in (404, 422) and "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path", [f"/runs/{'9' * 5000}/", f"/compare?page={'1' * 5000}", f"/runs/0/items/{'1' * 5000}"]
)
def test_endless_numbers_are_refused(run: Path, path: str) -> None:
    with viewing(run) as browser:
        assert browser.get(path).status_code in (404, 422)


def test_ratings_are_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 0)
    pair = make_judgment(0).pair
    votes = []
    for side, value in (("A", 4), ("B", 9)):
        said = Generation(text=f"Rating: [[{value}]]", finish_reason="stop", completion_tokens=5)
        verdict = Verdict(winner=None, ratings=(float(value),))
        votes.append(Vote(order="given", side=side, sample=0, generation=said, verdict=verdict))  # type: ignore[arg-type]
    rated = Judgment(
        pair=pair,
        family="rating",
        rule="rating",
        winner="B",
        kind="rating",
        votes=tuple(votes),
        scores=(4.0, 9.0),
    )
    (folder / "judgments.jsonl").write_bytes(dumps({"key": "k", **dump_record(rated)}) + b"\n")
    with viewing(folder) as browser:
        page = browser.get("/runs/0/items/1").text
        assert "rates it 4" in page and "rates it 9" in page and "decides" not in page


def test_an_empty_run(tmp_path: Path) -> None:
    with viewing(write_run(tmp_path / "x", 0)) as browser:
        assert "No judgment is stored yet" in browser.get("/runs/0/").text
        assert browser.get("/runs/0/audits").status_code == 200
        assert "No judgment matches" in browser.get("/runs/0/list").text


def test_skips_and_what_was_taken_back_are_no_marks(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 3)
    key = key_of(0)
    when = "2026-11-30T16:20:02Z"
    append_labels(
        folder,
        [
            HumanLabel(key=key, who="ada", when=when, label="A", is_blind=True, criterion="<b>Accuracy"),
            HumanLabel(key=key, who="ada", when=when, is_undone=True),
            HumanLabel(key=key, who="eve", when=when, is_skipped=True),
        ],
    )
    with viewing(folder) as browser:
        assert (
            "people:" not in browser.get("/runs/0/list").text
            and "a note" not in browser.get("/runs/0/list").text
        )
        page = browser.get("/runs/0/items/1").text
    assert "took it back" in page and "skipped it" in page and ", by &lt;b&gt;Accuracy" in page
