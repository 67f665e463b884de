"""The one training loop.

On a CPU with the same number of threads a training gives the same bits each time, and the same bits again when it was
killed at any moment and resumed: the order of batches and all randomness are functions of (seed, epoch, step)
(`anomri.training.seeding`), and everything else that changes stands in one checkpoint, replaced atomically.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from anomri.errors import InputError, ModelError, OutputConflict
from anomri.training.checkpoint import read_checkpoint, write_checkpoint
from anomri.training.fabric import Precision, autocast, choose_precision
from anomri.training.seeding import epoch_order, seeded_torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CHECKPOINT_NAME", "Batch", "Batches", "Training", "cosine_decay", "train"]

Batch = tuple[Tensor, ...]
CHECKPOINT_NAME = "training.safetensors"


@dataclass(frozen=True, slots=True)
class Batches:
    """What is trained on.

    Parameters
    ----------
    count : number of samples; every epoch visits each once.
    size : samples a batch; the last batch of an epoch may be smaller.
    make : (indices, seed, epoch) → tensors of one batch, on the CPU. Draw randomness from
        ``generator(seed, epoch, index)`` alone.
    """

    count: int
    size: int
    make: Callable[[NDArray[np.intp], int, int], Batch]

    def __post_init__(self) -> None:
        if self.count < 1 or self.size < 1:
            raise InputError(
                f"{self.count} samples in batches of {self.size}", remedy="Give at least one of each.", code="batches"
            )

    @property
    def per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(self.count / self.size)

    def batch(self, *, seed: int, epoch: int, step: int) -> Batch:
        """The batch of one step of an epoch."""
        order = epoch_order(self.count, seed=seed, epoch=epoch)
        return self.make(order[step * self.size : (step + 1) * self.size], seed, epoch)


@dataclass(frozen=True, slots=True)
class Training:
    """What a training left behind besides the weights.

    Parameters
    ----------
    curves : ``train_loss`` and, where validated, ``validation_loss``; one number an epoch.
    best_epoch : whose weights the module now has, counted from 0; the last one where nothing was validated.
    precision : what it ran in.
    elapsed_s : wall time over all runs that contributed.
    notes : what the user should know.
    """

    curves: Mapping[str, tuple[float, ...]]
    best_epoch: int
    precision: Precision
    elapsed_s: float
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Progress:
    """Where a training stands; its fields are the checkpoint's JSON."""

    settings: dict[str, Any]
    precision: Precision = "32-true"
    threads: int = 1
    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0
    elapsed_s: float = 0.0
    notes: list[str] = field(default_factory=list)


def cosine_decay(progress: float) -> float:
    """Factor of the learning rate: 1 at the start, 0 at the end, half a cosine between (Loshchilov and Hutter 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def train(
    module: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    batches: Batches,
    *,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    epochs: int,
    seed: int,
    fabric: Fabric,
    resume: Path | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    decay: Callable[[float], float] | None = None,
    settings: Mapping[str, Any] | None = None,
    save_every_s: float = 60.0,
) -> Training:
    """Train a module in place.

    Parameters
    ----------
    module : initialised by the caller (see `seeded_torch`). Afterwards it is on the CPU, in evaluation mode, and has
        the weights of the epoch with the lowest validation loss, or the last ones where `validate` is None.
    loss : (module, batch) → scalar; randomness of torch inside is keyed by (seed, epoch, step).
    optimizer : made from the parameters.
    fabric : one device; see `make_fabric`.
    resume : folder of the checkpoint; what stands there is gone on from. None: nothing is written.
    validate : loss on held-out samples, lower is better; called after each epoch in evaluation and inference mode.
    decay : share of training done, 0 to 1 → factor of the learning rate; None for a constant rate.
    settings : JSON that names what is trained on what; a checkpoint with other settings is refused.
    save_every_s : least time between two checkpoints; 0 saves after every step.

    Raises
    ------
    OutputConflict : the folder holds a training with other settings.
    ModelError : the checkpoint is damaged, or the loss is no longer finite.
    InputError : the fabric has more than one device.
    """
    if fabric.world_size != 1:
        raise InputError(
            f"a training over {fabric.world_size} devices", remedy="Use a Fabric with one device.", code="devices"
        )
    run = _Run(module, loss, batches, optimizer, epochs, seed, fabric, resume, validate, decay, save_every_s)
    run.start({"seed": seed, "epochs": epochs, "count": batches.count, "size": batches.size, **dict(settings or {})})
    while run.progress.epoch < epochs:
        while run.progress.step < batches.per_epoch:
            run.one_step()
        run.end_epoch()
    return run.finish()


class _Run:
    """One call of `train`: the live objects beside the progress that goes to disk."""

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[nn.Module, Batch], Tensor],
        batches: Batches,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        epochs: int,
        seed: int,
        fabric: Fabric,
        folder: Path | None,
        validate: Callable[[nn.Module], float] | None,
        decay: Callable[[float], float] | None,
        save_every_s: float,
    ) -> None:
        self.module, self.loss, self.batches, self.epochs, self.seed = module, loss, batches, epochs, seed
        self.fabric, self.validate, self.decay, self.save_every_s = fabric, validate, decay, save_every_s
        self.path = None if folder is None else folder / CHECKPOINT_NAME
        self.optimizer = optimizer(module.parameters())
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.wrapped, self.stepper = fabric.setup(module, self.optimizer)
        self.best: dict[str, Tensor] = {}
        self.clock = self.saved_at = time.monotonic()
        self.worked = False

    def start(self, settings: dict[str, Any]) -> None:
        """Go on from the checkpoint, or choose the precision of a new training."""
        found = None if self.path is None else read_checkpoint(self.path)
        if found is None:
            first = self._to_device(self.batches.batch(seed=self.seed, epoch=0, step=0))
            precision = choose_precision(self.fabric.device, self.module, lambda module: self.loss(module, first))
            self.progress = _Progress(settings, precision=precision, threads=torch.get_num_threads())
            return
        tensors, record = found
        self.progress = _Progress(**record)
        if self.progress.settings != settings:
            raise OutputConflict(
                "the folder holds the checkpoint of a training with other settings",
                remedy="Choose another folder, or delete the checkpoint to begin again.",
                code="checkpoint_settings",
            )
        if self.progress.threads != torch.get_num_threads():
            note = f"resumed with {torch.get_num_threads()} threads instead of {self.progress.threads}"
            self.progress.notes.append(f"{note}: equal to an uninterrupted training within rounding, not bit by bit")
            self.progress.threads = torch.get_num_threads()
        self._restore(tensors)

    def one_step(self) -> None:
        """One batch forward, backward, and one step of the optimizer."""
        at = self.progress
        done = (at.epoch + at.step / self.batches.per_epoch) / self.epochs
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate if self.decay is None else rate * self.decay(done)
        batch = self._to_device(self.batches.batch(seed=self.seed, epoch=at.epoch, step=at.step))
        self.wrapped.train()
        self.stepper.zero_grad(set_to_none=True)
        with seeded_torch(self.seed, at.epoch, at.step, device=self.fabric.device):
            with autocast(self.fabric.device, at.precision):
                loss = self.loss(self.wrapped, batch)
            self.fabric.backward(loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} in epoch {at.epoch}, step {at.step}",
                remedy="Lower the learning rate, and check the values of the training scans.",
                code="diverged",
            )
        self.stepper.step()
        self.worked = True
        at.losses.append(value)
        at.step += 1
        self._save_if_due()

    def end_epoch(self) -> None:
        """Close the curves of an epoch and keep its weights where they are the best so far."""
        at = self.progress
        at.train_loss.append(float(np.mean(at.losses)))
        if self.validate is not None:
            self.wrapped.eval()
            with torch.inference_mode(), autocast(self.fabric.device, at.precision):
                value = float(self.validate(self.wrapped))
            if not at.validation_loss or value < min(at.validation_loss):
                at.best_epoch = at.epoch
                self.best = {name: t.detach().cpu().clone() for name, t in self.module.state_dict().items()}
            at.validation_loss.append(value)
        else:
            at.best_epoch = at.epoch
        at.epoch, at.step, at.losses = at.epoch + 1, 0, []
        self._save_if_due()

    def finish(self) -> Training:
        """Write the last checkpoint, so that a repeat returns at once, and put the best weights in place."""
        if self.worked:
            self._save()
        if self.best:
            self.module.load_state_dict(self.best)
        self.module.to("cpu").eval()
        curves = {"train_loss": tuple(self.progress.train_loss)}
        if self.validate is not None:
            curves["validation_loss"] = tuple(self.progress.validation_loss)
        at = self.progress
        return Training(curves, at.best_epoch, at.precision, at.elapsed_s, tuple(at.notes))

    def _to_device(self, batch: Batch) -> Batch:
        return tuple(tensor.to(self.fabric.device) for tensor in batch)

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved_at >= self.save_every_s:
            self._save()

    def _save(self) -> None:
        now = time.monotonic()
        self.progress.elapsed_s += now - self.clock
        self.clock = now
        if self.path is None:
            return
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
        write_checkpoint(self.path, tensors, asdict(self.progress))
        self.saved_at = time.monotonic()

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "best": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimizer"].items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = tensor
        self.module.load_state_dict(parts["module"])
        self.best = parts["best"]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
