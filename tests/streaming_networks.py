"""Networks to stream, and the whole output of a stream, for tests."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from iqsr.generators import Generator, load_generator
from iqsr.streaming import RowStream, compile_rows

CPU = torch.device("cpu")


@cache
def generator(name: str) -> Generator:
    return load_generator(name)


def streamed(module: nn.Module, picture: Tensor, band: int) -> Tensor:
    stream = RowStream(compile_rows(module), picture.shape[2], band)
    parts = [out for rows in picture.split(band, 2) for out in stream.push(rows)]
    assert stream.progress == 1
    return torch.cat(parts, 2)


class Sketch(nn.Module):
    """A network given as a function of its layers and the picture."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def conv(given: int, made: int, size: int = 3, **options: object) -> nn.Conv2d:
    options = {"padding": (size - 1) // 2, **options}
    return nn.Conv2d(given, made, size, **options)
