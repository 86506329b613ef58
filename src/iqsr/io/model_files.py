"""Identify files that were given as model weights and cannot be read as such, by content and then by suffix.

Called only after reading has failed, so that no checkpoint is refused for its looks. Imports no torch.
"""

import json
import pickletools
from codecs import getincrementaldecoder
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

_HEAD_BYTES = 4096
"""Bytes that are examined."""
_PYTORCH = "only PyTorch's weights are read: give the .pth or .safetensors file of this network"
_AGAIN = "fetch it again"
_UNPACK = "unpack it, and give the .pth or .safetensors file in it"
_PICKLE = (
    "a Python pickle that torch.save did not write, and not opened: it may run code; save its tensors by torch.save"
)

_MAGIC: dict[tuple[int, bytes], str] = {
    (0, b"version https://git-lfs.github.com/"): "a pointer of Git LFS, not the file itself: run `git lfs pull`, or "
    "download the file from its page",
    (0, b"7767517\n"): f"ncnn's description of a network; {_PYTORCH}",
    (0, b"7767517\r\n"): f"ncnn's description of a network; {_PYTORCH}",
    (0, b"\xdd\x85\x76\x00"): f"ncnn's description of a network; {_PYTORCH}",
    (0, b"\x47\x6b\x30\x01"): f"weights for ncnn; {_PYTORCH}",
    (0, b"\x38\x4b\x0d\x00"): f"weights for ncnn; {_PYTORCH}",
    (0, b"\x89HDF\r\n\x1a\n"): f"an HDF5 file, as Keras and TensorFlow write; {_PYTORCH}",
    (4, b"TFL3"): f"a network for TensorFlow Lite; {_PYTORCH}",
    (0, b"GGUF"): f"a GGUF file; {_PYTORCH}",
    (0, b"\x93NUMPY"): f"a NumPy array; {_PYTORCH}",
    (0, b"ftrt"): f"an engine of TensorRT; {_PYTORCH}",
    (0, b"ptrt"): f"an engine of TensorRT; {_PYTORCH}",
    (0, b"\x1f\x8b"): f"a packed archive (gzip): {_UNPACK}",
    (0, b"7z\xbc\xaf\x27\x1c"): f"a packed archive (7z): {_UNPACK}",
    (0, b"Rar!"): f"a packed archive (RAR): {_UNPACK}",
    (0, b"\xfd7zXZ\x00"): f"a packed archive (xz): {_UNPACK}",
    (0, b"BZh"): f"a packed archive (bzip2): {_UNPACK}",
    (0, b"\x28\xb5\x2f\xfd"): f"a packed archive (zstd): {_UNPACK}",
    (257, b"ustar"): f"an archive (tar): {_UNPACK}",
    (0, b"\x80\x03"): _PICKLE,
    (0, b"\x80\x04"): _PICKLE,
    (0, b"\x80\x05"): _PICKLE,
    (0, b"\x89PNG"): "a picture, not a network",
    (0, b"\xff\xd8\xff"): "a picture, not a network",
    (0, b"GIF8"): "a picture, not a network",
    (8, b"WEBP"): "a picture, not a network",
    (0, b"II*\x00"): "a picture, not a network",
    (0, b"MM\x00*"): "a picture, not a network",
    (0, b"%PDF"): "a PDF, not a network",
}
"""Descriptions by the offset and the bytes of a signature."""

_SUFFIXES = {
    ".pb": f"a network for TensorFlow; {_PYTORCH}",
    ".index": f"a part of a checkpoint of TensorFlow; {_PYTORCH}",
    ".meta": f"a part of a checkpoint of TensorFlow; {_PYTORCH}",
    ".msgpack": f"weights for Flax; {_PYTORCH}",
    ".pdparams": f"weights for PaddlePaddle; {_PYTORCH}",
    ".caffemodel": f"weights for Caffe; {_PYTORCH}",
    ".mlmodel": f"a network for Core ML; {_PYTORCH}",
    ".mnn": f"a network for MNN; {_PYTORCH}",
    ".engine": f"an engine of TensorRT; {_PYTORCH}",
}
"""Descriptions by suffix, for formats without a signature."""


def identify_file(path: Path) -> str | None:
    """Describe a file that cannot be read as weights, and say what to do.

    Returns:
        What the file is, and what to do; None if it is unknown.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(_HEAD_BYTES)
    if not start:
        return f"an empty file: {_AGAIN}"
    if beside := _weights_beside(path):
        return beside
    for (place, magic), description in _MAGIC.items():
        if start.startswith(magic, place):
            return description
    if start.startswith(b"PK\x03\x04"):
        return _zip(path)
    if _is_onnx(start):
        return f"an ONNX network; {_PYTORCH}"
    if not any(start):
        return f"nothing but zeros: {_AGAIN}"
    return _text(start) or _safetensors(path, start) or _SUFFIXES.get(path.suffix.lower())


def damaged_zip_member(path: Path) -> str | None:
    """The name of a member of a ZIP file, as torch.save writes them, whose CRC-32 is wrong; None if there is none.

    None also for other files, and for those written without checksums (`set_crc32_options(False)`).
    """
    if not is_zipfile(path):
        return None
    try:
        with ZipFile(path) as archive:
            return archive.testzip() if any(part.CRC for part in archive.infolist()) else None
    except Exception:  # noqa: BLE001 - a flipped bit makes zipfile fail in many ways
        return "directory"


def _weights_beside(path: Path) -> str | None:
    """Describe weights without a signature by the description of the network in the same folder."""
    if path.suffix.lower() != ".bin":
        return None
    beside = {".param": "ncnn", ".xml": "OpenVINO"}
    found = [engine for suffix, engine in beside.items() if path.with_suffix(suffix).is_file()]
    return f"weights for {found[0]}; {_PYTORCH}" if found else None


def _zip(path: Path) -> str | None:
    """Describe a ZIP file by its members; None for torch.save's format."""
    if not is_zipfile(path):
        return f"damaged, its end is missing: {_AGAIN}"
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, NotImplementedError, ValueError):
        return f"damaged, its directory cannot be read: {_AGAIN}"
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        return (
            "a TorchScript program, which holds code: give the weights that it was made from, or save them with "
            "torch.save(torch.jit.load(FILE).state_dict(), ...)"
        )
    if "archive_format" in inside or "serialized_exported_program.json" in names:
        return "a program of torch.export, which holds code: give the .pth or .safetensors file that it was made from"
    if "data.pkl" in inside:
        return None
    if "model.weights.h5" in names:
        return f"a network for Keras; {_PYTORCH}"
    if names and all(name.endswith(".npy") for name in names):
        return f"an archive of NumPy arrays; {_PYTORCH}"
    weights = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
    return f"a ZIP archive with '{weights[0]}' in it: unpack it" if weights else "a ZIP archive without weights in it"


def _text(start: bytes) -> str | None:
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, not the file itself: download it by the link that the page has"
    try:
        text = getincrementaldecoder("utf-8-sig")().decode(start).strip().lower()  # the last letter may be cut
    except UnicodeDecodeError:
        return None
    if any(ord(c) < 32 and c not in "\t\n\r\f" for c in text):
        return None
    if text.startswith("<") and "<net " in text:
        return f"a network for OpenVINO; {_PYTORCH}"
    if text.startswith("{") and "weight_map" in text:
        return "the list of a network's files, not its weights: networks in several files are not read"
    return "a text, not weights: was a message saved instead of the file?"


def _safetensors(path: Path, start: bytes) -> str | None:
    """Describe a damaged safetensors file, which begins with the length of its header; None if it is none."""
    if start[8:9] != b"{":
        return None
    header, size = int.from_bytes(start[:8], "little"), path.stat().st_size
    if 8 + header > size:
        return f"damaged, its end is missing: {_AGAIN}"
    with path.open("rb") as file:
        file.seek(8)
        try:
            entries = json.loads(file.read(header))
            ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        except (ValueError, LookupError, TypeError, AttributeError):
            return None
    wanted = 8 + header + max(ends, default=0)
    return f"damaged, it has {size} bytes instead of {wanted}: {_AGAIN}" if size != wanted else None


def _is_onnx(start: bytes) -> bool:
    """Whether it begins as ONNX's ModelProto does: a version, some texts, then a graph (field 7) or operators (8)."""
    fields = list(islice(_protobuf(start), 12))
    kinds = [(field, wire) for field, wire in fields if field in (7, 8)]
    return fields[:1] == [(1, 0)] and bool(kinds) and all(wire == 2 for _, wire in kinds)


def _protobuf(data: bytes) -> Iterator[tuple[int, int]]:
    """Field number and wire type of the first fields of a message (https://protobuf.dev/programming-guides/encoding).

    Ends at what is none.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        field, wire = tag >> 3, tag & 7
        if not 1 <= field <= 25 or wire not in (0, 2):
            return
        value, place = _varint(data, place)
        yield field, wire
        place += value if wire == 2 else 0


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data):
        byte, place = data[place], place + 1
        value, shift = value | (byte & 127) << shift, shift + 7
        if byte < 128:
            break
    return value, place


def pickled_class(path: Path) -> str | None:
    """The class of the network that a file holds as a whole Python object; None if it holds something else.

    Nothing is executed: the pickle's instructions are only read.
    """
    try:
        if is_zipfile(path):
            with ZipFile(path) as archive:
                data = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
            return _root_class(data)
        return next(filter(None, map(_root_class, _pickles(path.read_bytes()))), None)
    except Exception:  # noqa: BLE001 - no pickle, or a broken one
        return None


def _pickles(data: bytes) -> Iterator[bytes]:
    """One after the other, as torch.save wrote before 1.6."""
    while data[:1] == b"\x80":
        end = next(place for code, _, place in pickletools.genops(data) if code.name == "STOP") or 0
        yield data[: end + 1]
        data = data[end + 1 :]


def _root_class(data: bytes) -> str | None:
    named, is_module = None, False
    for number, (code, value, _) in enumerate(pickletools.genops(data)):
        if code.name == "GLOBAL" and number < 12 and named is None:
            named = str(value).replace(" ", ".")
        is_module = is_module or value == "_modules"
        if named and is_module:
            return named
    return None
