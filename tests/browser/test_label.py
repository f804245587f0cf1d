"""Labelling in a real browser: by keyboard, undo, several people, a kill in between, criteria, hostile texts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmr1.active.asking import Task
from rmr1.active.said import find_standing
from rmr1.active.sides import draw_first, name_side
from rmr1.cli.main import main
from rmr1.records import RubricItem
from rmr1.server.listen import listen, name_address
from rmr1.store.labels import HumanLabel, read_labels
from tests.browser.conftest import list_violations
from tests.browser.viewed import HOSTILE, make_judgments, write_run
from tests.unit.active.asked import make_judgment
from tests.unit.active.asked import write_run as write_plain

READY = "body[data-ready]"


class Labelling:
    """The command, in a process of its own."""

    def __init__(self, folder: Path, *words: str):
        command = [sys.executable, "-m", "rmr1", "label", str(folder), "--blind", "--port", "0", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if "open http" in line:
                self.link = line.split("open ")[1].strip()
                return
        raise AssertionError("".join(seen))

    def end(self, how: signal.Signals = signal.SIGINT) -> str:
        """What it prints in the end."""
        self.process.send_signal(how)
        out, _ = self.process.communicate(timeout=20)
        return out


@contextmanager
def labelling(folder: Path, *words: str) -> Iterator[Labelling]:
    one = Labelling(folder, *words)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_plain(tmp_path / "run", [make_judgment(number, "A", p=0.8) for number in range(24)])


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens a page of its own context, which may not fail or want to leave this machine."""
    contexts, faults = [], []

    def open_one(link: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        base = link.split("/?")[0]
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda one: faults.append(one.text) if one.type == "error" else None)
        page.on(
            "request", lambda one: None if one.url.startswith((base, "data:,")) else faults.append(one.url)
        )
        page.on("dialog", lambda _: faults.append("a dialog was opened"))
        page.goto(link)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [one for one in faults if "Failed to load resource" not in one] == []


def press(page: Any, key: str) -> None:
    """An answer's key, once the page takes it, and the next page."""
    page.wait_for_selector(READY)
    with page.expect_navigation():
        page.keyboard.press(key)


def shown_key(page: Any) -> str:
    return str(page.locator("input[name=key]").input_value())


def standing(folder: Path, who: str) -> dict[str, HumanLabel]:
    return find_standing(read_labels(folder), who)


def test_twenty_pairs_by_keyboard_with_undo_a_second_person_and_a_kill(
    run: Path, open_page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted: dict[str, str | None] = {}
    keys = "12" * 3 + "ab0t" + "s1"
    with labelling(run, "--number", "20") as first:
        page = open_page(first.link)
        page.get_by_label("Your name").fill("Ada")
        page.keyboard.press("Enter")
        page.wait_for_url("**who=Ada**")
        for number, pressed in enumerate(keys):
            key = shown_key(page)
            side = {"a": "1", "b": "2", "0": "tie", "t": "tie"}.get(pressed, pressed)
            wanted[key] = None if side == "s" else name_side(side, draw_first(0, key, "Ada"))  # type: ignore[arg-type]
            one = f"The {draw_first(0, key, 'Ada')} of {int(key, 16)}."
            assert one in page.locator('[data-answer-text="1"]').inner_text()
            press(page, pressed)
            assert page.locator("[data-progress]").inner_text() == f"{number + 1} of 20"
        assert {key: label.label for key, label in standing(run, "Ada").items()} == wanted
        last = list(wanted)[-1]
        press(page, "u")
        assert shown_key(page) == last and "Taken back" in page.locator("main").inner_text()
        assert page.locator("[data-progress]").inner_text() == "11 of 20"
        press(page, "2")
        wanted[last] = name_side("2", draw_first(0, last, "Ada"))

        second = open_page(f"{first.link}&who=Eve")
        for pressed in "2201":
            press(second, pressed)
        assert len(standing(run, "Eve")) == 4 and list(standing(run, "Eve")) == list(wanted)[:4]
        first.end(signal.SIGKILL)
    assert first.process.returncode == -signal.SIGKILL
    assert {key: label.label for key, label in standing(run, "Ada").items()} == wanted
    with labelling(run, "--number", "20", "--who", "Ada") as again:
        page = open_page(again.link)
        assert page.locator("[data-progress]").inner_text() == "12 of 20"
        while page.locator("[data-say]").count():
            assert shown_key(page) not in wanted
            wanted[shown_key(page)] = name_side("1", draw_first(0, shown_key(page), "Ada"))
            press(page, "1")
        assert "You have answered 19 questions and skipped 1" in page.locator("main").inner_text()
        assert list_violations(page) == []
        out = again.end()
    assert again.process.returncode == 0
    assert "judge and people agree: " in out and "kappa: " in out
    assert {key: label.label for key, label in standing(run, "Ada").items()} == wanted and len(wanted) == 20
    assert len(standing(run, "Eve")) == 4

    capsys.readouterr()
    assert (
        main(["export", str(run), "--to", "labelstudio-blind", "--labels", "-o", str(tmp_path / "t.json")])
        == 0
    )
    other = write_plain(tmp_path / "other", [make_judgment(number, "B", p=0.2) for number in range(24)])
    assert main(["mark", str(other), "--from", str(tmp_path / "t.json")]) == 0
    assert {key: label.label for key, label in standing(other, "Ada").items()} == wanted


def test_a_key_that_is_held_or_pressed_twice_says_nothing_of_the_next_pair(run: Path, open_page: Any) -> None:
    with labelling(run, "--who", "ada") as one:
        page = open_page(one.link)
        page.wait_for_selector(READY)
        with page.expect_navigation():
            page.keyboard.down("1")
            page.keyboard.down("1")
        page.keyboard.down("1")
        page.wait_for_selector(READY)
        page.keyboard.down("1")  # a repeat, as the key was never let go
        page.keyboard.up("1")
        page.wait_for_timeout(300)
        assert page.locator("[data-progress]").inner_text() == "1 of 24"
        page.keyboard.press("n")
        page.keyboard.type("1 2 s u ?")
        page.keyboard.press("Enter")
        page.keyboard.press("?")
        assert page.locator("dialog#keys").is_visible()
        page.keyboard.press("2")
        page.keyboard.press("Escape")
        press(page, "2")
        notes = [label.note for label in standing(run, "ada").values()]
        assert notes == [None, "1 2 s u ?"]


def test_two_tabs_of_one_person_keep_one_label(run: Path, open_page: Any) -> None:
    with labelling(run, "--who", "ada") as one:
        page = open_page(one.link)
        tab = page.context.new_page()
        tab.goto(page.url)
        assert shown_key(tab) == shown_key(page)
        press(page, "1")
        press(tab, "2")
        assert "takes the place of the old one" in tab.locator("main").inner_text()
        assert len(standing(run, "ada")) == 1 and "1 of 24" in tab.locator("header").inner_text()


def test_it_works_without_script_and_by_mouse(run: Path, open_page: Any) -> None:
    with labelling(run) as one:
        page = open_page(f"{one.link}&who=ada", java_script_enabled=False)
        key = shown_key(page)
        page.get_by_label("Note").fill("fine")
        page.get_by_label("Note").press("Enter")  # says nothing
        assert not (run / "labels.jsonl").exists() or standing(run, "ada") == {}
        page.get_by_role("button", name="Answer 2").click()
        page.get_by_role("button", name="Tie").click()
        page.get_by_role("button", name="Undo").click()
        assert list(standing(run, "ada")) == [key] and standing(run, "ada")[key].note == "fine"


def test_hostile_texts_stay_texts(tmp_path: Path, open_page: Any) -> None:
    folder = write_run(tmp_path / "run", [replace(one, winner="A") for one in make_judgments()])
    with labelling(folder, "--who", "ada") as one:
        page = open_page(one.link)
        for number in range(12, 12 + len(HOSTILE)):
            page.goto(f"{one.link.split('/?')[0]}/?who=ada&key={number:032x}")
            page.wait_for_selector(READY)
            assert page.evaluate("window.hacked === undefined && document.forms.length") == 3
            page.goto(f"{page.url}&form=plain")
            assert page.evaluate("window.hacked === undefined && document.forms.length") == 3


class OneCriterion:
    """An asker whose questions are about criteria."""

    def __init__(self, folder: Path):
        self.folder, self.total = folder, 3
        items = (
            RubricItem(text="It names the right number, with its unit"),
            RubricItem(text="It is short", name="brevity", weight=0.3),
        )
        self.tasks = {
            f"{number:032x}": Task(
                key=f"{number:032x}",
                pair=make_judgment(number, "A").pair,
                ask="criterion",
                criteria=items,
                reason="The rubrics that a judge would go by differ here.",
            )
            for number in range(3)
        }

    def choose(self, labels: Sequence[HumanLabel], who: str) -> Task | None:
        done = find_standing(labels, who)
        return next((one for key, one in self.tasks.items() if key not in done), None)

    def find(self, key: str) -> Task | None:
        return self.tasks.get(key)


@pytest.fixture
def criteria_link(run: Path) -> Iterator[str]:
    import uvicorn

    from rmr1.viewer.label_app import make_label_app

    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(make_label_app(OneCriterion(run), token="t", name="pool"), log_level="warning")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"{name_address(listener)}/?token=t&who=ada"
    server.should_exit = True
    thread.join(20)
    listener.close()


def test_a_criterion_by_keyboard(run: Path, open_page: Any, criteria_link: str) -> None:
    page = open_page(criteria_link)
    page.wait_for_selector(READY)
    page.keyboard.press("2")
    assert page.locator("[name=side][value='2']").is_checked()
    page.keyboard.press("Escape")
    assert not page.locator("[name=side][value='2']").is_checked()
    page.keyboard.press("1")
    press(page, "2")
    page.wait_for_selector(READY)
    page.keyboard.press("b")
    page.keyboard.press("o")
    page.keyboard.type("it rhymes 2")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.wait_for_selector(READY)
    page.keyboard.press("t")
    press(page, "0")
    said = [(one.label, one.criterion) for one in standing(run, "ada").values()]
    sides = [draw_first(0, f"{number:032x}", "ada") for number in range(3)]
    assert said == [(sides[0], "brevity"), (name_side("2", sides[1]), "it rhymes 2"), ("tie", None)]
    assert "That is all" in page.locator("main").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everybody_can_use_it(scheme: str, width: int, run: Path, open_page: Any, criteria_link: str) -> None:
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with labelling(run) as one:
        base = one.link.split("/?")[0]
        page = open_page(one.link, **options)
        for path in ("/name", "/?who=ada", "/?who=ada&form=plain", "/nowhere", "/?who=ada&form=x"):
            page.goto(base + path)
            assert list_violations(page, ("minor", "moderate", "serious", "critical")) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page = open_page(criteria_link, **options)
    assert list_violations(page, ("minor", "moderate", "serious", "critical")) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_report_says_what_was_labelled(run: Path, open_page: Any) -> None:
    with labelling(run, "--who", "ada", "--number", "2", "--json") as one:
        page = open_page(one.link)
        press(page, "1")
        press(page, "2")
        out = one.end()
    told = json.loads(out)
    assert (
        told["items"] == 2
        and re.fullmatch(r"\d+", str(told["labels"]))
        and os.path.exists(run / "labels.jsonl")
    )
