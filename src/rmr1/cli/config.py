"""Settings of a judging command: defaults < preset < config file < --set < flags. Unknown keys are errors."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rmr1.data.read import check_labels
from rmr1.engines import list_option_faults
from rmr1.engines.base import SamplingParams
from rmr1.errors import ConfigError
from rmr1.judge.presets import find_preset
from rmr1.judge.settings import JudgeSettings
from rmr1.models import JUDGE
from rmr1.prompts.thinking import check_pairs
from rmr1.records import Label
from rmr1.settings import Complaint, Place, Section, check_settings, split_name
from rmr1.settings import rule as settings_rule


class SamplingConfig(Section):
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 8192
    num_samples: int = 1
    stop: tuple[str, ...] = ()
    stop_at_verdict: bool = False
    thinking: tuple[tuple[str, str], ...] = ()
    """The user's own forms of thinking: opening and closing mark."""
    logprobs: bool = False


class DataConfig(Section):
    format: str | None = None
    map: dict[str, str] = Field(default_factory=dict)
    label: dict[str, Label] | None = None
    """What the values of the label's column mean; None: as the form has it."""
    limit: int | None = Field(default=None, ge=1)
    skip_invalid: bool = False


class JudgeConfig(Section):
    """A judging command's settings, as in its config file."""

    model: str = JUDGE
    """The judge's name; the bundled one by default."""
    family: str | None = None
    """The prompt family; None is the default one of the model."""
    rule: str | None = None
    order: Literal["seeded", "given", "both"] | None = None
    seed: int = 0
    control_tokens: tuple[str, ...] = ()
    """The user's own control tokens."""
    sampling: SamplingConfig = SamplingConfig()
    engine: dict[str, Any] = Field(default_factory=dict)
    """Options of the engine's constructor; each engine has its own."""
    data: DataConfig = DataConfig()

    @settings_rule
    def _check_engine(self) -> Iterator[Complaint]:
        for name, fault in list_option_faults(self.model, self.engine):
            yield ("engine", name), fault

    def judge_settings(self, *, order: Literal["seeded", "given", "both"] = "seeded") -> JudgeSettings:
        """The settings of the judge; `order` is the command's default."""
        values = self.sampling.model_dump()
        values["verdict_logprobs"] = values.pop("logprobs")
        values["thinking"] = check_pairs(values["thinking"])
        return JudgeSettings(
            rule=self.rule or "tagged",
            order=self.order or order,
            seed=self.seed,
            control_tokens=self.control_tokens,
            sampling=SamplingParams(**values),
        )


FLAGS: dict[str, tuple[str, ...]] = {
    "": ("model", "family", "rule", "order", "seed", "control_tokens"),
    "sampling": (
        "temperature",
        "top_p",
        "top_k",
        "max_new_tokens",
        "num_samples",
        "stop",
        "stop_at_verdict",
        "thinking",
        "logprobs",
    ),
    "engine": (
        "device",
        "dtype",
        "lora_adapter",
        "batch_size",
        "max_model_len",
        "on_overlong",
        "chat_template_kwargs",
    ),
    "data": ("format", "map", "label", "limit", "skip_invalid"),
}
"""Section of the file -> its keys, which are also the flags' names."""


_PRESET_SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "num_samples", "stop")
"""What a released checkpoint's preset decides of the sampling."""


def build_config(arguments: argparse.Namespace, stored: Mapping[str, Any] | None = None) -> JudgeConfig:
    """The settings that a command line asks for, over those that are `stored` of a run that goes on.

    Raises:
        ConfigError: a key is unknown or a value does not fit; the message names key and file.
    """
    values: dict[str, Any] = deepcopy(dict(stored or {}))
    origin = "command line"
    if path := getattr(arguments, "config", None):
        values, origin = read_toml(Path(path)), str(path)
    for assignment in getattr(arguments, "set", None) or ():
        assign_setting(values, assignment)
    for section, names in FLAGS.items():
        for name in names:
            value = getattr(arguments, name, None)
            if value is None:
                continue
            if name == "map":
                value = dict(split_assignment(one, "--map", "OURS=THEIRS") for one in value)
            elif name == "label":
                value = parse_labels(value)
            elif name == "chat_template_kwargs":
                value = _parse_json(value)
            target = values.setdefault(section, {}) if section else values
            target[name] = value
    _apply_preset(values)
    return check_config(values, origin)


def check_config(values: Mapping[str, Any], origin: str, *, section: Place = ()) -> JudgeConfig:
    """
    Raises:
        SettingsError: a key is unknown or a value does not fit.
    """
    return check_settings(JudgeConfig, values, origin, section=section)


def _apply_preset(values: dict[str, Any]) -> None:
    """Put a released checkpoint's sampling under what was said."""
    preset = find_preset(str(values.get("model", JUDGE)))
    said = values.get("sampling", {})
    if preset is not None and isinstance(said, dict):
        own = {name: getattr(preset.sampling, name) for name in _PRESET_SAMPLING}
        values["sampling"] = {**own, **said}


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


def read_recipe_file(path: str, assignments: Sequence[str] | None) -> dict[str, Any]:
    """A recipe file's values with those of --set over them.

    Raises:
        ConfigError: the file cannot be read, or an assignment is of another form.
    """
    values = read_toml(Path(path))
    for assignment in assignments or ():
        assign_setting(values, assignment)
    return values


def assign_setting(values: dict[str, Any], assignment: str) -> None:
    name, text = split_assignment(assignment, "--set", "A.B=C")
    *sections, key = split_name(name)
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {assignment}: {section!r} is a value, not a section")
    try:
        values[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[key] = text


def split_assignment(text: str, flag: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise ConfigError(f"{flag} {text!r}: expected {form}")
    return name, value


def parse_labels(values: Sequence[str] | None) -> dict[str, Label] | None:
    """`1=A,2=B` as a mapping; a value may hold an equals sign: `A=B=tie`."""
    if values is None:
        return None
    found: dict[str, str] = {}
    for part in ",".join(values).split(","):
        value, equals, label = (one.strip() for one in part.rpartition("="))
        if not equals or not value:
            raise ConfigError(f"--label {part!r}: expected VALUE=LABEL, as in --label 1=A,2=B,0=tie")
        if found.setdefault(value, label) != label:
            raise ConfigError(f"--label: {value!r} is to mean {found[value]!r} and {label!r}")
    return dict(check_labels(found) or {})


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--chat-template-kwargs: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ConfigError("--chat-template-kwargs: expected a JSON object")
    return value
