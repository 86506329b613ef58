"""What a metric is: the facts about it as data, read from `cards.toml`. Imports no torch.

The two axes of the taxonomy, `reference` and `level`, are those of "Augmenting Perceptual Super-Resolution via Image
Quality Predictors" (CVPR 2025, arXiv:2504.18524, section 13).
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

Reference = Literal["full", "input", "set", "none"]
Level = Literal["low", "mid", "high"]
Precision = Literal["fp32", "bf16"]
"""In which a metric's network is computed."""


@dataclass(frozen=True)
class MetricCard:
    """The facts about one metric. None of them is inferred from its name."""

    name: str
    """The metric's name in iqsr; IQA-PyTorch's name where it has the same metric."""
    title: str
    """One line for people."""
    reference: Reference
    """`full`: compares the picture with its original; `input`: with the low-resolution picture that it was made from;
    `set`: compares all pictures together with all originals, and is one number; `none`: sees the picture alone."""
    level: Level
    """The information it depends on. `low`: colours, edges; `mid`: textures, local structure; `high`: semantics."""
    higher_is_better: bool
    """The direction."""
    range: tuple[float, float]
    """The lowest and highest value in practice."""
    differentiable: bool
    """Whether gradients reach the picture, so that the metric can be a training loss."""
    licence: str
    """SPDX identifiers of its code and weights as iqsr uses them."""
    source: str
    """The paper: authors, venue, year, DOI or arXiv number."""
    minimum_size: int
    """The minimum height and width of the picture in pixels."""
    aliases: tuple[str, ...] = ()
    """Other names of the same metric."""
    patch: int = 0
    """Of a metric of sets: the side of the patches that pictures are cut into; 0 for whole pictures."""
    stride: int = 0
    """Of a metric of sets: pixels from a patch to the next."""
    formula: str = ""
    """`module:function` in this package; the function maps `(x)` or `(x, reference)` to (N,)."""
    network: str = ""
    """A module of this package whose `from_card(card, precision)` returns the network with its weights."""
    package: str = ""
    """The package that computes it, where that is neither iqsr nor pyiqa; an extra of iqsr has the same name."""
    variant: str = ""
    """Which of the network's variants it is, such as the trunk or the training set."""
    trainable: bool = False
    """Whether `iqsr train-quality` trains networks of this kind: `NAME:FILE` then is a metric, too."""
    weights: tuple[str, ...] = ()
    """The weight files that it needs, by their names in `weights.toml`."""
    package_data: str = ""
    """The weight file inside this package, if it has one."""
    downloads: tuple[str, ...] = ()
    """The files that pyiqa downloads at first use: paths below torch.hub's folder, or `hf:owner/name`."""
    requires: tuple[str, ...] = ()
    """`module: requirement`: packages that pyiqa needs for it and does not install."""
    weights_file: str = ""
    """The weight file of a network that `iqsr train-quality` trained."""

    @property
    def provider(self) -> str:
        """The package whose code computes the metric: iqsr, pyiqa, or another."""
        return self.package or ("iqsr" if self.formula or self.network else "pyiqa")

    @property
    def compares(self) -> bool:
        """Whether it compares each picture with a second one."""
        return self.reference in ("full", "input")

    @property
    def of_sets(self) -> bool:
        """Whether it is one number of a whole set, and none of a single picture."""
        return self.reference == "set"

    def fits(self, size: tuple[int, int], reference: tuple[int, int]) -> bool:
        """Whether a picture of `size` can be compared with a reference of the other size, both (width, height).

        An original has the same size. An input is smaller by a whole factor, the same on both sides.
        """
        scale = size[0] // reference[0] if self.reference == "input" else 1
        return scale > 0 and size == (reference[0] * scale, reference[1] * scale)

    @property
    def is_bounded(self) -> bool:
        """Whether both ends of the range are finite, so that it can be scaled to 0 to 100."""
        return all(map(math.isfinite, self.range))

    def on_hundred(self, value: "Tensor") -> "Tensor":
        """Values of the metric scaled linearly from its range, which must be bounded, to 0 to 100; higher is better."""
        low, high = self.range
        share = (value - low) / (high - low)
        return 100 * (share if self.higher_is_better else 1 - share)


@lru_cache(maxsize=1)
def cards() -> dict[str, MetricCard]:
    """Every metric's card by name: those that compare before others, low level before high, then as in `cards.toml`."""
    text = Path(__file__).with_name("cards.toml").read_text(encoding="utf-8")
    listed = [_card(name, entry) for name, entry in tomllib.loads(text)["card"].items()]
    axes = (("full", "input", "set", "none"), ("low", "mid", "high"))
    listed.sort(key=lambda c: (axes[0].index(c.reference), axes[1].index(c.level)))
    return {c.name: c for c in listed}


def _card(name: str, entry: dict[str, object]) -> MetricCard:
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return MetricCard(name=name, **frozen)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """The name that each name and alias, case-folded, stands for."""
    return {known.casefold(): c.name for c in cards().values() for known in (c.name, *c.aliases)}


def card(name: str) -> MetricCard:
    """Look up the card of a metric.

    Args:
        name: A name or an alias, in any case; or `srq:FILE` (`srq-holdout:FILE`), a predictor trained by
            `iqsr train-quality`, where FILE is its weights or the folder of its run.

    Returns:
        The card.

    Raises:
        UnknownNameError: The message lists the nearest names first.
    """
    kind, _, file = name.partition(":")
    kind_card = cards().get(kind.casefold())
    if file and kind_card is not None and kind_card.trainable:
        return _own_predictor(kind_card, file)
    if name.casefold() not in _names():
        raise UnknownNameError("metric", name, list(cards()))
    return cards()[_names()[name.casefold()]]


def _own_predictor(kind: MetricCard, file: str) -> MetricCard:
    """The card of a predictor that a user trained: that of its kind, with the user's weights."""
    return replace(
        kind,
        name=f"{kind.name}:{file}",
        title=f"A predictor of your own, as {kind.name}",
        licence="yours",
        source="iqsr train-quality",
        package_data="",
        weights_file=str(_weights_in(Path(file))),
    )


def _weights_in(path: Path) -> Path:
    """The weight file of a run's folder (the last round's, if it has rounds); any other path is returned as it is."""
    if not path.is_dir():
        return path
    rounds = sorted(path.glob("round-*/weights.safetensors"), key=lambda found: int(found.parent.name.split("-")[1]))
    return rounds[-1] if rounds else path / "weights.safetensors"
