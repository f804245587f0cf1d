"""The chat template and the tokenizer of a model at hand: what it makes of a prompt, token by token."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rmr1.engines.names import parse_model_name
from rmr1.errors import ConfigError
from rmr1.messages import Messages
from rmr1.models import resolve_model
from rmr1.plugins import require

if TYPE_CHECKING:
    from rmr1.engines.hf.reader import RequestReader


class ModelTemplate:
    """A model's own chat template. What it finds are control tokens among the tokens, not their spelling."""

    def __init__(self, name: str, reader: RequestReader):
        self.name = name
        self._reader = reader
        self.special_tokens = reader.special_tokens()
        """What is broken in user text when this model is asked."""
        vocabulary = reader.tokenizer.get_vocab()
        self._ids = {vocabulary[token]: token for token in self.special_tokens if token in vocabulary}

    def render(self, messages: Messages) -> str:
        """The messages as one text, up to where the judge is to write; GenerationError if the template refuses them."""
        return self._reader.chat.render(messages)

    def find_tokens(self, text: str) -> Counter[str]:
        """How often each control token is among the tokens of a text; tokens for what is unknown are none."""
        from rmr1.engines.hf.tokens import encode_text

        unknown = self._reader.tokenizer.unk_token_id
        found = encode_text(self._reader.tokenizer, text)
        return Counter(self._ids[one] for one in found if one in self._ids and one != unknown)


def load_model_template(model: str) -> ModelTemplate:
    """The template and tokenizer of a local model, as the judge would use them; no weights are read.

    Raises:
        ConfigError: the model is not one whose tokenizer is at hand. CheckpointError: it cannot be read.
    """
    name = parse_model_name(resolve_model(model))
    if name.scheme not in (None, "vllm"):
        raise ConfigError(
            f"model {model!r} has no tokenizer here; leave it out: then control tokens of five common templates are looked for"
        )
    with require("reading a model's tokenizer", "hf"):
        from rmr1.engines.hf.loading import describe_checkpoint
        from rmr1.engines.hf.reader import RequestReader
    found = describe_checkpoint(name.rest, revision=None, trust_remote_code=False)
    reader = RequestReader(
        name=model,
        end_tokens=(),
        tokenizer=found.tokenizer,
        num_embeddings=len(found.tokenizer),
        max_model_len=None,
    )
    return ModelTemplate(model, reader)
