from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from torch import Tensor, nn

from anomri.errors import EnvironmentProblem
from anomri.training.fabric import autocast, choose_device, choose_precision, make_fabric, measure_precision

CPU = torch.device("cpu")


def timed_loss(plain_s: float, mixed_s: float):
    def loss(module: nn.Module) -> Tensor:
        time.sleep(mixed_s if torch.is_autocast_enabled("cpu") else plain_s)
        return module(torch.ones(1, 2)).sum()

    return loss


@pytest.mark.parametrize(
    ("knows", "expected"),
    [({"amx_bf16": True}, "bf16-mixed"), ({"amx_bf16": False}, "32-true"), ({}, "32-true"), (None, "32-true")],
)
def test_the_cpu_trains_in_bfloat16_where_it_has_units_for_it_without_measuring(
    knows: dict[str, bool] | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_module: nn.Module) -> Tensor:
        raise AssertionError("measured")

    if knows is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: knows, raising=False)
    assert choose_precision(CPU, nn.Linear(2, 1), never) == expected


@pytest.mark.parametrize(
    ("plain_s", "mixed_s", "expected"), [(0.03, 0.001, "bf16-mixed"), (0.001, 0.03, "32-true"), (0.03, 0.03, "32-true")]
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(plain_s: float, mixed_s: float, expected: str) -> None:
    assert measure_precision(CPU, nn.Linear(2, 1), timed_loss(plain_s, mixed_s)) == expected


def test_measuring_changes_nothing_in_the_module() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    measure_precision(CPU, module, lambda m: m(torch.randn(4, 2)).sum())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not module.training


def test_autocast_is_off_in_float32() -> None:
    with autocast(CPU, "32-true"):
        assert nn.Linear(2, 1)(torch.ones(1, 2)).dtype == torch.float32
    with autocast(CPU, "bf16-mixed"):
        assert nn.Linear(2, 1)(torch.ones(1, 2)).dtype == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="no CUDA device"):
        make_fabric("cuda")
    with pytest.raises(EnvironmentProblem, match="no CUDA device"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    assert make_fabric("auto").device == CPU


def test_the_package_alone_loads_no_torch() -> None:
    code = "import sys, anomri.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_device_is_chosen_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(d) for d in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    with pytest.raises(EnvironmentProblem, match="no device 'gpu'"):
        choose_device("gpu")  # type: ignore[arg-type]


def test_choosing_a_device_does_not_bring_what_only_a_training_needs() -> None:
    code = (
        "import sys\n"
        "from anomri.training.fabric import choose_device\n"
        "choose_device()\n"
        "sys.exit('lightning_fabric' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
