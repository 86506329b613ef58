"""The U-Net discriminator of Real-ESRGAN, its loss, and its training beside the model's."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from iqsr.errors import UsageError
from iqsr.training.sr.recipe import TrainRecipe


class UNetDiscriminator(nn.Module):
    """(N, 3, H, W) -> (N, 1, H, W) logits, above 0 for real; H and W multiples of 8. 4,376,897 parameters at 64."""

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        f = features
        self.first = nn.Conv2d(3, f, 3, 1, 1)
        self.down = nn.ModuleList(_normed(a * f, b * f, 4, 2) for a, b in ((1, 2), (2, 4), (4, 8)))
        self.up = nn.ModuleList(_normed(a * f, b * f, 3, 1) for a, b in ((8, 4), (4, 2), (2, 1)))
        self.last = nn.Sequential(_normed(f, f, 3, 1), _rectifier(), _normed(f, f, 3, 1), _rectifier())
        self.out = nn.Conv2d(f, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class. UsageError for sides that are no multiples of 8, which cannot be halved three times."""
        if x.shape[2] % 8 or x.shape[3] % 8:
            raise UsageError(f"the discriminator takes sides that are multiples of 8, got {x.shape[3]}x{x.shape[2]}")
        levels = [_rectified(self.first(x))]
        for layer in self.down:
            levels.append(_rectified(layer(levels[-1])))
        y = levels.pop()
        for layer in self.up:
            enlarged = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = _rectified(layer(enlarged)) + levels.pop()
        return self.out(self.last(y))


def gan_loss(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of logits against all real or all made: a scalar. The model's loss has real=True."""
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real), dtype=torch.float32))


def _normed(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False))


def _rectifier() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _rectified(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class DiscriminatorTrainer:
    """Trains a U-Net discriminator: frozen while the model learns, then a step of its own on real and made pictures.

    autocast: makes the context in which it computes.
    """

    def __init__(
        self, recipe: TrainRecipe, accelerator: Accelerator, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.accelerator, self.autocast, self.lr = accelerator, autocast, recipe.optimiser.discriminator_lr
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 1)
            self.module: nn.Module = UNetDiscriminator(recipe.objective.discriminator_features).to(accelerator.device)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=self.lr, betas=recipe.optimiser.betas)
        self.model = accelerator.prepare(self.module)

    def frozen(self) -> nn.Module:
        """The discriminator for the model's step: gradients pass through it and do not stay."""
        return self.module.requires_grad_(False)

    def learn(self, made: Tensor, real: Tensor, rate: float) -> dict[str, Tensor]:
        """One step: real pictures, then made ones, backward separately. rate: share of the learning rate."""
        self.module.requires_grad_(True)
        self.optimizer.param_groups[0]["lr"] = self.lr * rate
        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        for name, pictures in (("real", real), ("made", made)):
            with self.autocast():
                loss = gan_loss(self.model(pictures), real=name == "real")
            self.accelerator.backward(loss)
            losses[f"discriminator {name}"] = loss.detach()
        self.optimizer.step()
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Weights, power iterations of the spectral norms, and the optimiser's state."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
