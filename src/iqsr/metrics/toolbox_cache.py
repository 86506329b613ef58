"""Where pyiqa keeps what it downloads, found without importing pyiqa or torch."""

import os
from pathlib import Path

from iqsr.io.weights import expanded


def is_cached(download: str) -> bool:
    """True if one of `MetricCard.downloads` is here: a path below torch.hub's folder, or `hf:owner/name`."""
    if download.startswith("hf:"):
        return (_hugging_face() / f"models--{download[3:].replace('/', '--')}" / "snapshots").is_dir()
    return (torch_hub() / download).is_file()


def _cache() -> Path:
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")


def torch_hub() -> Path:
    """The folder of torch.hub, as torch.hub.get_dir() has it."""
    home = os.environ.get("TORCH_HOME")
    return (expanded(home) if home else _cache() / "torch") / "hub"


def _hugging_face() -> Path:
    """As huggingface_hub's HF_HUB_CACHE."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return expanded(chosen)
    home = os.environ.get("HF_HOME")
    return (expanded(home) if home else _cache() / "huggingface") / "hub"
