"""The training loop: same bits on a repeat, the same again after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anomri.errors import InputError, ModelError, OutputConflict
from anomri.training.checkpoint import read_checkpoint, write_checkpoint
from anomri.training.fabric import make_fabric
from anomri.training.holdout import held_out_loss
from anomri.training.loop import CHECKPOINT_NAME, Batches, Training, cosine_decay, train
from anomri.training.seeding import epoch_order, generator, seeded_torch

EPOCHS = 5


def small_network() -> nn.Module:
    with seeded_torch(7, 0):
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.LeakyReLU(0.2), nn.Linear(8, 6))


def noisy_batch(indices: np.ndarray, seed: int, epoch: int) -> tuple[Tensor, ...]:
    clean = np.stack([np.sin(np.arange(6) * (index + 1)) for index in indices])
    noise = np.stack([generator(seed, epoch, int(index)).normal(0, 0.1, 6) for index in indices])
    return torch.tensor(clean + noise, dtype=torch.float32), torch.tensor(clean, dtype=torch.float32)


def squared_error(module: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return ((module(batch[0]) - batch[1]) ** 2).mean()


def held_out_error(module: nn.Module) -> float:
    batches = [noisy_batch(np.arange(20, 23), 0, 0), noisy_batch(np.arange(23, 26), 0, 0)]
    return held_out_loss(module, squared_error, batches)


def run(
    folder: Path | None, *, module: nn.Module | None = None, make=noisy_batch, epochs: int = EPOCHS, **more: object
) -> tuple[nn.Module, Training]:
    module = small_network() if module is None else module
    report = train(
        module,
        squared_error,
        Batches(11, 4, make),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05, weight_decay=1e-3),
        epochs=epochs,
        seed=3,
        fabric=make_fabric("cpu"),
        resume=folder,
        **{"validate": held_out_error, "decay": cosine_decay, "save_every_s": 0.0, **more},
    )
    return module, report


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_repeat_gives_the_same_bits() -> None:
    (one, first), (other, second) = run(None), run(None)
    assert same_bits(one, other)
    assert first.curves == second.curves
    assert first.precision == second.precision


def test_training_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(None)
    assert torch.equal(torch.rand(3), expected)


def test_the_loss_falls_and_the_curves_have_one_number_an_epoch() -> None:
    _, report = run(None, epochs=30)
    assert report.curves["train_loss"][-1] < 0.7 * report.curves["train_loss"][0]
    assert {len(curve) for curve in report.curves.values()} == {30}


@pytest.mark.parametrize(("epoch", "step"), [(0, 1), (2, 0), (3, 2)])
def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path: Path, epoch: int, step: int) -> None:
    calls = []

    def interrupted(indices: np.ndarray, seed: int, at: int) -> tuple[Tensor, ...]:
        calls.append(at)
        if len(calls) == epoch * 3 + step + 2:  # one batch is made for the choice of precision
            raise KeyboardInterrupt
        return noisy_batch(indices, seed, at)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, make=interrupted)
    resumed, report = run(tmp_path)
    whole, expected = run(None)
    assert same_bits(resumed, whole)
    assert report.curves == expected.curves
    assert report.best_epoch == expected.best_epoch


def test_a_training_killed_by_the_system_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_training_loop as here
        def deadly(indices, seed, epoch):
            if epoch == 2 and 3 in indices:
                os.kill(os.getpid(), signal.SIGKILL)
            return here.noisy_batch(indices, seed, epoch)
        here.torch.set_num_threads({torch.get_num_threads()})
        here.run(here.Path({str(tmp_path)!r}), make=deadly)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / CHECKPOINT_NAME).exists()
    resumed, report = run(tmp_path)
    whole, expected = run(None)
    assert same_bits(resumed, whole)
    assert report.curves == expected.curves


def test_a_finished_training_returns_at_once(tmp_path: Path) -> None:
    whole, expected = run(tmp_path)

    def never(_indices: np.ndarray, _seed: int, _epoch: int) -> tuple[Tensor, ...]:
        raise AssertionError("trained again")

    again, report = run(tmp_path, make=never)
    assert same_bits(again, whole)
    assert report == expected


def test_the_best_weights_are_kept() -> None:
    values = iter([3.0, 1.0, 2.0, 5.0])
    seen: list[list[Tensor]] = []

    def validate(module: nn.Module) -> float:
        assert not module.training
        seen.append([tensor.clone() for tensor in module.state_dict().values()])
        return next(values)

    module, report = run(None, epochs=4, validate=validate)
    assert report.best_epoch == 1
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), seen[1], strict=True))
    assert not module.training


def test_without_validation_the_last_weights_stay() -> None:
    _, report = run(None, validate=None)
    assert report.best_epoch == EPOCHS - 1
    assert set(report.curves) == {"train_loss"}


def test_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    with pytest.raises(OutputConflict, match="other settings"):
        run(tmp_path, epochs=2)
    with pytest.raises(OutputConflict):
        run(tmp_path, epochs=1, settings={"width": 3})


def test_a_resume_keeps_the_precision_it_began_with(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    path = tmp_path / CHECKPOINT_NAME
    tensors, record = read_checkpoint(path)  # type: ignore[misc]
    write_checkpoint(path, tensors, {**record, "precision": "bf16-mixed", "threads": 99})
    _, report = run(tmp_path, epochs=1)
    assert report.precision == "bf16-mixed"
    assert "99" in report.notes[0]


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    def explode(module: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return module(batch[0]).sum() * torch.inf

    with pytest.raises(ModelError, match="epoch 0, step 0"):
        train(
            small_network(),
            explode,
            Batches(4, 2, noisy_batch),
            optimizer=torch.optim.SGD,
            epochs=1,
            seed=0,
            fabric=make_fabric("cpu"),
        )


def test_the_held_out_loss_is_the_mean_over_batches() -> None:
    module = small_network().eval()
    with torch.no_grad():
        whole = squared_error(module, noisy_batch(np.arange(20, 26), 0, 0))
        parts = held_out_error(module)
    assert parts == pytest.approx(float(whole), rel=1e-5)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(InputError, match="0 samples"):
        Batches(0, 4, noisy_batch)


def test_every_epoch_visits_each_sample_once_in_an_order_of_its_own() -> None:
    batches = Batches(11, 4, lambda indices, _seed, _epoch: (torch.from_numpy(indices.copy()),))
    visited = [torch.cat([batches.batch(seed=1, epoch=e, step=s)[0] for s in range(3)]).tolist() for e in range(3)]
    assert all(sorted(order) == list(range(11)) for order in visited)
    assert visited[0] != visited[1]
    assert visited[2] == epoch_order(11, seed=1, epoch=2).tolist()


def test_the_checkpoint_is_one_file_without_pickle(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_NAME]
    names = load_file(tmp_path / CHECKPOINT_NAME)
    assert {name.split(".")[0] for name in names} == {"module", "best", "optimizer"}
    header = (tmp_path / CHECKPOINT_NAME).read_bytes()
    json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])


def test_cosine_decay_goes_from_one_to_zero() -> None:
    assert [cosine_decay(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
