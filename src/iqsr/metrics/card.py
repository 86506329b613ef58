"""What a metric is: facts as data, read from `cards.toml`. No torch in here.

The two axes are those of "Augmenting Perceptual Super-Resolution via Image Quality Predictors" (CVPR 2025,
arXiv:2504.18524, section 13): what a metric compares with, and the kind of information that moves it.
"""

import math
import tomllib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iqsr.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

Reference = Literal["full", "none"]
Level = Literal["low", "mid", "high"]
Provider = Literal["iqsr", "pyiqa"]


@dataclass(frozen=True)
class MetricCard:
    """The facts about one metric. Nothing of this is ever inferred from its name."""

    name: str
    """What iqsr calls it; where IQA-PyTorch has the same metric, its name there."""
    title: str
    """One line for people."""
    reference: Reference
    """`full`: compares with the original picture; `none`: looks at the picture alone."""
    level: Level
    """`low`: colours, edges; `mid`: textures, local structure; `high`: meaning, the picture as a whole."""
    higher_is_better: bool
    """The direction."""
    range: tuple[float, float]
    """Least and greatest value in practice."""
    differentiable: bool
    """True if gradients reach the picture: usable as a training loss."""
    licence: str
    """SPDX identifiers of code and weights as they are used here."""
    source: str
    """The paper: authors, venue, year, DOI or arXiv number."""
    weights: tuple[str, ...]
    """Names in `weights.toml` of the files that it needs."""
    minimum_size: int
    """Shortest side of the smallest picture that it accepts, in pixels."""
    provider: Provider
    """Whose code computes it."""
    package_data: str = ""
    """Its file of weights inside this package, or empty."""
    downloads: tuple[str, ...] = ()
    """Files that pyiqa fetches when the metric is first used: paths below torch.hub's folder, or `hf:owner/name`."""
    requires: tuple[str, ...] = ()
    """`module: requirement` that its provider needs for it and does not install."""
    weights_file: str = ""
    """Of a predictor that was trained with `iqsr train-quality`: the file of its weights."""

    @property
    def is_bounded(self) -> bool:
        """Whether the range has two ends, so that it can be spread over 0 to 100."""
        return all(map(math.isfinite, self.range))

    def on_hundred(self, value: "Tensor") -> "Tensor":
        """Values of the metric with its range, which must be bounded, spread over 0 to 100, higher for better."""
        low, high = self.range
        share = (value - low) / (high - low)
        return 100 * (share if self.higher_is_better else 1 - share)


@lru_cache(maxsize=1)
def cards() -> dict[str, MetricCard]:
    """Every known metric by name: full reference before none, low level before high, as listed in `cards.toml`."""
    text = Path(__file__).with_name("cards.toml").read_text(encoding="utf-8")
    listed = [_card(name, entry) for name, entry in tomllib.loads(text)["card"].items()]
    axes = (("full", "none"), ("low", "mid", "high"))
    listed.sort(key=lambda c: (axes[0].index(c.reference), axes[1].index(c.level)))
    return {c.name: c for c in listed}


def _card(name: str, entry: dict[str, object]) -> MetricCard:
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return MetricCard(name=name, **frozen)  # pyright: ignore[reportArgumentType]


def _own_predictor(kind: MetricCard, file: str) -> MetricCard:
    name, title = f"{kind.name}:{file}", f"A predictor of your own, as {kind.name}"
    facts = replace(kind, name=name, title=title, licence="yours", source="iqsr train-quality")
    return replace(facts, package_data="", weights_file=str(_weights_of(Path(file))))


def _weights_of(path: Path) -> Path:
    """A file itself; in the folder of a run, the result: that of its last round where it has rounds."""
    if not path.is_dir():
        return path
    rounds = sorted(path.glob("round-*/weights.safetensors"), key=lambda found: int(found.parent.name.split("-")[1]))
    return rounds[-1] if rounds else path / "weights.safetensors"


# Other spellings of the same metric, as its authors or this package's modules have them.
ALIASES = {
    "lpips_st": "stlpips",
    "lpips-st": "stlpips",
    "lpips_st-vgg": "stlpips-vgg",
    "lpips-st-vgg": "stlpips-vgg",
    "ms-ssim": "ms_ssim",
    "musiq-koniq": "musiq",
    "nique": "niqe",
    "nique_matlab": "niqe_matlab",
}


OWN_PREDICTORS = ("srq", "srq-holdout")
"""Metrics whose weights may be of a training of one's own: `srq:runs/mine`."""


def card(name: str) -> MetricCard:
    """The card of a metric.

    Args:
        name: Its name or an alias, in capitals or not; or `srq:FILE` (`srq-holdout:FILE`), a predictor that
            `iqsr train-quality` made: its weights, or the folder of its run.

    Raises:
        UnknownNameError: The message lists the nearest names first.
    """
    known = cards()
    kind, colon, file = name.partition(":")
    if colon and kind.casefold() in OWN_PREDICTORS and file:
        return _own_predictor(known[kind.casefold()], file)
    meant = name.casefold()
    found = {other.casefold(): about for other, about in known.items()}.get(ALIASES.get(meant, meant))
    if found is None:
        raise UnknownNameError("metric", name, list(known))
    return found
