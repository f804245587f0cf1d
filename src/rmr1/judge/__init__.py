"""Judging: pairs in, judgments out."""

from rmr1.judge.judge import Judge
from rmr1.judge.run import run_judge
from rmr1.judge.settings import JudgeSettings

__all__ = ["Judge", "JudgeSettings", "run_judge"]
