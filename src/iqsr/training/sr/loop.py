"""The training of a generator: one loop, read from top to bottom, on one process or (`accelerate launch`) several."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from iqsr.degrade import Pool
from iqsr.errors import IqsrError
from iqsr.generators.composed import Composed
from iqsr.generators.merge import ADAPTER_FILE, WEIGHTS_FILE
from iqsr.training.sr.ahead import made_ahead
from iqsr.training.sr.average import Average
from iqsr.training.sr.checkpoint import Checkpoints
from iqsr.training.sr.critic import Critic
from iqsr.training.sr.data import Batch, Batches, Sets, mirrored, seed_of
from iqsr.training.sr.guard import Guard
from iqsr.training.sr.log import Log, check_free, claim, origin
from iqsr.training.sr.networks import keep, start
from iqsr.training.sr.objective import Objective
from iqsr.training.sr.processes import autocast, choose_precision, join
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.stop import Stop
from iqsr.training.sr.targets import Targets
from iqsr.training.sr.validate import Validation

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Told the stage, how much of it is done, of how much, and figures."""


def silent(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    """A `Progress` that tells nobody."""


class GamedError(IqsrError):
    """The guard stopped the run; what it reached before is kept."""


class Training:
    """One run in one folder: everything it needs, everything it leaves behind. Arguments and errors: as of `train`.

    >>> training = Training(recipe, Path("sets"), Path("runs/ft"))
    >>> terms = training.step(training.draw())  # training.run() takes all that are left
    """

    module: nn.Module
    """The network that learns, on `device`."""
    done: int
    """Steps taken, those before `resume` included; the number of the next one, for they count from 0."""

    def __init__(
        self,
        recipe: TrainRecipe,
        data: Path | Sequence[Path],
        out: Path,
        *,
        validation: Path | None = None,
        resume: bool = False,
    ) -> None:
        self.recipe, self.out = recipe, out
        self.accelerator = join()
        if self.accelerator.is_main_process:
            check_free(out, recipe, resume=resume)
        device = self.device = self.accelerator.device
        self.precision = choose_precision(recipe, self.accelerator)
        self.autocast = partial(autocast, self.precision, device)
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        self.sets = Sets(data, recipe.data)
        self.generator = start(recipe)
        self.objective = Objective(recipe.objective, self.generator.scale, str(device))
        self.validation = None
        if validation is not None and self.accelerator.is_main_process:
            quality, degradation = self.objective.quality, recipe.data.degradations[0]
            self.validation = Validation(validation, recipe.validation, degradation, quality, str(device))
        self.targets = Targets(recipe, self.sets, str(device), self.precision)
        if self.accelerator.is_main_process:
            # Last: a command that is wrong leaves no folder behind.
            claim(out, recipe, self.sets.fingerprint, resume=resume)
        self.accelerator.wait_for_everyone()
        self.module = self.generator.module.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.composed = Composed(self.module) if recipe.lora else None
        self.average = Average(self.module, recipe.optimiser.ema)
        learning = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(learning, lr=recipe.optimiser.lr, betas=recipe.optimiser.betas, fused=True)
        self.model = self.accelerator.prepare(self.module)
        self.critic = Critic(recipe, self.accelerator, self.autocast) if recipe.objective.gan else None
        drawing = torch.Generator().manual_seed(seed_of(recipe.seed, rank, 3))
        self.pool = Pool(recipe.data.pool, drawing) if recipe.data.pool else None
        self.guard = Guard(recipe.guard)
        self.checkpoints = Checkpoints(out / "checkpoints", rank, ranks)
        self.log = Log(out) if self.accelerator.is_main_process else None
        self.done = 0
        self._batches: Batches | None = None
        self._sums: dict[str, float] = defaultdict(float)
        self._stop = Stop()
        if resume and (found := self.checkpoints.load()):
            self._restore(*found)

    def run(self, on_progress: Progress = silent) -> Path:
        """Train to the recipe's last step and return what is kept: an adapter, or a network.

        SIGTERM and Ctrl-C end it after the step at hand, with a checkpoint, as KeyboardInterrupt. GamedError where
        the guard stops it.
        """
        recipe = self.recipe
        with self._stop.heard(), ExitStack() as stack:
            batches = self.batches(on_progress)
            if self.done == 0:
                self._validate()
            made = stack.enter_context(closing(made_ahead(batches, self.done, recipe.steps, recipe.data.workers)))
            for batch in made:
                began = time.perf_counter()
                self.step(batch)
                self._sums["seconds"] += time.perf_counter() - began
                if self.done % recipe.log_every == 0 or self.done == recipe.steps:
                    on_progress("training", self.done, recipe.steps, self._report())
                last, stopped = self.done == recipe.steps, self._everyone_stops()
                reason = self._validate() if self.done % recipe.validation.every == 0 or last else None
                if self.done % recipe.checkpoint_every == 0 or last or stopped or reason:
                    self.save()
                if reason:
                    self.keep()
                    raise GamedError(f"stopped at step {self.done}: {reason}; {self.out} has what was reached")
                if stopped and not last:
                    raise KeyboardInterrupt
        if self.log:
            self.log.close()
        return self.keep()

    def draw(self) -> Batch:
        """The batch of the next step, made in this process. The first call makes what `batches` makes beforehand."""
        return self.batches()[self.done]

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the generator, one of the discriminator if there is one, one of the average.

        batch: as `draw` gives it, of any number of samples (with a pool: the recipe's). Returns the weighted terms by
        name, as `Objective.terms` and `Critic.learn` call them. IqsrError where the objective is not finite.
        """
        recipe, rank = self.recipe, self.accelerator.process_index
        torch.manual_seed(seed_of(recipe.seed, self.done, rank, 2))  # of whatever draws in a forward pass
        batch = {name: value.to(self.device) for name, value in batch.items()}
        batch = mirrored(self.targets.scored(batch))
        if self.pool:
            batch = self.pool.exchange(batch)
        target = self._target(batch)
        rate = recipe.optimiser.lr * recipe.optimiser.rate_at(self.done)
        self.optimizer.param_groups[0]["lr"] = rate
        averaged = self._averaged_output(batch["lr"])
        with self.autocast():
            with self.composed.applied() if self.composed else nullcontext():
                output = self.model(batch["lr"].contiguous(memory_format=torch.channels_last)).float()
            critic = self.critic.frozen() if self.critic else None
            terms = self.objective.terms(output, target, batch, discriminator=critic, averaged=averaged)
        total = torch.stack(list(terms.values())).sum()
        self._check_finite(total)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        if recipe.optimiser.clip:
            self.accelerator.clip_grad_norm_(self.module.parameters(), recipe.optimiser.clip)
        self.optimizer.step()
        if self.critic:
            terms |= self.critic.learn(output.detach(), target, recipe.optimiser.rate_at(self.done))
        self.average.update()
        figures = {name: float(term.detach()) for name, term in terms.items()}
        for name, value in figures.items():
            self._sums[name] += value
        self.done += 1
        return figures

    def _target(self, batch: Batch) -> Tensor:
        """The ground truth that the sampler chooses for each sample, (B, 3, H, W) in [0, 1]."""
        gts, rank = batch["gts"], self.accelerator.process_index
        chosen = self.targets.chosen(batch, seed_of(self.recipe.seed, self.done, rank, 4))
        self._sums["original chosen"] += float((chosen == 0).float().mean())
        return gts[torch.arange(len(gts)), chosen.to(gts.device)].float() / 255

    def _averaged_output(self, lr: Tensor) -> Tensor | None:
        if not self.recipe.objective.ldl:
            return None
        # An autocast of its own, for one remembers the weights that it has rounded until it ends.
        with torch.no_grad(), self.average.applied(), self.autocast():
            return self.module(lr).float()

    def batches(self, on_progress: Progress = silent) -> Batches:
        """The batches of this process, by number. The first call makes the scores that `Targets.known` does."""
        if self._batches is not None:
            return self._batches
        recipe, sets = self.recipe, self.sets
        scores = self.targets.known(self.out / "patch-scores", lambda done: on_progress("scores", done, len(sets), {}))
        self._batches = Batches(
            sets,
            recipe.data,
            batch=recipe.batch,
            seed=recipe.seed,
            rank=self.accelerator.process_index,
            ranks=self.accelerator.num_processes,
            scores=scores,
            grid=recipe.sampling.grid,
        )
        return self._batches

    def _validate(self) -> str | None:
        """Look at the averaged network; the guard's reason to stop, if it has one. All processes get the same."""
        reason = None
        if self.validation is not None:
            names = self.recipe.trained_on
            pictures = self.out / "validation" / f"step-{self.done:08d}"
            self.module.eval()
            with self.average.applied(), self.autocast():
                look, figures = self.validation.look(
                    lambda x: self.module(x.to(self.device)).float().cpu(), names, pictures
                )
            self.module.train()
            if self.log:
                self.log.write(self.done, "validation", figures)
            reason = self.guard.judge(look) if self.recipe.guard.on else None
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            reason = broadcast_object_list([reason])[0]
        return reason

    def _report(self) -> dict[str, float]:
        """Means since the last report, also into the log."""
        steps = (self.done - 1) % self.recipe.log_every + 1
        figures = {name: value / steps for name, value in self._sums.items()}
        self._sums.clear()
        if self.log:
            self.log.write(self.done, "train", figures)
        return figures

    def save(self) -> None:
        """Write everything that the next step depends on."""
        state: dict[str, Any] = {
            "weights": {n: p.detach() for n, p in self.module.named_parameters() if p.requires_grad},
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
            "seen": self.targets.seen.state_dict() if self.targets.seen else None,
            "pool": self.pool.state_dict() if self.pool else None,
            "critic": self.critic.state_dict() if self.critic else None,
            "guard": self.guard.state_dict(),
            "sums": dict(self._sums),
            "precision": self.precision,
        }
        self.checkpoints.save(self.done, state)
        self.accelerator.wait_for_everyone()

    def _restore(self, step: int, state: dict[str, Any]) -> None:
        self.done = step
        if state.get("precision", self.precision) != self.precision:
            logger.warning("this run began elsewhere, in another precision: its result will not be the same to the bit")
        self.module.load_state_dict(state["weights"], strict=False)
        self.average.values = {n: v.to(self.device) for n, v in state["average"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.guard.load_state_dict(state["guard"])
        self._sums.update(state["sums"])
        if self.targets.seen and "seen" in state:
            self.targets.seen.load_state_dict(state["seen"])
        if self.pool:
            self.pool.load_state_dict(state["pool"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])

    def keep(self) -> Path:
        """Write the averaged weights; every process returns the file's path."""
        if self.accelerator.is_main_process:
            with self.average.applied():
                keep(self.generator, self.recipe, self.out, {"step": str(self.done)} | origin(self.recipe))
        self.accelerator.wait_for_everyone()
        return self.out / (WEIGHTS_FILE if self.recipe.lora is None else ADAPTER_FILE)

    def _check_finite(self, total: Tensor) -> None:
        if not total.isfinite():
            raise IqsrError(f"the objective is not finite at step {self.done}: lower optimiser.lr, or set bf16 = false")

    def _everyone_stops(self) -> bool:
        """Whether any process was asked to stop."""
        asked = torch.tensor([float(self._stop.asked)], device=self.device)
        if self.accelerator.num_processes > 1:
            asked = cast("Tensor", self.accelerator.gather(asked))
        return bool(asked.sum() > 0)
