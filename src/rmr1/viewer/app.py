"""The viewer's pages over the runs that it was told to show."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from rmr1.errors import ConfigError, DataError, RMR1Error
from rmr1.report.html import make_environment
from rmr1.screen import inert, one_line
from rmr1.store.codec import dump_record, dumps
from rmr1.store.labels import LABELS_FILE, read_labelled_pairs
from rmr1.viewer.address import Address, keep_values, read_address, read_page
from rmr1.viewer.assets import send_static
from rmr1.viewer.benchmark import describe_benchmark
from rmr1.viewer.compare import describe_comparison
from rmr1.viewer.gate import Gate
from rmr1.viewer.listing import describe_list
from rmr1.viewer.one import FORMS, describe_one
from rmr1.viewer.overview import describe_overview
from rmr1.viewer.people import store_mark
from rmr1.viewer.rankings import describe_page
from rmr1.viewer.runs import OpenRun, Runs
from rmr1.viewer.search import Query
from rmr1.viewer.training import describe_training
from rmr1.viewer.trust import describe_trust

_MOST_LETTERS = 4000
"""Letters of an address's parameters that are read."""
_SAID = {
    "kept": ("good", "Kept."),
    "next": ("good", "Kept, as blind. This is the next one."),
    "seen": ("warn", "Kept, but not as blind: its verdict has been shown here, or the list tells of it."),
}
"""What is said of a mark."""
_OWN = ("form", "blind", "said", "at")
"""Parameters of the page of one judgment, beside those of its list."""


def make_app(runs: Runs, *, token: str) -> ASGIApp:
    """The whole viewer as an ASGI application; `token` is what lets a browser in."""
    pages = _Pages(runs)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for path, page in (
        ("/", pages.home),
        ("/runs/{slot}/", pages.overview),
        ("/runs/{slot}/list", pages.listing),
        ("/runs/{slot}/items/{number}", pages.one),
        ("/runs/{slot}/benchmark", pages.benchmark),
        ("/runs/{slot}/rankings", pages.rankings),
        ("/runs/{slot}/audits", pages.trust),
        ("/runs/{slot}/training", pages.training),
        ("/compare", pages.compare),
        ("/runs/{slot}/state", pages.state),
        ("/runs/{slot}/labels.jsonl", pages.labels),
        ("/runs/{slot}/pairs.jsonl", pages.pairs),
        ("/static/{name}", send_static),
    ):
        app.add_api_route(path, page, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/runs/{slot}/items/{number}/marks", pages.mark, methods=["POST"], response_model=None)
    app.add_exception_handler(RMR1Error, pages.tell_error)
    app.add_exception_handler(HTTPException, pages.tell_missing)
    return Gate(app, token=token)


class _Pages:
    """One method for each page. FastAPI runs them in threads; they share nothing but the runs."""

    def __init__(self, runs: Runs):
        self._runs = runs
        self._environment = make_environment()
        self._environment.filters.update(
            inert=inert,
            one_line=one_line,
            to_list=lambda link: link if link.startswith("list") else f"list{link}",
        )

    def home(self) -> Response:
        if len(self._runs.all) == 1:
            return RedirectResponse("/runs/0/", status_code=303)
        shown = [(run, None if run.index is None else run.figures(Query()).figures) for run in self._runs.all]
        return self._render("home", None, "runs", shown=shown)

    def overview(self, slot: str, request: Request) -> Response:
        run = self._find(slot)
        if run.index is None:
            return RedirectResponse("training", status_code=303)
        address = _read(request)
        has_labels = (run.folder / LABELS_FILE).is_file()
        return self._render(
            "overview",
            run,
            "overview",
            address=address,
            has_labels=has_labels,
            **describe_overview(run, address),
        )

    def listing(self, slot: str, request: Request) -> Response:
        run = self._find_judged(slot)
        try:
            address, fault = _read(request), None
        except ConfigError as error:
            address, fault = keep_values(dict(request.query_params)), str(error)
        page = self._render(
            "list", run, "list", address=address, fault=fault, **describe_list(run, address, fault)
        )
        page.status_code = 200 if fault is None else 422
        return page

    def one(self, slot: str, number: str, request: Request) -> Response:
        run, address = self._find_judged(slot), _read(request, *_OWN)
        form, is_blind = request.query_params.get("form", "formatted"), "blind" in request.query_params
        if form not in FORMS:
            raise ConfigError(f"form={form!r}: expected {', '.join(FORMS)}")
        said = _SAID.get(request.query_params.get("said", ""))
        at = request.query_params.get("at", "")
        return self._show(
            run, address, _read_number(number), form, is_blind, at=read_page(at) if at else None, said=said
        )

    def _show(
        self,
        run: OpenRun,
        address: Address,
        number: int,
        form: str,
        is_blind: bool,
        *,
        at: int | None = None,
        said: tuple[str, str] | None,
        filled: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        told = describe_one(run, address, number, form, is_blind, at)
        if not is_blind:
            run.seen.add(told["key"])
        who = _guess_user() if filled is None else filled.get("who", "")
        return self._render(
            "one", run, "one", address=address, said=said, filled=filled or {}, who=who, **told
        )

    async def mark(self, slot: str, number: str, request: Request) -> Response:
        run, address = self._find_judged(slot), _read(request, *_OWN)
        body = await request.body()
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        return await run_in_threadpool(self._mark, run, address, _read_number(number), form)

    def _mark(self, run: OpenRun, address: Address, number: int, form: Mapping[str, str]) -> Response:
        key, _ = run.judgments.read(number)
        asked_blind = form.get("blind") == "1"
        is_blind = asked_blind and key not in run.seen and not address.query.tells_verdicts
        try:
            store_mark(run, key, form, is_blind=is_blind)
            run.judgments.refresh()
        except RMR1Error as error:
            page = self._show(
                run, address, number, "formatted", asked_blind, said=("bad", str(error)), filled=form
            )
            page.status_code = 422
            return page
        if asked_blind:  # on to the next one, as blind
            _, following = run.judgments.neighbours(address.query, number)
            if following is not None:
                said = "next" if is_blind else "seen"
                link = address.link(page=address.page, blind=1, said=said)
                return RedirectResponse(f"/runs/{run.slot}/items/{following}{link}", status_code=303)
        link = address.link(page=address.page, said="kept" if is_blind or not asked_blind else "seen")
        return RedirectResponse(f"/runs/{run.slot}/items/{number}{link}#mark", status_code=303)

    def trust(self, slot: str, request: Request) -> Response:
        run, address = self._find_judged(slot), _read(request)
        return self._render("trust", run, "trust", address=address, **describe_trust(run, address))

    def training(self, slot: str) -> Response:
        run = self._find(slot)
        if not run.is_training:
            raise HTTPException(404)
        return self._render("training", run, "training", **describe_training(run))

    def benchmark(self, slot: str) -> Response:
        run = self._find_judged(slot)
        if run.benchmark is None:
            raise HTTPException(404)
        return self._render("benchmark", run, "benchmark", **describe_benchmark(run))

    def rankings(self, slot: str, page: str = "1") -> Response:
        run = self._find_judged(slot)
        if not run.has_rankings:
            raise HTTPException(404)
        return self._render("rankings", run, "rankings", **describe_page(run, read_page(page)))

    def compare(self, a: str = "", b: str = "", show: str = "differ", page: str = "1") -> Response:
        judged = self._runs.judged
        if len(judged) < 2:
            raise ConfigError("two runs are needed to compare; name them both on the command line")
        one = self._find_judged(a) if a else judged[0]
        other = self._find_judged(b) if b else next(run for run in judged if run is not one)
        return self._render(
            "compare", None, "compare", **describe_comparison(one, other, show, read_page(page))
        )

    def state(self, slot: str) -> Response:
        """How far the run is, for a page that follows it."""
        run = self._find_judged(slot)
        return JSONResponse({"items": run.judgments.num_items, "failure": run.failure})

    def labels(self, slot: str) -> Response:
        run = self._find_judged(slot)
        path = run.folder / LABELS_FILE
        return _download("labels.jsonl", path.read_bytes() if path.is_file() else b"")

    def pairs(self, slot: str) -> Response:
        """The pairs that people have labelled, with their label."""
        run = self._find_judged(slot)
        lines = [dumps(dump_record(pair)) + b"\n" for _, pair in read_labelled_pairs(run.folder)]
        return _download("pairs.jsonl", b"".join(lines))

    async def tell_error(self, request: Request, error: Exception) -> Response:
        """What cannot be shown, in one line."""
        assert isinstance(error, RMR1Error)
        status = 404 if isinstance(error, DataError) else 422
        return self._tell(request, "This cannot be shown", str(error), status)

    async def tell_missing(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._tell(request, "There is no such page", "The address leads nowhere.", error.status_code)

    def _tell(self, request: Request, title: str, text: str, status: int) -> Response:
        slot = request.path_params.get("slot", "")
        run = self._runs.all[int(slot)] if self._is_slot(slot) else None
        link = "/" if run is None else f"/runs/{run.slot}/"
        told = {"title": title, "text": text, "link": link, "link_text": "To the overview", "num_items": 0}
        try:
            page = self._render("message", run, "message", **told)
        except RMR1Error:  # the run itself is gone
            page = self._render("message", None, "message", **told)
        page.status_code = status
        return page

    def _find(self, slot: str) -> OpenRun:
        if not self._is_slot(slot):
            raise HTTPException(404)
        return self._runs.all[int(slot)]

    def _is_slot(self, slot: str) -> bool:
        return slot.isdecimal() and len(slot) < 6 and int(slot) < len(self._runs.all)

    def _find_judged(self, slot: str) -> OpenRun:
        run = self._find(slot)
        if run.index is None:
            raise HTTPException(404)
        return run

    def _render(self, template: str, run: OpenRun | None, page: str, **values: Any) -> HTMLResponse:
        found = self._environment.get_template(f"viewer/templates/{template}.html.jinja")
        told = {
            "command": "rmr1 view",
            "run": run,
            "runs": self._runs.all,
            "page": page,
            "pages": self._list_pages(run),
            **values,
        }
        return HTMLResponse(found.render(told))

    def _list_pages(self, run: OpenRun | None) -> list[tuple[str, str, str]]:
        """(name, address, title) of the pages that there are."""
        pages = [("runs", "/", "Runs")] if len(self._runs.all) > 1 else []
        if run is not None:
            start = f"/runs/{run.slot}/"
            if run.index is not None:
                pages += [("overview", start, "Overview"), ("list", f"{start}list", "Judgments")]
                pages.append(("trust", f"{start}audits", "Audits"))
            if run.benchmark is not None:
                pages.append(("benchmark", f"{start}benchmark", "Benchmark"))
            if run.has_rankings:
                pages.append(("rankings", f"{start}rankings", "Rankings"))
            if run.is_training:
                pages.append(("training", f"{start}training", "Training"))
        if len(self._runs.judged) > 1:
            pages.append(("compare", "/compare", "Compare"))
        return pages


def _read(request: Request, *others: str) -> Address:
    if len(request.url.query) > _MOST_LETTERS:
        raise ConfigError(f"an address of more than {_MOST_LETTERS} letters is not read")
    values: Mapping[str, str] = request.query_params
    return read_address({name: value for name, value in values.items() if name not in others})


def _read_number(number: str) -> int:
    if not number.isdecimal() or len(number) > 12:
        raise HTTPException(404)
    return int(number)


def _guess_user() -> str:
    """The user's name; nobody's if it is the machine's own."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return ""
    return "" if name == "root" else name


def _download(name: str, body: bytes) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type="application/x-ndjson", headers=headers)
