"""Rewards of a group, by one process and over two actors."""

from __future__ import annotations

import json
import os

from rmr1.cluster.judging import open_cluster_judge
from rmr1.cluster.options import read_cluster_options
from rmr1.judge.config import JudgeConfig
from rmr1.judge.judge import Judge

QUESTION = "Name a number."
ANSWERS = ["ten", "seventy", "thirty or so", "five"]


def tell_rewards() -> None:
    """Print both, a line of JSON each."""
    config = JudgeConfig.from_values({"model": "scripted:hash"}, "test")
    options = read_cluster_options("local", actors="2", gpus=None)
    assert options is not None
    many = open_cluster_judge(
        config, config.judge_settings(), options, directory=os.getcwd(), tell=lambda _: None
    )
    for judge in (Judge("scripted:hash"), Judge(many)):
        with judge:
            print(json.dumps(judge.group_rewards(QUESTION, ANSWERS).rewards), flush=True)
