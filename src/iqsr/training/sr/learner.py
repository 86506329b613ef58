"""One step of a model's training: model, discriminator, average, and the choice of targets."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from iqsr.degrade import Pool
from iqsr.models.lora import LoraAsOneConvolution
from iqsr.training.engine.average import Average
from iqsr.training.engine.checkpoints import OTHERS, Checkpoints
from iqsr.training.engine.log import mean_figures
from iqsr.training.engine.loop import Loop, Pace
from iqsr.training.engine.precision import autocast
from iqsr.training.engine.processes import any_of, common_precision, mean_of, together
from iqsr.training.sr.data import Batch, mirrored, seed_of
from iqsr.training.sr.discriminator import DiscriminatorTrainer
from iqsr.training.sr.networks import start
from iqsr.training.sr.objective import Objective
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.sets import Sets
from iqsr.training.sr.share import Share, share_dropped_paths
from iqsr.training.sr.targets import Targets


class Learner(Loop[Batch]):
    """The networks of one process, and all that a step changes.

    Args:
        recipe: The settings.
        accelerator: Joins the processes.
        sets: What is learned from.
        out: The run's folder.
        share: The samples of each step that this process learns from.

    Raises the errors of `start`, `Objective` and `Targets`.
    """

    module: nn.Module
    """The network that learns, on `device`."""
    exchanged: bool
    """Whether the step in progress has changed the pool."""
    advice = "lower optimiser.lr, set optimiser.clip, or bf16 = false"

    def __init__(self, recipe: TrainRecipe, accelerator: Accelerator, sets: Sets, out: Path, share: Share) -> None:
        pace = Pace(recipe.steps, recipe.log_every, recipe.validation.every, recipe.checkpoint_every)
        checkpoints = Checkpoints(out / "checkpoints", accelerator.process_index, accelerator.num_processes)
        super().__init__(out, pace, "training", checkpoints)
        self.recipe, self.accelerator, self.sets, self.share = recipe, accelerator, sets, share
        device = self.device = accelerator.device
        self.precision = common_precision(recipe.bf16, accelerator)
        self.autocast = partial(autocast, self.precision, device)
        self.sr_model = start(recipe, out)
        if share.ranks > 1:
            share_dropped_paths(self.sr_model.module, share)
        self.objective = Objective(recipe.objective, self.sr_model.scale, str(device), before=share.first)
        self.targets = Targets(recipe, sets, str(device), self.precision)
        self.module = self.sr_model.module.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.composed = LoraAsOneConvolution(self.module) if recipe.lora else None
        learning = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        self.average = Average(learning, recipe.optimiser.ema)
        optimiser = recipe.optimiser
        self.optimizer = torch.optim.Adam(learning.values(), lr=optimiser.lr, betas=optimiser.betas, fused=True)
        self.model = accelerator.prepare(self.module)
        gan = recipe.objective.gan > 0
        self.discriminator = DiscriminatorTrainer(recipe, accelerator, self.autocast) if gan else None
        drawing = torch.Generator().manual_seed(seed_of(recipe.seed, 0, 3))
        pool = recipe.data.pool // recipe.batch * share.size
        self.pool = Pool(pool, drawing, rank=share.rank, ranks=share.ranks) if pool else None
        self.exchanged = False

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the model, one of the discriminator if there is one, one of the average.

        Args:
            batch: As `draw` makes it, of any number of samples; with a pool, of the recipe's number.

        Returns:
            The weighted terms, named as by `Objective.terms` and `DiscriminatorTrainer.learn`.

        Raises:
            NotFiniteError: In every process, if the objective or something that was learned is not finite.
        """
        recipe = self.recipe
        torch.manual_seed(seed_of(recipe.seed, self.done, 0, 2))  # for whatever draws in a forward pass
        batch = {name: value.to(self.device) for name, value in batch.items()}
        batch = mirrored(self.targets.scored(batch))
        if self.pool:
            batch, self.exchanged = self.pool.exchange(batch), True
        target, originals = self._target(batch)
        rate = recipe.optimiser.lr * recipe.optimiser.rate_at(self.done)
        self.optimizer.param_groups[0]["lr"] = rate
        output, terms = self._terms(batch, target)
        total = torch.stack(list(terms.values())).sum()
        self.check_finite({f"the objective's term {name}": term for name, term in terms.items()} | {"the sum": total})
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        if recipe.optimiser.clip:
            self.accelerator.clip_grad_norm_(self.module.parameters(), recipe.optimiser.clip)
        self.intact = False
        self.optimizer.step()
        if self.discriminator:
            terms |= self.discriminator.learn(output.detach(), target, recipe.optimiser.rate_at(self.done))
        self.average.update(self.done + 1)
        self.check_finite(self.learned())
        figures = {name: float(term.detach()) for name, term in terms.items()}
        self.figures.add(figures | {"total": float(total.detach()), "original chosen": originals}, steps=1)
        self.done += 1
        self.intact, self.exchanged = True, False
        return figures

    def _target(self, batch: Batch) -> tuple[Tensor, float]:
        """The ground truth that the sampler chooses for each sample, (B, 3, H, W) in [0, 1]; share of originals."""
        gts = batch["gts"]
        chosen = self.targets.chosen(batch, seed_of(self.recipe.seed, self.done, 0, 4), self.share.first)
        target = gts[torch.arange(len(gts)), chosen.to(gts.device)].float() / 255
        return target, float((chosen == 0).float().mean())

    def _terms(self, batch: Batch, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The model's output, (B, 3, H, W), and the weighted terms of the objective."""
        averaged = self._averaged_output(batch["lr"])
        with self.autocast():
            with self.composed.applied() if self.composed else nullcontext():
                output = self.model(batch["lr"].contiguous(memory_format=torch.channels_last)).float()
            begun = self.done >= self.recipe.objective.gan_from
            discriminator = self.discriminator.frozen() if self.discriminator and begun else None
            return output, self.objective.terms(output, target, batch, discriminator=discriminator, averaged=averaged)

    def _averaged_output(self, lr: Tensor) -> Tensor | None:
        if not self.recipe.objective.ldl:
            return None
        # An autocast of its own: until it ends, it remembers the weights that it has rounded.
        with torch.no_grad(), self.average.applied(), self.autocast():
            return self.module(lr).float()

    def rates(self) -> dict[str, float]:
        """The learning rates of the last step."""
        optimiser = self.recipe.optimiser
        share = optimiser.rate_at(self.done - 1)
        discriminator = {"discriminator learning rate": optimiser.discriminator_lr * share}
        return {"learning rate": optimiser.lr * share} | (discriminator if self.discriminator else {})

    def learned(self) -> dict[str, Any]:
        """What must be finite after every step."""
        return {
            "weights": {n: p.detach() for n, p in self.module.named_parameters() if p.requires_grad},
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
            "discriminator": self.discriminator.state_dict() if self.discriminator else None,
        }

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on; in processes after the first what only they have."""
        scores = self.targets.looked_up
        own = {
            "figures": self.figures.state_dict(),
            "patch scores": scores.state_dict() if scores else None,
            "pool": self.pool.state_dict() if self.pool else None,
        }
        return super().state_dict() | own if self.is_first() else own

    def load_learned(self, state: Mapping[str, Any]) -> None:
        """Continue with the weights of a state."""
        self.module.load_state_dict(state["weights"], strict=False)  # it has what learns, not what is frozen
        if self.discriminator:
            self.discriminator.load_state_dict(state["discriminator"])

    def load_state_dict(self, state: Mapping[str, Any], done: int, *, same_sets: bool = True) -> None:
        """Continue from a state after `done` steps. same_sets: whether the data is as it was."""
        of_all = [state, *state[OTHERS]]
        super().load_state_dict({**state, "figures": mean_figures([part["figures"] for part in of_all])}, done)
        if self.targets.looked_up and same_sets:  # scores are known by the numbers of sets
            self.targets.looked_up.load_state_dicts([part["patch scores"] for part in of_all])
        if self.pool:
            self.pool.load_state_dicts([part["pool"] for part in of_all], self.share.size)

    # Several processes learn together

    def any_of(self, mine: bool) -> bool:
        """Whether a condition holds in any process of the run."""
        return any_of(self.accelerator, mine)

    @contextmanager
    def together(self) -> Generator[None]:
        """If one process of the run fails in the block, all of them fail."""
        with together(self.accelerator):
            yield

    def mean_of(self, figures: dict[str, float]) -> dict[str, float]:
        """The means over all processes of the run."""
        return mean_of(self.accelerator, figures)

    def is_first(self) -> bool:
        """Whether this process writes the log and the result."""
        return self.accelerator.is_main_process
