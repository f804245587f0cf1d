"""Fixtures of the tests that drive whole parts of the package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.cached import REPOSITORY, make_once

SEED = 0


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The small judge checkpoint's folder; trained on first use (some minutes), then cached."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return make_once("test-judge", _hash_sources(), ["-m", "tests.checkpoint.train", "--seed", str(SEED)])


def _hash_sources() -> str:
    """Of the training sources, the prompt's template, the seed, and the libraries' major.minor."""
    import torch
    import transformers

    digest = hashlib.sha256()
    sources = [
        *sorted((REPOSITORY / "tests/checkpoint").glob("*.py")),
        *sorted((REPOSITORY / "src/rmr1/prompts/families/rubric").glob("*.txt")),
    ]
    for path in sources:
        if path.name != "system.txt":  # the chat template folds it
            digest.update(path.read_bytes())
    versions = (".".join(library.__version__.split(".")[:2]) for library in (torch, transformers))
    digest.update(repr((SEED, *versions)).encode())
    return digest.hexdigest()[:16]
