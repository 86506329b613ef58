"""Super-resolution networks: by name (`realesrgan-x4plus`, ...) or from a checkpoint that spandrel reads.

>>> from iqsr import load_generator
>>> load_generator("realesrgan-x4plus").scale
4
"""

from pathlib import Path

from iqsr.errors import UnknownNameError
from iqsr.generators.community import load_checkpoint
from iqsr.generators.generator import Generator
from iqsr.generators.packaged import NETWORKS, load_packaged
from iqsr.images.find import in_home

__all__ = ["Generator", "generator_names", "load_generator"]

_SUFFIXES = {".pth", ".pt", ".ckpt", ".safetensors"}


def generator_names() -> list[str]:
    """The names that `load_generator` knows, the default first."""
    return list(NETWORKS)


def load_generator(name_or_path: str | Path) -> Generator:
    """The generator called so, or the one in a checkpoint file (a `Path`, or a string that looks like one).

    Raises UnknownNameError (nearest names first), UsageError (no such file), WeightsError (the weights are not here:
    the message has the command that brings them) or ModelError (the file is not a network that can be used).
    """
    if isinstance(name_or_path, str) and name_or_path in NETWORKS:
        return load_packaged(name_or_path)
    if isinstance(name_or_path, str) and not _is_path(name_or_path):
        raise UnknownNameError("model", name_or_path, generator_names())
    return load_checkpoint(in_home(str(name_or_path)))


def _is_path(text: str) -> bool:
    path = Path(text)
    return len(path.parts) > 1 or path.suffix.lower() in _SUFFIXES or path.is_file()
