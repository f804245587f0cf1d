"""The viewer in a real browser: reading, keys, quotations, marks, comparing, live runs, and hostile texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1.store.labels import read_labels
from tests.browser.conftest import list_violations
from tests.browser.viewed import HOSTILE, make_judgments, view, write_run

_PAGES = (
    "/",
    "/runs/0/",
    "/runs/0/?is=wrong",
    "/runs/0/list",
    "/runs/0/list?q=nothing+like+this",
    "/runs/0/list?is=maybe",
    "/runs/0/items/7",
    "/runs/0/items/9",
    "/runs/0/items/11",
    "/runs/0/items/12",
    "/runs/0/items/12?form=diff",
    "/runs/0/items/7?blind=1",
    "/runs/0/audits",
    "/compare",
    "/nowhere",
)


_FIND_MARKED = """id => {
  let at = document.getElementById(id);
  while (at.classList.contains("at")) at = at.nextElementSibling;
  return at.textContent;
}"""
"""The words behind an anchor; several anchors may be at one place."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    made = make_judgments()
    folder = tmp_path_factory.mktemp("runs")
    return write_run(folder / "first", made), write_run(folder / "second", made[:5])


@pytest.fixture(scope="module")
def link(runs: tuple[Path, Path]) -> Iterator[str]:
    with view(*runs) as found:
        yield found


class Watched:
    """A page, and what went wrong or wanted to leave this machine."""

    def __init__(self, browser: Any, link: str, **options: Any):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.base = link.split("/?")[0]
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", lambda one: self.faults.append(one.text) if one.type == "error" else None)
        self.page.on("request", self._watch)
        self.page.on("popup", lambda _: self.faults.append("a window was opened"))
        self.page.on("dialog", lambda _: self.faults.append("a dialog was opened"))
        self.page.goto(link)

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:,")):
            self.faults.append(f"asked for {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.base + path)
        return self.page


@pytest.fixture
def watched(browser: Any, link: str) -> Iterator[Watched]:
    one = Watched(browser, link, viewport={"width": 1280, "height": 900})
    yield one
    one.context.close()
    assert [fault for fault in one.faults if "Failed to load resource" not in fault] == []


def test_from_the_overview_to_a_wrong_judgment(watched: Watched) -> None:
    page = watched.open("/runs/0/")
    page.get_by_role("link", name=re.compile("not right.*the surest first")).click()
    assert "is=wrong" in page.url
    page.locator("[data-row]").first.click()
    assert page.locator(".verdict").inner_text().startswith("wrong")
    page.go_back()
    assert "is=wrong" in page.url


def test_filters_are_in_the_address(watched: Watched) -> None:
    page = watched.open("/runs/0/list")
    page.get_by_role("checkbox", name="orders disagree").check(no_wait_after=True)
    page.wait_for_url("**flips=1**")
    assert page.locator("[data-row]").count() == 1
    page.get_by_label("Words").fill("Spain")
    page.get_by_label("Words").press("Enter")
    page.wait_for_url("**q=Spain**")
    assert page.locator(".found").inner_text().startswith("1 to 1 of 1")
    page.reload()
    assert page.get_by_label("Words").input_value() == "Spain"
    page.get_by_role("link", name="remove: orders disagree").click()
    assert "flips" not in page.url and "q=Spain" in page.url


def test_everything_by_keyboard(watched: Watched) -> None:
    page = watched.open("/runs/0/")
    page.keyboard.press("l")
    page.wait_for_url("**/list")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.href").endswith("/items/1?at=1")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/items/1\?at=1$"))
    page.keyboard.press("j")
    page.wait_for_url(re.compile(r"/items/2\?at=2$"))
    page.keyboard.press("k")
    page.wait_for_url(re.compile(r"/items/1\?at=1$"))
    page.keyboard.press("d")
    page.wait_for_url("**form=diff**")
    assert page.locator("ins").count() > 0
    page.keyboard.press("f")
    page.wait_for_url(re.compile(r"/items/1(?!.*form)"))
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.keyboard.press("u")
    page.wait_for_url("**/list**")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("jk?")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.value") == "jk?"


def test_a_quotation_leads_to_its_words_and_back(watched: Watched) -> None:
    page = watched.open("/runs/0/items/8")  # item-7, asked both ways
    for vote, quoted in ((0, "Madrid, of course."), (1, "Perhaps Toledo.")):
        quote = page.locator(f"#v{vote} a.quote").first
        assert quoted in quote.inner_text()
        quote.click()
        target = page.evaluate("location.hash.slice(1)")
        place = page.locator(f"[id='{target}']")
        marked = page.evaluate(_FIND_MARKED, target)
        assert quoted in marked
        answer = place.locator("xpath=ancestor::div[contains(@class, 'answer ') or @class='answer']").first
        assert answer.locator("h3").inner_text().startswith("Answer A" if vote == 0 else "Answer B")
        answer.locator("a.quote").first.click()
        assert page.evaluate("location.hash") != f"#{target}"


def test_an_invented_quotation_is_seen(watched: Watched) -> None:
    page = watched.open("/runs/0/list?invented=1")
    assert page.locator("[data-row]").count() >= 1
    page.locator("[data-row]", has_text="Name a river").click()
    page.wait_for_load_state("load")
    assert "quotations not found" in page.locator(".verdict").inner_text()
    page.keyboard.press("i")
    target = page.evaluate("location.hash.slice(1)")
    assert target.startswith("je0-")
    invented = page.locator("#v0 a.quote.invented")
    assert "The Seine runs through Rome" in invented.first.inner_text()


def test_tools_are_steps(watched: Watched) -> None:
    page = watched.open("/runs/0/items/11")
    assert page.locator(".answer").first.locator(".role").all_inner_texts() == [
        "assistant, calls get_weather",
        "result of get_weather",
        "assistant",
    ]
    assert "rain, 4 degrees" in page.locator(".answer .tool").inner_text()


def test_formulas_code_and_tables_are_formatted(watched: Watched) -> None:
    page = watched.open("/runs/0/items/12")
    answer = page.locator(".answer").first
    assert answer.locator("math").count() >= 1
    assert answer.locator("pre code").count() == 1
    assert answer.locator("table td").first.inner_text() == "2"
    page.keyboard.press("w")
    page.wait_for_url("**form=plain**")
    assert "```python" in page.locator(".answer").first.inner_text()


def test_marking_and_exporting(browser: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_judgments()[:7])
    with view(folder) as link:
        one = Watched(browser, link, accept_downloads=True)
        page = one.open("/runs/0/items/7")
        page.keyboard.press("m")
        page.locator("[data-marks]").get_by_label("A", exact=True).check()
        page.get_by_label("was wrong").check()
        page.get_by_label("Note").fill("Lyon is not the capital")
        page.get_by_label("Your name").fill("ada")
        page.get_by_role("button", name="Keep").click()
        assert page.get_by_role("alert").inner_text() == "Kept."
        assert "Lyon is not the capital" in page.locator(".said").inner_text()
        (label,) = read_labels(folder)
        assert (label.who, label.label, label.is_judge_wrong) == ("ada", "A", True)
        page = one.open("/runs/0/items/6")
        assert page.get_by_label("Your name").input_value() == "ada"
        with page.expect_download() as download:
            page.evaluate("location.assign('/runs/0/pairs.jsonl')")
        (row,) = Path(download.value.path()).read_text().splitlines()
        assert json.loads(row)["label"] == "A"
        page.wait_for_timeout(1500)
        page = one.open("/runs/0/list?called_wrong=1")
        assert page.locator("[data-row]").count() == 1
        one.context.close()
        assert one.faults == []


def test_two_runs_are_compared(watched: Watched) -> None:
    page = watched.open("/compare")
    assert "5 items are in both" in page.locator("main").inner_text()
    page.get_by_role("link", name=re.compile("both are right")).click()
    page.wait_for_url("**show=both**")
    assert page.locator(".pair").count() == 5
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/0/items/1")


def test_a_run_that_is_being_written_is_followed(browser: Any, tmp_path: Path) -> None:
    made = make_judgments()
    folder = write_run(tmp_path / "run", made[:3])
    with view(folder) as link:
        one = Watched(browser, link)
        page = one.open("/runs/0/")
        other = one.context.new_page()
        other.goto(f"{one.base}/runs/0/list")
        write_run(folder, made[3:7], first=3)
        page.locator(".tile strong", has_text=re.compile("^7$")).wait_for(timeout=20_000)
        assert page.locator("[data-live]").inner_text() == "7 judgments"
        other.bring_to_front()
        other.get_by_role("link", name="Show them").click(timeout=20_000)
        assert other.locator("[data-row]").count() == 7
        one.context.close()
        assert one.faults == []


def test_what_cannot_be_shown_is_said(watched: Watched) -> None:
    for path, said in (
        ("/runs/0/?unsure=700", "expected a share"),
        ("/runs/0/items/999", "the run has"),
        ("/runs/7/", "leads nowhere"),
    ):
        page = watched.open(path)
        assert said in page.locator("main").inner_text()
        page.get_by_role("link", name="To the overview").click()
        assert page.locator("h1").count() == 1


def test_without_the_link_nothing_is_shown(browser: Any, link: str) -> None:
    page = browser.new_page()
    page.goto(link.split("/?")[0] + "/runs/0/")
    assert "Open the link that rmr1 view printed" in page.locator("body").inner_text()
    assert "item-" not in page.content()
    page.close()


def test_hostile_texts_are_inert(watched: Watched) -> None:
    """Nothing runs, loads, leaves or forges: not in the list, nor on the page of any such judgment, in any form."""
    for path in ("/runs/0/", "/runs/0/list?sort=id", "/runs/0/list?q=evil"):
        page = watched.open(path)
        page.wait_for_timeout(100)
        assert page.evaluate("window.hacked") is None
    for number in range(13, 13 + len(HOSTILE)):
        for form in ("formatted", "plain", "diff"):
            page = watched.open(f"/runs/0/items/{number}?form={form}")
            assert page.evaluate("window.hacked") is None
            assert (
                page.locator("main .answer img, main iframe, main svg animate, main form").count() == 1
            )  # the mark's form
            assert page.locator("main").is_visible()
            links = page.evaluate("[...document.links].map(one => one.href)")
            assert all(one.startswith((watched.base, "data:,")) for one in links), links
            assert page.locator(".verdict .mark").first.inner_text() == "wrong"
    page = watched.open("/runs/0/items/20")  # ANSI, a link of the terminal, direction marks
    assert "\u202e" not in page.content() and "\x1b" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, link: str, scheme: str) -> None:
    one = Watched(browser, link, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    found = {}
    for path in _PAGES:
        page = one.open(path)
        if violations := list_violations(page):
            found[path] = violations
    page = one.open("/runs/0/list")
    page.keyboard.press("?")
    if violations := list_violations(page):
        found["help"] = violations
    one.context.close()
    assert found == {}


@pytest.mark.parametrize("width", [360, 768, 2000])
def test_no_page_is_wider_than_the_window(browser: Any, link: str, width: int) -> None:
    one = Watched(browser, link, viewport={"width": width, "height": 800})
    for path in _PAGES:
        page = one.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    one.context.close()
