"""Fixtures of the tests in the second environment, `.venv-engines`, which holds vLLM's CPU build."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cached import REPOSITORY, make_once
from tests.integration.conftest import checkpoint

__all__ = ["checkpoint"]

HAS_VLLM = importlib.util.find_spec("vllm") is not None

ANSWERS = {
    "plain": "<eval>A is right.</eval>\n<answer>[[A]]</answer>\nand more words",
    "thought": "<think>\nperhaps <answer>[[A]]</answer> or not\n</think>\n<answer>[[B]]</answer>\nmore",
    "quoted": "<quote_A>say <answer>[[A]]</answer></quote_A> no.\n<answer>[[B]]</answer>\nmore",
    "silent": "I cannot say.",
    "bare": "So it is [[B]].",
}
"""What the parrot says to each question, up to its end token."""

AT_VERDICT = {
    "plain": "<eval>A is right.</eval>\n<answer>[[A]]</answer>\n",
    "thought": "<think>\nperhaps <answer>[[A]]</answer> or not\n</think>\n<answer>[[B]]</answer>\n",
}
"""What is written of two of them if the verdict ends a text."""


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct's folder, a real pretrained model; fetched on first use (a minute), then cached."""
    import transformers

    script = "scripts/make_smollm2.py"
    versions = transformers.__version__.split(".")[:2]
    sources = (REPOSITORY / script).read_bytes() + repr(versions).encode()
    return make_once("smollm2", hashlib.sha256(sources).hexdigest()[:16], [script])


@pytest.fixture(scope="session")
def make_parrot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of parrots by their tokenizer's style (`tests.tiny_models.MERGES`)."""
    from tests.engines.parrot import save_parrot

    folders: dict[str, Path] = {}

    def make(style: str) -> Path:
        if style not in folders:
            folders[style] = save_parrot(tmp_path_factory.mktemp(style), ANSWERS, style=style)
        return folders[style]

    return make
