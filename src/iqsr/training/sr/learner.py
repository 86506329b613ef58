"""What a training learns, and one step of it: model, discriminator, average, and the choice of targets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from iqsr.degrade import Pool
from iqsr.finite import NotFiniteError, all_finite, first_not_finite
from iqsr.models.lora import LoraAsOneConvolution
from iqsr.training.sr.average import Average
from iqsr.training.sr.data import Batch, Sets, mirrored, seed_of
from iqsr.training.sr.discriminator_trainer import DiscriminatorTrainer
from iqsr.training.sr.figures import Figures
from iqsr.training.sr.networks import start
from iqsr.training.sr.objective import Objective
from iqsr.training.sr.processes import any_of, autocast, choose_precision
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.targets import Targets

logger = logging.getLogger(__name__)


class Learner:
    """The networks of one process, and all that a step changes. sets: what is learned from.

    Raises the errors of `start`, `Objective` and `Targets`.
    """

    module: nn.Module
    """The network that learns, on `device`."""
    done: int
    """Steps taken, those before `resume` included; the number of the next one, for they count from 0."""
    whole: bool
    """Whether the step at hand has changed nothing that is learned, or all of it."""
    exchanged: bool
    """Whether the step at hand has changed the pool."""

    def __init__(self, recipe: TrainRecipe, accelerator: Accelerator, sets: Sets, run: Path) -> None:
        self.recipe, self.accelerator, self.sets = recipe, accelerator, sets
        device = self.device = accelerator.device
        self.precision = choose_precision(recipe, accelerator)
        self.autocast = partial(autocast, self.precision, device)
        self.sr_model = start(recipe, run)
        self.objective = Objective(recipe.objective, self.sr_model.scale, str(device))
        self.targets = Targets(recipe, sets, str(device), self.precision)
        self.module = self.sr_model.module.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.composed = LoraAsOneConvolution(self.module) if recipe.lora else None
        self.average = Average(self.module, recipe.optimiser.ema)
        learning = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(learning, lr=recipe.optimiser.lr, betas=recipe.optimiser.betas, fused=True)
        self.model = accelerator.prepare(self.module)
        self.critic = DiscriminatorTrainer(recipe, accelerator, self.autocast) if recipe.objective.gan else None
        drawing = torch.Generator().manual_seed(seed_of(recipe.seed, accelerator.process_index, 3))
        self.pool = Pool(recipe.data.pool, drawing) if recipe.data.pool else None
        self.figures = Figures(recipe)
        self.done, self.whole, self.exchanged = 0, True, False

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the model, one of the discriminator if there is one, one of the average.

        batch: as `draw` gives it, of any number of samples (with a pool: the recipe's). Returns the weighted terms by
        name, as `Objective.terms` and `DiscriminatorTrainer.learn` call them. NotFiniteError, in every process, where
        the objective or something that has been learned is not finite.
        """
        recipe, rank = self.recipe, self.accelerator.process_index
        torch.manual_seed(seed_of(recipe.seed, self.done, rank, 2))  # of whatever draws in a forward pass
        batch = {name: value.to(self.device) for name, value in batch.items()}
        batch = mirrored(self.targets.scored(batch))
        if self.pool:
            batch, self.exchanged = self.pool.exchange(batch), True
        target, originals = self._target(batch)
        rate = recipe.optimiser.lr * recipe.optimiser.rate_at(self.done)
        self.optimizer.param_groups[0]["lr"] = rate
        averaged = self._averaged_output(batch["lr"])
        with self.autocast():
            with self.composed.applied() if self.composed else nullcontext():
                output = self.model(batch["lr"].contiguous(memory_format=torch.channels_last)).float()
            critic = self.critic.frozen() if self.critic else None
            terms = self.objective.terms(output, target, batch, discriminator=critic, averaged=averaged)
        total = torch.stack(list(terms.values())).sum()
        self._check_finite({f"the objective's term {name}": term for name, term in terms.items()} | {"the sum": total})
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        if recipe.optimiser.clip:
            self.accelerator.clip_grad_norm_(self.module.parameters(), recipe.optimiser.clip)
        self.whole = False
        self.optimizer.step()
        if self.critic:
            terms |= self.critic.learn(output.detach(), target, recipe.optimiser.rate_at(self.done))
        self.average.update()
        self._check_finite(self.learned())
        figures = {name: float(term.detach()) for name, term in terms.items()}
        self.figures.add(figures | {"total": float(total.detach()), "original chosen": originals}, steps=1)
        self.done += 1
        self.whole, self.exchanged = True, False
        return figures

    def _target(self, batch: Batch) -> tuple[Tensor, float]:
        """The ground truth that the sampler chooses for each sample, (B, 3, H, W) in [0, 1]; share of originals."""
        gts, rank = batch["gts"], self.accelerator.process_index
        chosen = self.targets.chosen(batch, seed_of(self.recipe.seed, self.done, rank, 4))
        target = gts[torch.arange(len(gts)), chosen.to(gts.device)].float() / 255
        return target, float((chosen == 0).float().mean())

    def _averaged_output(self, lr: Tensor) -> Tensor | None:
        if not self.recipe.objective.ldl:
            return None
        # An autocast of its own, for one remembers the weights that it has rounded until it ends.
        with torch.no_grad(), self.average.applied(), self.autocast():
            return self.module(lr).float()

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            **self.learned(),
            **self.figures.state_dict(),
            "seen": self.targets.seen.state_dict() if self.targets.seen else None,
            "pool": self.pool.state_dict() if self.pool else None,
            "precision": self.precision,
        }

    def load_state_dict(self, state: Mapping[str, Any], done: int, *, same_sets: bool) -> None:
        """Go on as the one whose state this is, after `done` steps. same_sets: none has changed since."""
        if state.get("precision", self.precision) != self.precision:
            logger.warning("this run began elsewhere, in another precision: its result will not be the same to the bit")
        self.done = done
        self.module.load_state_dict(state["weights"], strict=False)
        self.average.values = {n: v.to(self.device) for n, v in state["average"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.figures.load_state_dict(state, done)
        if self.targets.seen and state.get("seen") and same_sets:  # by the numbers of sets
            self.targets.seen.load_state_dict(state["seen"])
        if self.pool:
            self.pool.load_state_dict(state["pool"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])

    def learned(self) -> dict[str, Any]:
        """What must be finite after every step."""
        return {
            "weights": {n: p.detach() for n, p in self.module.named_parameters() if p.requires_grad},
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
            "critic": self.critic.state_dict() if self.critic else None,
        }

    def _check_finite(self, state: dict[str, Any]) -> None:
        """NotFiniteError in every process where something is not finite in any."""
        if any_of(self.accelerator, not all_finite(state)):
            which = first_not_finite(state) or "something in another process"
            advice = "lower optimiser.lr, set optimiser.clip, or bf16 = false"
            raise NotFiniteError(f"{which} is not finite at step {self.done + 1}: {advice}")
