"""OpenVINO on the CPU: a model's network, converted in memory.

One compiled network serves every size. A network compiled for one size was measured 2 to 4 % faster
(RRDBNet x4, 64x64 tiles), but compiling it takes longer than the tile, and each copy holds the weights
again: the tiles at a picture's edges, each of another size, would cost more than the rest gains.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from iqsr.device import bf16_pays
from iqsr.engines.tracing import INPUT, OUTPUT, trace, verify
from iqsr.errors import ModelError, UsageError

if TYPE_CHECKING:
    import openvino as ov

    from iqsr.models import SRModel

Precision = Literal["fp32", "bf16", "int8"]
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoModule(nn.Module):
    """A model's network run by OpenVINO: call it where `model.module` would be called.

    precision: what the network computes in; what goes in and out is fp32. int8 is prepared at the first use, see
    `iqsr.engines.int8`. threads: CPU threads, None = OpenVINO's choice. Raises ModelError if OpenVINO (or what int8
    needs) is not installed, or does not give what torch gives for this network (tried in fp32 on two sizes);
    UsageError for bf16 on a CPU that has none.
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
            from iqsr.engines.int8 import quantised

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


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this CPU."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def faster_precision() -> Literal["fp32", "bf16"]:
    """bf16 where OpenVINO computes in it and the CPU is faster in it."""
    return "bf16" if has_bf16() and bf16_pays(torch.device("cpu")) else "fp32"


def check_bf16() -> None:
    """UsageError where the CPU has no bf16: OpenVINO would take fp32 without a word."""
    if not has_bf16():
        raise UsageError("this CPU has no bf16 arithmetic that OpenVINO uses; take fp32")


def convert(sr_model: SRModel) -> ov.Model:
    """The model's network as an OpenVINO model with dynamic batch, height and width, not yet verified.

    Its tensors are called `input` and `output`. Raises ModelError.
    """
    shape = openvino().PartialShape([-1, 3, -1, -1])
    # Not `openvino.convert_model`, which is the same but reports its use over the network.
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    try:
        decoder = TorchScriptPythonDecoder(trace(sr_model), skip_freeze=True)
        model: ov.Model = frontend.convert(frontend.load(decoder))
        model.reshape(shape)
        apply_moc_transformations(model, cf=False, smart_reshape=False)
    except Exception as error:  # torch and OpenVINO raise many kinds
        raise ModelError(f"{sr_model.name}: OpenVINO cannot convert this {sr_model.architecture} network") from error
    model.inputs[0].get_tensor().set_names({INPUT})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    return model


def compile_network(model: ov.Model, *, precision: Precision = "fp32", threads: int | None = None) -> ov.CompiledModel:
    """`model`, ready to run on the CPU."""
    settings = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    return core().compile_model(model, "CPU", settings)


def run(network: ov.CompiledModel, x: Tensor) -> Tensor:
    """The network's output for x: (N, 3, H, W), float32."""
    outputs = network(x.detach().contiguous().numpy(), share_inputs=True, share_outputs=False)
    return torch.from_numpy(outputs[0])


@cache
def core() -> ov.Core:
    """OpenVINO's, one for the whole process and never ended.

    Each that loads the CPU plugin gives the thread an alternate signal stack, and at its end the stack that it found.
    Of several that end in the order they came, the last leaves a stack that is freed: the next signal, Ctrl-C say,
    writes there and crashes. This one is the first to load the plugin, so that whatever NNCF makes and ends leads
    back to it.
    """
    made: ov.Core = openvino().Core()
    made.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return made


def openvino() -> ModuleType:
    """The package; ModelError with the command that installs it if it is missing."""
    try:
        import openvino
    except ImportError as error:
        raise ModelError("OpenVINO is not installed: pip install 'iqsr[openvino]'") from error
    return openvino
