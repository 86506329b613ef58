"""The ways to run one network on the CPU that are compared: (1, 3, H, W) in [0, 1] -> (1, 3, H * scale, W * scale)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from spandrel import ImageModelDescriptor, ModelLoader
from torch import Tensor

from iqsr import Upscaler
from iqsr.device import bf16_gain, bf16_pays, fastest_dtype
from iqsr.engines import openvino, rows
from iqsr.engines.choice import Precision, choose_precision
from iqsr.engines.rows import Rows
from iqsr.engines.streaming import StreamEngine, compile_rows
from iqsr.export import export
from iqsr.io.weights import locate
from iqsr.models import SRModel

Network = Callable[[Tensor], Tensor]

TILE, MARGIN = 128, 32
CPU = torch.device("cpu")
FAST = "bf16" if bf16_pays(CPU) else "fp32, channels-last"
"""The form in which torch itself is quickest on this CPU."""
NATIVE_BF16 = bf16_gain(CPU) > 0
"""A CPU that does not compute in bf16 takes a hundred times as long in it as in fp32."""

ABOUT = {
    "torch eager fp32": "`module(x)`, NCHW: how Real-ESRGAN's script runs it; the reference",
    "spandrel": "its descriptor's call, fp32",
    "ONNX Runtime": "the file of `iqsr export`, fp32",
    "OpenVINO fp32": "compiled for this one size",
    "OpenVINO bf16": "compiled for this one size",
    "ncnn": "PyPI package on the CPU, default options: Winograd, fp32 arithmetic",
    "ncnn bf16": "the same with `use_bf16_storage`",
    "torch bf16": "`module(x)` in bf16, channels-last",
    "torch fp32, channels-last": "`module(x)`, channels-last",
    "iqsr": "`Upscaler(model).upscale(x)`",
    "iqsr fp32": "`Upscaler(model, precision='fp32').upscale(x)`",
    "iqsr bf16": "`Upscaler(model, precision='bf16').upscale(x)`",
    "iqsr, direct": "iqsr's engine without Winograd's convolutions (and, in bf16, in bands)",
    "tiles fp32": f"hard-cut tiles of {TILE} with a margin of {MARGIN}, torch eager, NCHW",
    f"tiles {FAST}": "the same, channels-last",
    f"untiled {FAST}": "`module(x)`, channels-last",
    "one band": "iqsr's engine with the whole picture as one band, by direct convolutions",
    "streaming": "iqsr's engine giving rows as they are ready: of RRDBNet, as for pictures that memory does not hold",
}
"""What each contender is."""

_NCNN_FILES = {
    "realesrgan-x4plus": "REALESRGAN_X4PLUS_UP4X",
    "realesrgan-x4plus-anime": "REALESRGAN_X4PLUSANIME_UP4X",
    "realesr-animevideov3-x4": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}


def contenders(sr_model: SRModel, height: int, width: int, threads: int) -> dict[str, Network]:
    """All of them for one picture size; torch's fp32 comes first. Tiles only where the picture is larger than one."""
    descriptor = ModelLoader(CPU).load_from_state_dict(sr_model.module.state_dict())
    assert isinstance(descriptor, ImageModelDescriptor)
    networks: dict[str, Network] = {
        "torch eager fp32": sr_model.module,
        "spandrel": descriptor.eval(),
        "ONNX Runtime": onnx_runtime(sr_model, threads),
        **open_vino(sr_model, height, width, threads),
        "ncnn": ncnn_net(sr_model.name, threads, bf16=False),
        "ncnn bf16": ncnn_net(sr_model.name, threads, bf16=True),
        f"torch {FAST}": torch_fast(sr_model),
        "iqsr": Upscaler(sr_model, device="cpu").upscale,
    }
    if NATIVE_BF16:
        networks |= {"torch bf16": torch_fast(sr_model, torch.bfloat16)}
        other: Precision = "fp32" if "bf16" in Upscaler(sr_model, device="cpu").describe() else "bf16"
        networks[f"iqsr {other}"] = Upscaler(sr_model, device="cpu", precision=other).upscale
    return networks | (tiles(sr_model) if max(height, width) > TILE else {})


def torch_fast(sr_model: SRModel, dtype: torch.dtype | None = None) -> Network:
    """The plain module in the precision (if it is not told) and with the memory layout that suit the CPU."""
    dtype = dtype or fastest_dtype(CPU)
    module = copy.deepcopy(sr_model.module).to(dtype, memory_format=torch.channels_last)
    return lambda x: module(x.to(dtype, memory_format=torch.channels_last)).float()


def onnx_runtime(sr_model: SRModel, threads: int) -> Network:
    """ONNX Runtime on what `iqsr export` writes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with TemporaryDirectory(prefix="iqsr-bench-") as folder:
        file = Path(folder) / "network.onnx"
        export(sr_model, file)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


def open_vino(sr_model: SRModel, height: int, width: int, threads: int) -> dict[str, Network]:
    """OpenVINO with a fixed size, which it can plan for; bf16 where the CPU has it."""
    model = openvino.convert(sr_model)
    model.reshape([1, 3, height, width])
    fp32 = openvino.compile_network(model, threads=threads)
    networks: dict[str, Network] = {"OpenVINO fp32": lambda x: openvino.run(fp32, x)}
    if openvino.has_bf16():
        bf16 = openvino.compile_network(model, precision="bf16", threads=threads)
        networks["OpenVINO bf16"] = lambda x: openvino.run(bf16, x)
    return networks


def ncnn_net(name: str, threads: int, *, bf16: bool) -> Network:
    """ncnn on the very files that the weights come from."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_bf16_storage = bf16
    files = locate("realesrgan-x4plus").parent / _NCNN_FILES[name]
    if net.load_param(f"{files}.param") or net.load_model(f"{files}.bin"):
        raise SystemExit(f"ncnn does not read {files.name}")

    def run(x: Tensor) -> Tensor:
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(x[0].contiguous().numpy()).clone())
        status, out = extractor.extract("output")
        if status:
            raise SystemExit(f"ncnn fails on {tuple(x.shape)}")
        return torch.from_numpy(np.array(out))[None]

    return run


def tiles(sr_model: SRModel) -> dict[str, Network]:
    """How others bound memory, as they do it and as fast as torch can."""
    fast = torch_fast(sr_model)
    return {
        "tiles fp32": lambda x: hard_tiles(sr_model.module, x, sr_model.scale),
        f"tiles {FAST}": lambda x: hard_tiles(fast, x, sr_model.scale),
    }


def hard_tiles(network: Network, picture: Tensor, scale: int) -> Tensor:
    """Tiles of TILE pixels a side, each computed with MARGIN more around it, cut, and put side by side."""
    height, width = picture.shape[2:]
    out = torch.empty(1, 3, height * scale, width * scale)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(height, top + TILE), min(width, left + TILE)
            above, before = max(0, top - MARGIN), max(0, left - MARGIN)
            part = network(picture[:, :, above : bottom + MARGIN, before : right + MARGIN])
            part = part[:, :, (top - above) * scale :, (left - before) * scale :]
            target = out[:, :, top * scale : bottom * scale, left * scale : right * scale]
            target.copy_(part[:, :, : target.shape[2], : target.shape[3]])
    return out


def streaming_engine(sr_model: SRModel, band_pixels: int | None = None) -> StreamEngine:
    """The engine that `Upscaler` uses on a CPU. With `band_pixels` it always works in bands; None: it chooses."""
    program = compile_rows(sr_model.module)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[choose_precision("auto", CPU, "torch", program)]
    return StreamEngine(program, CPU, dtype, memory_bytes=8_000_000_000, band_pixels=band_pixels)


def direct_engine(sr_model: SRModel) -> StreamEngine:
    """The same without a way of its own for the part before the enlargement: direct convolutions, in bands."""
    engine = streaming_engine(sr_model)
    engine.trunk = None
    return engine


class Stream:
    """A streaming engine as a contender, which notes how fast rows come once the delay lines are full."""

    def __init__(self, engine: StreamEngine) -> None:
        self.seconds_a_row: list[float] = []
        """Of each call: per row of the picture, from the first band that comes out to the last that goes in."""
        self._engine = engine
        self._last_read = 0.0

    def __call__(self, picture: Tensor) -> Tensor:
        """Enlarge, clamped to [0, 1] as `Upscaler` does."""
        source = Rows(picture.shape[3], picture.shape[2], lambda band: self._bands(picture, band))
        parts: list[Tensor] = []
        steady: list[tuple[float, int]] = []
        self._last_read = float("inf")
        for part in self._engine.apply(source).bands(1):
            parts.append(part.clamp(0, 1))
            now = time.perf_counter()
            if now < self._last_read:
                steady.append((now, part.shape[2]))
        if len(steady) > 1:
            enlarged = sum(height for _, height in steady[1:])
            self.seconds_a_row.append((steady[-1][0] - steady[0][0]) * self._engine.scale / enlarged)
        return torch.cat(parts, 2)

    def _bands(self, picture: Tensor, band: int) -> Iterator[Tensor]:
        left = picture.shape[2]
        for part in rows.of_tensor(picture).bands(band):
            left -= part.shape[2]
            if left == 0:
                self._last_read = time.perf_counter()
            yield part
