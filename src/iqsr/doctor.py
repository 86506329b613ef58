"""What this installation is and can do: the facts that a report of a bug needs, and what to install for what."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from iqsr.errors import IqsrError
from iqsr.memory import machine_memory_bytes

PURPOSES = {
    "train": "training models and predictors",
    "study": "serving a study to raters",
    "openvino": "a second engine for CPUs, and its export",
    "onnx": "export to ONNX",
    "int8": "8-bit computing in OpenVINO",
    "toolbox": "the metrics of IQA-PyTorch (for noncommercial use only)",
    "cvvdp": "the metric cvvdp",
    "scale": "shards on a Ray cluster",
    "demo": "the demo's photos",
}
"""What each extra is for, by its name in pyproject.toml. Extras for developers are left out."""
_CORE = ("iqsr", "torch", "torchvision", "spandrel", "numpy", "pyvips", "safetensors")
_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "bf16", "sve")


@dataclass(frozen=True)
class Extra:
    """An extra of the package: what it is for, and what of it is missing."""

    name: str
    purpose: str
    missing: tuple[str, ...]
    """Names of packages that are not installed."""

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"pip install 'iqsr[{self.name}]'"


@dataclass(frozen=True)
class Precision:
    """What `--precision auto` chooses on a device for the default model, and why."""

    device: str
    chosen: str
    reason: str


@dataclass(frozen=True)
class Examination:
    """What `examine` found."""

    versions: dict[str, str]
    system: str
    python: str
    processor: str
    instructions: tuple[str, ...]
    """Names of vector instructions that torch found, of those that matter here."""
    cores: int
    """Those that this process may use."""
    threads: int
    """Those that torch computes with."""
    memory_gb: float
    """Of the machine, or the limit of the container; 10^9 bytes."""
    devices: tuple[str, ...]
    precision: Precision | None
    """None where torch or the default model cannot be loaded; `faults` says why."""
    weights_here: int
    weights_known: int
    settings: dict[str, str]
    """Environment variables that change what iqsr does."""
    extras: tuple[Extra, ...]
    faults: tuple[str, ...]
    """What does not work, a line each. Empty in a sound installation."""

    def document(self) -> dict[str, object]:
        """The facts as JSON can hold them."""
        return asdict(self)


def examine() -> Examination:
    """Look at this installation. Computes for about a second; uses no network and changes nothing."""
    faults: list[str] = []
    devices, instructions, threads, precision = _computing(faults)
    here, known = _weights(faults)
    return Examination(
        versions={name: _version(name) for name in _CORE},
        system=platform.platform(),
        python=platform.python_version(),
        processor=_processor(),
        instructions=instructions,
        cores=_cores(),
        threads=threads,
        memory_gb=round(machine_memory_bytes() / 1e9, 1),
        devices=devices,
        precision=precision,
        weights_here=here,
        weights_known=known,
        settings={name: value for name, value in sorted(os.environ.items()) if _changes_iqsr(name)},
        extras=extras(),
        faults=tuple(faults),
    )


def extras() -> tuple[Extra, ...]:
    """The extras for users, each with the packages that it lacks."""
    return tuple(Extra(name, purpose, _missing(name)) for name, purpose in PURPOSES.items())


def _missing(extra: str) -> tuple[str, ...]:
    return tuple(name for name in sorted(_requirements(extra)) if _version(name) == "missing")


def _requirements(extra: str) -> set[str]:
    """Names of the packages that the extra asks for, and those of the extras of iqsr that it names."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    for requirement in map(Requirement, requires("iqsr") or ()):
        if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name == "iqsr":
            found |= set().union(*map(_requirements, requirement.extras))
        else:
            found.add(requirement.name)
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _computing(faults: list[str]) -> tuple[tuple[str, ...], tuple[str, ...], int, Precision | None]:
    """Devices, instructions, threads and precision, as far as torch can be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:
        faults.append(f"torch cannot be imported: {error}; run: pip install --force-reinstall torch torchvision")
        return (), (), 0, None
    try:
        import torchvision  # pyright: ignore[reportUnusedImport] # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        faults.append(f"torchvision does not go with this torch: {error}; run: pip install --upgrade torch torchvision")
    abilities = torch.cpu.get_capabilities()
    instructions = tuple(name for name in _INSTRUCTIONS if abilities.get(name, False))
    return _devices(), instructions, torch.get_num_threads(), _precision(faults)


def _devices() -> tuple[str, ...]:
    import torch

    cuda = [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    return (*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


def _precision(faults: list[str]) -> Precision | None:
    """What the default model computes in here. Loads the model, as `iqsr upscale` does."""
    from iqsr.device import bf16_gain, choose_device
    from iqsr.engines.choice import choose_precision
    from iqsr.engines.streaming import compile_rows, winograd_gain
    from iqsr.models import load_model
    from iqsr.upscaling.upscaler import DEFAULT_MODEL

    try:
        program = compile_rows(load_model(DEFAULT_MODEL).module)
    except IqsrError as error:
        faults.append(f"the default model does not load: {error}")
        return None
    device = choose_device("auto")
    chosen, gain = choose_precision("auto", device, "torch", program), bf16_gain(device)
    if not gain:
        reason = "no bf16 instructions"
    else:
        reason = f"bf16 convolves {gain:.1f} times as fast as fp32"
        if (winograd := winograd_gain(program, device)) > 1:
            reason += f", Winograd {winograd:.1f} times"
    return Precision(str(device), chosen, reason)


def _weights(faults: list[str]) -> tuple[int, int]:
    """How many weight files are here, and how many iqsr knows. Those that packages bring must be here."""
    from iqsr.io.weights import weight_states

    try:
        states = weight_states()
    except IqsrError as error:
        faults.append(str(error))
        return 0, 0
    needed = {_package_name(line) for line in requires("iqsr") or () if ";" not in line}
    faults += [
        f"the weights {state.weight.name} are missing or damaged; run: {state.weight.remedy}"
        for state in states
        if state.path is None and _package_name(state.weight.package or "") in needed
    ]
    return sum(state.path is not None for state in states), len(states)


def _package_name(requirement: str) -> str:
    """The normalised name in front of a requirement's version."""
    return re.split("[=<>!~ ]", requirement)[0].replace("_", "-").lower()


def _processor() -> str:
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    if sys.platform == "linux" and info.exists():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model\t", "Hardware")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _changes_iqsr(name: str) -> bool:
    return name.startswith(("IQSR_", "OMP_", "KMP_", "GOMP_", "MKL_", "VIPS_", "CUDA_VISIBLE"))
