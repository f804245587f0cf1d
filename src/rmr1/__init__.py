"""rmr1: reward models that think before they judge.

    from rmr1 import Judge

    judgment = Judge("path/to/model").compare("Why is the sky blue?", answer_1, answer_2)
    print(judgment.winner, judgment.trace.rubric)

The names below are the public ones. Importing them loads no torch and opens no socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rmr1.errors import CheckpointError, ConfigError, DataError, GenerationError, RMR1Error, RunError
from rmr1.messages import Message
from rmr1.records import (
    Candidates,
    Generation,
    JudgePrompt,
    Judgment,
    PreferencePair,
    RubricItem,
    Trace,
    Verdict,
    Vote,
)
from rmr1.version import __version__ as __version__

if TYPE_CHECKING:
    from rmr1.data import read_candidates, read_pairs
    from rmr1.engines import SamplingParams
    from rmr1.judge import Judge
    from rmr1.prompts import render_prompt
    from rmr1.rewards import reward_verdict
    from rmr1.store.runs import read_judgments
    from rmr1.verdicts import parse_verdict

_HOMES = {
    "Judge": "judge",
    "SamplingParams": "engines",
    "parse_verdict": "verdicts",
    "read_candidates": "data",
    "read_judgments": "store.runs",
    "read_pairs": "data",
    "render_prompt": "prompts",
    "reward_verdict": "rewards",
}
"""Names that are loaded on first use -> their modules."""

__all__ = [
    "Candidates",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Generation",
    "GenerationError",
    "Judge",
    "JudgePrompt",
    "Judgment",
    "Message",
    "PreferencePair",
    "RMR1Error",
    "RubricItem",
    "RunError",
    "SamplingParams",
    "Trace",
    "Verdict",
    "Vote",
    "parse_verdict",
    "read_candidates",
    "read_judgments",
    "read_pairs",
    "render_prompt",
    "reward_verdict",
]


def _render_judgment(judgment: Judgment) -> str:
    from rmr1.report.terminal import format_judgment

    return format_judgment(judgment)


Judgment.renderer = staticmethod(_render_judgment)


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use, which keeps `import rmr1` fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rmr1' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"rmr1.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
