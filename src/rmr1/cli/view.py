"""Read judgments in a browser: what is wrong and why, where quotations stand, how runs differ.

  rmr1 view runs/x                  prints a link; open it in a browser on this machine
  rmr1 view runs/x runs/y           both, and where they differ
  rmr1 view models/x                the curves of a training

A run is indexed once, in a folder .view beside its judgments; a run that is still being written is followed. The page
is at 127.0.0.1 and wants the token of the printed link. What people mark there is appended to labels.jsonl of the run.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rmr1.cli.options import add
from rmr1.cli.pages import add_page_arguments, listen_or_free, serve_pages, warn_of_host
from rmr1.cli.session import tell
from rmr1.console import ByteProgress
from rmr1.plugins import require
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
    add_page_arguments(parser, PORT)
    add(parser, "--index-only", "index the runs, and end")
    add(parser, "--quiet", "no progress")


def run(arguments: Namespace) -> int:
    with require("the viewer", "view"):
        from rmr1.viewer.app import make_app
        from rmr1.viewer.runs import Runs
        from rmr1.viewer.search import Query

    with ExitStack() as opened:
        listener = None if arguments.index_only else listen_or_free(arguments.host, arguments.port, PORT)
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
        warn_of_host(arguments.host, "read the runs and mark them")
        runs.follow()
        serve_pages(partial(make_app, runs), listener, is_opened=arguments.open)
    return 0


def find_folders(names: list[str]) -> list[Path]:
    """The folders themselves; of a folder that holds runs or trainings, and is none, those in it."""
    found = []
    for name in names:
        folder = Path(name)
        inside = sorted(one.parent for file in (RUN_FILE, TRAINING_FILE) for one in folder.glob(f"*/{file}"))
        is_one = any((folder / file).is_file() for file in (RUN_FILE, TRAINING_FILE))
        found += [folder] if is_one or not inside else inside
    return found
