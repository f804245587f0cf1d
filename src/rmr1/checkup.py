"""Whether a model can judge here: a folder, a name on the hub, an adapter, a model on a server.

Gathers facts and faults, each a line; no weights are loaded or downloaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmr1.doctor import Inspection
from rmr1.engines import parse_model_name
from rmr1.errors import CheckpointError, ConfigError, RMR1Error, reason_of
from rmr1.forecast.shape import read_shape
from rmr1.messages import user
from rmr1.models import resolve_model
from rmr1.named import find_missing_model, find_missing_teacher
from rmr1.nearest import find_nearest
from rmr1.prompts.families import DECISION
from rmr1.records import JudgePrompt
from rmr1.screen import format_bytes

if TYPE_CHECKING:
    from rmr1.engines.hf.loading import Purpose
    from rmr1.engines.openai.connection import Answer

MARGIN = 1.2
"""Weights times this is taken for what a model needs beside its cache: buffers, activations."""
_ANSWER_SECONDS = 10.0
_NO_ACCESS = (401, 403)
_ANSWERS = "; asked for one token, the model answers"
_MOST_NAMES = 5
_MATCHING = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What is known of a model. What is None is not known, or means nothing for such a model."""

    name: str
    kind: str
    """"writes" or "scores", "adapter", or "asked": by an engine that holds no weights here."""
    engines: tuple[str, ...] = ()
    """Those that can run it on this machine."""
    architecture: str | None = None
    num_parameters: int | None = None
    context: int | None = None
    has_tokenizer: bool | None = None
    has_chat_template: bool | None = None
    num_files: int | None = None
    """Weight files on this machine; None of a hub name that is not in the local cache."""
    weight_bytes: dict[str, int] | None = None
    """dtype -> bytes of the weights."""
    cache_bytes_per_token: int | None = None
    """Keys and values of one token of one text, in 16 bits; None for layers that are not attention."""
    served: tuple[str, ...] | None = None
    """Names of the server's models."""
    base: Checkup | None = None
    """What was found of an adapter's base."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing, a line each."""
    is_doubtful: bool = False
    """Whether nothing that was seen shows that it can judge, though no fault was seen either."""
    faults: tuple[str, ...] = ()
    """Why it cannot judge here, a line each."""


def inspect_model(name: str, machine: Inspection) -> Checkup:
    """Look at a model by its name, as it stands after `rmr1 judge -m`."""
    if name.partition(":")[0] in ("batch", "scripted", "replay"):
        fault, engines = find_missing_teacher(name), (name.partition(":")[0],)
        return Checkup(name=name, kind="asked", engines=engines, faults=() if fault is None else (fault,))
    try:
        scheme, rest = (parsed := parse_model_name(name)).scheme, parsed.rest
    except ConfigError as error:
        return Checkup(name=name, kind="asked", faults=(str(error),))
    if scheme in ("openai", "decisions"):
        return _inspect_served(name, rest, machine, scheme)
    is_vllm = scheme == "vllm"
    wanted = ("vllm",) if is_vllm else ("transformers", "vllm")
    try:
        source = resolve_model(rest if is_vllm else name)
    except RMR1Error as error:
        return Checkup(name=name, kind="writes", faults=(str(error),))
    folder = Path(source).expanduser()
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        return _inspect_adapter(name, folder, machine)
    found = _inspect_weights(name, source, folder)
    can_run = tuple(one for one in wanted if not machine.missing_for(one))
    if found.kind == "scores":
        can_run = tuple(one for one in can_run if one == "transformers")
    faults = list(found.faults)
    if not can_run:
        faults.append(f"no engine for it: {wanted[0]} needs {', '.join(machine.missing_for(wanted[0]))}")
    if found.weight_bytes is not None:
        least, room = min(found.weight_bytes.values()), find_room(machine)
        if room is not None and MARGIN * least > room:
            faults.append(
                f"its weights take {format_bytes(least)} at least, and there is room for {format_bytes(room)}"
            )
    return replace(found, engines=can_run, faults=tuple(faults))


def find_room(machine: Inspection) -> int | None:
    """Bytes for a model: of the largest GPU, or of memory; None if the system does not tell."""
    return max((gpu.free_bytes for gpu in machine.gpus), default=machine.memory_bytes)


def _inspect_served(name: str, rest: str, machine: Inspection, scheme: str) -> Checkup:
    found = Checkup(name=name, kind="asked", engines=() if machine.missing_for("openai") else (scheme,))
    if not found.engines:
        return replace(found, faults=(f"the engine {scheme} needs aiohttp; pip install 'rmr1[api]'",))
    from rmr1.engines.openai import parse_openai_name
    from rmr1.engines.openai.connection import LostError

    is_nameless = rest.startswith(("http://", "https://", "@http://", "@https://"))
    try:
        model, url = parse_openai_name(f"?@{rest.removeprefix('@')}" if is_nameless else rest, scheme)
    except ConfigError as error:
        return replace(found, faults=(str(error),))
    notes: tuple[str, ...] = ()
    fault, served, is_doubtful = None, None, False
    try:
        reply = _send(url, "GET", "/models")
        if reply.status < 300:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                served = tuple(str(one["id"]) for one in json.loads(reply.content)["data"])
        if reply.status in _NO_ACCESS or reply.status >= 500:
            fault = _refusal(url, reply.status)
        elif is_nameless:
            fault = f"the name lacks a model: expected {scheme}:NAME@URL; {_list_served(served)}"
        # A tag that is left out is Ollama's `latest`.
        elif scheme == "decisions" and (not served or {model, f"{model}:latest"} & set(served)):
            fault, told, is_doubtful = _ask_a_decision(url, model)
            notes = (told,) if told else ()
        elif not served:
            fault, told = _ask_a_token(url, model)
            is_doubtful = fault is None and told != _ANSWERS
            notes = (f"{url} lists no models (/models has status {reply.status}){told}",)
        elif not {model, f"{model}:latest"} & set(served):
            near = find_nearest(model, served)
            hint = f"did you mean {near!r}? " if near else ""
            fault = f"{url} does not serve {model!r}; {hint}{_list_served(served)}"
    except TimeoutError:
        fault = f"{url} does not answer within {_ANSWER_SECONDS:g} s"
    except LostError as error:
        fault = f"{url} cannot be reached: {error.detail.splitlines()[0]}"
    except RMR1Error as error:
        fault = str(error)
    faults = () if fault is None else (fault,)
    return replace(found, served=served, notes=notes, is_doubtful=is_doubtful, faults=faults)


def _send(url: str, method: str, path: str, content: bytes = b"") -> Answer:
    """`TimeoutError`, `LostError` and `GenerationError` say why there is no answer."""
    from rmr1.engines.openai.connection import Connection

    async def ask() -> Answer:
        headers = {"content-type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY", "").strip():
            headers["authorization"] = f"Bearer {key}"
        async with contextlib.aclosing(
            Connection(url, headers, connect_seconds=_ANSWER_SECONDS)
        ) as connection:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await connection.send(method, path, content)

    return asyncio.run(ask())


def _ask_a_token(url: str, model: str) -> tuple[str | None, str]:
    """Why it cannot judge, or None; and how a note on the server ends."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    try:
        reply = _send(url, "POST", "/chat/completions", json.dumps(body).encode())
    except TimeoutError:
        return None, f"; {model!r} has not answered within {_ANSWER_SECONDS:g} s, which shows nothing yet"
    answer: Any = None
    with contextlib.suppress(ValueError):
        answer = json.loads(reply.content)
    status = reply.status
    if status < 300 and isinstance(answer, dict) and answer.get("choices"):
        return None, _ANSWERS
    if status in _NO_ACCESS or status >= 500:
        return _refusal(url, status), ""
    said = answer.get("error") if isinstance(answer, dict) else None
    said = said.get("message") if isinstance(said, dict) else said
    told = f": {said.splitlines()[0][:200]}" if isinstance(said, str) and said.strip() else ""
    if status in (404, 405) and told:
        return f"{url} does not answer for {model!r} ({status}){told}", ""
    if status < 400 or status in (404, 405):
        told = f"{url} is no chat server: /chat/completions has status {status}; does its URL end with /v1?"
        return told, ""
    return (
        None,
        f"; asked for one token, {model!r} answers with status {status}{told}, which shows nothing yet",
    )


def _ask_a_decision(url: str, model: str) -> tuple[str | None, str, bool]:
    """Why it cannot judge, or None; a note on the server; and whether its answer is of no use, which shows nothing yet."""
    from rmr1.engines.base import Request
    from rmr1.engines.openai import DecisionModel

    prompt = JudgePrompt(pair_id="doctor", family=DECISION, order="given", messages=(user("A: yes, B: no"),))
    quick: dict[str, Any] = {"max_retries": 0, "connect_seconds": 0.0, "timeout_seconds": _ANSWER_SECONDS}
    try:
        decider = DecisionModel(model, url, **quick)
        ((_, (answer,)),) = decider.decide([Request(key="doctor", prompt=prompt)])
    except RMR1Error as error:
        return str(error), "", False
    if answer.error is not None:
        return None, f"asked for a decision, {model!r} answers: {answer.error}", True
    mass = (
        ""
        if answer.verdict_mass is None
        else f"; the labels have {answer.verdict_mass:.3f} of the probability"
    )
    return None, f"asked for a decision, the model answers; {'; '.join(decider.notes)}{mass}", False


def _refusal(url: str, status: int) -> str:
    if status not in _NO_ACCESS:
        return f"{url} answers with status {status}"
    has_key = bool(os.environ.get("OPENAI_API_KEY"))
    return f"{url} refuses access ({status}): {'the key in' if has_key else 'set'} OPENAI_API_KEY"


def _list_served(served: tuple[str, ...] | None) -> str:
    if not served:
        return "it lists no models"
    more = f" and {len(served) - _MOST_NAMES} more" if len(served) > _MOST_NAMES else ""
    return f"it serves {', '.join(served[:_MOST_NAMES])}{more}"


def _inspect_adapter(name: str, folder: Path, machine: Inspection) -> Checkup:
    from rmr1.engines.hf.weights import inspect_weights

    found = Checkup(name=name, kind="adapter")
    weights = inspect_weights(folder, prefix="adapter_")
    faults = list(weights.faults)
    base = None
    try:
        from rmr1.engines.hf.lora import read_adapter

        read_adapter(folder)
        base = json.loads((folder / "adapter_config.json").read_bytes()).get("base_model_name_or_path")
        if not base:
            faults.append("adapter_config.json names no base_model_name_or_path")
    except ImportError as error:
        faults.append(f"looking at it needs {error.name}, which is not installed; pip install 'rmr1[hf]'")
    except CheckpointError as error:
        faults.append(str(error))
    below = inspect_model(str(base), machine) if base else None
    if below is not None:
        faults += [f"its base {below.name}: {fault}" for fault in below.faults]
    return replace(
        found,
        base=below,
        engines=() if below is None else below.engines,
        num_files=weights.num_files,
        weight_bytes={"as stored": weights.num_bytes},
        faults=tuple(faults),
    )


def _inspect_weights(name: str, source: str, folder: Path) -> Checkup:
    found = Checkup(name=name, kind="writes")
    try:
        import torch
        from huggingface_hub import snapshot_download
        from transformers import AutoConfig

        from rmr1.engines.base import is_scalar
        from rmr1.engines.folders import has_tokenizer_files
        from rmr1.engines.hf.loading import choose_class, describe_checkpoint, quiet
        from rmr1.engines.hf.weights import inspect_weights
    except ImportError as error:
        told = f"looking at a model needs {error.name}, which is not installed; pip install 'rmr1[hf]'"
        return replace(found, faults=(told,))
    faults: list[str] = []
    is_folder = folder.is_dir()
    place = folder if is_folder else None
    if not is_folder:
        with contextlib.suppress(OSError, ValueError):  # not in the cache, or no name
            place = Path(snapshot_download(source, local_files_only=True))
    weights = None if place is None else inspect_weights(place)
    if weights is not None and (is_folder or weights.num_files):
        faults += weights.faults
        found = replace(found, num_files=weights.num_files)
    if (fault := find_missing_model(source)) is not None:
        return replace(found, faults=(fault, *faults))
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(folder) if is_folder else source)
            kind: Purpose = "scores" if is_scalar(config.architectures or ()) else "writes"
            with torch.device("meta"):
                model = choose_class(config, kind).from_config(config)
    except Exception as error:  # configurations run code of many libraries
        told = f"its configuration cannot be read: {reason_of(error)}"
        return replace(found, faults=(told, *faults))
    count = sum(one.numel() for one in {id(one): one for one in model.parameters()}.values())
    is_packed = getattr(config, "quantization_config", None) is not None
    stored = None if weights is None or is_packed else weights.num_values
    if stored is not None and stored < _MATCHING * count:
        faults.append(f"its files hold {stored:,} parameters, and its configuration has {count:,}")
    has_files = not is_folder or has_tokenizer_files(folder)
    tokenizer = _load_tokenizer(str(folder) if is_folder else source) if has_files else None
    if tokenizer is None:
        faults.append("its tokenizer cannot be read" if has_files else "it has no tokenizer (tokenizer.json)")
    elif not tokenizer.chat_template:
        faults.append("its tokenizer has no chat template, so it cannot be given messages")
    else:
        try:
            describe_checkpoint(source, revision=None, trust_remote_code=False, kind=kind)
        except RMR1Error as error:
            # Weights that are missing are told above, in more words.
            faults += [] if faults else [str(error)]
    text = config.get_text_config()
    has_heads = getattr(text, "num_attention_heads", None)
    return replace(
        found,
        kind=kind,
        architecture=type(model).__name__,
        num_parameters=count,
        context=getattr(text, "max_position_embeddings", None),
        has_tokenizer=tokenizer is not None,
        has_chat_template=bool(getattr(tokenizer, "chat_template", None)),
        weight_bytes={"float32": 4 * count, "bfloat16": 2 * count},
        cache_bytes_per_token=2 * read_shape(text, counted=(0, 0)).cache_width if has_heads else None,
        faults=tuple(faults),
    )


def _load_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    from rmr1.engines.hf.loading import quiet

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(source)
    except Exception:  # a tokenizer's files may raise anything
        return None
