"""MUSIQ's weight files: Google's `.npz` and IQA-PyTorch's `.pth`, read into the layers of `musiq_layers`.

Both hold the same numbers. Google's names are those of Flax, behind `opt/target/`; they are read into IQA-PyTorch's.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor

from iqsr.errors import WeightsError
from iqsr.finite import not_finite
from iqsr.io.model_files import damaged_zip_member, identify_file
from iqsr.metrics.musiq_layers import LAYERS, WIDTH

State = dict[str, Tensor]

_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net", "network")
_OWN, _THEIR_OWN = "stem.root.weight", "conv_root.weight"
"""The first convolution as `Musiq` calls it, and as IQA-PyTorch does: what stands before it is a wrapper's."""

_CONVOLUTIONS = {
    "stem.root": "conv_root",
    "stem.reduce": "block1.conv1",
    "stem.spread": "block1.conv2",
    "stem.expand": "block1.conv3",
    "stem.shortcut": "block1.conv_proj",
}
_NORMS = {
    "stem.root_norm": "gn_root",
    "stem.reduce_norm": "block1.gn1",
    "stem.spread_norm": "block1.gn2",
    "stem.expand_norm": "block1.gn3",
    "stem.shortcut_norm": "block1.gn_proj",
}
_IN_A_LAYER = {
    "attention_norm": "norm1",
    "query": "attention.query",
    "out": "attention.out",
    "mlp_norm": "norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
}


def read_state(path: Path, bins: int) -> State:
    """The parameters of `Musiq`, by its own names, from a file in either layout. bins: 10 for AVA, else 1.

    Pickles are read with `weights_only`: nothing in the file is executed. Raises WeightsError where the file is
    missing, damaged, of another network or of a MUSIQ with another number of bins.
    """
    try:
        theirs = _from_flax(path) if path.suffix == ".npz" else _from_pickle(path)
        found = next(theirs[name].shape[0] for name in ("head.0.weight", "head.weight") if name in theirs)
        if found != bins:
            raise WeightsError(f"{path.name} predicts {_bins(found)}, not {_bins(bins)}: it belongs to another variant")
        ours = theirs if _OWN in theirs else _ours(theirs)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, StopIteration, ValueError, RuntimeError, BadZipFile, AttributeError, EOFError) as error:
        reason = None if is_zipfile(path) else identify_file(path)
        reason = reason or f"not MUSIQ's weights ({_first_line(error)}); fetch the file again"
        raise WeightsError(f"{path}: {reason}") from error
    except Exception as error:
        if type(error).__name__ == "UnpicklingError":
            reason = identify_file(path) or "not plain weights, and not opened: it may run code; fetch it again"
            raise WeightsError(f"{path}: {reason}") from error
        raise
    if part := damaged_zip_member(path):
        raise WeightsError(f"{path}: damaged: the checksum of its part '{part}' is wrong; fetch the file again")
    if found := not_finite(theirs.items()):
        raise WeightsError(f"{path}: {found}: damaged; fetch the file again")
    return ours


def standardised(weight: Tensor) -> Tensor:
    """Each output channel's kernel with mean 0 and deviation 1 (Qiao et al., arXiv:1903.10520, eq. 4)."""
    centred = weight - weight.mean((1, 2, 3), keepdim=True)
    return centred / (centred.std((1, 2, 3), keepdim=True) + 1e-5)


def _bins(count: int) -> str:
    return "one score" if count == 1 else f"a distribution over {count} scores"


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"no {text}" if isinstance(error, KeyError) else text


def _from_pickle(path: Path) -> State:
    """IQA-PyTorch's layout, or that of `Musiq.state_dict`: parameters by name, as `torch.save` wrote them.

    Trainings wrap them: {"params": ...}, {"state_dict": ...}, {"model": ...}, names that begin with `module.`.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    while wrapped := next((key for key in _WRAPPERS if isinstance(state.get(key), Mapping)), None):
        state = state[wrapped]
    parameters = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    marks = [name for name in parameters if name.endswith((_THEIR_OWN, _OWN))]
    prefix = min(marks, key=len, default="").removesuffix(_THEIR_OWN).removesuffix(_OWN)
    return {
        name.removeprefix(prefix): _at_least_float32(value)
        for name, value in parameters.items()
        if name.startswith(prefix)
    }


def _at_least_float32(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _ours(theirs: State) -> State:
    state = {f"{ours}.weight": standardised(theirs[f"{name}.weight"]) for ours, name in _CONVOLUTIONS.items()}
    pairs = {**_NORMS, "embedding": "embedding", "encoder_norm": "transformer_encoder.encoder_norm"}
    pairs["head"] = "head.0" if "head.0.weight" in theirs else "head"
    for number in range(LAYERS):
        block = f"transformer_encoder.transformer.encoderblock_{number}"
        pairs |= {f"blocks.{number}.{ours}": f"{block}.{name}" for ours, name in _IN_A_LAYER.items()}
        for kind in ("weight", "bias"):
            both = [theirs[f"{block}.attention.{name}.{kind}"] for name in ("key", "value")]
            state[f"blocks.{number}.key_value.{kind}"] = torch.cat(both)
    for ours, name in pairs.items():
        state |= {f"{ours}.{kind}": theirs[f"{name}.{kind}"] for kind in ("weight", "bias")}
    state["places"] = theirs["transformer_encoder.posembed_input.position_emb"].view(-1, WIDTH)
    state["scales"] = theirs["transformer_encoder.scaleembed_input.scale_emb"].view(-1, WIDTH)
    state["cls"] = theirs["transformer_encoder.cls"].view(WIDTH)
    return state


# From Flax's names to IQA-PyTorch's; what is not here has the same name.
_RENAMED = (
    (r"^block1/unit1/", "block1/"),
    (r"^Transformer/posembed_input/pos_embedding$", "transformer_encoder/posembed_input/position_emb"),
    (r"^Transformer/scaleembed_input/scale_embedding$", "transformer_encoder/scaleembed_input/scale_emb"),
    (r"^Transformer/encoderblock_", "transformer_encoder/transformer/encoderblock_"),
    (r"^Transformer/", "transformer_encoder/"),
    (r"/LayerNorm_0/", "/norm1/"),
    (r"/MultiHeadDotProductAttention_1/", "/attention/"),
    (r"/LayerNorm_2/", "/norm2/"),
    (r"/MlpBlock_3/Dense_0/", "/mlp/fc1/"),
    (r"/MlpBlock_3/Dense_1/", "/mlp/fc2/"),
    (r"/(kernel|scale)$", "/weight"),
)


def _from_flax(path: Path) -> State:
    """Google's layout. Only the parameters are read: the optimizer's moments beside them are in other types."""
    state: State = {}
    with np.load(path, allow_pickle=False) as file:
        names = [name for name in file.files if name.startswith("opt/target/")]
        for name in names:
            renamed = name.removeprefix("opt/target/")
            for pattern, replacement in _RENAMED:
                renamed = re.sub(pattern, replacement, renamed)
            state[renamed.replace("/", ".")] = _turned(name, np.asarray(file[name], dtype=np.float32))
    return state


def _turned(name: str, value: np.ndarray) -> Tensor:
    """Flax keeps inputs before outputs, splits attention into heads, and norms' scales in four dimensions."""
    if name.endswith("/kernel"):
        if "conv" in name:
            value = value.transpose(3, 2, 0, 1)  # height, width, in, out
        elif "/MultiHead" in name:
            value = value.reshape(WIDTH, WIDTH).T  # in, heads, width of a head; `out` has the heads in front
        else:
            value = value.T
    elif name.endswith(("/scale", "/bias")):
        value = value.reshape(-1)
    return torch.from_numpy(np.ascontiguousarray(value))
