"""Chooses how a model runs: on which device, in which precision, by exact streaming or in tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor

from iqsr.device import bf16_gain, bf16_pays, choose_device
from iqsr.engines.rows import RowEngine
from iqsr.engines.streaming import NotStreamableError, RowProgram, StreamEngine, compile_rows, winograd_gain
from iqsr.engines.tiling import Network, TileEngine, measured_margin, probe
from iqsr.errors import ModelError, UsageError
from iqsr.memory import machine_memory_bytes
from iqsr.models import SRModel

if TYPE_CHECKING:
    from iqsr.engines.openvino import Precision as OpenVinoPrecision

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Backend = Literal["torch", "openvino"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_DEFAULT_TILE_PIXELS = 256
_LEAST_BAND_PIXELS = 512
"""With less memory than bands of this size need, an engine gives up."""
_LEAST_PRECISION_DB = 50.0
"""Least PSNR to fp32 that a lower precision must have, to be chosen by `auto`."""


@dataclass(frozen=True)
class Choice:
    """How a model runs."""

    device: torch.device
    precision: str
    backend: str
    method: Literal["exact streaming", "tiles"]

    def describe(self) -> str:
        """The choice in words for the user, such as `exact streaming, bf16, cpu`."""
        where = self.device.type if self.backend == "torch" else self.backend
        return f"{self.method}, {self.precision}, {where}"


@dataclass(frozen=True)
class Limits:
    """How much an engine may use; it is halved when memory runs out."""

    memory_bytes: int
    tile: int
    band_pixels: int | None = None

    def halved(self) -> Limits | None:
        """Half of each limit; None where that would be too little."""
        band = (self.band_pixels or 16 * _LEAST_BAND_PIXELS) // 2
        if band < _LEAST_BAND_PIXELS:
            return None
        return Limits(self.memory_bytes // 2, max(16, self.tile // 2), band)


class Runner:
    """A model and the choice of how it runs. It makes the engine, and steps down to fp32 or to less memory.

    Args:
        model: The model.
        precision: auto, fp32, bf16, fp16 or int8.
        device: auto, cpu, cuda, cuda:N or mps.
        backend: torch or openvino.
        tile: Height and width of a tile in pixels; given, the model runs in tiles. None: it streams if it can.
        memory_gb: Gigabytes that an engine may take; None: a quarter of the machine's memory.

    Raises:
        UsageError: An argument is out of range, or they do not go together.
        ModelError: A package is missing, or the network enlarges by another factor than its model says.
    """

    def __init__(
        self,
        model: SRModel,
        *,
        precision: str = "auto",
        device: str = "auto",
        backend: str = "torch",
        tile: int | None = None,
        memory_gb: float | None = None,
    ) -> None:
        if tile is not None and tile < 16:
            raise UsageError(f"a tile has at least 16 pixels a side, got {tile}")
        if memory_gb is not None and not 0 < memory_gb * 1e9 < inf:
            raise UsageError(f"memory is a number of gigabytes above 0, got {memory_gb:g}")
        self._model = model
        memory = machine_memory_bytes() // 4 if memory_gb is None else int(memory_gb * 1e9)
        self._limits = Limits(memory, tile or _DEFAULT_TILE_PIXELS)
        if backend == "openvino" and device not in ("auto", "cpu"):
            raise UsageError(f"the backend openvino computes on the CPU: leave --device {device} out")
        chosen = choose_device(device if backend == "torch" else "cpu")
        self._program = _program(model) if tile is None and backend == "torch" else None
        method = "tiles" if self._program is None else "exact streaming"
        self._automatic = precision == "auto"
        self.choice = Choice(chosen, choose_precision(precision, chosen, backend, self._program), backend, method)
        self.size_multiple, self.minimum_size = model.size_multiple, model.minimum_size
        if self._program is not None:  # exact; spandrel asks for more than some networks need
            self.size_multiple, self.minimum_size = self._program.size_multiple, 1
        self._margin: int | None = None
        self._engine: RowEngine | None = None

    def engine(self) -> RowEngine:
        """The engine for the present choice and limits, made at the first call."""
        if self._engine is None:
            self._engine = self._streams() if self._program is not None else self._tiles()
        return self._engine

    def to_fp32(self) -> bool:
        """Change to fp32. False if it is fp32 already."""
        if self.choice.precision == "fp32":
            return False
        self.choice = replace(self.choice, precision="fp32")
        self._engine = None
        return True

    def with_less_memory(self) -> bool:
        """Halve bands, tiles and delay lines. False if they are as small as they can be."""
        halved = self._limits.halved()
        if halved is None:
            return False
        self._limits = halved
        self._engine = None
        return True

    def _streams(self) -> StreamEngine:
        assert self._program is not None
        limits, dtype = self._limits, _DTYPES[self.choice.precision]
        return StreamEngine(
            self._program,
            self.choice.device,
            dtype,
            memory_bytes=limits.memory_bytes,
            band_pixels=limits.band_pixels,
        )

    def _tiles(self) -> TileEngine:
        model, multiple = self._model, self.size_multiple
        network = self._network(self.choice.precision)
        if self._margin is None:
            self._margin = self._measured_margin()
            if self._automatic and self.choice.precision != "fp32" and self._too_coarse(network):
                self.choice = replace(self.choice, precision="fp32")
                network = self._network("fp32")
        return TileEngine(network, model.scale, tile=self._limits.tile, margin=self._margin, multiple=multiple)

    def _measured_margin(self) -> int:
        model, minimum = self._model, self._model.minimum_size
        measured = measured_margin(self._torch_network("fp32"), model.scale, self.size_multiple, minimum)
        return max(measured, minimum)  # so that the smallest tile, at a corner, is large enough for the network

    def _too_coarse(self, network: Network) -> bool:
        side = max(64, self._model.minimum_size)
        x = probe(side, side, self.size_multiple)
        error = (network(x).float() - self._torch_network("fp32")(x)).square().mean()
        return bool(-10 * error.clamp_min(1e-12).log10() < _LEAST_PRECISION_DB)

    def _network(self, precision: str) -> Network:
        if self.choice.backend == "openvino":
            from iqsr.engines.openvino_module import OpenVinoModule

            assert precision in {"fp32", "bf16", "int8"}
            return OpenVinoModule(self._model, precision=cast("OpenVinoPrecision", precision))
        return self._torch_network(precision)

    def _torch_network(self, precision: str) -> Network:
        device, dtype = self.choice.device, _DTYPES[precision]
        module = self._model.module.to(device=device)

        def run(x: Tensor) -> Tensor:
            x = x.to(device, memory_format=torch.channels_last, copy=True)  # some networks change their input
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                return module(x)

        return run


def choose_precision(name: str, device: torch.device, backend: str, program: RowProgram | None = None) -> str:
    """The precision to compute in.

    Args:
        name: What the user asks for. auto is bf16 where that is faster than fp32, else fp32.
        device: Where the network runs.
        backend: torch or openvino.
        program: The network, if it streams: with some, fp32 is faster, since Winograd computes their convolutions.

    Raises:
        UsageError: An unknown name, or one that does not go with the backend or the CPU.
        ModelError: A package that the backend needs is missing.
    """
    if backend not in {"torch", "openvino"}:
        raise UsageError(f"unknown backend '{backend}'; choose torch or openvino")
    if name not in {"auto", "int8", *_DTYPES}:
        raise UsageError(f"unknown precision '{name}'; choose auto, {', '.join(_DTYPES)}, int8")
    if name == "int8" and backend != "openvino":
        raise UsageError("int8 is computed by OpenVINO: add --backend openvino (backend='openvino')")
    if backend == "openvino":
        return _precision_of_openvino(name)
    if name != "auto":
        return name
    if not bf16_pays(device):
        return "fp32"
    return "bf16" if program is None or bf16_gain(device) > winograd_gain(program, device) else "fp32"


def _precision_of_openvino(name: str) -> str:
    """`choose_precision` for OpenVINO. It fails at once where a package is missing or the CPU has no bf16."""
    if name == "fp16":
        raise UsageError("OpenVINO computes in fp32, bf16 or int8 on a CPU; choose one of them")
    from iqsr.engines.openvino import check_bf16, faster_precision, openvino

    openvino()
    if name == "auto":
        return faster_precision()
    if name == "bf16":
        check_bf16()
    elif name == "int8":
        from iqsr.engines.int8 import check_packages

        check_packages()
    return name


def _program(model: SRModel) -> RowProgram | None:
    try:
        program = compile_rows(model.module)
    except NotStreamableError:
        return None
    if program.scale != model.scale:
        raise ModelError(f"{model.name}: its layers enlarge by {program.scale}, not by {model.scale}")
    return program
