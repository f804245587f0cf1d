"""The files that a page loads: one style sheet for all pages, and a script for each kind."""

from __future__ import annotations

from importlib.resources import files

from fastapi.responses import Response
from starlette.exceptions import HTTPException

from rmr1.report.html import load_style

_SCRIPTS = ("view.js", "label.js")
_STYLES = ("rich.css", "view.css", "label.css")


def send_static(name: str) -> Response:
    """The style sheet or a script, by its name in an address."""
    if name == "style.css":
        return _send("text/css", load_style() + "".join(map(_load, _STYLES)))
    if name in _SCRIPTS:
        return _send("text/javascript", _load(name))
    raise HTTPException(404)


def _send(kind: str, text: str) -> Response:
    return Response(text, media_type=f"{kind}; charset=utf-8")


def _load(name: str) -> str:
    return (files("rmr1.viewer") / "static" / name).read_text(encoding="utf-8")
