"""MUSIQ: a no-reference predictor of picture quality that reads every picture at its own size.

Ke, Wang, Wang, Milanfar & Yang, "MUSIQ: Multi-scale Image Quality Transformer", ICCV 2021, arXiv:2108.05997. Scores
and input gradients equal those of IQA-PyTorch's network with the same weights to 1e-5: docs/reference/musiq.md says how
that is tested.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.io import weights
from iqsr.metrics.musiq_files import METRICS, Variant, unpublished_file
from iqsr.metrics.musiq_network import FEATURES, LAYERS, WIDTH, Convolution, EncoderBlock, Linear, Stem
from iqsr.metrics.musiq_tokens import GRID, LONGER_SIDES, resized, tokens
from iqsr.metrics.musiq_weights import read_state
from iqsr.picture_checks import check_floats

Precision = Literal["fp32", "bf16"]

# Patches that go through the stem together on a CPU, so that its maps stay in the cache, and through the embedding.
_STEM_PATCHES, _EMBEDDING_PATCHES = 64, 256


class Musiq(nn.Module):
    """Pictures to scores, higher is better: 0 to 100, for AVA 1 to 10 (the mean of a distribution over ten ratings).

    Frozen, and the same function in training and evaluation mode; gradients reach the pictures. Scores of different
    variants, trained on different people's judgements, are not comparable. `bf16` keeps the weights of convolutions
    and matrix products in bfloat16; docs/reference/musiq.md has the speed and the error. Has no weights before `load`.
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
        sequences = [self._read(batch.to(self.cls.dtype)) for batch in batches]
        return self._score(self._look(sequences))

    def _read(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1 + T, WIDTH): the class token, then the embedded patches of every scale."""
        read = tokens(x)
        parts = [self._embed(part) for part in read.patches.flatten(0, 1).split(_EMBEDDING_PATCHES)]
        patches = torch.cat(parts).unflatten(0, read.patches.shape[:2])
        patches = patches + (self.places[read.places] + self.scales[read.scales])
        return torch.cat([self.cls.expand(x.shape[0], 1, WIDTH), patches], dim=1)

    def _embed(self, patches: Tensor) -> Tensor:
        together = _STEM_PATCHES if patches.device.type == "cpu" else len(patches)
        return self.embedding(torch.cat([self.stem(part) for part in patches.split(together)]))

    def _look(self, sequences: list[Tensor]) -> Tensor:
        """Sequences (n, 1 + T, WIDTH) of any lengths -> (N, WIDTH): what the class tokens have seen."""
        lengths = [sequence.shape[1] for sequence in sequences for _ in range(len(sequence))]
        longest = max(lengths)
        x = torch.cat([F.pad(sequence, (0, 0, 0, longest - sequence.shape[1])) for sequence in sequences])
        mask = None
        if min(lengths) < longest:
            ends = torch.tensor(lengths, device=x.device)
            mask = (torch.arange(longest, device=x.device) < ends[:, None])[:, None, None]
        for number, block in enumerate(self.blocks):
            last = number == LAYERS - 1  # whose other tokens nobody looks at
            x = block(x, mask, 1 if last else None)
        return self.encoder_norm(x[:, 0])

    def _score(self, seen: Tensor) -> Tensor:
        with torch.autocast(seen.device.type, enabled=False):  # bfloat16 has steps of 0.25 and more above 32
            found = self.head(seen)
        if self.bins == 1:
            return found[:, 0]
        ratings = torch.arange(1, self.bins + 1, device=found.device)
        return (found.softmax(1) * ratings).sum(1)


def load_musiq(name: str, *, precision: Precision = "fp32") -> Musiq:
    """The MUSIQ that metrics call `name`: musiq (trained on KonIQ-10k), musiq-spaq, musiq-paq2piq or musiq-ava.

    Takes Google's checkpoint where it lies in the weights folder, as e.g. `musiq-koniq.npz`, else the published file
    that `iqsr weights` lists; for a variant that it does not list, IQA-PyTorch's as e.g. `musiq-paq2piq.pth`. No
    network. UnknownNameError, or WeightsError with the line that says what to do.
    """
    if name not in METRICS:
        raise UnknownNameError("MUSIQ", name, list(METRICS))
    return Musiq(METRICS[name], precision=precision).load(_file(METRICS[name]))


def _file(variant: Variant) -> Path:
    name = f"musiq-{variant}"
    if (file := unpublished_file(name)) is not None:
        return file
    if name in weights.known_weights():
        return weights.locate(name)
    google = weights.weights_folder() / f"{name}.npz"
    raise WeightsError(
        f"the weights '{name}' are not on this machine; download "
        f"https://storage.googleapis.com/gresearch/musiq/{variant}_ckpt.npz and save it as {google}"
    )


def _check(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        raise UsageError(f"MUSIQ expected pictures of shape (N, 3, H, W) or (3, H, W), got {tuple(x.shape)}")
    check_floats("MUSIQ", x)
    height, width = x.shape[2:]
    if min(min(resized(height, width, side)) for side in LONGER_SIDES) < 1:
        raise UsageError(f"MUSIQ cannot read a picture of {width}x{height}: its small scales have no pixel on one side")
