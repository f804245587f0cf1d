"""Model folders and hub names -> a model, its tokenizer, and what identifies them.

What the libraries would print on the way is held back; what a user can do something about is raised as one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from rmr1.devices import choose_device, is_out_of_memory, release_memory
from rmr1.engines.base import is_scalar
from rmr1.engines.folders import TOKENIZER_FILES, WEIGHT_SUFFIXES, check_folder, find_folder
from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.reader import Reader, check_reading
from rmr1.errors import CheckpointError, ConfigError, RMR1Error, reason_of
from rmr1.store.fingerprint import hash_files

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Purpose = Literal["writes", "scores", "adapted"]
"""What a model is loaded for: to write, to score by one number, or what a user's own head makes of it."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_NO_LIMIT = 10**9
"""Tokenizers without a limit say a larger number than this."""


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype | str:
    """The number format: "auto" is the checkpoint's own on a GPU and float32 on the CPU."""
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if dtype not in DTYPES:
        raise ConfigError(f"dtype {dtype!r} is not known; expected 'auto', {', '.join(map(repr, DTYPES))}")
    return DTYPES[dtype]


def choose_context(wanted: int | None, context: int | None) -> int | None:
    """Most tokens of prompt and answer: as many as `wanted`, by default the model's own; None for no limit."""
    if wanted and context and wanted > context:
        raise ConfigError(f"max_model_len {wanted} is beyond the model's context of {context}")
    return wanted or context


def load_checkpoint(
    name: str,
    *,
    device: torch.device,
    dtype: torch.dtype | str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: str | None = None,
    kind: Purpose = "writes",
    check: Callable[[PreTrainedTokenizerBase], object] | None = None,
) -> Checkpoint:
    """Load a model and its tokenizer; raises as `describe_checkpoint`, and what `check` finds wrong with the tokenizer
    before any weight is read. On the device "meta" none is read: buffers have no values either."""
    found = describe_checkpoint(name, revision=revision, trust_remote_code=trust_remote_code, kind=kind)
    if check is not None:
        check(found.tokenizer)
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    if attn_implementation is not None:
        where["attn_implementation"] = attn_implementation
    if device.type == "meta":
        where["device_map"] = "meta"
    with quiet(), _one_line(name, is_folder=found.is_folder):
        model, report = choose_class(found.config, kind).from_pretrained(
            found.source, config=found.config, dtype=dtype, output_loading_info=True, **where
        )
        if missing := sorted(report["missing_keys"]):
            raise CheckpointError(
                f"model {name!r} lacks {len(missing)} of its weights, first {missing[0]!r}; the download or the "
                f"checkpoint is incomplete, or it is not {_WANTED[kind]}"
            )
        model = (model if device.type == "meta" else model.to(device)).eval()
    return Checkpoint(model=model, **{one.name: getattr(found, one.name) for one in fields(found)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a checkpoint says about itself; no weights are read."""

    source: str
    """The folder's path, or the name on the hub."""
    is_folder: bool
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    context: int | None
    """Most tokens of prompt and answer together; None if the checkpoint names no limit."""
    identity: dict[str, object]
    """The same for the same weights, configuration and tokenizer, wherever they lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Description):
    """A loaded model, and what its checkpoint says about itself."""

    model: PreTrainedModel


def describe_checkpoint(
    name: str, *, revision: str | None, trust_remote_code: bool, kind: Purpose = "writes"
) -> Description:
    """Read a model's configuration and tokenizer.

    Raises:
        CheckpointError: there is no such model, it cannot be reached, or it is not one that can judge.
    """
    folder = find_folder(name)
    source = str(folder or name)
    if folder is not None:
        check_folder(folder)
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    with quiet(), _one_line(name, is_folder=folder is not None):
        config = AutoConfig.from_pretrained(source, **where)
        _check_architecture(name, config, kind)
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
        if not tokenizer.chat_template:
            raise CheckpointError(
                f"model {name!r} has no chat template, so it cannot be given messages; choose a "
                "model that was tuned on chats, or put a chat_template.jinja into its folder"
            )
        return Description(
            source=source,
            is_folder=folder is not None,
            config=config,
            tokenizer=tokenizer,
            context=_read_context(config, tokenizer),
            identity=_identify(name, folder, config),
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Hold the libraries' warnings and progress bars back, inside only."""
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hub.setLevel(logging.ERROR)
    verbosity = transformers_logging.get_verbosity()
    has_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub.setLevel(hub_level)
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _one_line(name: str, *, is_folder: bool) -> Iterator[None]:
    try:
        yield
    except (CheckpointError, ConfigError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # loading runs code of many libraries
        advice = "check the name and the connection, or name a folder that holds the model"
        if is_folder:
            advice = "check the files in the folder"
        reason = reason_of(error).rstrip(".")
        raise CheckpointError(f"model {name!r} cannot be loaded: {reason}; {advice}") from error


@contextmanager
def blaming(name: str, model: torch.nn.Module, doing: str) -> Iterator[None]:
    """Turn whatever a library raises over a model into a CheckpointError of one line, but for a full disk or memory;
    `doing` is what cannot be done: "trained"."""
    try:
        yield
    except (RMR1Error, OSError):
        raise
    except Exception as error:  # a forward pass runs code of many libraries, and of the checkpoint itself
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"model {name!r}, a {type(model).__name__}, cannot be {doing} here: {type(error).__name__}: "
            f"{reason_of(error)}; choose another model, or another version of transformers (rmr1 --debug shows the "
            "traceback)"
        ) from error


_WANTED: dict[Purpose, str] = {
    "writes": "a causal language model",
    "scores": "a scalar reward model",
    "adapted": "what its configuration says",
}


def read_architectures(name: str, *, revision: str | None = None) -> tuple[str, ...]:
    """The architectures that a model's config.json names; none if it cannot be read."""
    with quiet(), contextlib.suppress(Exception):  # loading the model says what is wrong
        values, _ = PreTrainedConfig.get_config_dict(find_folder(name) or name, revision=revision)
        return tuple(values.get("architectures") or ())
    return ()


def _check_architecture(name: str, config: PreTrainedConfig, kind: Purpose) -> None:
    architectures = getattr(config, "architectures", None) or ()
    shown = ", ".join(architectures) or "model of no stated architecture"
    if kind == "writes" and any("Classification" in one or "RewardModel" in one for one in architectures):
        raise CheckpointError(
            f"model {name!r} is a {shown}: it scores instead of writing; a generative judge needs a "
            "causal language model"
        )
    if kind != "scores":
        return
    if not is_scalar(architectures):
        raise CheckpointError(
            f"model {name!r} is a {shown}: it does not score; a scalar judge needs a model for sequence "
            "classification, or engine.head, which turns outputs into scores"
        )
    if not any("RewardModel" in one for one in architectures) and config.num_labels != 1:
        raise CheckpointError(
            f"model {name!r} has {config.num_labels} labels; a scalar reward model has one. For another head "
            "name engine.head, which turns its outputs into scores"
        )


def choose_class(config: PreTrainedConfig, kind: Purpose) -> Any:
    """The library's class that loads such a model."""
    architectures = getattr(config, "architectures", None) or ()
    if kind == "writes" or any(name.endswith("ForCausalLM") for name in architectures):
        return AutoModelForCausalLM
    own = getattr(config, "auto_map", None) or {}
    is_classifier = any(name.endswith("ForSequenceClassification") for name in architectures)
    if is_classifier or "AutoModelForSequenceClassification" in own:
        return AutoModelForSequenceClassification
    return AutoModel


def _read_context(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None)
    scaling = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    if isinstance(length, int) and scaling.get("rope_type") == "yarn":
        # Such a configuration may still name the length that was trained before the extension.
        original = scaling.get("original_max_position_embeddings") or length
        return max(length, int(original * scaling.get("factor", 1.0)))
    if isinstance(length, int) and length > 0:
        return length
    return tokenizer.model_max_length if tokenizer.model_max_length < _NO_LIMIT else None


def _identify(name: str, folder: Path | None, config: PreTrainedConfig) -> dict[str, object]:
    commit = getattr(config, "_commit_hash", None)
    if folder is None:
        return {"model": name, "revision": commit}
    files = [file for file in folder.iterdir() if file.is_file()]
    return {
        "model": folder.resolve().name,
        "config": hash_files([folder / "config.json"]),
        "tokenizer": hash_files(file for file in files if file.name.startswith(TOKENIZER_FILES)),
        "weights": hash_files(file for file in files if file.suffix in WEIGHT_SUFFIXES),
    }


def count_embeddings(model: Any) -> int:
    """Tokens that the model knows."""
    return int(model.get_input_embeddings().weight.shape[0])


class LocalModel:
    """A model that this process holds, whatever it is asked for."""

    notes: tuple[str, ...] = ()
    """What the self-check of the model found, a line each."""
    _engine: str
    _reader_type: type[Reader]
    _reader: Reader

    def _load(
        self,
        name: str,
        *,
        kind: Purpose = "writes",
        device: str,
        dtype: str,
        max_model_len: int | None,
        chat_template_kwargs: Mapping[str, Any] | None,
        on_overlong: str,
        **options: Any,
    ) -> dict[str, Any]:
        """Load the model; what `Reader` takes. The `options` are those of `load_checkpoint`."""
        check_reading(on_overlong, chat_template_kwargs)
        where = choose_device(device)
        checkpoint = load_checkpoint(
            name,
            device=where,
            dtype=choose_dtype(dtype, where),
            kind=kind,
            check=lambda tokenizer: Chat(tokenizer, chat_template_kwargs, purpose=self._reader_type.purpose),
            **options,
        )
        self.name = name
        self._model = checkpoint.model
        self._identity: dict[str, object] = dict(checkpoint.identity)
        return {
            "tokenizer": checkpoint.tokenizer,
            "num_embeddings": count_embeddings(checkpoint.model),
            "max_model_len": choose_context(max_model_len, checkpoint.context),
            "on_overlong": on_overlong,
            "chat_template_kwargs": chat_template_kwargs,
        }

    def _tell(self, notes: tuple[str, ...]) -> None:
        self.notes = notes
        for note in notes:
            logging.getLogger(type(self).__module__).warning("%s: %s", self.name, note)

    def fingerprint(self) -> dict[str, object]:
        """Model, weights, number format, context, chat template, head; not where it runs or how it batches."""
        return {
            "engine": self._engine,
            **self._identity,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "max_model_len": self._reader.max_model_len,
            "chat_template": hash_text(self._reader.tokenizer.chat_template),
            "chat_template_kwargs": self._reader.chat.kwargs,
            **self._reader.describe(),
        }

    def begin_run(self, stored: Mapping[str, object] | None) -> None:
        """See `rmr1.engines.base.Dated`."""
        self._reader.chat.begin_run(stored)

    def close(self) -> None:
        """Release the model. It cannot be used afterwards; closing twice is harmless."""
        self.__dict__.pop("_model", None)
        release_memory()


def answer_in_parts(
    batch: Sequence[Asked],
    answer: Callable[[Sequence[Asked]], Sequence[Answer]],
    refuse: Callable[[Asked], Answer],
) -> Iterator[Answer]:
    """What `answer` gives for a batch, or for its halves if it does not fit into the GPU's memory; what does not fit
    alone is refused."""
    answers = None
    try:
        answers = answer(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the handler, whose traceback would keep the failed attempt's memory alive.
    if answers is not None:
        yield from answers
        return
    release_memory()
    half = len(batch) // 2
    if not half:
        yield refuse(batch[0])
        return
    yield from answer_in_parts(batch[:half], answer, refuse)
    yield from answer_in_parts(batch[half:], answer, refuse)


def hash_text(value: object) -> str:
    """A digest of a text or of plain values."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
