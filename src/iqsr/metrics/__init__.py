"""Image-quality metrics: what exists, what of it is here, and a metric that can be called.

Cards are data (`cards.toml`); each native metric is a file of its own, a pure function first; pyiqa's are behind
`toolbox.py`. Importing this package does not import torch.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.metrics.card import MetricCard, card, cards

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from iqsr.metrics.metric import Metric

Precision = Literal["fp32", "bf16"]

__all__ = ["Availability", "MetricCard", "availability", "card", "load_metric", "metric_names"]


@dataclass(frozen=True)
class Availability:
    """Whether a metric can be used on this machine now."""

    here: bool
    """True if nothing is missing."""
    how: str
    """The one line that makes it available; empty when it is."""


_FORMULAS = {
    "laplacian": "laplacian:laplacian",
    "ms_ssim": "ms_ssim:ms_ssim",
    "psnr": "psnr:psnr",
    "psnr-y": "psnr:psnr_y",
    "ssim": "ssim:ssim",
    "ssim-y": "ssim:ssim_y",
}
"""Metrics that are plain functions: module of this package, and function."""


def metric_names() -> list[str]:
    """Every known metric, in the order of the taxonomy: full reference first, low level first."""
    return list(cards())


def availability(name: str) -> Availability:
    """Whether the metric called `name` is here. Looks only for files and packages: fast, no torch, no network.

    Raises UnknownNameError, nearest names first.
    """
    facts = card(name)
    missing = _missing_package(facts) or _missing_data(facts) or _missing_weights(facts) or _missing_downloads(facts)
    return Availability(here=not missing, how=missing)


def _missing_package(facts: MetricCard) -> str:
    if facts.provider == "pyiqa" and find_spec("pyiqa") is None:
        return "run: pip install 'iqsr[toolbox]' (pyiqa: for noncommercial use only)"
    for module, requirement in (pair.split(": ") for pair in facts.requires):
        if find_spec(module) is None:
            return f"run: pip install '{requirement}' (pyiqa needs it for {facts.name})"
    return ""


def _missing_data(facts: MetricCard) -> str:
    if facts.weights_file and not Path(facts.weights_file).is_file():
        return f"there is no file '{facts.weights_file}': give a run of `iqsr train-quality`, or its weights"
    if facts.package_data and not (Path(__file__).parent / facts.package_data).is_file():
        return f"this iqsr lacks {facts.package_data}: install one that has it, or train it (docs/model-cards/srq.md)"
    return ""


def _missing_weights(facts: MetricCard) -> str:
    from iqsr.io.weights import is_present, known_weights
    from iqsr.metrics.musiq_files import unpublished_file

    known = known_weights()
    for name in facts.weights:
        if unpublished_file(name) is not None:
            continue
        if name not in known:
            return f"save Google's checkpoint as {name}.npz in the weights folder (docs/reference/musiq.md)"
        if not is_present(known[name]):
            return f"run: {known[name].remedy}"
    return ""


def _missing_downloads(facts: MetricCard) -> str:
    from iqsr.metrics.toolbox_cache import is_cached

    missing = [file for file in facts.downloads if not is_cached(file)]
    return f"use it once with internet: pyiqa downloads {_file_names(missing)}" if missing else ""


def _file_names(downloads: list[str]) -> str:
    return ", ".join(d.removeprefix("hf:") if d.startswith("hf:") else d.rpartition("/")[2] for d in downloads)


def load_metric(name: str, *, device: str = "cpu", precision: Precision = "fp32") -> "Metric":
    """Load a metric.

    Only IQA-PyTorch's metrics may open a connection, and only for files that are not here.

    Args:
        name: See `list_metrics`; capitals do not matter. `srq:FILE` is a predictor of `iqsr train-quality`.
        device: `cpu`, `cuda`, `cuda:N`, `mps`, or `auto` for the best of them.
        precision: `bf16` runs networks (not formulas on colours) in bfloat16; the result is float32 all the same.

    Returns:
        A frozen module: (N, 3, H, W) in [0, 1], and a reference where the metric compares, to (N,). Its `card` says
        direction and range.

    Raises:
        UnknownNameError: The message lists the nearest names first.
        WeightsError, UsageError: If something is missing; the message says what makes the metric available.
    """
    from iqsr.device import choose_device
    from iqsr.metrics.metric import Metric

    facts = card(name)
    if precision not in ("fp32", "bf16"):
        raise UnknownNameError("precision", precision, ["fp32", "bf16"])
    if missing := _missing_package(facts):
        raise UsageError(f"the metric '{facts.name}' is not here; {missing}")
    if missing := _missing_data(facts) or _missing_weights(facts):
        raise WeightsError(f"the metric '{facts.name}' is not here; {missing}")
    place = choose_device(device)
    measure = _measure(facts, str(place), precision)
    autocast = precision == "bf16" and facts.level != "low" and not hasattr(measure, "precision")
    return Metric(facts, measure, autocast=autocast).to(place)


def _measure(facts: MetricCard, device: str, precision: Precision) -> "Callable[..., Tensor]":
    """The function or network behind a card. One that knows of precisions takes care of its own."""
    if facts.provider == "pyiqa":
        from iqsr.metrics.toolbox import load_from_toolbox

        return load_from_toolbox(facts, device)
    if facts.name in _FORMULAS:
        module, _, function = _FORMULAS[facts.name].partition(":")
        return getattr(import_module(f"iqsr.metrics.{module}"), function)
    own = Path(facts.weights_file) if facts.weights_file else None
    match facts.name.partition(":")[0]:
        case "lpips" | "lpips-vgg":
            from iqsr.metrics.lpips import Lpips

            return Lpips("alex" if facts.name == "lpips" else "vgg")
        case "stlpips" | "stlpips-vgg":
            from iqsr.metrics.lpips_st import LpipsSt

            return LpipsSt("alex" if facts.name == "stlpips" else "vgg")
        case "dists":
            from iqsr.metrics.dists import Dists

            return Dists()
        case "musiq" | "musiq-ava" | "musiq-paq2piq" | "musiq-spaq":
            from iqsr.metrics.musiq import load_musiq

            return load_musiq(facts.name, precision=precision)
        case "srq":
            from iqsr.metrics.srq import load_srq

            return load_srq(own)
        case "srq-holdout":
            from iqsr.metrics.srq_holdout import load_srq_holdout

            return load_srq_holdout(own)
        case _:
            raise LookupError(f"the card of '{facts.name}' has no code: see CONTRIBUTING.md, Adding a metric")
