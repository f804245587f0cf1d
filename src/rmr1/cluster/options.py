"""What is said of the cluster: where it is, how many actors judge, and what each of them takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rmr1.engines.names import parse_model_name
from rmr1.engines.options import read_options
from rmr1.errors import ConfigError
from rmr1.faces import name_option

Place = Literal["local", "cluster"]

OWN_ADDRESS = "RAY_ADDRESS"
"""The variable by which a process knows the cluster that it belongs to."""
_LIMITS = ("concurrency", "requests_per_minute", "tokens_per_minute")
"""Options by which a server is spared."""
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+):(?P<port>\d{1,5})")
_EXPECTED = "expected HOST:PORT, auto (the cluster of this machine) or local (one of this process alone)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """The place where a run is judged, and the number of judges."""

    address: str = "local"
    """`local`, `auto`, or HOST:PORT."""
    least: int | None = None
    """Actors to begin with; None is one, or with `most` None as many as there is room for."""
    most: int | None = None
    """Actors at most; None is as many as there is room for."""
    gpus: float | None = None
    """GPUs of an actor; None follows from the model's options."""

    @property
    def is_local(self) -> bool:
        """Whether the cluster is started for this run and ends with it."""
        return self.address == "local"


def read_cluster_options(
    address: str | None, *, actors: str | None = None, gpus: float | None = None
) -> ClusterOptions | None:
    """The options; None without an address. An empty one is the cluster that this process belongs to, else a local one.

    Raises:
        ConfigError: an option has no meaning, or is given without an address.
    """
    if address is None:
        for name, value in (("ray_actors", actors), ("ray_gpus", gpus)):
            if value is not None:
                raise ConfigError(
                    f"{name_option(name)} is for judging over Ray; add {name_option('ray')} or leave it out"
                )
        return None
    address = address or os.environ.get(OWN_ADDRESS) or "local"
    least, most = (None, None) if actors is None else _read_range(actors)
    if gpus is not None and not 0 <= gpus < float("inf"):
        raise ConfigError(f"{name_option('ray_gpus')} {gpus:g}: expected 0 or more")
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"{name_option('ray_gpus')} {gpus:g}: above 1 only whole GPUs can be taken")
    _check_address(address)
    return ClusterOptions(address=address, least=least, most=most, gpus=gpus)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a cluster."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def choose_gpus(options: ClusterOptions, model: str, engine: Mapping[str, Any], *, has_gpus: bool) -> float:
    """GPUs that an actor takes: as was said, else those that the model is divided among; none for a server."""
    if options.gpus is not None:
        return options.gpus
    is_local_model = parse_model_name(model).scheme in (None, "vllm")
    if not has_gpus or not is_local_model or engine.get("device") == "cpu":
        return 0
    return int(engine.get("tensor_parallel_size") or 1)


def check_model(model: str, engine: Mapping[str, Any]) -> None:
    """Refuse what cannot be divided among actors.

    Raises:
        ConfigError: texts that are used up in their sequence, or a device of one machine by its number.
    """
    if parse_model_name(model).scheme == "replay":
        raise ConfigError(
            f"model {model!r} is a recording, whose texts are taken in their sequence; judge it in one process"
        )
    device = str(engine.get("device") or "")
    if ":" in device:
        raise ConfigError(
            f"device {device!r} is one of one machine; over Ray every actor has devices of its own: "
            f"{device.partition(':')[0]!r}"
        )


def share_limits(model: str, engine: Mapping[str, Any], most: int) -> dict[str, Any]:
    """The engine's options with the limits of a server divided among the actors, so that all together keep to them."""
    shared = dict(engine)
    if parse_model_name(model).scheme != "openai":
        return shared
    defaults = read_options("openai").model_fields
    for name in _LIMITS:
        value = engine.get(name, defaults[name].default)
        if value is not None:
            shared[name] = max(1, int(value) // most) if name == "concurrency" else value / most
    return shared


def _check_address(address: str) -> None:
    if address in ("local", "auto"):
        return
    flag = name_option("ray")
    if Path(address).exists():
        raise ConfigError(
            f"{flag} {address}: that is a file or folder; {_EXPECTED}. Write the data first, or {flag}=local"
        )
    if address.startswith("ray://"):
        raise ConfigError(
            f"{flag} {address}: the run folder is written where the command runs, so it has to run in the "
            "cluster: on one of its machines with HOST:PORT, or by ray job submit"
        )
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ConfigError(f"{flag} {address}: {_EXPECTED}")


def _read_range(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(
            f"{name_option('ray_actors')} {text!r}: expected N actors, or N,M: N to begin with, M at most"
        )
    least, most = int(parts[0]), int(parts[-1])
    if least > most:
        raise ConfigError(f"{name_option('ray_actors')} {text!r}: {least} to begin with are more than {most}")
    return least, most
