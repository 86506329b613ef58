"""Enlarging pictures: files, tensors and arrays of any size, in bounded memory and without seams.

>>> from iqsr import Upscaler
>>> upscaler = Upscaler()
>>> upscaler.upscale_file("photo.jpg", "photo_x2.png", scale=2)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqsr.engines import rows as row_streams
from iqsr.engines.choice import Runner
from iqsr.engines.rows import NotFiniteBandError, OnProgress, Rows
from iqsr.engines.tiling import out_of_memory
from iqsr.errors import IqsrError, ModelError, UsageError
from iqsr.images import resample, write_picture
from iqsr.models import SRModel, load_model
from iqsr.models.registry import SHARPENED_MODEL
from iqsr.picture_checks import check_batch
from iqsr.upscaling.jobs import Job, OpenJob, UpscaleOptions, UpscaleResult, open_job
from iqsr.upscaling.target_size import TargetSize, passes_for

DEFAULT_MODEL = SHARPENED_MODEL

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Upscaler:
    """Enlarges pictures with one model.

    Convolutional models (all that come with iqsr) are streamed row by row: the output equals the untiled one. Others
    run in overlapped, feathered tiles with a measured margin.

    Args:
        model: A name (`iqsr weights` lists them), the path of a checkpoint that spandrel reads, or an `SRModel`.
        precision: `auto` (bf16 where that is faster than fp32), `fp32`, `bf16`, `fp16`, or, with the backend
            `openvino`, `int8`. Output that is not finite is computed again in fp32, with a warning.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        backend: `torch` or `openvino` (extra `openvino`).
        tile: The side of tiles in pixels, to run in tiles instead of streaming.
        strength: Of a named model that sharpens its output, as the default does: how much of the fine detail is
            added, from 0 to 1; its own by default.
        memory_gb: How much a picture may take inside the model, in GB; a quarter of the machine's memory by default.
            Larger pictures are streamed, which can be slower.

    Raises:
        UnknownNameError, UsageError: For a model or setting that does not exist.
        WeightsError: If the model's weights are not here; the message has the command that brings them.
        ModelError: If the file is not a model that can be used.
    """

    def __init__(
        self,
        model: str | Path | SRModel = DEFAULT_MODEL,
        *,
        precision: str = "auto",
        device: str = "auto",
        backend: str = "torch",
        tile: int | None = None,
        strength: float | None = None,
        memory_gb: float | None = None,
    ) -> None:
        if isinstance(model, SRModel) and strength is not None:
            raise UsageError("an SRModel has its strength already: give it to load_model")
        self.model = model if isinstance(model, SRModel) else load_model(model, strength=strength)
        self._runner = Runner(
            self.model,
            precision=precision,
            device=device,
            backend=backend,
            tile=tile,
            memory_gb=memory_gb,
        )

    @property
    def scale(self) -> int:
        """The factor by which the model enlarges, and the default of every call."""
        return self.model.scale

    def describe(self) -> str:
        """How the model runs here, such as `exact streaming, bf16, cpu`."""
        return self._runner.choice.describe()

    def prepare(self) -> None:
        """Make the engine now instead of at the first picture.

        Raises:
            UsageError, ModelError: If the model cannot run here, which would fail for every picture alike.
        """
        self._persistently(self._runner.engine)

    def upscale(self, image: T, *, scale: float | None = None) -> T:
        """Enlarge pictures in memory.

        Args:
            image: A float tensor (N, 3, H, W) in [0, 1], or a numpy array (H, W, 3) or (H, W): uint8, uint16, or
                float in [0, 1].
            scale: 1 to 16, the model's own by default.

        Returns:
            The enlarged pictures, of the same type, dtype and range, and on the same device.

        Raises:
            UsageError: For any other input or scale.
            ModelError: If the model fails.
        """
        if isinstance(image, Tensor):
            return cast("T", self._upscale_tensor(image, scale))
        if isinstance(image, np.ndarray):
            return cast("T", self._upscale_array(image, scale))
        raise UsageError(f"expected a tensor or a numpy array, got {type(image).__name__}")

    def upscale_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        quality: int | None = None,
        alpha: str = "transparency",
        on_progress: OnProgress | None = None,
    ) -> UpscaleResult:
        """Enlarge a picture file.

        8 or 16 bit, gray, alpha, colour profile and metadata are kept. The file appears whole or not at all.

        Args:
            source: The picture.
            out: The file to write; its suffix says the format.
            scale: 1 to 16, the model's own by default.
            width: Width of the result in pixels, instead of `scale`, up to 16 times that of the source; the height
                follows unless it is given.
            height: Height of the result in pixels, instead of `scale`.
            quality: 1 to 100, of JPEG (95 by default) and WebP (90); PNG and TIFF are lossless.
            alpha: `transparency`, or `straight` where alpha is data (a texture's gloss or height): colour is then
                enlarged as it stands, whatever alpha says, and JPEG gets the colour alone.
            on_progress: Called with the share that is done, from 0 to 1.

        Returns:
            The sizes of source and result, how it was computed, and how long it took.

        Raises:
            PictureError: If the picture cannot be read or written.
            UsageError: For arguments that cannot be right.
            ModelError: If the model fails.
        """
        options = UpscaleOptions(TargetSize(scale, width, height), quality=quality, alpha=alpha)
        return self.upscale_job(open_job(Job(Path(source), Path(out), options), self.scale), on_progress)

    def upscale_job(self, opened: OpenJob, on_progress: OnProgress | None = None) -> UpscaleResult:
        """Enlarge an opened picture and write the result. Result and errors are those of `upscale_file`."""
        job, picture, size = opened.job, opened.picture, opened.size
        rows = Rows(*opened.size_in, picture.rows)

        def write() -> None:
            enlarged = self._enlarged(rows, size, on_progress)
            upscaled = (enlarged.width, enlarged.height)
            bands, quality = enlarged.bands(1), job.options.quality
            write_picture(job.out, bands, source=picture, upscaled=upscaled, size=size, quality=quality)

        self._persistently(write)
        seconds = time.perf_counter() - opened.started
        return UpscaleResult(job.source, job.out, opened.size_in, size, seconds, self.describe())

    def _upscale_tensor(self, image: Tensor, scale: float | None) -> Tensor:
        check_batch("Upscaler", image)
        size = TargetSize(scale).size((image.shape[3], image.shape[2]), self.scale)
        pictures = [self._upscale_one(picture.cpu(), size) for picture in image.split(1)]
        return (torch.cat(pictures) if len(pictures) > 1 else pictures[0]).to(image)

    def _upscale_one(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """(1, 3, H, W) -> (1, 3, size[1], size[0]), clamped to [0, 1]."""

        def run() -> list[Tensor]:
            return list(self._enlarged(row_streams.of_tensor(picture), size, None).bands(1))

        out = torch.cat(self._persistently(run), 2)  # here, outside of inference mode: a tensor like any other
        return out if (out.shape[3], out.shape[2]) == size else resample(out, size).clamp(0, 1)

    def _upscale_array(self, image: NDArray[np.generic], scale: float | None) -> NDArray[np.generic]:
        one = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float64": 1.0}.get(image.dtype.name)
        gray = image.ndim == 2
        if one is None or 0 in image.shape or not (gray or (image.ndim == 3 and image.shape[2] == 3)):
            first = "; channels come last" if image.ndim == 3 and image.shape[0] == 3 else ""
            raise UsageError(
                "expected a numpy array (H, W, 3) or (H, W) of uint8, uint16 or float, "
                f"got {image.dtype} {image.shape}{first}"
            )
        values = torch.from_numpy(image.astype(np.float32) / np.float32(one))
        picture = values.expand(3, *values.shape) if gray else values.permute(2, 0, 1)
        out = self._upscale_tensor(picture.unsqueeze(0), scale)[0] * one
        out = out.mean(0) if gray else out.permute(1, 2, 0)
        return (out.round() if one > 1 else out).numpy().astype(image.dtype)

    def _enlarged(self, rows: Rows, size: tuple[int, int], on_progress: OnProgress | None) -> Rows:
        """The rows after as many passes of the model as `size` needs; the caller resamples them to `size`."""
        engine = self._runner.engine()
        passes = passes_for(max(size[0] / rows.width, size[1] / rows.height), self.scale)
        for number in range(passes):
            width, height = rows.width * self.scale, rows.height * self.scale
            ready = row_streams.padded(rows, self._runner.size_multiple, self._runner.minimum_size)
            enlarged = engine.apply(ready, on_progress if number == passes - 1 else None)
            rows = row_streams.clamped(row_streams.finite(row_streams.cropped(enlarged, width, height)))
        return rows

    def _persistently(self, work: Callable[[], T]) -> T:
        """Do `work`, again in fp32 where the precision overflows, and in smaller pieces where memory runs out."""
        while True:
            try:
                with torch.inference_mode():
                    return work()
            except NotFiniteBandError as error:
                used = self._runner.choice.precision
                if not self._runner.to_fp32():
                    raise ModelError(f"{self.model.name}: gives values that are not finite") from error
                logger.warning("%s overflows in %s: using fp32", self.model.name, used)
            except IqsrError:
                raise
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if not self._runner.with_less_memory():
                    raise ModelError("out of memory: close other programs, or use a smaller model") from error
                logger.warning("out of memory: trying again with half as much")
