"""How scores are computed, by name: colours, border, metric variants, derived columns.

Toolboxes disagree on one and the same picture by more than papers gain: PSNR of luma is about 1.3 dB above that of RGB,
and "MANIQA" is two networks. A protocol fixes these choices, and every table says which one it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from iqsr.errors import UnknownNameError

Colour = Literal["rgb", "luma"]


@dataclass(frozen=True)
class Term:
    """What one metric adds to a derived score: `max(least, offset + weight * mean)`."""

    metric: str
    """as the protocol calls it"""
    weight: float = 1.0
    offset: float = 0.0
    least: float = float("-inf")

    def value(self, mean: float) -> float:
        """The term for a mean of its metric."""
        return max(self.least, self.offset + self.weight * mean)


@dataclass(frozen=True)
class Derived:
    """A score of a model that is a sum of terms of other metrics' means over all images."""

    name: str
    formula: str
    """for people"""
    terms: tuple[Term, ...]
    higher_is_better: bool = True

    def value(self, means: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
        """The sum over the terms whose metric is in `means`, and the names of those that are not.

        NaN where no term is there. With a name in the second the sum is partial: it compares with none but its like.
        """
        here = [term for term in self.terms if term.metric in means]
        missing = tuple(term.metric for term in self.terms if term.metric not in means)
        total = sum(term.value(means[term.metric]) for term in here)
        return (total if here else float("nan")), missing


@dataclass(frozen=True)
class Protocol:
    """A documented way to compute scores."""

    name: str
    title: str
    """one line"""
    colour: Colour
    """what PSNR and SSIM look at: all of RGB, or BT.601 luma (16 to 235)"""
    crop_border: int
    """pixels that metrics which compare with the original leave out on each side"""
    variants: Mapping[str, str]
    """the metric that is meant where a general name is given: `{"psnr": "psnr-y"}`; other names mean themselves"""
    metrics: tuple[str, ...]
    """what is measured unless metrics are named"""
    documentation: str
    """where the choices come from, in full sentences"""
    derived: tuple[Derived, ...] = field(default=())

    def variant(self, metric: str) -> str:
        """The metric that `metric` means under this protocol."""
        return self.variants.get(metric, metric)


_NTIRE_SCORE = Derived(
    name="ntire2026-score",
    formula="(1 - LPIPS) + (1 - DISTS) + CLIPIQA + MANIQA + MUSIQ / 100 + max(0, (10 - NIQE) / 10)",
    terms=(
        Term("lpips", weight=-1, offset=1),
        Term("dists", weight=-1, offset=1),
        Term("clipiqa"),
        Term("maniqa"),
        Term("musiq", weight=0.01),
        Term("niqe", weight=-0.1, offset=1, least=0),
    ),
)
_LUMA: Mapping[str, str] = MappingProxyType({"psnr": "psnr-y", "ssim": "ssim-y"})

_PROTOCOLS = (
    Protocol(
        name="rgb",
        title="PSNR and SSIM of RGB, whole pictures",
        colour="rgb",
        crop_border=0,
        variants=MappingProxyType({}),
        metrics=("psnr", "ssim", "stlpips", "srq"),
        documentation=(
            "Every metric sees the whole picture in RGB. PSNR is of all three channels together, SSIM the mean of its "
            "value in R, G and B, with Gaussian windows of 11 x 11, sigma 1.5, that lie inside the picture. MANIQA "
            "is the one trained on KonIQ-10k."
        ),
    ),
    Protocol(
        name="hggt",
        title="HGGT: RGB, 4 px left out, mean over the positives",
        colour="rgb",
        crop_border=4,
        variants=MappingProxyType({}),
        metrics=("psnr", "ssim", "lpips", "stlpips", "dists", "musiq", "nima", "qalign", "topiq_nr"),
        documentation=(
            "The scripts of HGGT (arXiv:2303.13069): PSNR and SSIM of RGB, LPIPS (AlexNet) and DISTS without 4 pixels "
            "on each side. A picture with several positive ground truths is compared with each of them, and the mean "
            "counts; then comes the mean over pictures. Metrics without a reference see the whole picture. The default "
            "columns are those of arXiv:2504.18524, table 7, whose text does not say what border it leaves out."
        ),
    ),
    Protocol(
        name="osediff",
        title="OSEDiff, SeeSR, StableSR: luma, whole pictures, IQA-PyTorch's values",
        colour="luma",
        crop_border=0,
        variants=MappingProxyType({"psnr": "psnr-y", "ssim": "ssim-y-rounded", "maniqa": "maniqa-pipal"}),
        metrics=("psnr", "ssim", "lpips", "dists", "niqe", "musiq", "maniqa", "clipiqa"),
        documentation=(
            "The test scripts of OSEDiff (arXiv:2406.08177), SeeSR and others: IQA-PyTorch with test_y_channel=True "
            "and color_space='ycbcr'. PSNR is of luma that is not rounded, SSIM of luma in whole steps. No border is "
            "left out. MANIQA is the one trained on PIPAL."
        ),
    ),
    Protocol(
        name="ntire2026",
        title="NTIRE image super-resolution, perceptual track: the sum of six metrics",
        colour="luma",
        crop_border=0,
        variants=MappingProxyType({"psnr": "psnr-y", "ssim": "ssim-y-rounded"}),
        metrics=("psnr", "ssim", "lpips", "dists", "clipiqa", "maniqa", "musiq", "niqe"),
        derived=(_NTIRE_SCORE,),
        documentation=(
            "The perceptual track ranks by (1 - LPIPS) + (1 - DISTS) + CLIPIQA + MANIQA + MUSIQ / 100 + "
            "max(0, (10 - NIQE) / 10), whole pictures, as IQA-PyTorch computes them, but for plain areas in NIQE; "
            "MANIQA is the one trained on KonIQ-10k. The sum is that of the means over all pictures. PSNR and SSIM, "
            "which do not count in it, are those of luma. A sum that lacks a metric is marked partial."
        ),
    ),
    Protocol(
        name="luma-shave4",
        title="The classical one of x4 super-resolution: luma, 4 px left out",
        colour="luma",
        crop_border=4,
        variants=_LUMA,
        metrics=("psnr", "ssim"),
        documentation=(
            "PSNR and SSIM of BT.601 luma (16 to 235) that is not rounded, without 4 pixels on each side, as BasicSR "
            "with crop_border 4 and test_y_channel, and most papers on bicubic x4 super-resolution since SRCNN."
        ),
    ),
)


def protocol_names() -> list[str]:
    """All that `protocol` knows, the default first."""
    return [one.name for one in _PROTOCOLS]


def protocol(name: str) -> Protocol:
    """A protocol by name. UnknownNameError lists the names, the nearest first."""
    for one in _PROTOCOLS:
        if one.name == name:
            return one
    raise UnknownNameError("protocol", name, protocol_names())
