"""Networks to stream, and the whole output of a stream, for tests."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from skimage.data import astronaut
from torch import Tensor, nn

from iqsr.engines.rows import of_tensor
from iqsr.engines.streaming import RowStream, StreamEngine, compile_rows
from iqsr.models import SRModel, load_model

CPU = torch.device("cpu")


@cache
def model(name: str) -> SRModel:
    return load_model(name)


def streamed(module: nn.Module, picture: Tensor, band: int) -> Tensor:
    stream = RowStream(compile_rows(module), picture.shape[2], band)
    parts = [out for rows in picture.split(band, 2) for out in stream.push(rows)]
    assert stream.progress == 1
    return torch.cat(parts, 2)


def engine(module: nn.Module, dtype: torch.dtype = torch.float32, **options: int) -> StreamEngine:
    return StreamEngine(compile_rows(module), CPU, dtype, **{"memory_bytes": 1 << 40, **options})


def enlarged(engine: StreamEngine, picture: Tensor) -> Tensor:
    return torch.cat(list(engine.apply(of_tensor(picture)).bands(16)), 2)


def photo(height: int, width: int) -> Tensor:
    return torch.from_numpy(astronaut()[60 : 60 + height, 200 : 200 + width] / 255).float().permute(2, 0, 1)[None]


class Sketch(nn.Module):
    """A network given as a function of its layers and the picture."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def conv(given: int, made: int, size: int = 3, **options: Any) -> nn.Conv2d:
    options = {"padding": (size - 1) // 2, **options}
    return nn.Conv2d(given, made, size, **options)
