"""The HTML report in a real browser: from disk, without network, in both schemes, narrow and wide."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from rmr1.cli.main import main
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair
from rmr1.store.runs import open_run
from tests.unit.report.hostile import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (360, 1200, 2000)
WORDS = (
    "river",
    "stone",
    "paper",
    "light",
    "seven",
    "nine",
    "green",
    "blue",
    "slow",
    "over",
    "while",
    "because",
)


def make_judgment(number: int) -> Judgment:
    """A judgment of long texts in both orders, one of whose quotations is invented."""
    draw = random.Random(number)
    answers = [" ".join(draw.choices(WORDS, k=400)) + f" end {side} {number}." for side in "AB"]
    pair = PreferencePair(
        id=f"item-{number}",
        prompt=(user(" ".join(draw.choices(WORDS, k=40)) + "?"),),
        response_a=(assistant(answers[0]),),
        response_b=(assistant(answers[1]),),
        label=draw.choice(("A", "B")),
        subset=f"a-long-name-of-a-subset/{draw.choice(WORDS)}",
    )
    votes = []
    orders: tuple[Order, ...] = ("given", "swapped")
    for order in orders:
        first, second = ("A", "B") if order == "given" else ("B", "A")
        text = (
            "<type>Chat</type><rubric>\n1. Clear (70%)\n2. Kind (30%)\n<justify>So it is.</justify></rubric><eval>"
            f"It ends <quote_A>end {first} {number}.</quote_A> and <quote_B>end {second} {number}.</quote_B>; "
            f"<quote_A>nobody wrote this here</quote_A>. {' '.join(draw.choices(WORDS, k=200))}"
            f"</eval><answer>[[{draw.choice('AB')}]]</answer>"
        )
        said = Generation(text=text, finish_reason="stop", completion_tokens=300)
        votes.append(cast_vote(said, order=order, sample=0, rule="tagged"))
    return conclude(pair, votes, family="rubric", rule="tagged")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a thousand judgments, with as many of them as fit."""
    folder = tmp_path_factory.mktemp("report")
    description = {"model": {}, "data": {}, "model_name": "by hand", "created": "2026-11-30T16:24:27+00:00"}
    with open_run(folder / "run", description) as run:
        for number in range(1000):
            run.append(f"{number:032x}", make_judgment(number))
    page = folder / "report.html"
    assert main(["report", str(folder / "run"), "--html", str(page), "--limit", "1000"]) == 0
    return page


@pytest.fixture(scope="module")
def small(report: Path) -> Path:
    page = report.with_name("small.html")
    assert main(["report", str(report.with_name("run")), "--html", str(page), "--limit", "3"]) == 0
    return page


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_run(folder / "run")
    assert main(["report", str(folder / "run"), "--html", str(folder / "report.html")]) == 0
    return folder / "report.html"


class Opened:
    """Pages of a context without network, and what they asked for and complained of."""

    def __init__(self, browser: Browser, width: int = 1200, scheme: Literal["light", "dark"] = "light"):
        self._context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        self.page: Page = self._context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda one: self.requests.append(one.url))
        self.page.on("console", lambda one: self.complaints.append(one.text))
        self.page.on("pageerror", lambda one: self.complaints.append(str(one)))
        self.page.on("dialog", lambda one: self.complaints.append(one.message))

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    found = Opened(browser)
    yield found
    found.close()


def test_a_thousand_judgments_are_less_than_3_mb(report: Path, opened: Opened) -> None:
    assert report.stat().st_size < 3_000_000
    opened.page.goto(report.as_uri())
    shown = opened.page.locator("article.judgment").count()
    left = opened.page.locator("footer p").first.inner_text()
    listed = sum(
        int(one.rsplit("(")[-1].rstrip(")")) for one in opened.page.locator("nav a").all_inner_texts()
    )
    assert 100 < shown < 1000 and left.startswith(f"{listed - shown} judgments are left out")
    assert "1,000 judgments" in opened.page.locator(".figures").inner_text()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_from_disk_at_every_width(
    width: int, scheme: Literal["light", "dark"], small: Path, hostile: Path, browser: Browser
) -> None:
    for path in (small, hostile):
        one = Opened(browser, width, scheme)
        one.page.goto(path.as_uri())
        assert one.requests == [path.as_uri()] and one.complaints == []
        assert (
            one.page.evaluate("document.documentElement.scrollWidth") == width
        )  # nothing to scroll sideways
        background, ink = one.page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        levels = [sum(map(int, value[4:-1].split(","))) for value in (background, ink)]
        assert (levels[0] < levels[1]) == (scheme == "dark")
        boxes = [box for box in (found.bounding_box() for found in one.page.locator("article").all()) if box]
        assert boxes and all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        answers = [
            found.bounding_box() for found in one.page.locator(".answers").first.locator(".answer").all()
        ]
        first, second = (box for box in answers if box)
        assert (first["y"] == second["y"]) == (width > 360)  # side by side if there is room
        one.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing(
    width: int, scheme: Literal["light", "dark"], small: Path, hostile: Path, browser: Browser
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for path in (small, hostile):
        one = Opened(browser, width, scheme)
        one.page.goto(path.as_uri())
        one.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        found = axe.run(one.page).response["violations"]
        assert [
            (violation["id"], violation["impact"], violation["nodes"][0]["html"]) for violation in found
        ] == []
        one.close()


def test_a_quotation_leads_to_its_place_and_back(small: Path, opened: Opened) -> None:
    page = opened.page
    page.goto(small.as_uri())
    quote = page.locator("#j1 .words a.quote:not(.invented)").first
    words, start = quote.evaluate("one => [one.firstChild.textContent, one.hash]")
    quote.click()
    place = page.locator("#j1 .answer :target + a.quote, #j1 .answer :target + .at + a.quote")
    assert page.evaluate("location.hash") == start
    assert place.evaluate("one => one.firstChild.textContent") == words
    assert page.evaluate("document.querySelector(':target').getBoundingClientRect().top") < 900
    place.click()
    assert page.locator("#j1 .words :target + a.quote").evaluate("one => one.firstChild.textContent") == words
    invented = page.locator("#j1 .words a.invented").first
    assert invented.inner_text().startswith("nobody wrote this here") and invented.inner_text().endswith("?")


def test_it_is_walked_through_by_keyboard(small: Path, opened: Opened) -> None:
    page = opened.page
    page.goto(small.as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") in ("#worst", "#flips", "#sample")
    page.locator("#j1 summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#j1 details").first.get_attribute("open") is not None


def test_hostile_texts_do_nothing(hostile: Path, opened: Opened) -> None:
    page = opened.page
    page.goto(hostile.as_uri())
    page.mouse.move(200, 400)
    page.wait_for_timeout(200)
    assert opened.requests == [hostile.as_uri()] and opened.complaints == []
    assert page.locator("script, img, svg, iframe, object, embed, form, link, base").count() == 0
    assert "<script>alert(1)</script>" in page.locator("main").inner_text()
    assert page.title().startswith("run: <script>")
    assert {
        one.split("#")[0] for one in page.eval_on_selector_all("a", "all => all.map(one => one.href)")
    } == {hostile.as_uri()}
