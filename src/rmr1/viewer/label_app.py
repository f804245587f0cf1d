"""The pages on which people are asked which answer is better: a name, one question after the other, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from rmr1.active.asking import Asker, Task
from rmr1.active.sides import draw_first
from rmr1.errors import ConfigError, DataError, RMR1Error
from rmr1.report.html import make_environment
from rmr1.screen import inert, one_line
from rmr1.viewer.answering import NO_CRITERION, Answers, check_name
from rmr1.viewer.asking import FORMS, describe_task
from rmr1.viewer.assets import send_static
from rmr1.viewer.gate import Gate

_COMMAND = "rmr1 label"
_WHO = "rmr1_who"
_MOST_SKIPPED = 100
"""Skipped items that the last page leads to."""
_SAID = {
    "kept": None,
    "skipped": ("note", "Skipped."),
    "again": ("note", "You had said the same of that one already; it counts once."),
    "replaced": ("warn", "You had answered that one before: your new answer takes the place of the old one."),
    "seen": ("warn", "Kept, but not as blind: you had seen that one judged."),
    "undone": ("note", "Taken back. This is it again."),
    "nothing": ("note", "There is nothing to take back."),
}


def make_label_app(
    asker: Asker, *, token: str, name: str, seed: int = 0, then: tuple[str, ...] = ()
) -> ASGIApp:
    """The pages as an ASGI application.

    Args:
        token: Lets a browser in.
        name: What is labelled, for the head of the page.
        seed: Decides with item and person which answer stands first.
        then: Commands that the last page names.
    """
    pages = _Pages(asker, name=name, seed=seed, then=then)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for path, page in (("/", pages.ask), ("/name", pages.name), ("/static/{name}", send_static)):
        app.add_api_route(path, page, methods=["GET", "HEAD"], response_model=None)
    for path, taken in (("/answer", pages.answer), ("/undo", pages.undo)):
        app.add_api_route(path, taken, methods=["POST"], response_model=None)
    app.add_exception_handler(RMR1Error, pages.tell_error)
    app.add_exception_handler(HTTPException, pages.tell_missing)
    return Gate(app, token=token, command=_COMMAND)


class _Pages:
    """One method for each page. FastAPI runs them in threads."""

    def __init__(self, asker: Asker, *, name: str, seed: int, then: tuple[str, ...]):
        self._answers = Answers(asker)
        self._name, self._seed, self._then = name, seed, then
        self._environment = make_environment()
        self._environment.filters.update(inert=inert, one_line=one_line)

    def ask(self, request: Request) -> Response:
        """The person's next question, the one that the address names, or the end."""
        values = request.query_params
        if (who := values.get("who")) is None:
            known = unquote(request.cookies.get(_cookie(request), ""))
            return RedirectResponse(_link("/", who=known) if known.strip() else "/name", status_code=303)
        who, form = check_name(who), _read_form(values)
        key = values.get("key")
        task = self._answers.choose(who) if key is None else self._answers.find(key)
        page = self._show(who, form, task, _SAID.get(values.get("said", "")))
        page.set_cookie(_cookie(request), quote(who), httponly=True, samesite="lax")
        return page

    def name(self) -> Response:
        """A form that asks for the person's name."""
        return self._render("name")

    async def answer(self, request: Request) -> Response:
        filled = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        return await run_in_threadpool(self._answer, request.query_params, filled)

    def _answer(self, values: Mapping[str, str], filled: Mapping[str, str]) -> Response:
        who, form = check_name(values.get("who", "")), _read_form(values)
        try:
            said = self._answers.take(who, filled)
        except RMR1Error as error:
            task = None if isinstance(error, DataError) else self._answers.find(filled.get("key", ""))
            if task is None:
                raise
            page = self._show(who, form, task, ("bad", str(error)), filled)
            page.status_code = 422
            return page
        return RedirectResponse(_link("/", who=who, form=form, said=said), status_code=303)

    def undo(self, request: Request) -> Response:
        """Take back the last answer, and show its item again."""
        who, form = check_name(request.query_params.get("who", "")), _read_form(request.query_params)
        key = self._answers.undo(who)
        said = "nothing" if key is None else "undone"
        return RedirectResponse(_link("/", who=who, form=form, key=key or "", said=said), status_code=303)

    def _show(
        self,
        who: str,
        form: str,
        task: Task | None,
        said: tuple[str, str] | None,
        filled: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        progress = self._answers.measure(who)
        told: dict[str, Any] = {
            "who": who,
            "said": said,
            "progress": progress,
            "link": _link("", who=who, form=form),
        }
        if task is None:
            skipped = [_link("/", who=who, form=form, key=key) for key in progress.skipped[:_MOST_SKIPPED]]
            return self._render("end", skipped=skipped, then=self._then, **told)
        before = self._answers.find_said(task.key, who)
        return self._render(
            "ask",
            asked=describe_task(task, draw_first(self._seed, task.key, who), form),
            before=None if before is None else ("skipped" if before.is_skipped else "answered"),
            filled=filled or {},
            form=form,
            forms={
                name: (text, _link("/", who=who, form=name, key=task.key)) for name, text in FORMS.items()
            },
            no_criterion=NO_CRITERION,
            **told,
        )

    def _render(self, page: str, **values: Any) -> HTMLResponse:
        template = self._environment.get_template("viewer/templates/label.html.jinja")
        told = {"command": _COMMAND, "page": page, "run": None, "name": self._name, "who": None, "said": None}
        return HTMLResponse(template.render({**told, "progress": None, "link": "", **values}))

    async def tell_error(self, request: Request, error: Exception) -> Response:
        """What cannot be shown or kept, in one line."""
        return self._tell("This cannot be done", str(error), 404 if isinstance(error, DataError) else 422)

    async def tell_missing(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._tell("There is no such page", "The address leads nowhere.", error.status_code)

    def _tell(self, title: str, text: str, status: int) -> Response:
        page = self._render("message", title=title, text=text)
        page.status_code = status
        return page


def _read_form(values: Mapping[str, str]) -> str:
    form = values.get("form") or "formatted"
    if form not in FORMS:
        raise ConfigError(f"form={form!r}: expected {', '.join(FORMS)}")
    return form


def _link(path: str, **values: str) -> str:
    """An address with those of the values that say anything."""
    kept = {name: value for name, value in values.items() if value and (name, value) != ("form", "formatted")}
    return path + (f"?{urlencode(kept)}" if kept else "")


def _cookie(request: Request) -> str:
    return f"{_WHO}_{request.url.port}"
