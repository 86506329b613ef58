"""Samplers: which of several ground truths a network is trained on.

"Augmenting Perceptual Super-Resolution via Image Quality Predictors" (CVPR 2025), section 4.2; `upos` is HGGT's
(Chen et al., CVPR 2023, arXiv:2303.13069). Samplers use scores and labels, never pictures.

scores: (N, K), N samples of K ground truths each, higher is better; labels: (N, K), `iqsr.datasets.Label`. The first
column is the original.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from iqsr.datasets.labels import Label
from iqsr.errors import UnknownNameError, UsageError

Needs = Literal["nothing", "labels", "image scores", "image scores and labels", "patch scores"]
Shape = tuple[int, int]


class Sampler(Protocol):
    """The probability of each ground truth; `choose` draws by them."""

    @property
    def needs(self) -> Needs:
        """What it depends on; patch scores are those of the very crops that are trained on."""
        ...

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """(N, K), rows add up to 1. shape: (N, K) where scores and labels are both None. Raises UsageError."""
        ...


@dataclass(frozen=True)
class OriginsOnly:
    """Always the original."""

    needs: Needs = "nothing"

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """See `Sampler`."""
        given = scores if scores is not None else labels
        size = tuple(given.shape) if given is not None else shape
        if size is None:
            raise UsageError("origins-only needs to know how many samples there are: give shape=(N, K)")
        certain = torch.zeros(size)
        certain[:, 0] = 1
        return certain


@dataclass(frozen=True)
class Enhanced:
    """Uniform over the enhanced versions: a network learns from the outputs of another, never from the original."""

    needs: Needs = "nothing"

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """See `Sampler`."""
        given = scores if scores is not None else labels
        size = tuple(given.shape) if given is not None else shape
        if size is None:
            raise UsageError("enhanced needs to know how many samples there are: give shape=(N, K)")
        equal = torch.full(size, 1 / (size[1] - 1), dtype=torch.float64)
        equal[:, 0] = 0
        return equal


@dataclass(frozen=True)
class UPos:
    """Uniform over the ground truths that people find better than the original; the original if there are none."""

    needs: Needs = "labels"

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """See `Sampler`."""
        targets = _targets(labels, "upos").double()
        return targets / targets.sum(1, keepdim=True)


@dataclass(frozen=True)
class Sma:
    """Softmax over all ground truths: probabilities proportional to exp(score / tau)."""

    tau: float = 10.0
    needs: Needs = "image scores"

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """See `Sampler`."""
        return torch.softmax(_checked(scores, "sma") / self.tau, 1)


@dataclass(frozen=True)
class Smp:
    """Softmax over the positives only; the original if there are none."""

    tau: float = 10.0
    needs: Needs = "image scores and labels"

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """See `Sampler`."""
        values, targets = _checked(scores, "smp"), _targets(labels, "smp")
        if values.shape != targets.shape:
            raise UsageError(f"smp: scores are {tuple(values.shape)}, labels {tuple(targets.shape)}: must be the same")
        return torch.softmax((values / self.tau).masked_fill(~targets, -torch.inf), 1)


@dataclass(frozen=True)
class Amo:
    """The ground truth whose patch has the highest score; the first of equals."""

    needs: Needs = "patch scores"

    def probabilities(self, scores: Tensor | None, labels: Tensor | None, shape: Shape | None = None) -> Tensor:
        """See `Sampler`."""
        values = _checked(scores, "amo")
        return torch.nn.functional.one_hot(values.argmax(1), values.shape[1]).double()


def choose(
    sampler: Sampler,
    scores: Tensor | None,
    labels: Tensor | None,
    rng: torch.Generator,
    shape: Shape | None = None,
) -> Tensor:
    """Draw one ground truth for each sample by the sampler's probabilities: (N,) int64. One random number a row."""
    probabilities = sampler.probabilities(scores, labels, shape).double()
    threshold = torch.rand(len(probabilities), 1, dtype=torch.float64, generator=rng)
    cumulative = probabilities.cumsum(1)
    # The last column that can be drawn takes what rounding leaves of 1.
    last = probabilities.shape[1] - 1 - (probabilities > 0).flip(1).int().argmax(1)
    return torch.minimum((cumulative <= threshold).sum(1), last)


def sampler(name: str, tau: float = 10.0) -> Sampler:
    """The sampler `origins-only`, `enhanced`, `upos`, `sma`, `smp` or `amo`.

    tau: the temperature of `sma` and `smp`, in units of the scores. Raises UnknownNameError, UsageError.
    """
    if tau <= 0:
        raise UsageError(f"tau must be above 0, got {tau}")
    known: dict[str, Sampler] = {
        "origins-only": OriginsOnly(),
        "enhanced": Enhanced(),
        "upos": UPos(),
        "sma": Sma(tau),
        "smp": Smp(tau),
        "amo": Amo(),
    }
    if name not in known:
        raise UnknownNameError("sampler", name, list(known))
    return known[name]


def _checked(scores: Tensor | None, name: str) -> Tensor:
    if scores is None:
        raise UsageError(f"the sampler {name} needs scores of the ground truths")
    if scores.ndim != 2:
        raise UsageError(f"the sampler {name} needs scores (N, K), got {tuple(scores.shape)}")
    if bad := int((~scores.isfinite()).any(1).sum()):
        raise UsageError(f"the sampler {name} needs finite scores: {bad} of {len(scores)} samples have others")
    return scores.double()


def _targets(labels: Tensor | None, name: str) -> Tensor:
    """(N, K) bool: `GtSet.positives_or_original` of each row."""
    if labels is None:
        raise UsageError(f"the sampler {name} needs people's labels of the ground truths")
    targets = labels == int(Label.POSITIVE)
    targets[:, 0] |= ~targets.any(1)
    return targets
