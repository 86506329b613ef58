"""The samples of each step that one process learns from: all processes together learn what one would learn alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from iqsr.errors import UsageError


@dataclass(frozen=True)
class Share:
    """A part of each step's samples. Random numbers are drawn for all samples, and each process uses its rows.

    size: samples of one process. rank, ranks: this process, and how many there are.
    """

    size: int
    rank: int = 0
    ranks: int = 1

    @property
    def whole(self) -> int:
        """The samples of a step in all processes."""
        return self.size * self.ranks

    @property
    def first(self) -> int:
        """How many samples of a step come before those of this process."""
        return self.size * self.rank

    @property
    def rows(self) -> slice:
        """This process's rows of what is drawn for all samples."""
        return slice(self.first, self.first + self.size)


def share_of(batch: int, began: int, rank: int, ranks: int) -> Share:
    """The share of a process in a run that began with `began` processes of `batch` samples: a step keeps its samples.

    UsageError where they cannot be divided equally among as many processes as there are now.
    """
    whole = batch * began
    if whole % ranks:
        fitting = ", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0)
        raise UsageError(
            f"each step of the run has {whole} samples ({began} processes of batch = {batch}), which {ranks} processes "
            f"cannot share equally: start {fitting} processes"
        )
    return Share(whole // ranks, rank, ranks)


def share_dropped_paths(module: nn.Module, share: Share) -> None:
    """Let stochastic depth drop those paths of a sample that it would drop if one process had all samples."""
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if type(part).__name__ == "DropPath":
                setattr(parent, name, _SharedDropPath(part, share))


class _SharedDropPath(nn.Module):
    """timm's DropPath (Huang et al., arXiv:1603.09382) on a share of the samples."""

    def __init__(self, part: nn.Module, share: Share) -> None:
        super().__init__()
        self._share = share
        self._kept = 1 - float(getattr(part, "drop_prob", None) or 0)
        self._scaled = bool(getattr(part, "scale_by_keep", True))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, ...), of which whole samples become 0 in training."""
        if self._kept == 1 or not self.training:
            return x
        kept = x.new_empty((self._share.whole,) + (1,) * (x.ndim - 1)).bernoulli_(self._kept)
        return x * (kept / self._kept if self._scaled and self._kept else kept)[self._share.rows]
