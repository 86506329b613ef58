"""The training of a quality predictor: what every step does, and what is learned from teachers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from iqsr.finite import NotFiniteError, first_not_finite
from iqsr.io.atomic import write_bytes
from iqsr.io.tensor_files import serialized
from iqsr.metrics.dense import Predictor, quality_of
from iqsr.training.engine.average import Average
from iqsr.training.engine.loop import Loop, Pace, Progress, silent
from iqsr.training.engine.precision import autocast, choose_precision
from iqsr.training.predictor.batches import Batch, Versions, cut_and_turned
from iqsr.training.predictor.ladders import random_ladders
from iqsr.training.predictor.measures import agreement, score_versions
from iqsr.training.predictor.objective import attacked, gaming_loss, ladder_loss, map_loss, rank_loss, score_loss
from iqsr.training.predictor.recipe import PreferenceRecipe, TrainingRecipe

_CPU = torch.device("cpu")
WEIGHTS_FILE = "weights.safetensors"
_Batch = TypeVar("_Batch")


class PredictorLoop(Loop[_Batch], Generic[_Batch]):
    """One run of a predictor's training in one folder.

    Args:
        model: The predictor; what of it requires gradients learns.
        optimizer: Its optimiser, with the learning rates before `rate_at`.
        recipe: The settings.
        out: The run's folder.
        stage: The name that progress is reported by.
        warmup: Of the running average.
    """

    advice = "lower the recipe's learning rates, or set bf16 = false"
    clip: float | None = None
    """Largest norm of a step's gradient."""

    def __init__(
        self,
        model: Predictor,
        optimizer: torch.optim.Optimizer,
        recipe: TrainingRecipe | PreferenceRecipe,
        out: Path,
        stage: str,
        *,
        warmup: int,
    ) -> None:
        super().__init__(out, Pace(recipe.steps, 1, recipe.check_every, recipe.checkpoint_every), stage)
        self.model, self.optimizer = model, optimizer
        self.average = Average(model.state_dict(), recipe.ema, warmup=warmup)
        self.rng = torch.Generator().manual_seed(recipe.seed)
        self._rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._rng_before: Tensor | None = None
        self._on_progress: Progress = silent

    @abstractmethod
    def draw(self) -> _Batch:
        """A batch, drawn with `rng`."""

    @abstractmethod
    def losses(self, batch: _Batch) -> dict[str, Tensor]:
        """The weighted terms of the objective for a batch."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Figures of the model on what is held out, if anything is. The model has the weights of `result`."""

    def rate_at(self, step: int) -> float:
        """Share of the learning rates in the step numbered `step`, from 0."""
        return 1.0

    def result(self) -> Mapping[str, Tensor]:
        """The weights that the run leaves."""
        return self.average.values

    def step(self, batch: _Batch) -> dict[str, float]:
        """One step of the model and of the average; returns the weighted terms. NotFiniteError."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self.rate_at(self.done)
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        self.check_finite({f"the objective's term {k}": v for k, v in losses.items()} | {"the sum": total})
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.intact = False
        self.optimizer.step()
        self.average.update(self.done + 1)
        self.check_finite(self.learned())
        figures = {name: float(term.detach()) for name, term in losses.items()}
        self.figures.add(figures | {"total": float(total.detach())}, steps=1)
        self.done += 1
        self.intact, self._rng_before = True, None
        return figures

    def before_steps(self, on_progress: Progress) -> None:
        """Remember where figures are reported."""
        self._on_progress = on_progress

    def remaining_batches(self) -> Generator[_Batch]:
        """Batches, each drawn when it is asked for."""
        while True:
            self._rng_before = self.rng.get_state()
            yield self.draw()

    def undo(self, error: Exception) -> bool:
        """Give `rng` the state that it had before the step."""
        if self._rng_before is not None:
            self.rng.set_state(self._rng_before)
        return True

    def validate(self) -> None:
        """Measure the result so far, and log and report the figures."""
        with self.average.applied(self.result()):
            figures = self.measure()
        if figures and self.log:
            self.log.write(self.done, "validation", figures)
            self._on_progress(self.stage, self.done, self.pace.steps, figures)

    def rates(self) -> dict[str, float]:
        """The learning rate of the last step; where there are several, the first one."""
        return {"learning rate": self._rates[0] * self.rate_at(self.done - 1)}

    def learned(self) -> dict[str, Any]:
        """What must be finite after every step."""
        return {
            "weights": self.model.state_dict(),
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_learned(self, state: Mapping[str, Any]) -> None:
        """Continue with the weights of a state."""
        self.model.load_state_dict(state["weights"])

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return super().state_dict() | {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any], done: int) -> None:
        """Continue from a state after `done` steps."""
        super().load_state_dict(state, done)
        self.rng.set_state(state["rng"])

    def resume(self) -> bool:
        """Continue from the folder's last good checkpoint, if there is one. Raises the errors of `Checkpoints.load`."""
        if (found := self.last_checkpoint()) is None:
            return False
        done, state = found
        self.load_state_dict(state, done)
        return True

    def keep(self) -> Path:
        """Write the result in fp16, unless the file has it already. NotFiniteError for weights beyond fp16."""
        path, halves = self.out / WEIGHTS_FILE, {k: v.half().contiguous() for k, v in self.result().items()}
        if (name := first_not_finite(halves)) is not None:
            raise NotFiniteError(f"{name} is not finite in fp16 after step {self.done}: {self.advice}")
        data = serialized(halves)
        if not path.is_file() or path.read_bytes() != data:
            write_bytes(path, data)
        return path


class TeacherTraining(PredictorLoop[Batch]):
    """Learns from versions of crops that teachers judged.

    Args:
        model: The predictor.
        recipe: The settings.
        out: The run's folder.
        learn: The versions to learn from.
        check: Versions of other photos, to measure the agreement with the teachers on; there may be none.
        stage: The name that progress is reported by.
        ladder_crops: (N, 3, S, S) uint8, what ladders are made of; None: the crops of each batch.
    """

    model: Predictor

    def __init__(
        self,
        model: Predictor,
        recipe: TrainingRecipe,
        out: Path,
        learn: Versions,
        check: Versions,
        stage: str = "training",
        *,
        ladder_crops: Tensor | None = None,
    ) -> None:
        trunk = [p for n, p in model.named_parameters() if p.requires_grad and n.startswith("trunk.")]
        head = [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("trunk.")]
        groups = [{"params": head, "lr": recipe.head_lr}, {"params": trunk, "lr": recipe.trunk_lr}]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=recipe.weight_decay)
        super().__init__(model, optimizer, recipe, out, stage, warmup=1)
        self.recipe, self.learn_from, self.check_on, self.ladder_crops = recipe, learn, check, ladder_crops
        self.clip = recipe.clip
        self.precision = choose_precision(recipe.bf16, _CPU)
        self.halfway: dict[str, Tensor] = {}
        """The average after half of the steps, from then on and if the recipe wants it."""

    def rate_at(self, step: int) -> float:
        """Share of the learning rates in a step."""
        return self.recipe.rate_at(step)

    def draw(self) -> Batch:
        """A batch of one size, the size drawn from the recipe's."""
        sizes = self.recipe.windows
        window = sizes[int(torch.randint(len(sizes), (), generator=self.rng))] if sizes else None
        return self.learn_from.draw(self.recipe.crops, self.recipe.versions, self.rng, window)

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the model and of the average."""
        figures = super().step(batch)
        if self.recipe.halfway_share and self.done == self.recipe.steps // 2:
            self.halfway = {k: v.clone() for k, v in self.average.values.items()}
        return figures

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the objective for a batch."""
        recipe, target = self.recipe, quality_of(batch.distance)
        with autocast(self.precision, _CPU):
            found = self.model.predict(batch.pictures)
            losses = {
                "score": recipe.score_weight * score_loss(found.score, target),
                "map": recipe.map_weight * map_loss(found, batch.places),
                "rank": recipe.rank_weight
                * rank_loss(found.score.view(-1, recipe.versions), target.view(-1, recipe.versions)),
            }
            if recipe.ladders:
                losses["ladders"] = recipe.ladder_weight * self._ladders(batch)
            if recipe.attack and self.done % recipe.attack.every == 0:
                losses["gaming"] = self._gaming(batch, torch.maximum(target, found.score.detach()))
        return losses

    def _ladders(self, batch: Batch) -> Tensor:
        """The loss on new ladders of clean crops."""
        clean = self._ladder_tops(batch)
        rungs = random_ladders(clean, self.recipe.ladders, self.rng)
        scores = self.model.predict(rungs.flatten(0, 1)).score.view(rungs.shape[:2])
        return ladder_loss(scores, margin=self.recipe.ladder_margin)

    def _ladder_tops(self, batch: Batch) -> Tensor:
        """Clean crops, as large as the batch's."""
        if self.ladder_crops is None:
            return batch.clean
        crops, side = self.ladder_crops, batch.clean.shape[-1]
        drawn = torch.randint(len(crops), (self.recipe.ladders,), generator=self.rng).tolist()
        cut = [cut_and_turned(crops.shape[-1], side, self.rng)(crops[i : i + 1], 1) for i in drawn]
        return torch.cat(cut).float() / 255

    def _gaming(self, batch: Batch, ceiling: Tensor) -> Tensor:
        """The loss on attacked pictures of the batch, which must not score above `ceiling`.

        The ceiling is the larger one of the teachers' and the predictor's score of the picture before the attack. A
        predictor that overrates that picture anyway learns so from the score term; attacks would only teach it to rate
        everything low.
        """
        attack = self.recipe.attack
        assert attack is not None
        chosen = torch.randperm(len(ceiling), generator=self.rng)[: attack.pictures]
        eps = attack.eps * (0.25 + 1.25 * float(torch.rand((), generator=self.rng))) / 255
        start = self.rng if float(torch.rand((), generator=self.rng)) < attack.random_start else None
        shortest, longest = attack.reach
        reach = shortest + (longest - shortest) * float(torch.rand((), generator=self.rng))
        x = attacked(self.model, batch.pictures[chosen], eps=eps, steps=attack.steps, reach=reach, rng=start)
        late = attack.late_weight if 2 * self.done >= self.recipe.steps else None
        weight = attack.weight if late is None else late
        return weight * gaming_loss(self.model.predict(x).score, ceiling[chosen])

    def result(self) -> Mapping[str, Tensor]:
        """The running average, and at the end the recipe's share of the average after half of the steps."""
        if not self.halfway or self.done < self.recipe.steps:
            return self.average.values
        return {k: v.lerp(self.halfway[k], self.recipe.halfway_share) for k, v in self.average.values.items()}

    def measure(self) -> dict[str, float]:
        """Agreement with the teachers, on crops that are not learned from."""
        if not len(self.check_on):
            return {}
        with autocast(self.precision, _CPU):
            found = agreement(score_versions(self.model, self.check_on), self.check_on)
        return {k: v for k, v in asdict(found).items() if isinstance(v, float)}

    def learned(self) -> dict[str, Any]:
        """What must be finite after every step."""
        return super().learned() | {"halfway": self.halfway}

    def load_learned(self, state: Mapping[str, Any]) -> None:
        """Continue with the weights of a state."""
        super().load_learned(state)
        self.halfway = state["halfway"]
