"""safetensors files whose bytes depend on what they hold alone: equal results are equal files."""

import json
from collections.abc import Mapping

from torch import Tensor


def serialized(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file as bytes. tensors: contiguous, none sharing memory with another.

    The library writes the texts of a header in an order that differs from process to process; here they are sorted.
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
