"""The models that iqsr knows by name, read from `registry.toml`. Imports no torch."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Network = Literal["rrdbnet", "compact"]


@dataclass(frozen=True)
class ModelEntry:
    """How a named model is made."""

    name: str
    """What `load_model` calls it."""
    weights: str
    """Its weight file, by the name in `weights.toml`."""
    network: Network | None = None
    """The network (`real_esrgan.py`) that the arrays of an ncnn `.bin` are for; None for a checkpoint, whose network
    spandrel recognises."""
    depth: int = 0
    """Of that network: RRDBNet's blocks, or SRVGGNetCompact's convolutions."""
    reduce: tuple[int, int] | None = None
    """Numerator and denominator of a bicubic reduction of the output; None for none."""


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
