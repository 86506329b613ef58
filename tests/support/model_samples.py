"""Files that are no network's weights, as people give them by mistake."""

import pickle
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from spandrel.architectures.Compact import Compact
from torch import Tensor, nn


def network() -> nn.Module:
    torch.manual_seed(0)
    return Compact(num_feat=8, num_conv=1, upscale=2).eval()


def weights() -> dict[str, Tensor]:
    return network().state_dict()


def saved(content: object, **how: bool) -> bytes:
    file = BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def with_value(value: float, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights of which one, in `body.1.weight`, is another."""
    state = {name: tensor.to(dtype) for name, tensor in weights().items()}
    state["body.1.weight"][3] = value
    return state


def zipped(**parts: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def in_tar() -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"), BytesIO())
    return file.getvalue()


def scripted() -> bytes:
    file = BytesIO()
    torch.jit.save(torch.jit.trace(network(), torch.rand(1, 3, 8, 8)), file)
    return file.getvalue()


def in_onnx() -> bytes:
    """As an exporter begins it: version of the format, the producer's name, a graph."""
    name, graph = b"pytorch", b"\x0a\x02ab" * 40
    return b"\x08\x08\x12" + bytes([len(name)]) + name + b"\x3a\xa0\x01" + graph + b"\x42\x02\x10\x11"


def of_numpy(*, several: bool) -> bytes:
    file = BytesIO()
    np.savez(file, a=np.zeros(3)) if several else np.save(file, np.zeros(3))
    return file.getvalue()


def optimiser() -> dict[str, object]:
    module = nn.Linear(2, 2)
    made = torch.optim.Adam(module.parameters())
    module(torch.rand(1, 2)).sum().backward()
    made.step()
    return made.state_dict()


def discriminator() -> dict[str, Tensor]:
    return nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(3, 8, 3)), nn.Conv2d(8, 1, 3)).state_dict()


NOT_PYTORCH = "only PyTorch's weights are read"
PARAM = b"7767517\n1 1\nInput data 0 1 data\n"
OPENVINO = b'<?xml version="1.0"?>\n<net name="x" version="11"><layers></layers></net>'
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>model.pth</title>" + b"x" * 9000
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 67040989\n"

FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.pth": (bytes, "an empty file: fetch it again"),
    "zeros.pth": (lambda: bytes(9000), "nothing but zeros: fetch it again"),
    "pointer.safetensors": (lambda: POINTER, "a pointer of Git LFS, not the file itself: run `git lfs pull`"),
    "page.pth": (lambda: PAGE, "a web page, not the file itself"),
    "page.safetensors": (lambda: b"<html></html>", "a web page, not the file itself"),
    "message.pth": (lambda: b"Access denied: caf\xc3\xa9\n", "a text, not weights"),
    "error.pth": (lambda: b'{"error": "not found"}', "a text, not weights"),
    "m.safetensors.index.json": (lambda: b'{"weight_map": {}}', "networks in several files are not read"),
    "net.param": (lambda: PARAM, f"ncnn's description of a network; {NOT_PYTORCH}"),
    "half.bin": (lambda: b"\x47\x6b\x30\x01" + bytes(90), f"weights for ncnn; {NOT_PYTORCH}"),
    "net.onnx": (in_onnx, f"an ONNX network; {NOT_PYTORCH}"),
    "onnx.pth": (in_onnx, f"an ONNX network; {NOT_PYTORCH}"),
    "net.xml": (lambda: OPENVINO, f"a network for OpenVINO; {NOT_PYTORCH}"),
    "net.h5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(90), f"an HDF5 file, as Keras and TensorFlow write; {NOT_PYTORCH}"),
    "net.keras": (lambda: zipped(**{"config.json": b"{}", "model.weights.h5": b""}), "a network for Keras"),
    "net.tflite": (lambda: b"\x1c\0\0\0TFL3" + bytes(90), "a network for TensorFlow Lite"),
    "saved_model.pb": (lambda: b"\x08\x01\x12\xf0\x10" + bytes(range(200)), "a network for TensorFlow"),
    "net.gguf": (lambda: b"GGUF\x03" + bytes(90), "a GGUF file"),
    "net.npy": (lambda: of_numpy(several=False), "a NumPy array"),
    "net.npz": (lambda: of_numpy(several=True), "an archive of NumPy arrays"),
    "script.pth": (scripted, "a TorchScript program, which holds code"),
    "module.pth": (
        lambda: saved(network()),
        "holds a whole network as a Python object (spandrel.architectures.Compact",
    ),
    "nested.pth": (lambda: saved({"model": network()}), "holds a whole network as a Python object"),
    "old_module.pth": (
        lambda: saved(network(), _use_new_zipfile_serialization=False),
        "holds a whole network as a Python object",
    ),
    "arguments.pth": (
        lambda: saved({"args": Namespace()}),
        "it wants to run code when it is opened (argparse.Namespace)",
    ),
    "pickle.pth": (lambda: pickle.dumps({"a": 1}), "a Python pickle that torch.save did not write"),
    "archive.zip": (
        lambda: zipped(**{"x4/x4.pth": b"", "readme": b""}),
        "a ZIP archive with 'x4/x4.pth' in it: unpack it",
    ),
    "archive.pth": (lambda: zipped(readme=b""), "a ZIP archive without weights in it"),
    "archive.tar": (in_tar, "an archive (tar): unpack it"),
    "archive.gz": (lambda: b"\x1f\x8b\x08" + bytes(90), "a packed archive (gzip): unpack it"),
    "picture.pth": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(90), "a picture, not a network"),
}
"""By name: what is in it, and what is said of it."""

OTHER: dict[str, tuple[Callable[[], object], str]] = {
    "optimiser": (optimiser, "it holds the state of an optimiser without a network"),
    "state of BasicSR": (
        lambda: {"epoch": 1, "iter": 2, "optimizers": [optimiser()], "schedulers": []},
        "it holds the state of an optimiser without a network",
    ),
    "nothing": (dict, "it holds no tensors"),
    "discriminator": (lambda: {"params": discriminator()}, "a discriminator, by its spectral norms"),
    "generator and discriminator": (
        lambda: {"generator": weights(), "discriminator": discriminator()},
        "its weights may be those under 'generator'",
    ),
    "another's adapter": (lambda: {"a.lora_up.weight": torch.zeros(3)}, "an adapter that another program wrote"),
    "other tensors": (lambda: {"a": torch.zeros(3), "b": torch.zeros(1)}, "its tensors are called 'a', 'b'"),
    "integers": (
        lambda: {k: v.to(torch.int8) for k, v in weights().items()},
        "is torch.int8: only weights of floating",
    ),
    "checkpoint of train": (
        lambda: {"weights": weights(), "average": {}, "optimizer": optimiser(), "guard": {}},
        "a checkpoint to go on training from, not a network: give its run's folder to `iqsr merge`",
    ),
}
"""Checkpoints that are whole, and no super-resolution network's weights."""

CUT: dict[str, Callable[[], bytes]] = {
    "half.pth": lambda: saved(weights())[:5000],
    "end.pth": lambda: saved(weights())[:-20],
    "old.pth": lambda: saved(weights(), _use_new_zipfile_serialization=False)[:-200],
    "header.safetensors": lambda: save(weights())[:60],
    "half.safetensors": lambda: save(weights())[:-9],
    "long.safetensors": lambda: save(weights()) + b"x",
}
"""Damaged in transit."""


def flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name
