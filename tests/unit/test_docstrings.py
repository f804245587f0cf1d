"""The worked examples in the package's docstrings give what they say."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src"
TOLD = (
    "rmr1.messages",
    "rmr1.records",
    "rmr1.prompts.render",
    "rmr1.verdicts.rules",
    "rmr1.verdicts.votes",
    "rmr1.rewards.verdict",
)
"""Modules whose docstrings are to have examples."""


def list_examples() -> Iterator[tuple[str, str, str]]:
    """Module, name and docstring of everything with an example."""
    for path in sorted(SOURCES.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if ">>> " not in source:
            continue
        module = ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                if ">>> " in text:
                    yield module, getattr(node, "name", "module"), text


EXAMPLES = list(list_examples())


@pytest.mark.parametrize(
    ("module", "text"),
    [(module, text) for module, _, text in EXAMPLES],
    ids=[f"{module}.{name}" for module, name, _ in EXAMPLES],
)
def test_examples_give_what_they_say(module: str, text: str) -> None:
    names = dict(vars(import_module(module)))
    test = doctest.DocTestParser().get_doctest(text, names, module, None, 0)
    told: list[str] = []
    found = doctest.DocTestRunner().run(test, out=told.append)
    assert found.attempted and not found.failed, "".join(told)


def test_the_records_and_what_reads_and_counts_verdicts_have_examples() -> None:
    assert {module for module, _, _ in EXAMPLES} >= set(TOLD)
    records = {name for module, name, _ in EXAMPLES if module in ("rmr1.messages", "rmr1.records")}
    assert records >= {"Message", "PreferencePair", "JudgePrompt", "Trace", "Verdict", "Vote", "Judgment"}
