"""A model as a file for other programs: safetensors, ONNX or OpenVINO.

The file is read back and compared with torch before it appears under its name; a failure leaves nothing.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from iqsr.engines import openvino
from iqsr.engines.tracing import INPUT, OUTPUT, TRACED, Verified, verify
from iqsr.errors import ModelError, UnknownNameError, UsageError
from iqsr.io.tensor_files import serialized
from iqsr.models import SRModel, load_model
from iqsr.models.packaged import BicubicReduce, FineSharpening

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Callable

    Run = Callable[[Tensor], Tensor]

Format = Literal["safetensors", "onnx", "openvino"]
SUFFIXES: dict[Format, str] = {"safetensors": ".safetensors", "onnx": ".onnx", "openvino": ".xml"}
"""How the name of a file of each format ends. OpenVINO's weights are a `.bin` of the same name beside it."""

_OPSET = 17
"""ONNX operator set of 2022: a newer one gains nothing here, and older programs cannot read it."""


@dataclass(frozen=True)
class Exported:
    """The files that were written, and the result of their verification."""

    files: tuple[Path, ...]
    verified: Verified


def export(sr_model: SRModel, out: Path, format: Format | None = None) -> Exported:
    """Write a model to `out`, for any batch size, height and width. An existing file is replaced.

    Args:
        sr_model: The model.
        out: The file.
        format: None takes it from the suffix of `out`.

    Returns:
        The files that were written, and how far their output is from torch's.

    Raises:
        UnknownNameError, UsageError: As `check_format`.
        ModelError: If the network cannot be converted, the written file gives other results than torch (`verify`), the
            format's package is missing, or the file cannot be written.
    """
    write = _WRITERS[check_format(out, format)]
    with _folder_beside(out) as folder:
        run = write(sr_model, folder / out.name)
        verified = verify(sr_model, run, engine=f"the {out.suffix} file")
        del run  # lets go of the file
        return Exported(_move(folder, out.parent), verified)


def check_format(out: Path, format: str | None = None) -> Format:
    """The format to write: `format`, or what the suffix of `out` says.

    Raises UnknownNameError for another format and UsageError if the suffix tells none, or a different one.
    """
    if format is None:
        formats: dict[str, Format] = {suffix: known for known, suffix in SUFFIXES.items()}
        if out.suffix.lower() not in formats:
            raise UsageError(f"{out}: expected a name that ends in {', '.join(formats)}")
        return formats[out.suffix.lower()]
    for known, suffix in SUFFIXES.items():
        if known == format:
            if out.suffix.lower() != suffix:
                raise UsageError(f"{out}: the name of a file for {known} ends in {suffix}")
            return known
    raise UnknownNameError("format", format, list(SUFFIXES))


def output_files(out: Path) -> tuple[Path, ...]:
    """The files that an export to `out` makes."""
    return (out.with_suffix(".bin"), out) if out.suffix.lower() == SUFFIXES["openvino"] else (out,)


def metadata(sr_model: SRModel) -> dict[str, str]:
    """The metadata of an exported file."""
    from iqsr._version import __version__

    return {
        "name": sr_model.name,
        "scale": str(sr_model.scale),
        "architecture": sr_model.architecture,
        "licence": sr_model.licence,
        "size_multiple": str(sr_model.size_multiple),
        "minimum_size": str(sr_model.minimum_size),
        "input": "(N, 3, H, W) RGB in [0, 1], float32",
        "exported_by": f"iqsr {__version__}",
    }


def _write_safetensors(sr_model: SRModel, path: Path) -> Run:
    own = {type(module) for module in sr_model.module.modules()}
    if BicubicReduce in own:
        raise ModelError(
            f"{sr_model.name}: its last step is a fixed resampling, which a file of weights cannot hold; "
            "export its x4 network (realesr-animevideov3-x4), or this one to onnx or openvino"
        )
    if FineSharpening in own:
        raise ModelError(
            f"{sr_model.name}: its last step is a fixed sharpening, which a file of weights cannot hold; "
            "export its network (realesrgan-x4plus), or this one to onnx or openvino"
        )
    # Cloned: a tensor that shares memory with another cannot be written.
    state = {name: value.detach().clone().contiguous() for name, value in sr_model.module.state_dict().items()}
    path.write_bytes(serialized(state, metadata(sr_model) | {"format": "pt"}))
    try:
        return load_model(path).module
    except ModelError as error:
        raise ModelError(
            f"{sr_model.name}: spandrel does not know this {sr_model.architecture} by its weights alone; "
            "export it to onnx or openvino"
        ) from error


def _write_onnx(sr_model: SRModel, path: Path) -> Run:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ModelError("the ONNX packages are not installed: pip install 'iqsr[onnx]'") from error
    _trace_to_onnx(sr_model, path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata(sr_model))
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a size that fails is reported by `verify`, once
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(session.run([OUTPUT], {INPUT: x.numpy()})[0]))

    return run


def _trace_to_onnx(sr_model: SRModel, path: Path) -> None:
    axes = {0: "batch", 2: "height", 3: "width"}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Deprecated, but measured against `dynamo=True` it takes a seventh of the time on RRDBNet, and it
            # copes with networks on which the other fails (PLKSR with a dynamic batch) or crashes (SPAN).
            warnings.simplefilter("ignore")
            torch.onnx.export(
                sr_model.module,
                (TRACED.draw(sr_model),),
                path,
                dynamo=False,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: axes, OUTPUT: axes},
            )
    except OSError:
        raise
    except Exception as error:  # the exporter raises many kinds
        raise ModelError(
            f"{sr_model.name}: torch cannot convert this {sr_model.architecture} network to ONNX"
        ) from error


def _write_openvino(sr_model: SRModel, path: Path) -> Run:
    model = openvino.convert(sr_model)
    for key, value in metadata(sr_model).items():
        model.set_rt_info(value, ["iqsr", key])
    try:
        openvino.openvino().save_model(model, path, compress_to_fp16=False)
        network = openvino.compile_network(openvino.core().read_model(path))
    except RuntimeError as error:  # all that OpenVINO raises, for a full disk too
        raise OSError(None, "OpenVINO failed to save it, or to read what it saved") from error
    return lambda x: openvino.run(network, x)


_WRITERS: dict[Format, Callable[[SRModel, Path], Run]] = {
    "safetensors": _write_safetensors,
    "onnx": _write_onnx,
    "openvino": _write_openvino,
}


@contextmanager
def _folder_beside(out: Path) -> abc.Generator[Path]:
    """A hidden folder beside `out`, removed at the end. An OSError becomes a ModelError that names `out`."""
    if out.is_dir():
        raise ModelError(f"{out}: cannot be written: it is a folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".iqsr-export-", dir=out.parent, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise ModelError(f"{out}: cannot be written: {error.strerror or error}") from error


def _move(folder: Path, target: Path) -> tuple[Path, ...]:
    """Put what `folder` holds into `target`, so that at no time an `.xml` stands beside another's `.bin`."""
    files = sorted(folder.iterdir())  # .bin before .xml
    moved = tuple(target / file.name for file in files)
    if len(files) > 1:
        moved[-1].unlink(missing_ok=True)
    for file, place in zip(files, moved, strict=True):
        file.replace(place)
    return moved
