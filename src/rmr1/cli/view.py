"""Read judgments in a browser: what is wrong and why, where quotations stand, how runs differ.

  rmr1 view runs/x                  prints a link; open it in a browser on this machine
  rmr1 view runs/x runs/y           both, and where they differ
  rmr1 view models/x                the curves of a training

A run is indexed once, in a folder .view beside its judgments; a run that is still being written is followed. The page
is at 127.0.0.1 and wants the token of the printed link. What people mark there is appended to labels.jsonl of the run.
"""

from __future__ import annotations

import secrets
import signal
import socket
import tempfile
import webbrowser
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rmr1.cli.options import add
from rmr1.cli.session import tell
from rmr1.console import ByteProgress
from rmr1.errors import ConfigError
from rmr1.plugins import require
from rmr1.server.guard import is_loopback
from rmr1.server.listen import listen, name_address
from rmr1.store.kinds import TRAINING_FILE
from rmr1.store.runs import RUN_FILE

PORT = 8400


def add_arguments(parser: ArgumentParser) -> None:
    add(
        parser,
        "RUN",
        "folders of judging runs or trainings; of a folder of such all that are in it",
        nargs="+",
        dest="runs",
    )
    add(parser, "--port N", f"port (default {PORT}, or a free one if it is taken; 0 takes a free one)")
    add(parser, "--host ADDRESS", "address to listen at", default="127.0.0.1")
    add(parser, "--open", "open the link in the browser")
    add(parser, "--index-only", "index the runs, and end")
    add(parser, "--quiet", "no progress")


def run(arguments: Namespace) -> int:
    with require("the viewer", "view"):
        import uvicorn

        from rmr1.viewer.app import make_app
        from rmr1.viewer.runs import Runs
        from rmr1.viewer.search import Query

    with ExitStack() as opened:
        listener = None if arguments.index_only else _listen(arguments.host, arguments.port)
        if listener is not None:
            opened.callback(listener.close)
        runs = opened.enter_context(Runs(find_folders(arguments.runs)))
        for one in runs.judged:
            if one.judgments.note:
                tell(one.judgments.note)
            done, total = one.judgments.progress
            with ByteProgress(f"indexing {one.name}", total, done=done, quiet=arguments.quiet) as progress:
                added = one.judgments.refresh(progress.report)
            one.figures(
                Query()
            )  # of a million judgments it takes seconds, so the first page finds them ready
            if added:
                tell(
                    f"{one.name}: {one.judgments.num_items:,} judgments indexed, {added:,} of them now, in {progress.seconds:.1f} s"
                )
        if listener is None:
            return 0
        if not is_loopback(arguments.host):
            tell(f"anybody who reaches {arguments.host} and has the link can read the runs and mark them")
        token = secrets.token_urlsafe(24)
        link = f"{name_address(listener)}/?token={token}"
        runs.follow()
        settings = uvicorn.Config(
            make_app(runs, token=token),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        tell(f"open {link}")
        tell("end it with Ctrl-C")
        if arguments.open:
            webbrowser.open(opened.enter_context(_hide_link(link)))
        signal.signal(signal.SIGTERM, _end)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])
    return 0


@contextmanager
def _hide_link(link: str) -> Iterator[str]:
    """The address of a page that leads to the link and that only this user can read; command lines are seen by all."""
    with tempfile.TemporaryDirectory(prefix="rmr1-view-") as folder:  # made for its owner alone
        page = Path(folder) / "open.html"
        page.write_text(f'<meta http-equiv="refresh" content="0;url={link}">', encoding="utf-8")
        yield page.as_uri()


def find_folders(names: list[str]) -> list[Path]:
    """The folders themselves; of a folder that holds runs or trainings, and is none, those in it."""
    found = []
    for name in names:
        folder = Path(name)
        inside = sorted(one.parent for file in (RUN_FILE, TRAINING_FILE) for one in folder.glob(f"*/{file}"))
        is_one = any((folder / file).is_file() for file in (RUN_FILE, TRAINING_FILE))
        found += [folder] if is_one or not inside else inside
    return found


def _listen(host: str, port: int | None) -> socket.socket:
    """Listen at the port that was asked for, which has to be free; else at the usual one, or a free one."""
    if port is not None:
        return listen(host, port)
    try:
        return listen(host, PORT)
    except ConfigError:
        return listen(host, 0)


def _end(*_: object) -> None:
    raise SystemExit(0)
