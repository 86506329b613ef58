"""Which file a variant of MUSIQ has its weights from. No torch in here: scores are looked up by it."""

from pathlib import Path
from typing import Literal

from iqsr.io.weights import known_weights, weights_folder

Variant = Literal["koniq", "spaq", "paq2piq", "ava"]
METRICS: dict[str, Variant] = {
    "musiq": "koniq",
    "musiq-spaq": "spaq",
    "musiq-paq2piq": "paq2piq",
    "musiq-ava": "ava",
}
_NAMES = {f"musiq-{variant}" for variant in METRICS.values()}


def unpublished_file(name: str) -> Path | None:
    """The file that is taken for the weights called `name` without a published hash to check it by, if there is one.

    Google's `.npz` in the weights folder, also where `weights.toml` lists another file; where it lists none,
    IQA-PyTorch's `.pth`. None for all weights but MUSIQ's.
    """
    if name not in _NAMES:
        return None
    google = weights_folder() / f"{name}.npz"
    if google.is_file():
        return google
    toolbox = google.with_suffix(".pth")
    return toolbox if name not in known_weights() and toolbox.is_file() else None
