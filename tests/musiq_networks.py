"""IQA-PyTorch's MUSIQ with random weights, as a network and as a file, and pictures to score, for tests."""

from pathlib import Path

import torch
from torch import Tensor, nn


def picture(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Edges and texture at several scales: (N, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        nn.functional.interpolate(
            torch.rand(count, 3, height // step + 2, width // step + 2, generator=generator), (height, width)
        )
        for step in (1, 4, 16)
    ]
    return torch.stack(layers).mean(0)


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
