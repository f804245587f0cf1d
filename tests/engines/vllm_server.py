"""vLLM's own HTTP server in a process of its own, as a user starts it, on the CPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "judge"
_START_SECONDS = 300


@contextmanager
def serve(
    checkpoint: Path, log: Path, *, max_model_len: int, generation_config: str = "vllm"
) -> Iterator[str]:
    """The base URL of a server that answers for `checkpoint` under `NAME`, in float32.

    With `generation_config="auto"`, which is the server's own default, what a request leaves open is
    sampled as the checkpoint's generation_config.json says.

    Raises:
        RuntimeError: it did not come up; the message ends with what it logged.
    """
    port = _find_port()
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(checkpoint), "--served-model-name", NAME, "--dtype", "float32"),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(max_model_len)),
        *("--block-size", "32", "--max-num-seqs", "16", "--enforce-eager"),
        *("--generation-config", generation_config),
    ]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        _wait_until_healthy(process, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()  # it takes its engine's process along
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def _find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
