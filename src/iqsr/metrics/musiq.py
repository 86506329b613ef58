"""MUSIQ: a no-reference predictor of image quality that reads every picture at its own size and at two smaller ones.

Ke, Wang, Wang, Milanfar & Yang, "MUSIQ: Multi-scale Image Quality Transformer", ICCV 2021, arXiv:2108.05997. Scores
and input gradients equal those of IQA-PyTorch's network with the same weights to 1e-5: docs/reference/musiq.md says how
that is tested. Pictures are resized as IQA-PyTorch does, bicubic without antialiasing; Google's code resizes with a
Gaussian, so its scores differ a little.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.io import weights
from iqsr.metrics.card import MetricCard, Precision, cards
from iqsr.metrics.musiq_layers import FEATURES, LAYERS, PATCH, WIDTH, Convolution, EncoderBlock, Linear, Stem
from iqsr.metrics.musiq_weights import read_state
from iqsr.metrics.requirements import unpublished_file
from iqsr.picture_checks import check_floats

Variant = Literal["koniq", "spaq", "paq2piq", "ava"]
"""The data set that the weights were trained on."""

# Patches that go through the stem together on a CPU, so that its maps stay in the cache, and through the embedding.
_STEM_PATCHES, _EMBEDDING_PATCHES = 64, 256

GRID = 10
"""Positions of patches are hashed to a grid of this side, whatever the picture's size (section 3.2)."""
LONGER_SIDES = (224, 384)
"""The picture is read at three scales: with its longer side resized to these, and at its own size."""


class Musiq(nn.Module):
    """Maps pictures to scores, higher is better: 0 to 100, for AVA 1 to 10 (the mean of ten ratings' distribution).

    Frozen, and the same function in training and evaluation mode; gradients reach the pictures. Scores of different
    variants, trained on different people's judgements, are not comparable. `bf16` keeps the weights of convolutions
    and matrix products in bfloat16; docs/reference/musiq.md has the speed and the error. It has no weights until
    `load` is called.
    """

    def __init__(self, variant: Variant = "koniq", *, precision: Precision = "fp32") -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise UnknownNameError("MUSIQ variant", variant, list(get_args(Variant)))
        if precision not in get_args(Precision):
            raise UnknownNameError("precision", precision, list(get_args(Precision)))
        self.variant: Variant = variant
        self.precision: Precision = precision
        self.bins = 10 if variant == "ava" else 1
        self.stem = Stem()
        self.embedding = Linear(FEATURES, WIDTH)
        self.places = nn.Parameter(torch.zeros(GRID * GRID, WIDTH))
        self.scales = nn.Parameter(torch.zeros(len(LONGER_SIDES) + 1, WIDTH))
        self.cls = nn.Parameter(torch.zeros(WIDTH))
        self.blocks = nn.ModuleList(EncoderBlock() for _ in range(LAYERS))
        self.encoder_norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, self.bins)
        self.loaded = False
        self.eval().requires_grad_(False)

    def load(self, path: Path) -> Self:
        """Fill in the weights from Google's `.npz` or IQA-PyTorch's `.pth`, and return self.

        Raises WeightsError where the file is missing, damaged, or not this variant's kind.
        """
        state = read_state(Path(path), self.bins)
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"{path}: not MUSIQ's weights ({str(error).splitlines()[-1].strip()})") from error
        for layer in self.modules():
            if isinstance(layer, Convolution):
                layer.to(memory_format=torch.channels_last)
            if isinstance(layer, Convolution | Linear) and self.precision == "bf16":
                layer.to(torch.bfloat16)
        self.loaded = True
        return self

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        """x: (N, 3, H, W) in [0, 1], or a sequence of these and of (3, H, W), which may differ in size.

        Returns (N,) float32, one score a picture, in order. All sizes share one pass through the transformer.
        UsageError for any other shape or type; WeightsError before `load`.
        """
        if not self.loaded:
            raise WeightsError(f"this MUSIQ ({self.variant}) has no weights yet; load them with .load(PATH)")
        batches = [picture if picture.ndim == 4 else picture[None] for picture in ([x] if isinstance(x, Tensor) else x)]
        if not batches:
            raise UsageError("MUSIQ expected at least one picture, got none")
        for batch in batches:
            _check(batch)
        sequences = [self._tokens(batch.to(self.cls.dtype)) for batch in batches]
        return self._score(self._class_tokens(sequences))

    def _tokens(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1 + T, WIDTH): the class token, then the embedded patches of every scale."""
        read = tokens(x)
        parts = [self._embed(part) for part in read.patches.flatten(0, 1).split(_EMBEDDING_PATCHES)]
        patches = torch.cat(parts).unflatten(0, read.patches.shape[:2])
        patches = patches + (self.places[read.positions] + self.scales[read.scales])
        return torch.cat([self.cls.expand(x.shape[0], 1, WIDTH), patches], dim=1)

    def _embed(self, patches: Tensor) -> Tensor:
        together = _STEM_PATCHES if patches.device.type == "cpu" else len(patches)
        return self.embedding(torch.cat([self.stem(part) for part in patches.split(together)]))

    def _class_tokens(self, sequences: list[Tensor]) -> Tensor:
        """Sequences (n, 1 + T, WIDTH) of any lengths -> (N, WIDTH): the encoded class tokens."""
        lengths = [sequence.shape[1] for sequence in sequences for _ in range(len(sequence))]
        longest = max(lengths)
        x = torch.cat([F.pad(sequence, (0, 0, 0, longest - sequence.shape[1])) for sequence in sequences])
        mask = None
        if min(lengths) < longest:
            ends = torch.tensor(lengths, device=x.device)
            mask = (torch.arange(longest, device=x.device) < ends[:, None])[:, None, None]
        for number, block in enumerate(self.blocks):
            last = number == LAYERS - 1  # of which only the class token is used
            x = block(x, mask, 1 if last else None)
        return self.encoder_norm(x[:, 0])

    def _score(self, encoded: Tensor) -> Tensor:
        with torch.autocast(encoded.device.type, enabled=False):  # bfloat16 has steps of 0.25 and more above 32
            found = self.head(encoded)
        if self.bins == 1:
            return found[:, 0]
        ratings = torch.arange(1, self.bins + 1, device=found.device)
        return (found.softmax(1) * ratings).sum(1)


def load_musiq(name: str, *, precision: Precision = "fp32") -> Musiq:
    """Load `musiq` (trained on KonIQ-10k), `musiq-spaq`, `musiq-paq2piq` or `musiq-ava`, as `from_card` does.

    Raises UnknownNameError for other names, WeightsError with the line that says what to do.
    """
    known = {card.name: card for card in cards().values() if card.network == "musiq"}
    if name not in known:
        raise UnknownNameError("MUSIQ", name, list(known))
    return from_card(known[name], precision)


def from_card(card: MetricCard, precision: Precision) -> Musiq:
    """The network of one of MUSIQ's cards, with its weights.

    They are Google's checkpoint where it lies in the weights folder (as `musiq-koniq.npz`), else the published file
    that `iqsr weights` lists; for a variant that it does not list, IQA-PyTorch's (as `musiq-paq2piq.pth`). Raises
    WeightsError with the line that says what to do.
    """
    return Musiq(cast("Variant", card.variant), precision=precision).load(_file(card.weights[0]))


def _file(name: str) -> Path:
    if (file := unpublished_file(name)) is not None:
        return file
    if name in weights.known_weights():
        return weights.locate(name)
    google = weights.weights_folder() / f"{name}.npz"
    raise WeightsError(
        f"the weights '{name}' are not on this machine; download https://storage.googleapis.com/gresearch/musiq/"
        f"{name.removeprefix('musiq-')}_ckpt.npz and save it as {google}"
    )


def _check(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        raise UsageError(f"MUSIQ expected pictures of shape (N, 3, H, W) or (3, H, W), got {tuple(x.shape)}")
    check_floats("MUSIQ", x)
    height, width = x.shape[2:]
    if min(min(resized(height, width, side)) for side in LONGER_SIDES) < 1:
        raise UsageError(f"MUSIQ cannot read a picture of {width}x{height}: its small scales have no pixel on one side")


@dataclass(frozen=True)
class Tokens:
    """The T patches of each of N pictures of one size, with their positions and scales."""

    patches: Tensor
    """(N, T, 3, 32, 32) in [-1, 1]; beyond the picture's edge 0, which is gray."""
    positions: Tensor
    """(T,): index into the grid, row by row, in [0, 100)."""
    scales: Tensor
    """(T,): 0 and 1 for the resized pictures, 2 for the picture at its own size."""


def tokens(x: Tensor) -> Tokens:
    """Cut pictures x (N, 3, H, W) in [0, 1] into patches: the smallest scale first, each row by row. Differentiable."""
    parts = [(_patches(picture), *_grid(picture)) for picture in _pyramid(2 * x - 1)]
    scales = torch.arange(len(parts)).repeat_interleave(torch.tensor([p.shape[1] for p, _, _ in parts]))
    return Tokens(
        patches=torch.cat([patches for patches, _, _ in parts], dim=1),
        positions=torch.cat([positions(rows, columns) for _, rows, columns in parts]).to(x.device),
        scales=scales.to(x.device),
    )


def resized(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Height and width at which the longer side is `longer_side`; 0 where a very thin picture would have no pixel."""
    ratio = longer_side / max(height, width)
    return round(height * ratio), round(width * ratio)


def positions(rows: int, columns: int) -> Tensor:
    """Index into the grid of each of rows x columns patches, row by row: (rows * columns,) (eq. 1)."""
    # By interpolation, not by division: they differ where 10 * i / count is whole and its float is not.
    line = torch.arange(GRID, dtype=torch.float32).view(1, 1, GRID)
    down, across = (F.interpolate(line, count, mode="nearest").flatten().long() for count in (rows, columns))
    return (down[:, None] * GRID + across).flatten()


def _pyramid(x: Tensor) -> Iterator[Tensor]:
    for side in LONGER_SIDES:
        yield F.interpolate(x, resized(x.shape[2], x.shape[3], side), mode="bicubic", align_corners=False)
    yield x


def _grid(x: Tensor) -> tuple[int, int]:
    """How many patches cover the picture, down and across."""
    return -(-x.shape[2] // PATCH), -(-x.shape[3] // PATCH)


def _patches(x: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, rows * columns, 3, 32, 32). Both sides are padded alike; an odd pixel goes to the end."""
    rows, columns = _grid(x)
    down, across = rows * PATCH - x.shape[2], columns * PATCH - x.shape[3]
    x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
    x = x.view(x.shape[0], 3, rows, PATCH, columns, PATCH)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
