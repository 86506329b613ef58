"""Image-quality metrics: which exist, which can be used here, and how to load one.

What is known of a metric is data, its card (`cards.toml`, read by `card.py`). Each metric that iqsr computes itself is
a file of its own; IQA-PyTorch's are called through `toolbox.py`. Importing this package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.metrics.card import MetricCard, Precision, card, cards
from iqsr.metrics.requirements import Availability, availability, package_remedy, weights_remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from iqsr.metrics.metric import Metric

__all__ = ["Availability", "MetricCard", "Precision", "availability", "card", "load_metric", "metric_names"]


def metric_names() -> list[str]:
    """List the names of all metrics, available or not: those that compare before others, low level before high."""
    return list(cards())


def load_metric(name: str, *, device: str = "cpu", precision: Precision = "fp32") -> "Metric":
    """Load a metric.

    Only IQA-PyTorch's metrics may open a connection, and only for files that are not on this machine.

    Args:
        name: See `list_metrics`; capitals do not matter. `srq:FILE` is a predictor of `iqsr train-quality`.
        device: `cpu`, `cuda`, `cuda:N`, `mps`, or `auto` for the best of them.
        precision: `bf16` computes networks (not formulas on colours) in bfloat16; the result is float32 all the same.

    Returns:
        A frozen module that maps pictures (N, 3, H, W) in [0, 1], and as many references where the metric compares,
        to (N,). Its `card` has the direction and the range.

    Raises:
        UnknownNameError: If there is no such metric or precision; the message lists the nearest names first.
        UsageError: If a package is missing, with the command that installs it, or there is no such device.
        WeightsError: If weights are missing, with the command that fetches them.
    """
    from iqsr.device import choose_device
    from iqsr.metrics.metric import Metric

    metric_card = card(name)
    if precision not in ("fp32", "bf16"):
        raise UnknownNameError("precision", precision, ["fp32", "bf16"])
    if remedy := package_remedy(metric_card):
        raise UsageError(f"the metric '{metric_card.name}' is not here; {remedy}")
    if remedy := weights_remedy(metric_card):
        raise WeightsError(f"the metric '{metric_card.name}' is not here; {remedy}")
    chosen = choose_device(device)
    measure = _implementation(metric_card, str(chosen), precision)
    autocast = precision == "bf16" and metric_card.level != "low" and not hasattr(measure, "precision")
    return Metric(metric_card, measure, autocast=autocast).to(chosen)


def _implementation(metric_card: MetricCard, device: str, precision: Precision) -> "Callable[..., Tensor]":
    """The function or network that computes a metric. A network with the attribute `precision` applies it itself."""
    if metric_card.formula:
        module, _, function = metric_card.formula.partition(":")
        return getattr(import_module(f"iqsr.metrics.{module}"), function)
    if metric_card.network:
        return import_module(f"iqsr.metrics.{metric_card.network}").from_card(metric_card, precision)
    from iqsr.metrics.toolbox import load_from_toolbox

    return load_from_toolbox(metric_card, device)
