"""A model's network that OpenVINO runs, in fp32, bf16 or int8, in the place of the torch module."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor, nn

from iqsr.engines.int8 import quantised
from iqsr.engines.openvino import Precision, check_bf16, compile_network, convert, faster_precision, run
from iqsr.engines.tracing import verify
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.models import SRModel


class OpenVinoModule(nn.Module):
    """A model's network run by OpenVINO: call it where `model.module` would be called.

    Args:
        sr_model: The model whose network runs.
        precision: What the network computes in; its input and output are fp32. int8 is prepared at the first use, see
            `iqsr.engines.int8`.
        threads: CPU threads; None lets OpenVINO choose.

    Raises:
        ModelError: OpenVINO, or a package that int8 needs, is not installed; or OpenVINO's output in fp32 differs from
            torch's (compared on two sizes).
        UsageError: An unknown precision, fewer than 1 thread, or bf16 on a CPU that has none.
    """

    def __init__(self, sr_model: SRModel, *, precision: Precision = "fp32", threads: int | None = None) -> None:
        super().__init__()
        if precision not in get_args(Precision):
            known = ", ".join(get_args(Precision))
            raise UsageError(f"unknown precision '{precision}' for OpenVINO; known: {known}")
        if threads is not None and threads < 1:
            raise UsageError(f"expected at least 1 thread, got {threads}")
        if precision == "bf16":
            check_bf16()
        model = convert(sr_model)
        network = compile_network(model, threads=threads)
        verify(sr_model, lambda x: run(network, x), engine="OpenVINO")
        if precision == "int8":
            network = compile_network(quantised(sr_model), precision=faster_precision(), threads=threads)
        elif precision != "fp32":
            network = compile_network(model, precision=precision, threads=threads)
        self.precision: Precision = precision
        self._network = network

    @property
    def threads(self) -> int:
        """CPU threads that a call uses."""
        return self._network.get_property("INFERENCE_NUM_THREADS")

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W), float32, any memory format. Returns (N, 3, H * scale, W * scale), contiguous."""
        if x.ndim != 4 or x.shape[1] != 3 or x.dtype != torch.float32:
            raise UsageError(f"OpenVINO expected float32 (N, 3, H, W), got {x.dtype} {tuple(x.shape)}")
        return run(self._network, x)
