"""Networks between two networks, weight by weight: network interpolation (Wang et al., 2018, arXiv:1809.00219)."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.finite import not_finite
from iqsr.images.find import in_home
from iqsr.models import load_model, model_names
from iqsr.models.adapter import (
    LORA_A,
    LORA_B,
    Adapter,
    check_base,
    is_adapter,
    merge_into,
    read_adapter,
    weights_sha256,
    write_adapter,
)
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.merge import BASE_FILE, base_of, result_file
from iqsr.models.model import SRModel

MAXIMUM_SHARE = 10.0
"""The largest share, positive or negative: such networks are useless, but still finite."""


@dataclass(frozen=True)
class Interpolated:
    """The file that `interpolate` wrote."""

    path: Path
    energy_kept: float | None
    """Of an adapter: the share of the exact change's energy (squared Frobenius norm) that its rank keeps; else None."""


@dataclass(frozen=True)
class _Endpoint:
    """One of the two networks."""

    name: str
    model: SRModel
    """The network without the adapter."""
    adapter: Adapter | None


def interpolate(first: str | Path, second: str | Path, out: Path, *, share: float = 0.5) -> Interpolated:
    """Write the network `(1 - share) * first + share * second` to `out` (.safetensors), whole or not at all.

    first, second: a model's name, a checkpoint, an adapter's file or a run's folder. share: 0 gives the first, 1
    the second; beyond them it goes on along the line.

    Where both are adapters on one network, or one is an adapter and the other its base, an adapter is
    written, in fp16 and of the larger rank: the best approximation of that rank. Otherwise a checkpoint of the whole
    network is written, adapters merged.

    Raises UsageError for arguments that cannot be right, ModelError for networks that differ in more than their values.
    """
    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"{out}: expected a name that ends in .safetensors")
    if not abs(share) <= MAXIMUM_SHARE:
        raise UsageError(f"the share must be a number from -{MAXIMUM_SHARE:g} to {MAXIMUM_SHARE:g}, got {share:g}")
    paths = _path(first), _path(second)
    if out.resolve() in [path.resolve() for path in paths if path]:
        raise UsageError(f"{out}: would replace what it is made of; give another name")
    names = str(first), str(second)
    adapters = [read_adapter(path) if path and is_adapter(path) else None for path in paths]
    networks = [None if a else load_model(p or n) for n, p, a in zip(names, paths, adapters, strict=True)]
    bases = [
        network or _base(adapter, path, networks, out)
        for network, adapter, path in zip(networks, adapters, paths, strict=True)
    ]
    one, other = map(_Endpoint, names, bases, adapters)
    if any(adapters) and _is_same(one.model, other.model):
        return _write_adapter(one, other, out, share)
    return _write_network(one, other, out, share)


def _path(source: str | Path) -> Path | None:
    """The file that a source means; None for the name of a model, even where a folder has that name."""
    if isinstance(source, str) and (source in model_names() or not in_home(source).exists()):
        return None  # for what is neither, `load_model` raises the error
    return result_file(in_home(str(source)))


def _base(adapter: Adapter | None, path: Path | None, networks: list[SRModel | None], out: Path) -> SRModel:
    """The base of an adapter: the other endpoint, or the model that its run started from."""
    assert adapter is not None
    assert path is not None
    for network in networks:
        if network is not None and weights_sha256(network.module) == adapter.base_sha256:
            return network
    base = base_of(adapter, path, advice=f"put it beside the adapter as {BASE_FILE}")
    if base not in model_names() and out.resolve() == Path(base).resolve():
        raise UsageError(f"{out}: would replace what it is made of; give another name")
    network = load_model(base)
    check_base(network.module, adapter, adapter_name=str(path), module_name=network.name)
    return network


def _is_same(one: SRModel, other: SRModel) -> bool:
    """Whether they are one network: named models of different scales may share their weights."""
    kinds = [(network.architecture, network.scale, weights_sha256(network.module)) for network in (one, other)]
    return kinds[0] == kinds[1]


def _write_adapter(one: _Endpoint, other: _Endpoint, out: Path, share: float) -> Interpolated:
    """The weighted sum of two adapters; of one adapter and its base, the adapter with another alpha."""
    ends = [(end.adapter, w) for end, w in ((one, 1 - share), (other, share)) if end.adapter is not None]
    like = max((adapter for adapter, _ in ends), key=lambda adapter: adapter.rank)
    if len(ends) == 1:
        found, energy_kept = replace(like, alpha=ends[0][1] * like.alpha), 1.0
    else:
        tensors, energy_kept = _of_rank(like.rank, ends)
        targets = tuple(dict.fromkeys(target for adapter, _ in ends for target in adapter.targets))
        found = replace(like, alpha=float(like.rank), tensors=tensors, targets=targets)
    write_adapter(replace(found, extra=_origin(one, other, share)), out)
    return Interpolated(out, energy_kept)


def _of_rank(rank: int, ends: list[tuple[Adapter, float]]) -> tuple[dict[str, Tensor], float]:
    """A and B of each layer's weighted sum of changes, by truncated SVD; and the share of energy kept."""
    tensors: dict[str, Tensor] = {}
    all_energy = kept_energy = 0.0
    for layer in dict.fromkeys(layer for adapter, _ in ends for layer in adapter.layers):
        parts = [(adapter, weight) for adapter, weight in ends if layer + LORA_A in adapter.tensors]
        a = torch.cat([adapter.tensors[layer + LORA_A] for adapter, _ in parts]).double()
        b = torch.cat([w * adapter.scaling * adapter.tensors[layer + LORA_B].double() for adapter, w in parts], 1)
        orthogonal_b, upper_b = torch.linalg.qr(b.flatten(1))
        orthogonal_a, upper_a = torch.linalg.qr(a.flatten(1).T)
        u, s, v = torch.linalg.svd(upper_b @ upper_a.T, full_matrices=False)
        root = s[:rank].sqrt()
        found_b, found_a = orthogonal_b @ u[:, :rank] * root, (orthogonal_a @ v[:rank].T * root).T
        tensors[layer + LORA_A] = _padded(found_a, 0, rank).reshape(rank, *a.shape[1:]).float()
        tensors[layer + LORA_B] = _padded(found_b, 1, rank).reshape(len(b), rank, *b.shape[2:]).float()
        all_energy += float(s.square().sum())
        kept_energy += float(s[:rank].square().sum())
    return tensors, kept_energy / all_energy if all_energy else 1.0


def _padded(matrix: Tensor, axis: int, rank: int) -> Tensor:
    """The matrix padded with zeros, where a small layer has fewer than `rank` singular values."""
    missing = list(matrix.shape)
    missing[axis] = rank - missing[axis]
    return torch.cat([matrix, matrix.new_zeros(missing)], axis)


def _write_network(one: _Endpoint, other: _Endpoint, out: Path, share: float) -> Interpolated:
    licences = " AND ".join(dict.fromkeys((one.model.licence, other.model.licence)))
    architecture, scale = one.model.architecture, one.model.scale
    module = _between(one, other, share)
    facts = {"architecture": architecture, "scale": str(scale), "licence": licences}
    write_checkpoint(module, architecture, out, metadata=facts | _origin(one, other, share))
    return Interpolated(out, None)


def _between(one: _Endpoint, other: _Endpoint, share: float) -> nn.Module:
    """The first network's module, changed in place to the weighted mean, adapters merged."""
    for end in (one, other):
        if end.adapter is not None:
            merge_into(end.model.module, end.adapter.tensors, end.adapter.scaling)
    module: nn.Module = one.model.module
    found, towards = module.state_dict(), other.model.module.state_dict()
    same = {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in towards.items()}
    kinds = [(end.model.architecture, end.model.scale) for end in (one, other)]
    if not same or kinds[0] != kinds[1]:
        named = " and ".join(f"{e.name} ({kind} x{s})" for e, (kind, s) in zip((one, other), kinds, strict=True))
        raise ModelError(f"{named} are built differently: only networks of one architecture and size have a mean")
    for name, value in found.items():
        if value.is_floating_point():
            value.copy_((1 - share) * value.double() + share * towards[name].double())
            if broken := not_finite([(name, value)]):
                raise ModelError(f"{broken}, {share:g} of the way from {one.name} to {other.name}")
    return module


def _origin(one: _Endpoint, other: _Endpoint, share: float) -> dict[str, str]:
    """For the file's header: both ends without their folders, and what their own headers say."""
    said = {"interpolated": f"{Path(one.name).name}, {Path(other.name).name}: {share:g}"}
    for place, end in (("first", one), ("second", other)):
        said |= {f"{place}_{key}": text for key, text in (end.adapter.extra if end.adapter else {}).items()}
    return said
