"""`rmr1 doctor`: facts about the machine and a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rmr1.cli.main import main
from rmr1.doctor import Inspection
from rmr1.screen import format_bytes

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from ..tiny_models import build_model, build_tokenizer, save_model


def test_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert (
        "Engines" in printed and "transformers   can run" in printed and "scripted       can run" in printed
    )
    assert main(["doctor", "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert machine["num_cores"] >= 1 and machine["libraries"]["torch"]


def test_a_model_is_counted_without_loading_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tokenizer = build_tokenizer("split")
    model = build_model(len(tokenizer))
    folder = save_model(tmp_path / "tiny", model, tokenizer)
    assert main(["doctor", str(folder), "--json"]) == 0
    needs = json.loads(capsys.readouterr().out)["model"]
    config = model.config
    assert needs["num_parameters"] == sum(p.numel() for p in model.parameters())
    assert needs["has_chat_template"] and needs["has_tokenizer"]
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    expected = 4 * config.num_hidden_layers * config.num_key_value_heads * head_size
    assert needs["cache_bytes_per_token"] == expected
    assert main(["doctor", str(folder)]) == 0
    assert "float32" in capsys.readouterr().out


def test_memory_that_is_not_known_keeps_nothing_from_judging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = judge_folder(tmp_path)
    monkeypatch.setattr("rmr1.forecast.machine.find_gpus", lambda: ())
    monkeypatch.setattr("rmr1.forecast.machine.read_memory", lambda: None)
    assert main(["doctor", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "of weights" in told and "fit" not in told
    monkeypatch.setattr("rmr1.forecast.machine.read_memory", lambda: 1000)
    assert main(["doctor", str(folder)]) == 1
    assert "and there is room for" in capsys.readouterr().out


def judge_folder(tmp_path: Path) -> Path:
    tokenizer = build_tokenizer("split")
    return save_model(tmp_path / "model", build_model(len(tokenizer)), tokenizer)


def shard(folder: Path) -> tuple[Path, Path]:
    """Split the weights into two files with an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    files = folder / "model-00001-of-00002.safetensors", folder / "model-00002-of-00002.safetensors"
    halves = names[::2], names[1::2]
    for file, half in zip(files, halves, strict=True):
        save_file({name: tensors[name] for name in half}, file, metadata={"format": "pt"})
    weight_map = {name: file.name for file, half in zip(files, halves, strict=True) for name in half}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    (folder / "model.safetensors").unlink()
    return files


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def drop_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    values.pop("chat_template", None)
    path.write_text(json.dumps(values))


def drop_layer(folder: Path) -> None:
    """A file that is whole, of a model with fewer layers than are configured."""
    kept = {
        name: one for name, one in load_file(folder / "model.safetensors").items() if ".layers.0." not in name
    }
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def forget_tensors(folder: Path) -> None:
    """An index whose shard is of another save."""
    first, second = shard(folder)
    save_file({"other": load_file(second)[min(load_file(second))]}, first, metadata={"format": "pt"})


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 999\n"


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda folder: [one.unlink() for one in folder.glob("*tokenizer*")], "it has no tokenizer"),
        (drop_template, "its tokenizer has no chat template"),
        (lambda folder: (folder / "config.json").unlink(), "it holds no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "its configuration cannot be read: "),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "nosuch"}'),
            "its configuration cannot be read: ",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights (*.safetensors or *.bin)"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors is empty"),
        (lambda folder: (folder / "model.safetensors").write_bytes(LFS), "is a Git LFS pointer of "),
        (
            lambda folder: cut(folder / "model.safetensors", 5000),
            "model.safetensors is cut short: it has 5,000",
        ),
        (lambda folder: cut(folder / "model.safetensors", 50), "model.safetensors is cut short: it has 50"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"<html>not found</html>" * 9),
            "is no safetensors file",
        ),
        (drop_layer, "parameters, and its configuration has "),
        (lambda folder: shard(folder)[1].unlink(), "1 of 2 weight files are missing, first model-00002-of-"),
        (lambda folder: cut(shard(folder)[0], 3000), "model-00001-of-00002.safetensors is cut short"),
        (forget_tensors, "model-00001-of-00002.safetensors lacks "),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "pytorch_model.bin is no file that torch has written",
        ),
    ],
)
def test_what_keeps_a_folder_from_judging_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, spoil: Callable[[Path], object], fault: str
) -> None:
    folder = judge_folder(tmp_path)
    spoil(folder)
    capsys.readouterr()
    assert main(["doctor", str(folder)]) == 1
    captured = capsys.readouterr()
    told = [line for line in captured.out.splitlines() if line.startswith("cannot judge: ")]
    assert any(fault in line for line in told) and "can judge: rmr1" not in captured.out, told
    assert captured.err == "" and "Traceback" not in captured.out
    assert main(["doctor", str(folder), "--json"]) == 1
    assert any(fault in one for one in json.loads(capsys.readouterr().out)["model"]["faults"])


def test_whole_folders_can_judge(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = judge_folder(tmp_path)
    for change in (lambda: None, lambda: shard(folder)):
        change()
        assert main(["doctor", str(folder)]) == 0
        assert f"\ncan judge: rmr1 judge pairs.jsonl -m {folder}\n" in capsys.readouterr().out
    assert main(["doctor", "tiny"]) == 0 and main(["doctor", "tiny-scalar"]) == 0
    # torch's own form, which has no header: whole, and cut short.
    tensors = {name: one for file in shard_files(folder) for name, one in load_file(file).items()}
    for file in (*shard_files(folder), folder / "model.safetensors.index.json"):
        file.unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert main(["doctor", str(folder)]) == 0
    cut(folder / "pytorch_model.bin", 9000)
    capsys.readouterr()
    assert main(["doctor", str(folder)]) == 1
    assert "pytorch_model.bin is cut short: its archive has no end" in capsys.readouterr().out


def shard_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*.safetensors"))


def test_adapters_need_their_base(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder, base = tmp_path / "lora", judge_folder(tmp_path)
    folder.mkdir()
    values = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    assert main(["doctor", str(folder)]) == 1
    assert "cannot judge: no weights" in capsys.readouterr().out
    save_file({"a": torch.zeros(4)}, folder / "adapter_model.safetensors")
    assert main(["doctor", str(folder)]) == 0
    assert f"can judge: rmr1 judge pairs.jsonl -m {base} --adapter {folder}" in capsys.readouterr().out
    (base / "model.safetensors").unlink()
    assert main(["doctor", str(folder)]) == 1
    assert f"its base {base}: no weights" in capsys.readouterr().out
    (folder / "adapter_config.json").write_text(
        json.dumps({**values, "base_model_name_or_path": "./gone/away"})
    )
    assert main(["doctor", str(folder)]) == 1
    assert "its base ./gone/away: './gone/away': no such folder" in capsys.readouterr().out


class Models(BaseHTTPRequestHandler):
    status, body = 200, b'{"data": [{"id": "org/judge"}, {"id": "other"}, {"id": "tagged:latest"}]}'
    answer_status, answer = 404, b""

    def do_GET(self) -> None:
        assert self.path == "/v1/models"
        self._reply(self.status, self.body)

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert asked["model"] == "org/judge" and asked["max_tokens"] == 1
        self._reply(self.answer_status, self.answer)

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def test_models_on_servers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"

        def check(name: str) -> tuple[int, str]:
            return main(["doctor", name]), capsys.readouterr().out

        code, told = check(f"openai:org/judge@{url}")
        assert code == 0 and f"can judge: rmr1 judge pairs.jsonl -m openai:org/judge@{url}" in told
        assert check(f"openai:tagged@{url}")[0] == 0
        code, told = check(f"openai:org/jugde@{url}")
        assert code == 1
        assert (
            f"cannot judge: {url} does not serve 'org/jugde'; did you mean 'org/judge'? it serves org/"
            in told
        )
        code, told = check(f"openai:{url}")
        assert code == 1 and "expected openai:NAME@URL; it serves org/judge, other" in told
        for status, said in ((401, "refuses access (401)"), (503, "answers with status 503")):
            monkeypatch.setattr(Models, "status", status)
            code, told = check(f"openai:org/judge@{url}")
            assert code == 1 and said in told
        server.shutdown()
    code, told = check(f"openai:org/judge@{url}")
    assert code == 1 and f"cannot judge: {url} cannot be reached: " in told


LACKS = b'{"error": {"message": "no such model"}}'
TEXT = b'{"choices": [{"message": {"content": "H"}}]}'


@pytest.mark.parametrize(
    ("listing", "body"), [(404, b""), (405, b""), (200, b'{"data": []}'), (200, b"<html>"), (302, b"")]
)
@pytest.mark.parametrize(
    ("status", "answer", "code", "said"),
    [
        (200, TEXT, 0, "asked for one token, the model answers\ncan judge: rmr1 judge"),
        (200, b"<html>", 1, "cannot judge: {url} is no chat server: /chat/completions has status 200"),
        (404, b"not found", 1, "cannot judge: {url} is no chat server: /chat/completions has status 404"),
        (404, LACKS, 1, "cannot judge: {url} does not answer for 'org/judge' (404): no such model"),
        (401, b"", 1, "cannot judge: {url} refuses access (401)"),
        (500, b"", 1, "cannot judge: {url} answers with status 500"),
        (400, LACKS, 0, "'org/judge' answers with status 400: no such model, which shows nothing yet\nnot known whether"),
        (429, b"", 0, "status 429, which shows nothing yet\nnot known whether it can judge; try: rmr1 judge"),
    ],
)  # fmt: skip
def test_a_server_that_lists_no_models_is_asked_for_a_token(
    listing: int, body: bytes, status: int, answer: bytes, code: int, said: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("aiohttp")
    for name, value in (("status", listing), ("body", body), ("answer_status", status), ("answer", answer)):
        monkeypatch.setattr(Models, name, value)
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        assert main(["doctor", "-m", f"openai:org/judge@{url}"]) == code
        server.shutdown()
    told = capsys.readouterr().out
    assert f"note: {url} lists no models (/models has status {listing})" in told
    assert said.format(url=url) in told


def test_a_model_is_named_as_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["-m", "scripted:longer"], ["--model", "scripted:longer"], ["scripted:longer"],
                      ["scripted:longer", "-m", "scripted:longer"]):  # fmt: skip
        assert main(["doctor", *arguments]) == 0
        assert "can judge: rmr1 judge pairs.jsonl -m scripted:longer" in capsys.readouterr().out
    assert main(["doctor", "scripted:longer", "-m", "scripted:hash"]) == 2
    assert "two models are named, 'scripted:longer' and 'scripted:hash'" in capsys.readouterr().err


def test_names_that_are_nowhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("no/such-model-of-ours", "./gone", "scripted:nobody", "replay:gone.jsonl"):
        assert main(["doctor", name]) == 1
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cannot judge")]
        assert len(told) == 1, told
    assert main(["doctor", "scripted:longer"]) == 0


def test_a_missing_library_names_its_engine() -> None:
    libraries = dict.fromkeys(
        ("torch", "transformers", "vllm", "aiohttp", "pyarrow", "datasets", "accelerate", "peft")
    )
    machine = Inspection(
        python="", system="", num_cores=1, memory_bytes=None, free_disk_bytes=0, gpus=(), libraries=libraries
    )
    assert machine.missing_for("transformers") == ("torch", "transformers")
    assert format_bytes(3 << 20) == "3.0 MiB" and format_bytes(14 << 30) == "14.0 GiB"
