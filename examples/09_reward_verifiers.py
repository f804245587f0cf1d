"""verifiers and prime-rl: the judge as a reward of groups. `python examples/09_reward_verifiers.py [URL]`

    rmr1 serve -m MODEL
    pip install verifiers
    (verifiers and prime-rl load the environment below by its `load_environment`)

Run as it stands, it needs neither: a judge that prefers the longer answer is served for the moment, and the reward is
called as a rubric calls it, with all rollouts of a prompt.
"""

import asyncio
import re
import subprocess
import sys
from typing import Any

from rmr1.integrations.verifiers import make_group_reward

ROW = {"question": "Name three large animals.", "answer": ""}


def load_environment(url: str = "http://127.0.0.1:8300") -> Any:
    """The environment by its name in verifiers."""
    import verifiers as vf
    from datasets import Dataset

    rubric = vf.Rubric(funcs=[make_group_reward(url)])
    return vf.SingleTurnEnv(dataset=Dataset.from_list([ROW]), rubric=rubric)


def show(url: str) -> None:
    prompt = [{"role": "user", "content": ROW["question"]}]
    answers = ["A whale.", "A whale, an elephant and a giraffe.", "A whale and a cow."]
    completions = [[{"role": "assistant", "content": answer}] for answer in answers]
    rewards = asyncio.run(make_group_reward(url)([prompt] * 3, completions))
    for answer, reward in zip(answers, rewards, strict=True):
        print(f"{reward:+.2f}  {answer}")


if len(sys.argv) > 1:
    show(sys.argv[1])
else:
    command = [sys.executable, "-m", "rmr1", "serve", "-m", "scripted:longer", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stderr.readline() if server.stderr else ""
            show(re.search(r"http://\S+", line)[0])  # type: ignore[index]
        finally:
            server.terminate()
