"""Judging: pairs in, judgments out."""

from rmr1.judge.base import PairJudge
from rmr1.judge.decision import DecisionJudge
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.judge import Judge
from rmr1.judge.load import load_judge
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings

__all__ = [
    "DecisionJudge",
    "GenerativeJudge",
    "Judge",
    "JudgeSettings",
    "PairJudge",
    "ScalarJudge",
    "load_judge",
]
