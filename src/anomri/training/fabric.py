"""The device a network trains on, and the precision it trains in."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from anomri.errors import EnvironmentProblem

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Device", "Precision", "autocast", "choose_device", "choose_precision", "make_fabric", "measure_precision"]

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed"]

# Below this gain the rounding of bfloat16 is not worth having, and timing noise might decide.
WORTHWHILE_SPEEDUP = 1.3


def choose_device(device: Device = "auto") -> Literal["cpu", "cuda"]:
    """The device to compute on; ``auto`` takes the CUDA device where there is one.

    Raises
    ------
    EnvironmentProblem : ``cuda`` was asked for and there is none, or something else than these three.
    """
    if device == "cpu":
        return "cpu"
    if device not in ("auto", "cuda"):
        raise EnvironmentProblem(
            f"there is no device {device!r}", remedy="Ask for 'auto', 'cpu' or 'cuda'.", code="device"
        )
    found = torch.cuda.is_available()
    if device == "cuda" and not found:
        raise EnvironmentProblem(
            "no CUDA device was found", remedy="Use the device 'cpu', or install a CUDA build of torch.", code="device"
        )
    return "cuda" if found else "cpu"


def make_fabric(device: Device = "auto") -> Fabric:
    """A Fabric for one device, see `choose_device`.

    Raises
    ------
    EnvironmentProblem : ``cuda`` was asked for and there is none.
    """
    accelerator = choose_device(device)
    from lightning_fabric import Fabric  # a second that only a training needs

    return Fabric(accelerator=accelerator, devices=1)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which forward passes of a training run."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16-mixed")


def choose_precision(device: torch.device, module: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Precision:
    """Precision of a new training: bfloat16 on a CPU that has units for it, whatever is measurably faster elsewhere.

    A CPU is not measured: there a repeat must be bit-equal, which a decision by timing would not allow. One with AMX
    trains two to three times faster in bfloat16; many others run it two to three times slower. The loop keeps the
    choice in its checkpoint, so that a resume does not decide again.

    Parameters
    ----------
    module : the network, on `device`; it is not changed.
    loss : loss of a typical batch, as a function of the network.
    """
    if device.type != "cpu":
        return measure_precision(device, module, loss)
    # An older torch does not know what the CPU can do.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16-mixed" if capabilities.get("amx_bf16", False) else "32-true"


def measure_precision(device: torch.device, module: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Precision:
    """``bf16-mixed`` where a forward and backward pass is at least 1.3 times faster in it than in float32."""
    trial = copy.deepcopy(module).train()
    plain = _seconds_a_pass(device, trial, loss, "32-true")
    mixed = _seconds_a_pass(device, trial, loss, "bf16-mixed")
    return "bf16-mixed" if plain >= WORTHWHILE_SPEEDUP * mixed else "32-true"


def _seconds_a_pass(
    device: torch.device, module: nn.Module, loss: Callable[[nn.Module], Tensor], precision: Precision
) -> float:
    """Fastest of three passes after one to warm up."""
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        with autocast(device, precision):
            value = loss(module)
        value.backward()  # type: ignore[no-untyped-call]
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
        module.zero_grad(set_to_none=True)
    return min(seconds[1:])
