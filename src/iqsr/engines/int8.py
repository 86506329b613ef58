"""8-bit integers in OpenVINO, by NNCF's post-training quantisation.

The value ranges of the activations are measured on 32 crops of pictures that ship with scikit-image. Layers that are
not quantised compute in bf16 where that is faster. Quantising takes a minute or two; the result is kept in the user's
cache folder.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from contextlib import redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.engines.openvino import compile_network, convert, core, faster_precision, openvino, run
from iqsr.errors import ModelError
from iqsr.io.weights import cache_folder

if TYPE_CHECKING:
    import openvino as ov

    from iqsr.models import SRModel

PICTURES = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "grass", "brick")
"""Calibration pictures in scikit-image (people, animals, things, textures). Their files come with the package."""

CROP_PIXELS = 64
"""Height and width of a calibration crop."""

LEAST_DB = 25.0
"""Least PSNR to the fp32 output, on a picture that is not used for calibration; below it the network is refused."""

_METHOD_VERSION = 1
"""Raise it when the way of quantising changes: networks in the cache are then made again."""

logger = logging.getLogger(__name__)


def quantised(sr_model: SRModel) -> ov.Model:
    """The model's network in 8 bits, from the cache or quantised now.

    Raises:
        ModelError: NNCF or scikit-image is missing, or 8 bits change the picture too much.
    """
    check_packages()
    reader = core()  # before NNCF creates one, see `core`
    file = cache_folder() / "int8" / f"{_fingerprint(sr_model)}.xml"
    if file.is_file() and file.with_suffix(".bin").is_file():
        try:
            return reader.read_model(file, file.with_suffix(".bin"))
        except RuntimeError:  # the file is damaged
            file.unlink()
    logger.warning("%s: preparing int8, once; this takes a minute or two", sr_model.name)
    model = _quantise(sr_model)
    _check(sr_model, model)
    _keep(model, file)
    return model


def check_packages() -> None:
    """Raise ModelError where NNCF or scikit-image is not installed."""
    for package, module in (("nncf", "nncf"), ("scikit-image", "skimage")):
        if find_spec(module) is None:
            raise ModelError(f"int8 needs {package}, which is not installed: pip install 'iqsr[int8]'")


def calibration(multiple: int = 1, side: int = CROP_PIXELS) -> list[Tensor]:
    """32 crops (1, 3, side, side) at seeded places: per picture two of it reduced x2 and two of it reduced x4.

    Args:
        multiple: The crops' side is rounded up to a multiple of this.
        side: Height and width of a crop in pixels.
    """
    side = -(-side // multiple) * multiple
    rng = torch.Generator().manual_seed(0)
    crops: list[Tensor] = []
    for name in PICTURES:
        for factor in (2, 2, 4, 4):
            picture = _picture(name, factor)
            top, left = (int(torch.randint(max(1, size - side), (), generator=rng)) for size in picture.shape[2:])
            crops.append(picture[..., top : top + side, left : left + side].contiguous())
    return crops


def _picture(name: str, factor: int) -> Tensor:
    """A picture of scikit-image, (1, 3, H, W) in [0, 1]: reduced (bicubic, antialiased) and rounded to 8 bits."""
    import skimage.data

    values = torch.from_numpy(getattr(skimage.data, name)())
    planes = values.permute(2, 0, 1) if values.ndim == 3 else values.expand(3, *values.shape)
    picture = F.interpolate(planes[None].float() / 255, scale_factor=1 / factor, mode="bicubic", antialias=True)
    return (picture.clamp(0, 1) * 255).round() / 255


def _quantise(sr_model: SRModel) -> ov.Model:
    os.environ.setdefault("NNCF_CI", "1")  # NNCF reports its use over the network otherwise
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    # Not `nncf.set_log_level`, which also changes handlers that the caller attached to this logger.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    crops = calibration(sr_model.size_multiple)
    advanced = AdvancedQuantizationParameters(
        disable_bias_correction=True, activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM
    )
    with redirect_stdout(io.StringIO()):  # its progress bar
        model: Any = nncf.quantize(
            convert(sr_model),
            nncf.Dataset([crop.numpy() for crop in crops]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(crops),
            advanced_parameters=advanced,
        )
    return model


def _check(sr_model: SRModel, model: ov.Model) -> None:
    multiple = sr_model.size_multiple
    side = -(-CROP_PIXELS // multiple) * multiple
    x = _picture("page", 1)[..., :side, :side].contiguous()
    with torch.inference_mode():
        exact = sr_model.module(x).clamp(0, 1)
    found = run(compile_network(model, precision=faster_precision()), x).clamp(0, 1)
    decibels = float(-10 * (found - exact).square().mean().clamp_min(1e-12).log10())
    if not decibels >= LEAST_DB:
        raise ModelError(
            f"{sr_model.name}: 8 bits change its pictures too much ({decibels:.0f} dB to fp32, {LEAST_DB:.0f} needed): "
            "use --precision auto"
        )


def _fingerprint(sr_model: SRModel) -> str:
    """A hash of the weights and fixed filters, the method and the versions of the packages that quantise."""
    digest = hashlib.sha256(f"{sr_model.architecture} {sr_model.scale} {_METHOD_VERSION}".encode())
    for package in ("nncf", "openvino", "scikit-image"):
        digest.update(f"{package} {version(package)}\n".encode())
    for name, values in (*sr_model.module.named_parameters(), *sr_model.module.named_buffers()):
        digest.update(f"{name} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:32]


def _keep(model: ov.Model, file: Path) -> None:
    """Write the network to the cache, whole or not at all. If the cache cannot be written, only warn."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            openvino().save_model(model, made, compress_to_fp16=False)
            made.with_suffix(".bin").replace(file.with_suffix(".bin"))
            made.replace(file)
    except (OSError, RuntimeError) as error:
        logger.warning("%s: cannot keep the int8 network: %s", file.parent, error)
