"""A fine-tuning step as one writes it in a day: eager PyTorch, fp32, NCHW, LoRA as peft computes it.

What `iqsr train` is measured against (training.py). Ground truths are scored one by one, as IQA-PyTorch's metrics are
commonly called; networks, metrics, batches and the objective are iqsr's own, so that both learn the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from iqsr.quality import load_metric
from iqsr.quality.lpips_st import LpipsSt, Trunk
from iqsr.training.sr.data import Batch, mirrored

LAYERS = r".*\.RDB[123]\.conv[1-5]\.0"
"""The convolutions in RRDBNet's dense blocks, as spandrel names them."""


class PlainLoop:
    """AMO online, then L1 + LPIPS-ST - lambda_q * srq, then Adam."""

    def __init__(self, network: nn.Module, *, rank: int, trunk: Trunk, lambda_q: float, lr: float) -> None:
        self.network = network
        self.model = get_peft_model(network, LoraConfig(r=rank, lora_alpha=rank, target_modules=LAYERS))  # type: ignore[arg-type]
        self.perceptual = LpipsSt(trunk)
        self.metric = load_metric("srq")
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
        """Of the ground truths of one patch, (K, 3, H, W), the number of the one that the metric rates best."""
        scores = [self.metric(picture.unsqueeze(0)).item() for picture in pictures]
        return scores.index(max(scores))
