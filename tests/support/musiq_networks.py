"""IQA-PyTorch's MUSIQ with random weights, as a network and as a file, for tests."""

from pathlib import Path

import torch
from torch import nn


def network(bins: int) -> nn.Module:
    """IQA-PyTorch's, with random weights: norms and tables too, which it initialises to constants or small values."""
    from pyiqa.archs.musiq_arch import MUSIQ

    torch.manual_seed(bins)
    made = MUSIQ(pretrained=False, num_class=bins).eval().requires_grad_(False)
    for name, parameter in made.named_parameters():
        if any(part in name for part in ("gn", "norm", "_emb", "cls", "head")):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def saved(made: nn.Module, folder: Path) -> Path:
    """Weights as IQA-PyTorch saves them."""
    torch.save(made.state_dict(), folder / "koniq.pth")
    return folder / "koniq.pth"
