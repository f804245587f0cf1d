"""The released RM-R1 checkpoints and the bundled judge: how each was asked when it was trained and measured.

An entry is found by the checkpoint's exact name, never by parts of a path. The wording that the checkpoints were
trained on is their authors' and does not come with this package; `rmr1 prompts import` takes it over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rmr1.engines.base import SamplingParams
from rmr1.engines.names import split_server
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.models import JUDGE
from rmr1.prompts import PromptFamily, list_families, load_family
from rmr1.prompts.families import PUBLISHED, tell_import


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How one checkpoint is asked."""

    family: str
    """The prompt family: one of ours, or the name that an imported one is stored under."""
    sampling: SamplingParams = field(default_factory=lambda: SamplingParams(max_new_tokens=8192))
    """Greedy, one sample, as the published figures were made (RM-R1, evaluation code). The limit is that
    of the reinforcement learning (section 4.1); the evaluation allowed 50,000 tokens, which no
    trained answer uses."""


_INSTRUCT = Preset(family="rm-r1-rubric")
_REASONING = Preset(family="rm-r1-reasoning")

PRESETS: Mapping[str, Preset] = {
    f"gaotang/RM-R1-{base}-{size}": preset
    for base, preset in (("Qwen2.5-Instruct", _INSTRUCT), ("DeepSeek-Distilled-Qwen", _REASONING))
    for size in ("7B", "14B", "32B")
}
"""Name on the hub -> preset."""

_BUNDLED = Preset(family="rubric", sampling=SamplingParams(max_new_tokens=1024))
"""Several times the bundled judge's longest judgment in training."""


def find_preset(model: str) -> Preset | None:
    """The preset of a model name, whichever engine it names; None for every other model.

    >>> find_preset("vllm:gaotang/RM-R1-Qwen2.5-Instruct-7B").family
    'rm-r1-rubric'
    >>> find_preset("my/RM-R1-Qwen2.5-Instruct-7B") is None
    True
    """
    scheme, colon, rest = model.partition(":")
    if colon and scheme == "vllm":
        model = rest
    elif colon and scheme == "openai":
        # What a server calls "tiny" is not the bundled judge.
        return PRESETS.get(split_server(rest)[0])
    return _BUNDLED if model == JUDGE else PRESETS.get(model)


def load_preset_family(model: str, preset: Preset) -> PromptFamily:
    """The family of a preset: ours, or the imported one."""
    if preset.family in PUBLISHED and preset.family not in dict(list_families()):
        raise ConfigError(
            f"{model} was trained on {tell_import(preset.family)}; or pass "
            f"{name_option('family', PUBLISHED[preset.family][0])} to use ours"
        )
    return load_family(preset.family)
