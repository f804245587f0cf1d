"""Ray, and nothing else: a cluster that is joined or started, and a pool of actors that blocks flow through.

    driver ──> hub ──> reader ──> actors (Ray Data map_batches) ──> driver

Ray Data places the actors, adds some while blocks wait, starts lost ones again and gives their blocks to others. Its reader
takes blocks from the hub by their number, so one that starts again goes on with the same blocks, and memory holds only what
is in flight. Ray's telemetry is off.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from rmr1.cluster.actor import Desk, Recipe, describe_failure
from rmr1.cluster.blocks import Answer, Block, decode
from rmr1.cluster.hub import Hub, Reports
from rmr1.cluster.options import ClusterOptions, choose_gpus, share_limits, split_address
from rmr1.cluster.outline import Profile
from rmr1.errors import ConfigError, GenerationError, RMR1Error, StoppedError, reason_of
from rmr1.plugins import require

CONNECT_SECONDS = 10.0
"""How long an address may take to take a connection."""
ANSWER_SECONDS = 20.0
"""How long Ray may take to answer behind it."""
STORE_BYTES = 200_000_000
"""Memory of the object store of a cluster that is started here: blocks in flight are small."""
SPARE_CPUS = 2
"""Logical CPUs of such a cluster beside those of its actors, so that nobody waits for another's."""
BLOCKS_PER_ACTOR = 8
"""Blocks that an actor is given at a time."""
MOST_RETRIES = 5
"""How often a block is judged again because its actor was lost, and how many actors in a row may be lost while they load."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # what still runs as a cluster ends would start another one
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray complains about how Ray Data starts actors
}
_TOLD = "environment variable RAY_BACKEND_LOG_LEVEL"
_FOLDER = "rmr1-ray-"
_MOST_CHARS = 12
"""A longer name of the folder for temporary files leaves no room for those of Ray's sockets, which have a limit."""
_NOTICE_SECONDS = 30.0
_POLL_SECONDS = 0.5
_ASK_RAY = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"


class Pool:
    """Actors that hold a judge each. Blocks are put in, answers come out as they finish, each block's at least once."""

    def __init__(self, options: ClusterOptions, recipe: Recipe, *, tell: Callable[[object], None]):
        """Join or start the cluster, and have actors load the recipe.

        Raises:
            ConfigError: Ray is not installed, nothing answers at the address, or a local cluster has no room for an actor.
        """
        with require("judging over Ray", "ray"):
            for name, value in _SETTINGS.items():
                os.environ.setdefault(name, value)
            import ray
            import ray.data
        self._ray = ray
        self._tell = tell
        self._folder: str | None = None
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._answered: list[int] = []
        self._profile: Profile | None = None
        self._collector: threading.Thread | None = None
        self._is_closed = False
        try:
            self._connect(options, recipe)
            self._start(replace(recipe, options=share_limits(recipe.model, recipe.options, self.most)))
        except BaseException:
            self.close()
            raise

    def wait_for_profile(self) -> Profile:
        """What the model is, as soon as the first actor has loaded it.

        Raises:
            StoppedError: an actor cannot load it.
        """
        started, is_told = time.monotonic(), False
        while self._profile is None:
            self._look()
            time.sleep(_POLL_SECONDS)
            if not is_told and time.monotonic() - started > _NOTICE_SECONDS:
                is_told = True
                self._tell(f"waiting for the first actor, which takes {self._needs}; {self._describe_room()}")
        return self._profile

    def put(self, block: Block) -> None:
        """Send a block."""
        answered, self._answered = self._answered, []
        self._hub.put.remote(block.number, block.encode(), answered)

    def get(self, seconds: float | None = None) -> Answer | None:
        """The next answer; waits for it, at most so long if that is said, and gives None then.

        Raises:
            StoppedError: an actor cannot load the judge. GenerationError: the cluster is lost.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                answer = self._answers.get(timeout=_POLL_SECONDS if seconds is None else seconds)
            except queue.Empty:
                self._look()
                if until is not None and time.monotonic() >= until:
                    return None
                continue
            if answer is None:
                self._look()
                raise GenerationError("the cluster ended before all items were judged")
            self._answered.append(answer.number)
            return answer

    def close(self) -> None:
        """End the actors, and the cluster if it was started here; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(Exception):
            if self._collector is not None and self._failure is None and sys.exc_info()[0] is None:
                self._hub.end.remote()
                self._collector.join(timeout=CONNECT_SECONDS)
        with suppress(Exception):
            self._ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self, options: ClusterOptions, recipe: Recipe) -> None:
        ray = self._ray
        quiet: dict[str, Any] = {
            "logging_level": logging.ERROR,
            "log_to_driver": False,
            "configure_logging": True,
        }
        if options.is_local:
            self._start_local(options, recipe, quiet)
            return
        if options.address != "auto":
            probe(options.address)
        try:
            with _quiet():
                ray.init(address=options.address, **quiet)
        except Exception as error:
            raise ConfigError(
                f"Ray at {options.address} cannot be joined: {reason_of(error)}; the command has to run on a machine "
                "of the cluster, with the same versions of Ray and Python"
            ) from None
        gpus = ray.cluster_resources().get("GPU", 0)
        self._gpus = choose_gpus(options, recipe.model, recipe.options, has_gpus=gpus > 0)
        self._cpus = 1
        room = int(gpus // self._gpus) if self._gpus else len(ray.nodes())
        self.most = options.most or max(1, room)
        self.least = options.least or min(self.most, max(1, room))

    def _start_local(self, options: ClusterOptions, recipe: Recipe, quiet: dict[str, Any]) -> None:
        place = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(prefix=_FOLDER, dir=place if len(place) <= _MOST_CHARS else "/tmp")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        number = options.most or 1
        try:
            with _quiet():
                self._ray.init(
                    address="local",
                    num_cpus=max(number, cores) + SPARE_CPUS,
                    object_store_memory=STORE_BYTES,
                    include_dashboard=False,
                    _temp_dir=self._folder,
                    **quiet,
                )
        except Exception as error:
            raise ConfigError(f"Ray cannot be started here: {reason_of(error)}") from None
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        self._gpus = choose_gpus(options, recipe.model, recipe.options, has_gpus=gpus > 0)
        room = int(gpus // self._gpus) if self._gpus else number
        self.most = options.most or max(1, room)
        self.least = options.least or self.most
        if room < self.least:
            raise ConfigError(
                f"{self.least} actors with {self._gpus:g} GPUs each are asked for, and this machine has {gpus} GPUs"
            )
        self._cpus = max(1, cores // self.most)

    @property
    def _needs(self) -> str:
        gpus = f" and {self._gpus:g} GPUs" if self._gpus else ""
        return f"{self._cpus} CPUs{gpus}"

    def _describe_room(self) -> str:
        free = self._ray.available_resources()
        return f"free in the cluster: {free.get('CPU', 0):g} CPUs, {free.get('GPU', 0):g} GPUs"

    def _start(self, recipe: Recipe) -> None:
        """Begin to read, judge and collect; nothing moves before the first block is put."""
        ray = self._ray
        for name in ("ray.data", "ray"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        _silence()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        self._hub = (
            ray.remote(Hub)
            .options(num_cpus=0, scheduling_strategy=here, max_concurrency=1000)
            .remote(MOST_RETRIES)
        )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = 1  # every block of ours is one of Ray's
        context.execution_no_progress_timeout_s = -1  # a large model loads for long, and may write for long
        context.max_consecutive_actor_init_deaths = MOST_RETRIES
        context.raise_original_map_exception = True
        data = ray.data.from_items([{"first": 0}]).map_batches(
            read_blocks, fn_args=(self._hub,), batch_size=None, num_cpus=0
        )
        judged = data.map_batches(
            BlockJudge,
            fn_constructor_args=(self._hub, recipe),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                min_size=self.least,
                max_size=self.most,
                max_tasks_in_flight_per_actor=BLOCKS_PER_ACTOR,
                max_concurrent_calls_per_actor=BLOCKS_PER_ACTOR,
                enable_true_multi_threading=True,
            ),
            num_cpus=self._cpus,
            num_gpus=self._gpus or None,
        )

        def collect() -> None:
            try:
                for batch in judged.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    for data in batch["block"].to_pylist():
                        if data:
                            self._answers.put(decode(data))
            except BaseException as error:
                self._failure = error
            self._answers.put(None)

        self._collector = threading.Thread(target=collect, daemon=True, name="rmr1-collect")
        self._collector.start()

    def _look(self) -> None:
        """Raise what befell the cluster, if anything did."""
        failed = self._failure
        try:
            reports: Reports = self._ray.get(self._hub.take_reports.remote(), timeout=CONNECT_SECONDS)
        except self._ray.exceptions.GetTimeoutError:
            reports = Reports()  # the hub is not up yet, or busy
        except Exception as error:
            raise GenerationError(f"the cluster is lost: {_tell_reason(failed or error)}") from error
        if reports.profiles and self._profile is None:
            self._profile = reports.profiles[0]
        if reports.failure is not None:
            raise StoppedError(f"stopped: {reports.failure}")
        for one in reports.profiles:
            if self._profile is not None and one.version != self._profile.version:
                raise StoppedError(
                    f"stopped: actors have rmr1 {self._profile.version} and {one.version}; install one everywhere"
                )
        if failed is not None:
            raise StoppedError(f"stopped: the actors cannot go on: {_tell_reason(failed)}")


class BlockJudge:
    """What Ray Data makes an actor of: blocks in, answers out."""

    def __init__(self, hub: Any, recipe: Recipe):
        self._hub = hub
        try:
            self._desk = Desk(recipe.load())
        except Exception as error:
            reason = str(error) if isinstance(error, RMR1Error) else describe_failure(error)
            _wait_for(hub.report_failure.remote(GenerationError(f"an actor cannot load the judge: {reason}")))
            raise
        _wait_for(hub.report.remote(self._desk.profile))

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        blocks = [data and self._judge(decode(data)).encode() for data in batch["block"].to_pylist()]
        return pyarrow.table({"block": pyarrow.array(blocks, pyarrow.large_binary())})

    def _judge(self, block: Block) -> Answer:
        self._hub.begin.remote(block.number)
        return self._desk.judge(block)


def read_blocks(batch: Any, hub: Any) -> Iterator[Any]:
    """Every block in its sequence, until the driver has no more; b"" in the place of one that is answered."""
    import pyarrow

    number = 0
    while (data := _wait_for(hub.get.remote(number))) is not None:
        yield pyarrow.table({"block": pyarrow.array([data], pyarrow.large_binary())})
        number += 1


def probe(address: str) -> None:
    """Refuse an address that does not answer, within `CONNECT_SECONDS` and `ANSWER_SECONDS`.

    Raises:
        ConfigError: nothing takes a connection, or what does is no Ray.
    """
    try:
        socket.create_connection(split_address(address), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"nothing answers at {address} ({reason_of(error)}, tried for up to {CONNECT_SECONDS:g} s); expected the "
            "address of a Ray cluster, as ray start told it"
        ) from None
    command = [sys.executable, "-c", _ASK_RAY, address]
    reason = f"no answer in {ANSWER_SECONDS:g} s"
    with suppress(subprocess.TimeoutExpired):
        asked = subprocess.run(command, timeout=ANSWER_SECONDS, capture_output=True, check=False)
        if asked.returncode == 0:
            return
        reason = asked.stderr.decode(errors="replace").strip().splitlines()[-1]
    raise ConfigError(f"what answers at {address} is no Ray cluster: {reason}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out of standard error that Ray's core was told to be quiet. What it says before it ends the process at once,
    as it does if this machine is too busy to start it, is printed by another process."""
    grep = shutil.which("grep")
    if grep is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    told = subprocess.Popen([grep, "--line-buffered", "-v", _TOLD], stdin=subprocess.PIPE, stdout=kept)
    assert told.stdin is not None
    try:
        os.dup2(told.stdin.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        told.stdin.close()


def _silence() -> None:
    """Ray tells on standard output, which is the command's own, of each actor that is lost; there is no setting for it."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _wait_for(reference: Any) -> Any:
    import ray

    return ray.get(reference)


def _tell_reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"
