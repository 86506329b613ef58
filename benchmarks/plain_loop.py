"""A fine-tuning step as one writes it in a day: eager PyTorch, fp32, NCHW, LoRA as peft computes it.

What `iqsr train` is measured against (training.py). Ground truths are scored one by one, as IQA-PyTorch's metrics are
commonly called; networks, batches and the objective are iqsr's own, so that both learn the same, and srq is. MUSIQ, the
paper's predictor, is IQA-PyTorch's network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from iqsr.metrics.dense import blankness
from iqsr.metrics.lpips_st import LpipsSt, Trunk
from iqsr.training.sr.data import Batch, mirrored
from iqsr.training.sr.targets import EMPTIED

LAYERS = r".*\.RDB[123]\.conv[1-5]\.0"
"""The convolutions in RRDBNet's dense blocks, as spandrel names them."""


class PlainLoop:
    """AMO online, then L1 + LPIPS-ST - lambda_q * Q, then Adam.

    metric: (N, 3, H, W) in [0, 1] to a score each, from 0 to 100.
    """

    def __init__(
        self,
        network: nn.Module,
        metric: Callable[[Tensor], Tensor],
        *,
        rank: int,
        trunk: Trunk,
        lambda_q: float,
        lr: float,
    ) -> None:
        self.network = network
        self.model = get_peft_model(network, LoraConfig(r=rank, lora_alpha=rank, target_modules=LAYERS))  # type: ignore[arg-type]
        self.perceptual = LpipsSt(trunk)
        self.metric = metric
        self.lambda_q = lambda_q
        learning = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(learning, lr=lr, betas=(0.9, 0.99))

    def step(self, batch: Batch) -> float:
        """Learn from a batch, as `iqsr.training.sr.loop.Training.draw` gives it; returns the loss."""
        best = [self.best(pictures.float() / 255) for pictures in batch["gts"]]
        batch = mirrored(batch)
        target = batch["gts"][torch.arange(len(best)), best].float() / 255
        output = self.model(batch["lr"])
        quality = self.metric(output.clamp(0, 1)).mean()
        loss = F.l1_loss(output, target) + self.perceptual(output, target).mean() - self.lambda_q * quality
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def best(self, pictures: Tensor) -> int:
        """Of the ground truths of one patch, (K, 3, H, W), the number of the one that the metric rates best.

        As in iqsr, what shows less than another comes last.
        """
        empty = [blankness(picture.unsqueeze(0)).mean().item() for picture in pictures]
        scores = [self.metric(picture.unsqueeze(0)).item() for picture in pictures]
        whole = [number for number, share in enumerate(empty) if share <= min(empty) + EMPTIED]
        return max(whole, key=scores.__getitem__)


@contextmanager
def random_musiq() -> Generator[nn.Module]:
    """IQA-PyTorch's MUSIQ with random weights; inside the block they are iqsr's `musiq-paq2piq` as well."""
    from pyiqa.archs.musiq_arch import MUSIQ

    torch.manual_seed(0)
    network = MUSIQ(pretrained=False).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", {"IQSR_WEIGHTS": folder}):
        torch.save(network.state_dict(), Path(folder) / "musiq-paq2piq.pth")
        yield network
