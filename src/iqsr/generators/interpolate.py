"""Networks between two networks, weight by weight: network interpolation (Wang et al., 2018, arXiv:1809.00219)."""

from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.generators import generator_names, load_generator
from iqsr.generators.adapter import (
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
from iqsr.generators.generator import Generator
from iqsr.generators.merge import artifact, base_of
from iqsr.generators.plain import save_plain


@dataclass(frozen=True)
class Interpolated:
    """What was written."""

    path: Path
    kept: float | None
    """Of an adapter: the share of the exact change's energy that its rank can hold. None: a plain checkpoint."""


@dataclass(frozen=True)
class _End:
    """One of the two networks."""

    name: str
    generator: Generator
    """As it is without the adapter."""
    adapter: Adapter | None

    def merged(self) -> Generator:
        if self.adapter is not None:
            merge_into(self.generator.module, self.adapter.tensors, self.adapter.scaling)
        return self.generator


def interpolate(first: str | Path, second: str | Path, out: Path, *, share: float = 0.5) -> Interpolated:
    """Write the network `(1 - share) * first + share * second` to `out` (.safetensors), whole or not at all.

    first, second: a generator's name, a checkpoint, an adapter's file or a run's folder. share: 0 gives the first, 1
    the second; beyond them it goes on along the line.

    Where both are adapters on one network, or one is an adapter and the other the network below it, an adapter is
    written, of the larger rank: as near to the exact change as that rank allows, and exact where nothing but the
    strength changes. Otherwise a plain checkpoint of the networks, adapters merged.

    Raises UsageError for arguments that cannot be right, ModelError for networks that differ in more than their values.
    """
    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"{out}: expected a name that ends in .safetensors")
    if not isfinite(share):
        raise UsageError(f"the share must be a number, got {share}")
    ends = _end(first), _end(second)
    if any(end.adapter for end in ends) and _same_base(*ends):
        return _adapter(ends, out, share)
    one, other = (end.merged() for end in ends)
    mean = _between(one, other, share, names=(ends[0].name, ends[1].name))
    save_plain(mean, one.architecture, out, metadata=_facts(one, other, share))
    return Interpolated(out, None)


def _end(source: str | Path) -> _End:
    path = artifact(Path(source).expanduser())
    if source in generator_names() or not is_adapter(path):
        return _End(str(source), load_generator(source if path == Path(source) else path), None)
    adapter = read_adapter(path)
    generator = load_generator(base_of(adapter, path))
    check_base(generator.module, adapter, adapter_name=str(path), module_name=generator.name)
    return _End(str(source), generator, adapter)


def _same_base(one: _End, other: _End) -> bool:
    return weights_sha256(one.generator.module) == weights_sha256(other.generator.module)


def _adapter(ends: tuple[_End, _End], out: Path, share: float) -> Interpolated:
    """Of the adapters, one of which may be missing: it changes nothing."""
    weighted = [(end.adapter, w) for end, w in zip(ends, (1 - share, share), strict=True) if end.adapter is not None]
    like = max((adapter for adapter, _ in weighted), key=lambda adapter: adapter.rank)
    if len(weighted) == 1:
        found, kept = replace(like, alpha=weighted[0][1] * like.alpha), 1.0
    else:
        tensors, kept = _of_rank(like.rank, weighted)
        targets = tuple(dict.fromkeys(target for adapter, _ in weighted for target in adapter.targets))
        found = replace(like, alpha=float(like.rank), tensors=tensors, targets=targets)
    write_adapter(replace(found, extra={"interpolated": f"{ends[0].name}, {ends[1].name}: {share:g}"}), out)
    return Interpolated(out, kept)


def _of_rank(rank: int, weighted: list[tuple[Adapter, float]]) -> tuple[dict[str, Tensor], float]:
    """A and B for every layer's weighted sum of changes, by its largest singular values; the share of energy kept."""
    tensors: dict[str, Tensor] = {}
    all_energy = kept_energy = 0.0
    for layer in dict.fromkeys(layer for adapter, _ in weighted for layer in adapter.layers):
        parts = [(adapter, weight) for adapter, weight in weighted if layer + LORA_A in adapter.tensors]
        a = torch.cat([adapter.tensors[layer + LORA_A] for adapter, _ in parts]).double()
        b = torch.cat([w * adapter.scaling * adapter.tensors[layer + LORA_B] for adapter, w in parts], 1).double()
        orthogonal_b, upper_b = torch.linalg.qr(b.flatten(1))
        orthogonal_a, upper_a = torch.linalg.qr(a.flatten(1).T)
        u, s, v = torch.linalg.svd(upper_b @ upper_a.T)
        root = s[:rank].sqrt()
        found_b, found_a = orthogonal_b @ u[:, :rank] * root, (orthogonal_a @ v[:rank].T * root).T
        tensors[layer + LORA_A] = _padded(found_a, 0, rank).reshape(rank, *a.shape[1:]).float()
        tensors[layer + LORA_B] = _padded(found_b, 1, rank).reshape(len(b), rank, *b.shape[2:]).float()
        all_energy += float(s.square().sum())
        kept_energy += float(s[:rank].square().sum())
    return tensors, kept_energy / all_energy if all_energy else 1.0


def _padded(matrix: Tensor, axis: int, rank: int) -> Tensor:
    """With zeros, where a small layer has no `rank` singular values."""
    missing = list(matrix.shape)
    missing[axis] = rank - missing[axis]
    return torch.cat([matrix, matrix.new_zeros(missing)], axis)


def _between(one: Generator, other: Generator, share: float, *, names: tuple[str, str]) -> nn.Module:
    """The first network, with the mean values."""
    found, towards = one.module.state_dict(), other.module.state_dict()
    same = {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in towards.items()}
    if not same or (one.architecture, one.scale) != (other.architecture, other.scale):
        kinds = " and ".join(f"{n} ({g.architecture} x{g.scale})" for n, g in zip(names, (one, other), strict=True))
        raise ModelError(f"{kinds} are built differently: only networks of one architecture and size have a mean")
    for name, value in found.items():
        if value.is_floating_point():
            value.copy_((1 - share) * value.double() + share * towards[name].double())
    return one.module


def _facts(one: Generator, other: Generator, share: float) -> dict[str, str]:
    """For the file's header. Two licences bind what is made of both."""
    licences = dict.fromkeys((one.licence, other.licence))
    about = {"architecture": one.architecture, "scale": str(one.scale), "licence": " and ".join(licences)}
    return about | {"interpolated": f"{one.name}, {other.name}: {share:g}"}
