"""A metric that can be called: checks of the input, the same for all metrics, and the metric."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.metrics.card import MetricCard
from iqsr.picture_checks import check_batch


class Metric(nn.Module):
    """A frozen metric, made by `load_metric`. Calling it gives one value for each picture.

    It stays in evaluation mode, whatever `train()` is given, and keeps no state between calls. Gradients reach the
    pictures if `card.differentiable`.

    Args:
        card: The facts about the metric.
        measure: A function or network that maps `(x)` or `(x, reference)` to (N,).
        autocast: Compute convolutions and matrix products in bfloat16.
    """

    def __init__(self, card: MetricCard, measure: Callable[..., Tensor], *, autocast: bool = False) -> None:
        super().__init__()
        self.card = card
        self.measure = measure
        self.autocast = autocast
        self.requires_grad_(False)
        self.train(False)

    def forward(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """Measure pictures.

        Args:
            x: (N, 3, H, W) RGB in [0, 1]. Values may overshoot, as those of networks do, but not below -0.5 or above
                1.5, which is another scale.
            reference: For metrics that compare: the originals, of the same shape, or the inputs, smaller by a whole
                factor.

        Returns:
            (N,) float32, one value for each picture; `card` has the direction and the range.

        Raises:
            UsageError: For another shape, type or range, with the one that came; for a picture below
                `card.minimum_size`; for a reference that is missing or not used.
        """
        check_pictures(self.card, x, reference)
        return self.unchecked(x, reference)

    def unchecked(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """`forward` without its checks, which on a GPU wait for what is being computed."""
        pictures = (x.float(),) if reference is None else (x.float(), reference.float())
        with (
            torch.set_grad_enabled(torch.is_grad_enabled() and self.card.differentiable),
            torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast),
        ):
            return self.measure(*pictures).float()

    def train(self, mode: bool = True) -> "Metric":
        """Stay in evaluation mode."""
        return super().train(False)

    def __call__(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """As `forward`."""
        result: Any = super().__call__(x, reference)
        return result


def check_pictures(card: MetricCard, x: Tensor, reference: Tensor | None) -> None:
    """Raise UsageError, with what came, for input that the metric of `card` cannot take."""
    if card.compares and reference is None:
        raise UsageError(f"{card.name} compares with a reference picture; none was given")
    if not card.compares and reference is not None:
        raise UsageError(f"{card.name} looks at a picture alone; it takes no reference")
    _check_batch(card, x)
    if reference is None:
        return
    if card.reference == "input":
        _check_input(card, x, reference)
        return
    _check_batch(card, reference)
    if x.shape != reference.shape:
        raise UsageError(
            f"{card.name}: the reference is {_size(reference)}, the picture {_size(x)}; "
            "both must have the same size: crop or resize one of them"
        )


def _check_batch(card: MetricCard, x: Tensor) -> None:
    check_batch(card.name, x)
    if min(x.shape[2:]) < card.minimum_size:
        raise UsageError(
            f"{card.name} needs pictures of at least {card.minimum_size}x{card.minimum_size} pixels, got {_size(x)}"
        )


def _check_input(card: MetricCard, x: Tensor, lr: Tensor) -> None:
    check_batch(card.name, lr)
    if len(x) != len(lr) or not card.fits((x.shape[3], x.shape[2]), (lr.shape[3], lr.shape[2])):
        raise UsageError(
            f"{card.name}: the picture is {_size(x)}, its input {_size(lr)}; both sides must be those of the input "
            "times the same whole number"
        )


def _size(x: Tensor) -> str:
    batch = f"{x.shape[0]} of " if x.shape[0] != 1 else ""
    return f"{batch}{x.shape[3]}x{x.shape[2]}"
