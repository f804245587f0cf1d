"""The page that asks people, for every way of choosing what is asked."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from rmr1.active.asking import Asker
from rmr1.active.blind import NUMBER
from rmr1.cli.options import add
from rmr1.cli.pages import add_page_arguments, listen_or_free, serve_pages, warn_of_host
from rmr1.cli.session import tell
from rmr1.plugins import require
from rmr1.store.labels import append_labels

PORT = 8410


def add_asking_arguments(parser: ArgumentParser) -> None:
    """How many questions, to how many people, and where."""
    add(
        parser,
        "--number N",
        f"questions to each person at most (default {NUMBER}; 0 is all of a run)",
        type=int,
    )
    add(
        parser,
        "--people N",
        "people who are asked about one pair at most (default: of a run everybody, of a pool 1)",
    )
    add(parser, "--who NAME", "who labels; the link has the name (default: the page asks)")
    add_page_arguments(parser, PORT)


def ask_people(arguments: Namespace, asker: Asker, *, seed: int, then: Sequence[str]) -> None:
    """The page, until it is ended.

    Args:
        seed: Decides with item and person which answer stands first.
        then: The commands that the page's end names.
    """
    with require("the page", "view"):
        from rmr1.viewer.answering import check_name
        from rmr1.viewer.label_app import make_label_app

    query = "" if arguments.who is None else f"&who={quote(check_name(arguments.who))}"
    append_labels(asker.folder, ())  # a folder that cannot be written is told now, not after the first answer
    with listen_or_free(arguments.host, arguments.port, PORT) as listener:
        warn_of_host(arguments.host, "label the pairs")
        tell(f"{asker.total:,} questions to each person")
        name = asker.folder.resolve().name
        app = partial(make_label_app, asker, name=name, seed=seed, then=tuple(then))
        serve_pages(app, listener, is_opened=arguments.open, query=query)
