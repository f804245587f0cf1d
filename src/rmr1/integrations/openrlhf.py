"""OpenRLHF 0.11: labels that say which group a rollout belongs to, for `--reward.remote_url http://HOST:8300/get_reward`.

    row["label"] = make_label(group=row_number)             # with `rmr1 serve --group-size N`
    row["label"] = make_label(reference=row["answer"])      # each rollout against a reference answer

OpenRLHF hands a label on as it is, one rollout a request, and sends no number of the sample.
"""

from __future__ import annotations

import json

from rmr1.errors import ConfigError


def make_label(
    *,
    group: str | int | None = None,
    size: int | None = None,
    reference: str | None = None,
    question: str | None = None,
) -> str:
    """The label of a row.

    Args:
        group: names the prompt among all of the data; its rollouts are compared with one another.
        size: rollouts of a prompt (`--rollout.n_samples_per_prompt`), if the server is not started with it.
        reference: an answer with which each rollout is compared instead.
        question: what was asked, if the prompt that OpenRLHF sends holds more, such as a chat template's marks.
    """
    if (group is None) == (reference is None):
        raise ConfigError("a label names a group or a reference answer, one of them")
    values = {
        "group": None if group is None else str(group),
        "size": size,
        "reference": reference,
        "question": question,
    }
    return json.dumps(
        {name: value for name, value in values.items() if value is not None}, ensure_ascii=False
    )
