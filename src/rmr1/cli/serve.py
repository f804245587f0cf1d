"""Serve the judge over HTTP.

  rmr1 serve -m MODEL                                 pairs, rankings, rewards of groups, at 127.0.0.1:8300
  rmr1 serve -m MODEL --host 0.0.0.0 --keys keys.txt  for other machines; keys one a line, as name:key
  rmr1 serve -m MODEL --cache judgments --jobs jobs   nothing is judged twice; large batches in run folders

The page at / shows a judgment of pasted texts, /openapi.json says what can be asked, /metrics is for Prometheus.
A judge that reasons takes seconds to minutes an answer; requests of all callers share the engine's batches.
"""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from functools import partial
from pathlib import Path

from rmr1.cli.options import add, add_judging_arguments, build_config
from rmr1.cli.session import open_judge, tell
from rmr1.errors import ConfigError
from rmr1.plugins import require
from rmr1.server.listen import listen, name_address
from rmr1.server.queue import ClosedError
from rmr1.server.settings import ServeSettings

PORT = 8300

_ENDING_SECONDS = 10.0
"""How long an engine is waited for when the server ends."""


def add_arguments(parser: ArgumentParser) -> None:
    add_judging_arguments(parser, has_data=False)
    server = partial(add, parser.add_argument_group("server"))
    server("--host ADDRESS", "address to listen at; other machines reach 0.0.0.0", default="127.0.0.1")
    server("--port N", f"port (default {PORT}; 0 takes a free one)", default=PORT)
    server("--replicas N", "judges that are loaded, each in a thread of its own (default 1)", default=1)
    server("--keys FILE", "let in only Bearer keys of this file, one a line; beside RMR1_SERVE_KEYS")
    server("--require-calibration FILE", "serve only with this calibration, and only the judge that it is of")
    server("--max-waiting N", "judgments that wait at a time; beyond, 429 (default 1000)", default=1000)
    server("--max-bytes N", "bytes of a request (default 8388608)", default=8 << 20)
    server("--timeout T", "seconds that a request is worked at (default 600)", default=600.0)
    questions = (
        "answer questions that are no pair at /v1/decisions, too; for general models, not for judges of pairs"
    )
    server("--questions", questions)
    server("--jobs FOLDER", "take large batches, each with a run folder in here")
    server("--group-size N", "answers of a group, for trainers that do not tell it")
    server(
        "--on-missing WHAT",
        "a group that is not complete at its deadline: partial (default), fail",
        choices=("partial", "fail"),
        default="partial",
    )
    server(
        "--on-failure WHAT",
        "an answer without a reward, to clients that know numbers only: error (default), mean of its group",
        choices=("error", "mean"),
        default="error",
    )
    server("--log-texts", "write what is asked and answered into the log")


def run(arguments: Namespace) -> int:
    with require("serving", "serve"):
        import uvicorn

        from rmr1.server.app import make_app
        from rmr1.server.guard import is_loopback
        from rmr1.server.keys import VARIABLE, Keys
        from rmr1.server.service import Service
        from rmr1.server.start import start_workers

    settings = _read_settings(arguments)
    keys = Keys(settings.keys)
    if keys.is_open and not is_loopback(arguments.host):
        tell(f"anybody who reaches {arguments.host} can use the judge: no keys are set (--keys, {VARIABLE})")
    if arguments.require_calibration is not None:
        if arguments.calibration not in (None, arguments.require_calibration):
            raise ConfigError("--calibration and --require-calibration name two files")
        arguments.calibration = arguments.require_calibration
    config = build_config(arguments)
    with listen(arguments.host, arguments.port) as listener:
        queue, workers = start_workers(
            partial(open_judge, config), num_workers=arguments.replicas, most_waiting=settings.most_waiting
        )
        service = Service(workers[0].wait_until_loaded(), queue, workers, settings)
        tell(f"serving {service.judge.name} at {name_address(listener)}")
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(service, keys=keys),
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=30,
                server_header=False,
            )
        )
        signal.signal(signal.SIGTERM, _end)  # uvicorn raises it again once it has ended its requests
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        finally:
            queue.close(ClosedError("the server has ended"))
            for worker in workers:
                worker.join(_ENDING_SECONDS)
    return 0


def _end(*_: object) -> None:
    raise SystemExit(0)


def _read_settings(arguments: Namespace) -> ServeSettings:
    for name in ("replicas", "max_waiting", "max_bytes", "timeout", "group_size"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: expected a number above 0")
    return ServeSettings(
        most_waiting=arguments.max_waiting,
        most_bytes=arguments.max_bytes,
        seconds=arguments.timeout,
        group_size=arguments.group_size,
        on_missing=arguments.on_missing,
        on_failure=arguments.on_failure,
        answers_questions=arguments.questions,
        jobs=None if arguments.jobs is None else Path(arguments.jobs),
        keys=None if arguments.keys is None else Path(arguments.keys),
        logs_texts=arguments.log_texts,
    )
