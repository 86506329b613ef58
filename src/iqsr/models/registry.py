"""The models that iqsr knows by name, read from `registry.toml`. Imports no torch."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Network = Literal["rrdbnet", "compact"]
SHARPENED_MODEL = "realesrgan-x4plus-crisp"
"""The default, and what `iqsr upscale --strength` slides: realesrgan-x4plus with fine sharpening."""
FAST_MODEL = "iqsr-compact-x4"
"""What `iqsr upscale --fast` takes: small, for photos."""


@dataclass(frozen=True)
class ModelEntry:
    """How a named model is made."""

    name: str
    """What `load_model` calls it."""
    weights: str = ""
    """Its weight file, by the name in `weights.toml`; empty for a model of our own."""
    file: str = ""
    """Of a model of our own: its weight file in this package."""
    licence: str = ""
    """Of a model of our own: the SPDX identifier of its weights' licence."""
    network: Network | None = None
    """The network (`real_esrgan.py`) that the arrays of an ncnn `.bin` are for; None for a checkpoint, whose network
    spandrel recognises."""
    depth: int = 0
    """Of that network: RRDBNet's blocks, or SRVGGNetCompact's convolutions."""
    reduce: tuple[int, int] | None = None
    """Numerator and denominator of a bicubic reduction of the output; None for none."""
    strength: float | None = None
    """How much the output is sharpened where nothing else is asked for; None for a model that sharpens nothing."""

    @property
    def path(self) -> Path:
        """Of a model of our own: where its weight file is."""
        return Path(__file__).with_name(self.file)


@lru_cache(maxsize=1)
def registry() -> dict[str, ModelEntry]:
    """Every named model's entry by its name, the default first."""
    listed = tomllib.loads(Path(__file__).with_name("registry.toml").read_text(encoding="utf-8"))
    return {name: _entry(name, fields) for name, fields in listed.items()}


def _entry(name: str, fields: dict[str, object]) -> ModelEntry:
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return ModelEntry(name=name, **frozen)  # pyright: ignore[reportArgumentType]


def model_names() -> list[str]:
    """The names that `load_model` knows, the default first."""
    return list(registry())
