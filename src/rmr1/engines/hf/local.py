"""What engines share that hold a model in this process, whatever they ask it for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from transformers import PreTrainedModel

from rmr1.devices import choose_device, is_out_of_memory, release_memory
from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.loading import (
    Purpose,
    choose_context,
    choose_dtype,
    count_embeddings,
    hash_text,
    load_checkpoint,
)
from rmr1.engines.hf.reader import Reader, check_reading

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class LocalModel:
    """A model, its identity, and the reader of what it is asked."""

    name: str
    notes: tuple[str, ...] = ()
    """What the self-check of the model found, a line each."""
    _engine: str
    _reader_type: type[Reader]
    _model: PreTrainedModel
    _reader: Reader
    _identity: dict[str, object]

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
        self._identity = dict(checkpoint.identity)
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
