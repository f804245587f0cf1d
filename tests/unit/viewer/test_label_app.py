"""The pages that ask people, asked without a browser: what they show, what they keep, and what they never tell."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("fastapi")

from rmr1.active.asking import Task
from rmr1.active.blind import BlindRun
from rmr1.active.sides import draw_first, seal
from rmr1.messages import assistant
from rmr1.records import RubricItem
from rmr1.store.labels import HumanLabel, append_label, read_labels
from rmr1.viewer.answering import Answers
from rmr1.viewer.gate import POLICY
from rmr1.viewer.label_app import make_label_app
from tests.unit.active.asked import WHEN, key_of, make_judgment, say, write_run
from tests.unit.viewer.viewing import TOKEN, Browser

_FIELD = re.compile(r'name="(key|placed)" value="([^"]*)"')


def open_browser(asker: object, **options: object) -> Browser:
    browser = Browser(make_label_app(asker, token=TOKEN, name="a <run>", **options))  # type: ignore[arg-type]
    assert browser.get(f"/?token={TOKEN}").status_code == 303
    return browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [make_judgment(number, "A") for number in range(8)])


@pytest.fixture
def browser(folder: Path) -> Browser:
    return open_browser(BlindRun(folder, number=0), then=("rmr1 label run --blind --report",))


def fields(page: str) -> dict[str, str]:
    return dict(_FIELD.findall(page))


def answer(browser: Browser, who: str, side: str, page: str | None = None, **more: str) -> str:
    """Answer the question of a page, or the next one; where it leads."""
    page = browser.get(f"/?who={who}").text if page is None else page
    told = browser.ask("POST", f"/answer?who={who}", data={**fields(page), "side": side, **more})
    assert told.status_code == 303, told.text
    return told.headers["location"]


def test_nobody_gets_in_without_the_link(folder: Path) -> None:
    browser = Browser(make_label_app(BlindRun(folder), token=TOKEN, name="run"))
    told = browser.get("/?who=ada")
    assert told.status_code == 401 and "the link that rmr1 label printed" in told.text
    assert browser.ask("POST", "/answer?who=ada", data={"side": "1"}).status_code == 401


def test_a_name_is_asked_once(browser: Browser) -> None:
    assert browser.get("/").headers["location"] == "/name"
    assert "Who are you?" in browser.get("/name").text
    page = browser.get("/?who=Ad%C3%A4+L.")
    assert page.status_code == 200 and "<strong>Adä L.</strong>" in page.text
    assert page.headers["content-security-policy"] == POLICY
    assert browser.get("/").headers["location"] == "/?who=Ad%C3%A4+L."
    for odd in ("", "%20", "a%0Ab", "x" * 300):
        assert browser.get(f"/?who={odd}").status_code == 422


def test_nothing_of_the_judge_the_data_or_other_people_is_shown(tmp_path: Path) -> None:
    made = make_judgment(0, "B", p=0.0123)
    made = replace(made, pair=replace(made.pair, id="chosen-first", subset="hard ones", source="the source"))
    folder = write_run(tmp_path / "run", [made])
    append_label(folder, HumanLabel(key=key_of(0), who="eve", when=WHEN, label="B", note="eve's note"))
    page = open_browser(BlindRun(folder)).get("/?who=ada").text
    assert "Question 0?" in page and "The A of 0." in page and "The B of 0." in page
    for told in (
        "chosen-first",
        "hard ones",
        "the source",
        "eve",
        "0.0123",
        "by hand",
        "direct",
        "preferred",
    ):
        assert told not in page, told


def test_every_answer_is_kept_in_the_frame_of_the_pair(browser: Browser, folder: Path) -> None:
    for side in ("1", "2", "tie", "skip", "1", "2", "1", "2"):
        page = browser.get("/?who=ada").text
        key = fields(page)["key"]
        first = page.index("The A of") < page.index("The B of")
        assert first == (draw_first(0, key, "ada") == "A")
        answer(browser, "ada", side, page)
        last = list(read_labels(folder))[-1]
        wanted = {"1": "A" if first else "B", "2": "B" if first else "A", "tie": "tie", "skip": None}[side]
        assert (last.key, last.who, last.label, last.is_skipped) == (key, "ada", wanted, side == "skip")
        assert last.is_blind == (side != "skip")
    end = browser.get("/?who=ada").text
    assert "You have answered 7 questions and skipped 1" in end and "rmr1 label run --blind --report" in end
    assert len({one.key for one in read_labels(folder)}) == 8
    skipped = re.search(r'Skipped: <a href="([^"]+)"', end)
    assert skipped is not None and "skipped this one already" in browser.get(unescape(skipped[1])).text


def test_a_form_of_another_seed_is_read_as_it_was_shown(folder: Path) -> None:
    page = open_browser(BlindRun(folder), seed=0).get("/?who=ada").text
    key = fields(page)["key"]
    seed = next(seed for seed in range(1, 99) if draw_first(seed, key, "ada") != draw_first(0, key, "ada"))
    answer(open_browser(BlindRun(folder), seed=seed), "ada", "1", page)
    assert [one.label for one in read_labels(folder)] == [draw_first(0, key, "ada")]


def test_an_undo_takes_the_last_answer_back_and_shows_it_again(browser: Browser, folder: Path) -> None:
    keys = []
    for _ in range(3):
        page = browser.get("/?who=ada").text
        keys.append(fields(page)["key"])
        answer(browser, "ada", "1", page)
    answer(browser, "eve", "2")
    for key in keys[:0:-1]:
        there = browser.ask("POST", "/undo?who=ada").headers["location"]
        page = browser.get(there).text
        assert fields(page)["key"] == key and "Taken back" in page and "already" not in page
    assert "1 of 8" in page
    assert "Kept" not in page and answer(browser, "ada", "2", page) == "/?who=ada&said=kept"
    for _ in range(3):
        there = browser.ask("POST", "/undo?who=ada").headers["location"]
    assert "nothing to take back" in browser.get(there).text
    assert sum(one.who == "eve" and not one.is_undone for one in read_labels(folder)) == 1


def test_a_second_answer_to_one_item_takes_the_place_of_the_first(browser: Browser, folder: Path) -> None:
    page = browser.get("/?who=ada").text
    assert answer(browser, "ada", "1", page).endswith("said=kept")
    assert answer(browser, "ada", "1", page).endswith("said=again") and len(list(read_labels(folder))) == 1
    there = answer(browser, "ada", "tie", page)
    assert "takes the place of the old one" in browser.get(there).text
    assert [one.label for one in read_labels(folder)][-1] == "tie" and "1 of 8" in browser.get(
        "/?who=ada"
    ).text


def test_two_tabs_at_once_keep_one_label(browser: Browser, folder: Path) -> None:
    answers = Answers(BlindRun(folder))
    task = answers.choose("ada")
    assert task is not None
    form = {"key": task.key, "placed": seal(task.key, "A"), "side": "1"}
    said: list[str] = []
    threads = [Thread(target=lambda: said.append(answers.take("ada", form))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(said) == ["again"] * 7 + ["kept"] and len(list(read_labels(folder))) == 1


def test_what_a_person_has_seen_judged_is_not_called_blind(browser: Browser, folder: Path) -> None:
    page = browser.get(f"/?who=ada&key={key_of(3)}").text
    say(folder, 3, "ada", "A", is_blind=False)
    assert answer(browser, "ada", "2", page).endswith("said=seen")
    assert not list(read_labels(folder))[-1].is_blind


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"side": ""}, 422, "say which answer is better"),
        ({"side": "3"}, 422, "expected 1, 2, tie or skip"),
        ({"side": "1", "placed": "0" * 16}, 422, "load it again"),
        ({"side": "1", "key": "nothing"}, 404, "no question is about item"),
        ({"side": "1", "note": "x" * 10_001}, 422, "a note of more than"),
    ],
)
def test_forms_that_cannot_be_kept(
    browser: Browser, folder: Path, change: dict[str, str], status: int, told: str
) -> None:
    data = {**fields(browser.get("/?who=ada").text), **change}
    answered = browser.ask("POST", "/answer?who=ada", data=data)
    assert answered.status_code == status and told in unescape(answered.text)
    assert list(read_labels(folder)) == []


def test_a_folder_that_goes_away_is_told_in_one_line(browser: Browser, folder: Path) -> None:
    page = browser.get("/?who=ada").text
    (folder / "run.json").unlink()
    told = browser.ask("POST", "/answer?who=ada", data={**fields(page), "side": "1"})
    assert told.status_code == 422 and "not a run folder" in told.text
    assert browser.get("/nowhere").status_code == 404 and browser.get("/?who=ada&form=odd").status_code == 422


class Criteria:
    """An asker with one question about a criterion."""

    def __init__(self, folder: Path):
        self.folder, self.total = folder, 1
        items = (RubricItem(text="It is <b>right</b>"), RubricItem(text="It is short", name="brevity"))
        pair = replace(
            make_judgment(0, "A").pair, response_a=(assistant("**bold** $x^2$ <script>1</script>"),)
        )
        self.task = Task(
            key=key_of(0), pair=pair, ask="criterion", criteria=items, reason="The rubrics differ."
        )

    def choose(self, labels: list[HumanLabel], who: str) -> Task | None:
        return None if any(one.who == who for one in labels) else self.task

    def find(self, key: str) -> Task | None:
        return self.task if key == self.task.key else None


def test_a_criterion_is_chosen_or_written(folder: Path) -> None:
    browser = open_browser(Criteria(folder))
    page = browser.get("/?who=ada").text
    assert "The rubrics differ." in page and "It is &lt;b&gt;right&lt;/b&gt;" in page and "brevity" in page
    assert "<strong>bold</strong>" in page and "<script>1" not in page and "<math" in page
    told = browser.ask("POST", "/answer?who=ada", data={**fields(page), "side": "1"})
    assert told.status_code == 422 and "say which criterion decides" in told.text
    assert 'value="1" checked' in told.text
    odd = browser.ask("POST", "/answer?who=ada", data={**fields(page), "side": "1", "criterion": "made up"})
    assert odd.status_code == 422
    assert re.findall(r'name="criterion" value="([^"]*)"', page) == [
        "It is &lt;b&gt;right&lt;/b&gt;",
        "brevity",
        "-",
    ]
    answer(browser, "ada", "1", page, criterion="brevity")
    answer(browser, "eve", "2", criterion="It is <b>right</b>")
    answer(browser, "bob", "2", criterion="brevity", own="  it   rhymes ")
    answer(browser, "zoe", "2", criterion="-")
    answer(browser, "max", "tie")
    said = {one.who: (one.criterion, one.is_blind) for one in read_labels(folder)}
    wanted = {"ada": "brevity", "eve": "It is <b>right</b>", "bob": "it rhymes", "zoe": None, "max": None}
    assert said == {who: (criterion, True) for who, criterion in wanted.items()}
