"""Checkpoints: whole or not at all, and the same after reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rmr1.errors import CheckpointError
from rmr1.train.checkpoints import (
    Snapshot,
    find_checkpoint,
    get_random_state,
    read_checkpoint,
    restore_weights,
    trained_weights,
    write_checkpoint,
)
from tests.tiny_models import build_model


def make_snapshot(step: int, model: torch.nn.Module | None = None) -> Snapshot:
    model = model or build_model(tie_word_embeddings=True)
    return Snapshot(
        weights=dict(trained_weights(model)),
        optimizer=[{"state": {0: {"momentum": torch.arange(3.0)}}, "param_groups": [{"lr": 0.1}]}],
        state={"step": step, "recent": [1.5]},
        random=[get_random_state()],
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    model = build_model(tie_word_embeddings=True, seed=1)
    place = write_checkpoint(tmp_path, make_snapshot(3, model), keep=2)
    assert place.name == "step-00000003" and find_checkpoint(tmp_path) == place
    found = read_checkpoint(place)
    assert found.state == {"step": 3, "recent": [1.5]}
    assert torch.equal(found.optimizer[0]["state"][0]["momentum"], torch.arange(3.0))
    assert torch.equal(found.random[0]["cpu"], torch.get_rng_state())
    other = build_model(tie_word_embeddings=True, seed=2)
    restore_weights(other, found.weights, place)
    for one, wanted in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, wanted)
    assert other.lm_head.weight is other.model.embed_tokens.weight


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 11):
        write_checkpoint(tmp_path, make_snapshot(step), keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-00000011"]


@pytest.mark.parametrize("failing", ["rmr1.train.checkpoints.save_file", "rmr1.store.replace._flush"])
def test_a_full_disk_is_one_line_and_the_older_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    older = write_checkpoint(tmp_path, make_snapshot(1), keep=1)

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(CheckpointError) as raised:
        write_checkpoint(tmp_path, make_snapshot(2), keep=1)
    assert "No space left on device); step-00000001 stays: free space" in str(raised.value)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [older.name]
    assert read_checkpoint(older).state["step"] == 1


def test_a_real_full_device(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    part = tmp_path / "checkpoints" / ".part-step-00000002"
    write_checkpoint(tmp_path, make_snapshot(1), keep=1)
    state = {"step": 2}
    snapshot = make_snapshot(2)
    original = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        if self == part:
            (part / "optimizer.pt").symlink_to("/dev/full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(CheckpointError, match="step-00000001 stays"):
            write_checkpoint(
                tmp_path,
                Snapshot(
                    weights=snapshot.weights,
                    optimizer=snapshot.optimizer,
                    state=state,
                    random=snapshot.random,
                ),
                keep=1,
            )
    assert not part.exists() and find_checkpoint(tmp_path).name == "step-00000001"


def test_what_a_kill_left_is_no_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, make_snapshot(1), keep=2)
    part = tmp_path / "checkpoints" / ".part-step-00000002"
    part.mkdir()
    (part / "weights.safetensors").write_bytes(b"half")
    assert find_checkpoint(tmp_path).name == "step-00000001"
    write_checkpoint(tmp_path, make_snapshot(2), keep=2)
    assert find_checkpoint(tmp_path).name == "step-00000002" and not part.exists()


def test_damage_and_other_models_are_named(tmp_path: Path) -> None:
    place = write_checkpoint(tmp_path, make_snapshot(1), keep=2)
    found = read_checkpoint(place)
    with pytest.raises(CheckpointError, match=r"the model has \(64, 16\)|the model has"):
        restore_weights(build_model(tie_word_embeddings=True, intermediate_size=48), found.weights, place)
    with pytest.raises(CheckpointError, match="not a checkpoint of this model"):
        restore_weights(build_model(num_hidden_layers=1), found.weights, place)
    (place / "optimizer.pt").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(place)
