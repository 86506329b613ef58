"""The discriminator in training: frozen while the model learns, then a step of its own on real and made ones."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from iqsr.training.sr.discriminator import UNetDiscriminator, gan_loss
from iqsr.training.sr.recipe import TrainRecipe


class DiscriminatorTrainer:
    """A U-Net discriminator and its optimiser. autocast: gives the context in which it computes."""

    def __init__(
        self, recipe: TrainRecipe, accelerator: Accelerator, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.accelerator, self.autocast, self.lr = accelerator, autocast, recipe.optimiser.discriminator_lr
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 1)
            self.module: nn.Module = UNetDiscriminator().to(accelerator.device)
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
        """Go on as the discriminator whose state this is."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
