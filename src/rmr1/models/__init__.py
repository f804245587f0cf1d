"""The models that come with the package: a tiny judge and, beside it, a scalar model of the same backbone.

They go by the names `tiny` and `tiny-scalar` wherever a model is named; what they are is told in models/tiny/README.md.
Another folder with `judge/` and `scalar/` in it takes their place if RMR1_MODELS names one.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from rmr1.errors import CheckpointError, ConfigError
from rmr1.faces import name_option

JUDGE = "tiny"
SCALAR = "tiny-scalar"
FOLDERS = {JUDGE: "judge", SCALAR: "scalar"}

LIMITS = "the bundled model knows only the synthetic world that it was trained on"
"""What a person should know who uses one."""

_PACKAGED = Path(__file__).parent / "tiny"
_LIBRARIES = ("torch", "transformers")


def describe_limits() -> str:
    """`LIMITS`, and how to name another judge."""
    return f"{LIMITS}; name a judge for your own pairs with {name_option('model')}"


def is_bundled(model: str) -> bool:
    """Whether a model name means a bundled model, on this machine's engines."""
    return model.removeprefix("vllm:") in FOLDERS


def resolve_model(model: str) -> str:
    """The name with a bundled model's name replaced by its folder; every other name as it is."""
    if not is_bundled(model):
        return model
    scheme, _, name = model.rpartition(":")
    missing = [library for library in _LIBRARIES if find_spec(library) is None]
    if missing:
        raise ConfigError(
            f"the bundled model {name!r} needs {' and '.join(missing)}, which is not installed: "
            f"pip install 'rmr1[hf]'; or name another judge with {name_option('model')}"
        )
    folder = str(find_bundled(name))
    return f"{scheme}:{folder}" if scheme else folder


def find_bundled(name: str = JUDGE) -> Path:
    """The folder of a bundled model; `CheckpointError` if it is not there."""
    root = os.environ.get("RMR1_MODELS")
    folder = (Path(root).expanduser() if root else _PACKAGED) / FOLDERS[name]
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"the bundled model {name!r} is not in {folder}: this installation came without it; name another judge "
            f"with {name_option('model')}"
        )
    return folder
