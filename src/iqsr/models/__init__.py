"""Super-resolution networks: by name (`realesrgan-x4plus`, ...) or from a checkpoint that spandrel reads.

>>> from iqsr import load_model
>>> load_model("realesrgan-x4plus").scale
4
"""

from pathlib import Path

from iqsr.errors import UnknownNameError
from iqsr.images.find import in_home
from iqsr.models.community import load_checkpoint
from iqsr.models.model import SRModel
from iqsr.models.packaged import NETWORKS, load_packaged

__all__ = ["SRModel", "load_model", "model_names"]

_SUFFIXES = {".pth", ".pt", ".ckpt", ".safetensors"}


def model_names() -> list[str]:
    """The names that `load_model` knows, the default first."""
    return list(NETWORKS)


def load_model(name_or_path: str | Path) -> SRModel:
    """Load a super-resolution model.

    Args:
        name_or_path: A name, or a checkpoint file that spandrel reads: a `Path`, or a string that looks like one.

    Returns:
        The model, in fp32 on the CPU, with its scale, licence and required sizes.

    Raises:
        UnknownNameError: The message lists the nearest names first.
        UsageError: If there is no such file.
        WeightsError: If the weights are not here; the message has the command that brings them.
        ModelError: If the file is not a model that can be used.
    """
    if isinstance(name_or_path, str) and name_or_path in NETWORKS:
        return load_packaged(name_or_path)
    if isinstance(name_or_path, str) and not _is_path(name_or_path):
        raise UnknownNameError("model", name_or_path, model_names())
    return load_checkpoint(in_home(str(name_or_path)))


def _is_path(text: str) -> bool:
    path = Path(text)
    return len(path.parts) > 1 or path.suffix.lower() in _SUFFIXES or path.is_file()
