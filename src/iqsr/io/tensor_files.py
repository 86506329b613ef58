"""safetensors files whose bytes depend on their content alone: equal tensors give equal files."""

import json
from collections.abc import Mapping

from torch import Tensor


def serialized(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Make a safetensors file as bytes, with sorted metadata: the library's order differs from process to process.

    Args:
        tensors: By name; contiguous, none sharing memory with another.
        metadata: Texts for the header.
    """
    from safetensors.torch import save

    made = save(dict(tensors), dict(metadata) if metadata else None)
    if not metadata:
        return made
    length = int.from_bytes(made[:8], "little")
    header = json.loads(made[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + made[8 + length :]
