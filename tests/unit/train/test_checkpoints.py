"""Checkpoints: whole or not at all, and the same after reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint import FileSystemWriter

from rmr1.errors import CheckpointError
from rmr1.train.checkpoints import (
    find_checkpoint,
    restore_best,
    restore_checkpoint,
    trained_weights,
    write_best,
    write_checkpoint,
)
from rmr1.train.optim import Optimizers, build_optimizers
from tests.tiny_models import build_model


def make(seed: int = 0, **changes: Any) -> tuple[torch.nn.Module, Optimizers]:
    model = build_model(tie_word_embeddings=True, seed=seed, **changes)
    return model, build_optimizers(
        model, name="muon", lr=1e-3, muon_lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0
    )


def take_step(model: torch.nn.Module, optimizers: Optimizers, factor: float = 1.0) -> None:
    for number, one in enumerate(model.parameters()):
        one.grad = torch.full_like(one, 0.01 * (number + 1)).cumsum(0)
    optimizers.step(factor)
    optimizers.zero_grad()


def write(run: Path, step: int, *, keep: int = 2) -> Path:
    return write_checkpoint(run, *make(), {"step": step, "recent": [1.5]}, keep=keep)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    model, optimizers = make(1)
    take_step(model, optimizers)
    place = write_checkpoint(tmp_path, model, optimizers, {"step": 3, "recent": [1.5]}, keep=2)
    assert place.name == "step-00000003" and find_checkpoint(tmp_path) == place
    other, states = make(2)
    assert restore_checkpoint(place, other, states) == {"step": 3, "recent": [1.5]}
    for one in (True, False):
        for found, wanted in zip(other.parameters(), model.parameters(), strict=True):
            assert torch.equal(found, wanted)
        if one:  # momentum and Adam's means go on as they were
            take_step(model, optimizers, 0.5)
            take_step(other, states, 0.5)
    assert other.lm_head.weight is other.model.embed_tokens.weight


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 11):
        write(tmp_path, step)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-00000011"]


@pytest.mark.parametrize("failing", ["writer", "flush"])
def test_a_full_disk_is_one_line_and_the_older_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    older = write(tmp_path, 1, keep=1)

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    if failing == "writer":
        monkeypatch.setattr(FileSystemWriter, "write_data", fail)
    else:
        monkeypatch.setattr("rmr1.store.replace._flush", fail)
    with pytest.raises(CheckpointError) as raised:
        write(tmp_path, 2, keep=1)
    assert "No space left on device); step-00000001 stays: free space" in str(raised.value)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [older.name]
    assert restore_checkpoint(older, *make())["step"] == 1


def test_a_real_full_device(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    part = tmp_path / "checkpoints" / ".part-step-00000002"
    write(tmp_path, 1, keep=1)
    original = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        if self == part:
            (part / "__0_0.distcp").unlink(missing_ok=True)
            (part / "__0_0.distcp").symlink_to("/dev/full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(CheckpointError, match=r"No space left.*step-00000001 stays"):
            write(tmp_path, 2, keep=1)
    assert not part.exists() and find_checkpoint(tmp_path).name == "step-00000001"


def test_what_a_kill_left_is_no_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    part = tmp_path / "checkpoints" / ".part-step-00000002"
    part.mkdir()
    (part / "__0_0.distcp").write_bytes(b"half")
    assert find_checkpoint(tmp_path).name == "step-00000001"
    write(tmp_path, 2)
    assert find_checkpoint(tmp_path).name == "step-00000002" and not part.exists()


def test_damage_and_other_models_are_named(tmp_path: Path) -> None:
    place = write(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"mlp.* is \(64, 32\), the model has \(48, 32\)"):
        restore_checkpoint(place, *make(intermediate_size=48))
    with pytest.raises(CheckpointError, match="not a checkpoint of this model"):
        restore_checkpoint(place, *make(num_hidden_layers=1))
    (place / "__0_0.distcp").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="cannot be read"):
        restore_checkpoint(place, *make())


def test_best_weights_are_kept_apart(tmp_path: Path) -> None:
    first, second = make(1)[0], make(2)[0]
    for step, model in ((1, first), (2, second)):
        write_best(tmp_path, model, step, spared=1)
    found = make(3)[0]
    restore_best(tmp_path, found, 1)
    assert torch.equal(next(found.parameters()), next(first.parameters()))
    write_best(tmp_path, second, 3)
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["step-00000003"]


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(tmp_path: Path) -> None:
    model, optimizers = make(1)
    take_step(model, optimizers)
    place = tmp_path / "checkpoints" / "step-00000001"
    place.mkdir(parents=True)
    save_file(
        {name: one.detach() for name, one in trained_weights(model).items()}, place / "weights.safetensors"
    )
    torch.save([one.state_dict() for one in optimizers.parts], place / "optimizer.pt")
    (place / "state.json").write_text(json.dumps({"step": 1}))
    other, states = make(2)
    assert restore_checkpoint(place, other, states) == {"step": 1}
    for pair in ((model, optimizers), (other, states)):
        take_step(*pair)
    for found, wanted in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(found, wanted)
