"""Small networks, and adapters on them that change the output, for tests."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from iqsr.models import SRModel, load_model
from iqsr.models.lora import (
    add_lora,
    lora_state,
)
from iqsr.models.untrained import new_rrdbnet, new_swinir

ANIMEVIDEO = "realesr-animevideov3-x4"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 16, width: int = 24, *, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=seeded(seed))


def tiny_rrdbnet(seed: int = 0) -> SRModel:
    return new_rrdbnet(blocks=2, features=16, seed=seed)


def tiny_swinir(seed: int = 0) -> SRModel:
    return new_swinir(depths=(2, 2), dim=12, heads=(2, 2), seed=seed)


def compact() -> SRModel:
    return load_model(ANIMEVIDEO)


TINY = {
    "RRDBNet": (tiny_rrdbnet, "rrdb-convs"),
    "SwinIR": (tiny_swinir, "swinir-mlp"),
    "SwinIR, every linear layer": (tiny_swinir, "all-linears"),
    "Compact": (compact, "all-convs"),
}


def trained(model: SRModel, targets: str, *, rank: int = 3, seed: int = 0) -> SRModel:
    """With adapters that change the output, as after training; on untrained networks it takes larger ones."""
    std = 0.05 if model.architecture == "Compact" else 1.0
    add_lora(model.module, rank, targets=targets, seed=seed)
    for name, value in lora_state(model.module).items():
        if ".lora_B." in name:
            value.normal_(0, std, generator=seeded(seed))
    return model


def run(module: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(x)


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def one_line(error: pytest.ExceptionInfo[Exception]) -> None:
    assert "\n" not in str(error.value)
