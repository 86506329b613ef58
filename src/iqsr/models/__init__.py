"""Super-resolution models: by name (`realesrgan-x4plus`, ...) or from a checkpoint that spandrel reads.

>>> from iqsr import load_model
>>> load_model("realesrgan-x4plus").scale
4

Importing this package does not import torch.
"""

from pathlib import Path

from iqsr.errors import UnknownNameError, UsageError
from iqsr.models.model import SRModel
from iqsr.models.registry import model_names

__all__ = ["SRModel", "load_model", "model_names"]

_SUFFIXES = {".pth", ".pt", ".ckpt", ".safetensors"}


def load_model(name_or_path: str | Path, *, strength: float | None = None) -> SRModel:
    """Load a super-resolution model.

    Args:
        name_or_path: A name that `iqsr upscale --help` lists, or a checkpoint file that spandrel reads: a `Path`, or
            a string that looks like one.
        strength: Of a named model that sharpens its output: how much of the fine detail is added, from 0 to 1;
            its own by default.

    Returns:
        The model, in fp32 on the CPU, with its scale, licence and required sizes.

    Raises:
        UnknownNameError: If it is neither a name nor a path; the message lists the nearest names first.
        UsageError: If there is no such file, or for a strength that the model does not have.
        WeightsError: If the model's weights are missing; the message has the command that fetches them.
        ModelError: If the file is damaged, wants to run code, or holds no model from RGB to RGB.
    """
    from iqsr.images.find import in_home
    from iqsr.models.checkpoint_reader import load_checkpoint
    from iqsr.models.packaged import load_packaged

    if isinstance(name_or_path, str) and name_or_path in model_names():
        return load_packaged(name_or_path, strength)
    if isinstance(name_or_path, str) and not _is_path(name_or_path):
        raise UnknownNameError("model", name_or_path, model_names())
    if strength is not None:
        raise UsageError(f"'{name_or_path}' is a file, which has no strength: mix files with `iqsr interpolate`")
    return load_checkpoint(in_home(str(name_or_path)))


def _is_path(text: str) -> bool:
    path = Path(text)
    return len(path.parts) > 1 or path.suffix.lower() in _SUFFIXES or path.is_file()
