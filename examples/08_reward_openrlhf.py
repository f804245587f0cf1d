"""OpenRLHF 0.11: the judge as the remote reward. `python examples/08_reward_openrlhf.py > train.jsonl`

    rmr1 serve -m MODEL --group-size 8
    python examples/08_reward_openrlhf.py > train.jsonl
    python -m openrlhf.cli.train_ppo_ray --reward.remote_url http://HOST:8300/get_reward \\
        --rollout.n_samples_per_prompt 8 --data.prompt_dataset train.jsonl --data.label_key label ...

OpenRLHF sends one rollout a request and hands the label on as it is. So the label names the group, whose rollouts
meet in the server, or a reference answer, with which each is compared alone.
"""

import json

from rmr1.integrations.openrlhf import make_label

QUESTIONS = ["Name three large animals.", "Name two large cities."]

for number, question in enumerate(QUESTIONS):
    label = make_label(group=f"train-{number}", question=question)
    print(json.dumps({"input": question, "label": label}))

label = make_label(reference="Tokyo and Cairo.", question=QUESTIONS[1])
print(json.dumps({"input": QUESTIONS[1], "label": label}))
