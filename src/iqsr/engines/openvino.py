"""OpenVINO on the CPU: converts a model's network in memory, compiles it and runs it.

One compiled network serves every size. A network compiled for one size was measured 2 to 4 % faster (RRDBNet x4, 64x64
tiles), but compiling it takes longer than computing a tile, and each compiled network holds the weights once more. The
tiles at a picture's edges have sizes of their own, so compiling for each size would cost more than it gains.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from iqsr.device import bf16_pays
from iqsr.engines.tracing import INPUT, OUTPUT, trace
from iqsr.errors import ModelError, UsageError

if TYPE_CHECKING:
    import openvino as ov

    from iqsr.models import SRModel

Precision = Literal["fp32", "bf16", "int8"]
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this CPU."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def faster_precision() -> Literal["fp32", "bf16"]:
    """bf16 where OpenVINO computes in it and the CPU is faster in it."""
    return "bf16" if has_bf16() and bf16_pays(torch.device("cpu")) else "fp32"


def check_bf16() -> None:
    """Raise UsageError where the CPU has no bf16: OpenVINO would compute in fp32 and not say so."""
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
    """Compile `model` for the CPU."""
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
    """OpenVINO's core object: one for the whole process, which is never destroyed.

    A core that loads the CPU plugin gives the thread an alternate signal stack. When the core is destroyed, it restores
    the stack that it found. If several cores are destroyed in the order of their creation, the thread is left with a
    stack that is already freed: the next signal, such as Ctrl-C, writes there and the process crashes. This core is the
    first that loads the plugin, so cores that NNCF makes and destroys restore this core's stack.
    """
    made: ov.Core = openvino().Core()
    made.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return made


def openvino() -> ModuleType:
    """The package `openvino`. Raises ModelError, with the command that installs it, if it is missing."""
    try:
        import openvino
    except ImportError as error:
        raise ModelError("OpenVINO is not installed: pip install 'iqsr[openvino]'") from error
    return openvino
