from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from anomri.errors import EnvironmentProblem, ModelError
from anomri.training.checkpoint import read_checkpoint, write_checkpoint


def test_what_was_written_is_read_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.safetensors"
    tensors = {"w": torch.randn(3, 4), "steps": torch.tensor(7), "moment": torch.tensor(0.1, dtype=torch.float64)}
    record = {"loss": [0.1 + 0.2, 1e-310], "epoch": 3, "nested": {"a": None}}
    write_checkpoint(path, tensors, record)
    found, read = read_checkpoint(path)  # type: ignore[misc]
    assert read == record
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "none") is None


def test_a_kill_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, {"w": torch.ones(2)}, {"epoch": 1})
    (tmp_path / "c.safetensors.partial").write_bytes(b"half")
    assert read_checkpoint(path)[1] == {"epoch": 1}  # type: ignore[index]
    write_checkpoint(path, {"w": torch.ones(2)}, {"epoch": 2})
    assert [each.name for each in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, {"w": torch.ones(200)}, {"epoch": 1})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match="another format"):
        read_checkpoint(tmp_path / "c.safetensors")


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="could not be written"):
        write_checkpoint(tmp_path / "file" / "c.safetensors", {}, {})
