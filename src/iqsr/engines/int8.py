"""8-bit integers in OpenVINO, by NNCF's post-training quantisation.

Ranges come from histograms over 32 crops of pictures that are part of scikit-image. What is not quantised computes in
bf16 where it is faster. Quantising takes a minute or two; the result is kept in the user's cache folder.
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
"""Of scikit-image: people, animals, things, textures. Their files come with the package."""

SIDE = 64
"""Of a calibration crop."""

LEAST = 25.0
"""dB to fp32, on a picture that did not calibrate, below which a quantised network is refused."""

_METHOD = 1
"""Counted up when quantised networks would come out differently."""

logger = logging.getLogger(__name__)


def quantised(sr_model: SRModel) -> ov.Model:
    """The model's network in 8 bits, from the cache or made now.

    Raises ModelError where NNCF or scikit-image is missing, or 8 bits change the picture too much.
    """
    check_packages()
    reader = core()  # here: before NNCF makes its own
    file = cache_folder() / "int8" / f"{_fingerprint(sr_model)}.xml"
    if file.is_file() and file.with_suffix(".bin").is_file():
        try:
            return reader.read_model(file, file.with_suffix(".bin"))
        except RuntimeError:  # damaged: made again
            file.unlink()
    logger.warning("%s: preparing int8, once; this takes a minute or two", sr_model.name)
    model = _quantise(sr_model)
    _check(sr_model, model)
    _keep(model, file)
    return model


def check_packages() -> None:
    """ModelError where NNCF or scikit-image is missing."""
    for package, module in (("nncf", "nncf"), ("scikit-image", "skimage")):
        if find_spec(module) is None:
            raise ModelError(f"int8 needs {package}, which is not installed: pip install 'iqsr[int8]'")


def calibration(multiple: int = 1, side: int = SIDE) -> list[Tensor]:
    """32 crops (1, 3, side, side): two of each picture reduced x2 and two reduced x4, at seeded places.

    multiple: what height and width must be multiples of.
    """
    side = -(-side // multiple) * multiple
    places = torch.Generator().manual_seed(0)
    crops: list[Tensor] = []
    for name in PICTURES:
        for factor in (2, 2, 4, 4):
            picture = _picture(name, factor)
            top, left = (int(torch.randint(max(1, size - side), (), generator=places)) for size in picture.shape[2:])
            crops.append(picture[..., top : top + side, left : left + side].contiguous())
    return crops


def _picture(name: str, factor: int) -> Tensor:
    """(1, 3, H, W) in [0, 1]: reduced, bicubic and antialiased, rounded to 8 bits."""
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

    # Not `nncf.set_log_level`, which also changes the handlers that others have attached to its logger.
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
    side = -(-SIDE // multiple) * multiple
    x = _picture("page", 1)[..., :side, :side].contiguous()
    with torch.inference_mode():
        exact = sr_model.module(x).clamp(0, 1)
    found = run(compile_network(model, precision=faster_precision()), x).clamp(0, 1)
    decibels = float(-10 * (found - exact).square().mean().clamp_min(1e-12).log10())
    if not decibels >= LEAST:
        raise ModelError(
            f"{sr_model.name}: 8 bits change its pictures too much ({decibels:.0f} dB to fp32, {LEAST:.0f} needed): "
            "use --precision auto"
        )


def _fingerprint(sr_model: SRModel) -> str:
    """Of the weights and of all that quantised them."""
    digest = hashlib.sha256(f"{sr_model.architecture} {sr_model.scale} {_METHOD}".encode())
    for package in ("nncf", "openvino", "scikit-image"):
        digest.update(f"{package} {version(package)}\n".encode())
    for name, values in sr_model.module.state_dict().items():
        digest.update(f"{name} {tuple(values.shape)}\n".encode())
        digest.update(values.contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:32]


def _keep(model: ov.Model, file: Path) -> None:
    """Save it, whole or not at all; a cache that cannot be written costs time, not the picture."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            openvino().save_model(model, made, compress_to_fp16=False)
            made.with_suffix(".bin").replace(file.with_suffix(".bin"))
            made.replace(file)
    except (OSError, RuntimeError) as error:
        logger.warning("%s: cannot keep the int8 network: %s", file.parent, error)
