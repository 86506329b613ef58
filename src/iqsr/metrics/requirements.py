"""What a metric needs on this machine, and whether it is there: packages, weights, downloads. Nothing is loaded.

Imports neither torch nor pyiqa, and opens no connection.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from iqsr.io.weights import expanded, is_present, known_weights, weights_folder
from iqsr.metrics.card import MetricCard, card, cards


@dataclass(frozen=True)
class Availability:
    """Whether a metric can be used on this machine now."""

    available: bool
    """True if nothing is missing."""
    remedy: str
    """One line that says what makes it available; empty if it is."""


def availability(name: str) -> Availability:
    """Find out whether a metric can be used.

    Args:
        name: As for `iqsr.metrics.card`.

    Raises:
        UnknownNameError: The message lists the nearest names first.
    """
    metric = card(name)
    remedy = package_remedy(metric) or weights_remedy(metric) or _download_remedy(metric)
    return Availability(available=not remedy, remedy=remedy)


def package_remedy(metric: MetricCard) -> str:
    """What to do about a package that is not installed; empty if all are."""
    if metric.provider == "pyiqa" and find_spec("pyiqa") is None:
        return "run: pip install 'iqsr[toolbox]' (pyiqa: for noncommercial use only)"
    if metric.package and find_spec(metric.requires[0].partition(": ")[0]) is None:
        return f"run: pip install 'iqsr[{metric.package}]'"
    for module, requirement in (pair.split(": ") for pair in metric.requires):
        if find_spec(module) is None:
            return f"run: pip install '{requirement}' (pyiqa needs it for {metric.name})"
    return ""


def weights_remedy(metric: MetricCard) -> str:
    """What to do about a weight file that is missing; empty if none is."""
    if metric.weights_file and not Path(metric.weights_file).is_file():
        return f"there is no file '{metric.weights_file}': give a run of `iqsr train-quality`, or its weights"
    if metric.package_data and not (Path(__file__).parent / metric.package_data).is_file():
        train = ", or train it (docs/model-cards/srq.md)" if metric.trainable else ""
        return f"this iqsr lacks {metric.package_data}: install one that has it{train}"
    known = known_weights()
    for name in metric.weights:
        if unpublished_file(name) is not None:
            continue
        if name not in known:
            return f"save Google's checkpoint as {name}.npz in the weights folder (docs/reference/musiq.md)"
        if not is_present(known[name]):
            return f"run: {known[name].remedy}"
    return ""


def unpublished_file(name: str) -> Path | None:
    """The file that MUSIQ's weights called `name` are read from without a published hash to check it by, if any.

    It is Google's `.npz` in the weights folder, which is preferred to the file that `weights.toml` lists; for
    weights that it does not list, also IQA-PyTorch's `.pth`. None for the weights of any other metric.
    """
    if not any(name in metric.weights for metric in cards().values() if metric.network == "musiq"):
        return None
    google = weights_folder() / f"{name}.npz"
    if google.is_file():
        return google
    iqa_pytorch = google.with_suffix(".pth")
    return iqa_pytorch if name not in known_weights() and iqa_pytorch.is_file() else None


def _download_remedy(metric: MetricCard) -> str:
    missing = [file for file in metric.downloads if not is_downloaded(file)]
    return f"use it once with internet: pyiqa downloads {_file_names(missing)}" if missing else ""


def _file_names(downloads: list[str]) -> str:
    return ", ".join(d.removeprefix("hf:") if d.startswith("hf:") else d.rpartition("/")[2] for d in downloads)


def is_downloaded(download: str) -> bool:
    """Whether pyiqa has one of `MetricCard.downloads` in its cache."""
    if download.startswith("hf:"):
        return (_hugging_face_hub() / f"models--{download[3:].replace('/', '--')}" / "snapshots").is_dir()
    return (torch_hub() / download).is_file()


def torch_hub() -> Path:
    """The folder that torch.hub.get_dir() returns, found without torch."""
    home = os.environ.get("TORCH_HOME")
    return (expanded(home) if home else _user_cache() / "torch") / "hub"


def _hugging_face_hub() -> Path:
    """The folder that huggingface_hub calls HF_HUB_CACHE."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return expanded(chosen)
    home = os.environ.get("HF_HOME")
    return (expanded(home) if home else _user_cache() / "huggingface") / "hub"


def _user_cache() -> Path:
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
