"""Check tensors that users pass as pictures: shape, type, and range of the values."""

from math import isfinite

import torch
from torch import Tensor

from iqsr.errors import UsageError

LOWEST, HIGHEST = -0.5, 1.5
"""The range of values that a picture in [0, 1] may have. Cubic and Lanczos interpolation, noise, and the outputs of
networks overshoot [0, 1], interpolation by at most 0.41. A picture in [-1, 1] has values below -0.5 unless nothing
in it is darker than a quarter of white; one in [0, 255] has values beyond 1.5 unless it is black."""
_SCALED = 4.0
"""The highest value of a scaled or brightened picture in [0, 1]; nearly every picture in [0, 255] exceeds it."""


def check_batch(who: str, x: object) -> None:
    """Check that `x` is a batch of pictures: float, (N, 3, H, W), in [0, 1]; small overshoots are allowed.

    Args:
        who: The name of the caller, the first word of the message.
        x: The object to check.

    Raises:
        UsageError: `x` is anything else; the message says what it is and how to convert it.
    """
    if not isinstance(x, Tensor):
        raise UsageError(f"{who} expected pictures of shape (N, 3, H, W) as a tensor, got {type(x).__name__}")
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        raise UsageError(f"{who} expected pictures of shape (N, 3, H, W), got {tuple(x.shape)}{_shape_advice(x)}")
    check_floats(who, x)


def check_floats(who: str, x: Tensor) -> None:
    """Check that a tensor has floats in [0, 1], see `check_values`. UsageError if not."""
    if not x.is_floating_point():
        whole = f": divide by {torch.iinfo(x.dtype).max}" if x.dtype in (torch.uint8, torch.uint16) else ""
        raise UsageError(f"{who} expected floats in [0, 1], got {x.dtype}{whole}")
    check_values(who, x)


def check_values(who: str, x: Tensor) -> None:
    """Check that values are finite and within `LOWEST` and `HIGHEST`, in one pass. UsageError if not.

    Code that torch.compile makes skips the check: a graph cannot raise.
    """
    if torch.compiler.is_compiling() or not x.numel():
        return
    low, high = torch.stack(x.detach().aminmax()).tolist()
    if not (isfinite(low) and isfinite(high)):
        raise UsageError(f"{who} expected values in [0, 1], got some that are not finite: NaN or infinity")
    if low < LOWEST or high > HIGHEST:
        raise UsageError(f"{who} expected values in [0, 1], got {low:.4g} to {high:.4g}: {_range_advice(low, high)}")


def _range_advice(low: float, high: float) -> str:
    if low >= LOWEST and high > _SCALED:
        return f"divide by {255 if high <= 256 else 65535}"
    return "take (x + 1) / 2" if low >= -1.5 and high <= HIGHEST else "undo the scaling, or clamp"


def _shape_advice(x: Tensor) -> str:
    if x.ndim == 4 and x.shape[3] == 3:
        return ": channels come second, take x.permute(0, 3, 1, 2)"
    if x.ndim == 3 and x.shape[2] == 3 != x.shape[0]:
        return ": take x.permute(2, 0, 1)[None]"
    if x.ndim == 3 and x.shape[0] == 3:
        return ": one picture is a batch of one, take x[None]"
    if x.ndim == 4 and x.shape[1] == 1:
        return ": gray has three equal channels, take x.expand(-1, 3, -1, -1)"
    return ": leave out the alpha channel" if x.ndim == 4 and x.shape[1] == 4 else ""
