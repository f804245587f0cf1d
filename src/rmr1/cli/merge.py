"""Add a LoRA adapter to its base model and store the whole.

  rmr1 merge BASE ADAPTER -o models/merged

The result is a model folder like any other. To judge without merging: rmr1 judge -m BASE --adapter DIR.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rmr1.cli.options import add
from rmr1.plugins import require
from rmr1.screen import print


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "BASE", "Hugging Face name or folder of the base model")
    add(parser, "ADAPTER", "folder of the adapter")
    add(parser, "-o --output DIR", "folder of the merged model", required=True)
    dtypes = ("auto", "float32", "bfloat16", "float16")
    dtype = "number format of the stored weights (default auto: the base's)"
    add(parser, "--dtype", dtype, choices=dtypes, default="auto")


def run(arguments: Namespace) -> int:
    with require("merging", "train"):
        from rmr1.train.export import merge_adapter
    merge_adapter(arguments.base, arguments.adapter, arguments.output, dtype=arguments.dtype)
    print(f"merged model: {arguments.output}")
    return 0
