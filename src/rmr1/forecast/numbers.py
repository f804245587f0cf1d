"""What of a training decides its memory and time: the numbers of its recipe, and the bytes of a number. Pure.

Activations were counted with autograd's hooks on our own updates (`tests/unit/forecast/test_memory.py` counts them
again): a layer keeps so many bytes of each token for its backward pass,

    whole weights  fp32        24 W +  8 A + 8 K + 16 M            + 4 heads + 8
                   bf16        26 W +  4 A + 4 K +  8 M            + 4 heads + 8
                   bf16-pure   16 W +  4 A + 4 K +  8 M            + 4 heads + 8
    adapters       fp32        16 W +  8 A + 8 K + 16 M + 28 rank  + 4 heads + 8
                   bf16        28 W +  8 A + 4 K + 10 M + 28 rank  + 4 heads + 8

in a packed row of whole documents the attention's output once more, and with checkpointing only its input, all of it
for one layer at a time. Models that normalise more keep a little more, and those whose attention is
written out (a soft cap on its scores) a quarter more.

Shapes: as in `rmr1.forecast.shape`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_TEXT_TOKENS = 800
"""Mean length of a text of a judge of which nothing is known."""
CHARS_PER_TOKEN = 4
"""Characters per token of English text, with common tokenizers; code and other scripts have fewer."""

Phase = Literal["always", "rollout", "look", "loss", "backward", "step"]
PHASES: tuple[Phase, ...] = ("rollout", "look", "loss", "backward", "step")
Precision = Literal["fp32", "bf16", "bf16-pure"]
Quantization = Literal["nf4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNumbers:
    """What of a training's recipe decides its memory and time.

    Fine-tuning is a training on groups of one sample that is there already, and a scalar model's conversation is a
    prompt without a sample.
    """

    prompts: int
    """Prompts of one rollout, or of one step of the optimizer if nothing is sampled."""
    samples: int = 1
    """Samples of each prompt."""
    prompt_tokens: int
    """Most tokens of a prompt."""
    new_tokens: int
    """Most tokens of a sample."""
    mean_prompt_tokens: float | None = None
    """The limit if it is not known."""
    mean_new_tokens: float | None = None
    """`DEFAULT_TEXT_TOKENS`, within the limit, if it is not known."""
    row_tokens: int = 0
    """Most tokens of a packed row of the update, each prompt counted once."""
    row_groups: int | None = None
    """Groups of a row, if these are counted and not their tokens."""
    updates: int = 1
    """Steps of the optimizer to a rollout."""
    has_reference: bool = True
    """`beta` is above 0."""
    has_old_pass: bool = False
    """Later steps of a rollout compute its log-probabilities under the first one's weights."""
    lora_rank: int | None = None
    """None trains the whole weights."""
    can_adapt: bool = True
    """Whether adapters can be trained instead of whole weights."""
    precision: Precision = "bf16"
    optimizer: Literal["adamw", "muon"] = "adamw"
    checkpointing: bool = False
    is_packed: bool = False
    """Whether rows hold whole documents."""
    engine: Literal["transformers", "vllm"] | None = "transformers"
    """What samples; None if nothing is sampled."""
    rows: int = 128
    """Samples decoded together, by transformers."""
    gpu_memory: float = 0.4
    """vLLM's share of a GPU, in (0, 1)."""
    row_setting: str = "update.row_tokens"
    """The recipe's name for what a row holds."""
    rollouts: int = 1
    """Rollouts of the run, or its steps if nothing is sampled."""
    quantize: Quantization | None = None
    """How the frozen matrices of the layers are stored under adapters; None is the precision's number format."""
    offload: bool = False
    """Whether weights, gradients and optimizer stay in the host's memory while they are not computed with."""
    tensor_parallel: int = 1
    """Devices over which vLLM divides a copy of the weights."""
    look_rows: int = 0
    """Texts that a look at held-out data writes together; 0 if it writes none."""
    look_prompt_tokens: int | None = None
    """The longest prompt of these; `prompt_tokens` if it is not known."""

    @property
    def is_fp32(self) -> bool:
        return self.precision == "fp32"

    @property
    def vllm_bytes(self) -> int:
        """Bytes of each of vLLM's weights, keys and values."""
        return 4 if self.is_fp32 else 2

    @property
    def format(self) -> Format:
        return FORMATS[self.precision, self.lora_rank is not None]

    @property
    def expected_prompt(self) -> float:
        return self.prompt_tokens if self.mean_prompt_tokens is None else self.mean_prompt_tokens

    @property
    def expected_new(self) -> float:
        mean = DEFAULT_TEXT_TOKENS if self.mean_new_tokens is None else self.mean_new_tokens
        return min(self.new_tokens, mean)

    @property
    def group_tokens(self) -> float:
        """Tokens of a group of the expected length."""
        return self.expected_prompt + self.samples * self.expected_new


@dataclass(frozen=True, slots=True)
class Format:
    """Bytes of one number. Of the last six, as in the module's table: kept per unit of width."""

    weight: int
    trained: int
    """Bytes of a trained number, of its gradient, and of each of Adam's two averages."""
    copy: int
    """Bytes per number of the copy in the type that is computed in, 0 if that is the weights'."""
    cache: int
    """Bytes per number of keys and values."""
    residual: int
    slope: int
    """Bytes per number of gradients inside a layer."""
    hidden: int
    attention: int
    packed: int
    """The attention's output, kept once more in a packed row of whole documents."""
    kv: int
    intermediate: int
    rank: int


FORMATS = {
    ("fp32", False): Format(4, 4, 0, 4, 4, 4, 24, 8, 4, 8, 16, 0),
    ("bf16", False): Format(4, 4, 2, 2, 4, 2, 26, 4, 2, 4, 8, 0),
    ("bf16-pure", False): Format(2, 2, 0, 2, 2, 2, 16, 4, 2, 4, 8, 0),
    ("fp32", True): Format(4, 4, 0, 4, 4, 4, 16, 8, 4, 8, 16, 28),
    ("bf16", True): Format(2, 4, 0, 2, 2, 2, 28, 8, 0, 4, 10, 28),
    ("bf16-pure", True): Format(2, 4, 0, 2, 2, 2, 28, 8, 0, 4, 10, 28),
}
