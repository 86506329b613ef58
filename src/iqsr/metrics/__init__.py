"""Image-quality metrics: which exist, which can be used here, and how to load one.

What is known of a metric is data, its card (`cards.toml`, read by `card.py`). Each metric that iqsr computes itself is
a file of its own; IQA-PyTorch's are called through `toolbox.py`. Importing this package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.metrics.card import MetricCard, Precision, card, cards
from iqsr.metrics.requirements import Availability, availability, package_remedy, weights_remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from iqsr.metrics.frechet import PictureFeatures
    from iqsr.metrics.metric import Metric

__all__ = [
    "Availability",
    "MetricCard",
    "Precision",
    "availability",
    "card",
    "load_features",
    "load_metric",
    "metric_names",
]


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
        UsageError: If a package is missing, with the command that installs it, there is no such device, or the metric
            is one of sets.
        WeightsError: If weights are missing, with the command that fetches them.
    """
    from iqsr.device import choose_device
    from iqsr.metrics.metric import Metric

    metric_card = card(name)
    if precision not in ("fp32", "bf16"):
        raise UnknownNameError("precision", precision, ["fp32", "bf16"])
    _check_here(metric_card)
    if metric_card.of_sets:
        raise UsageError(f"{metric_card.name} is one number of a whole set of pictures: iqsr evaluate measures it")
    chosen = choose_device(device)
    measure = _implementation(metric_card, str(chosen), precision)
    autocast = precision == "bf16" and metric_card.level != "low" and not hasattr(measure, "precision")
    return Metric(metric_card, measure, autocast=autocast).to(chosen)


def load_features(name: str, *, device: str = "cpu") -> "PictureFeatures":
    """Load the features of a metric of sets, such as fid, which `iqsr.metrics.frechet.frechet_distance` compares.

    Raises the errors of `load_metric`, and UsageError for a metric of single pictures.
    """
    from iqsr.device import choose_device
    from iqsr.metrics.frechet import PictureFeatures

    metric_card = card(name)
    _check_here(metric_card)
    if not metric_card.of_sets:
        raise UsageError(f"{metric_card.name} measures single pictures: use load_metric")
    network: Any = _implementation(metric_card, device, "fp32")
    return PictureFeatures(metric_card, network, choose_device(device))


def _check_here(metric_card: MetricCard) -> None:
    """UsageError for a package that is missing, WeightsError for weights."""
    if remedy := package_remedy(metric_card):
        raise UsageError(f"the metric '{metric_card.name}' is not here; {remedy}")
    if remedy := weights_remedy(metric_card):
        raise WeightsError(f"the metric '{metric_card.name}' is not here; {remedy}")


def _implementation(metric_card: MetricCard, device: str, precision: Precision) -> "Callable[..., Tensor]":
    """The function or network that computes a metric. A network with the attribute `precision` applies it itself."""
    if metric_card.formula:
        module, _, function = metric_card.formula.partition(":")
        return getattr(import_module(f"iqsr.metrics.{module}"), function)
    if metric_card.network:
        return import_module(f"iqsr.metrics.{metric_card.network}").from_card(metric_card, precision)
    from iqsr.metrics.toolbox import load_from_toolbox

    return load_from_toolbox(metric_card, device)
