"""verl 0.9: the judge as the reward manager. `python examples/07_reward_verl.py [FILE]` writes rows of training data.

    rmr1 serve -m MODEL --host 0.0.0.0 --keys keys.txt
    export RMR1_API_KEY=...                        # on all nodes, before Ray starts
    python examples/07_reward_verl.py train.parquet
    python -m verl.trainer.main_ppo <the printed settings> actor_rollout_ref.model.path=POLICY ...

Rows with split `train` are sampled `rollout.n` times and compared with one another. Those of validation are sampled once
by default, so they are compared with a reference answer.
"""

import json
import sys

from rmr1.integrations.verl import make_extra_info

SETTINGS = """\
algorithm.adv_estimator=grpo actor_rollout_ref.rollout.n=8 data.train_files=train.parquet data.val_files=val.parquet
reward.reward_manager.source=importlib reward.reward_manager.name=JudgeRewardManager
reward.reward_manager.module.path=pkg://rmr1.integrations.verl_manager
+reward.reward_kwargs.url=http://HOST:8300 +reward.reward_kwargs.on_failure=raise"""


def make_row(question: str, split: str, reference: str | None = None) -> dict[str, object]:
    """A row as verl's own scripts write them; the manager reads `extra_info` and the prompt."""
    return {
        "data_source": "chat",
        "prompt": [{"role": "user", "content": question}],
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"split": split, "index": 0, **make_extra_info(question, reference=reference)},
    }


ROWS = [
    make_row("Name three large animals.", "train"),
    make_row("Name two large cities.", "test", reference="Tokyo and Cairo."),
]

for row in ROWS:
    print(json.dumps(row["extra_info"]))
print(SETTINGS)
if len(sys.argv) > 1:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS[:1]), sys.argv[1])
