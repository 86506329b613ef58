"""Weights in ncnn's `.bin` form (https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure).

A `.bin` has no names and no shapes: it is one array after the other, in the network's order. The weight of
a convolution is a 4-byte tag, its values, and zeros up to a multiple of 4 bytes; biases and PReLU slopes are
bare fp32. The shapes come from the network; a file that is longer or shorter than they ask for is refused.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iqsr.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of every array, in file order: 4 dimensions for a convolution, 1 for a bias or slopes."""

_VALUES = {0x00000000: np.dtype("<f4"), 0x01306B47: np.dtype("<f2")}
"""How a convolution's values are stored, by its tag."""


def read_ncnn(path: Path, shapes: Shapes) -> dict[str, Tensor]:
    """The arrays of an ncnn `.bin` as fp32 tensors, named and shaped as `shapes` says.

    Raises ModelError if the file cannot be read or does not hold exactly these arrays.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    arrays: dict[str, Tensor] = {}
    position = 0
    for name, shape in shapes.items():
        stored = np.dtype("<f4")
        if len(shape) == 4:
            tag = int.from_bytes(data[position : position + 4], "little")
            if tag not in _VALUES:
                raise ModelError(f"{path}: {name} is stored in an unsupported form (tag {tag:#010x})")
            stored, position = _VALUES[tag], position + 4
        end = position + prod(shape) * stored.itemsize
        if end > len(data):
            raise ModelError(f"{path}: ends inside {name}; it belongs to another network or is truncated")
        values = np.frombuffer(data, stored, prod(shape), position)
        arrays[name] = torch.from_numpy(values.astype(np.float32)).reshape(shape)
        position = end + -end % 4
    if position != len(data):
        raise ModelError(f"{path}: {len(data) - position} bytes are left over; it belongs to another network")
    return arrays
