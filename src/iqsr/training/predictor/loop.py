"""The training of a quality predictor: one loop, read from top to bottom."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from iqsr.device import bf16_pays
from iqsr.io.atomic import write_errors
from iqsr.metrics.dense import Predictor, quality_of
from iqsr.training.log_file import LogFile
from iqsr.training.predictor.batches import Batch, Versions, cut_and_turned
from iqsr.training.predictor.checkpoints import (
    check_finite,
    keep_result,
    kept_on_failure,
    read_checkpoint,
    write_checkpoint,
)
from iqsr.training.predictor.ladders import random_ladders
from iqsr.training.predictor.measures import agreement, score_versions
from iqsr.training.predictor.objective import attacked, gaming_loss, ladder_loss, map_loss, rank_loss, score_loss
from iqsr.training.predictor.recipe import TrainingRecipe

logger = logging.getLogger(__name__)


class Run:
    """One training run in one folder: checkpoints, log, and weights when it is done."""

    ladder_crops: Tensor | None = None
    """(N, 3, S, S) uint8, what ladders are made of; None: the crops of each batch."""

    def __init__(self, model: Predictor, recipe: TrainingRecipe, folder: Path) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.halfway: dict[str, Tensor] = {}
        """The average as it was half way, once it is there and if the recipe wants it."""
        trunk = [p for n, p in model.named_parameters() if p.requires_grad and n.startswith("trunk.")]
        head = [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("trunk.")]
        groups = [{"params": head, "lr": recipe.head_lr}, {"params": trunk, "lr": recipe.trunk_lr}]
        self.optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=recipe.weight_decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, recipe.rate_at)
        self.rng = torch.Generator().manual_seed(recipe.seed)
        self.step = 0
        self.log = LogFile(folder / "log.jsonl")
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def fit(self, learn: Versions, check: Versions, on_step: Callable[[int, dict[str, float]], None]) -> None:
        """Train to the recipe's last step; a checkpoint and a look at `check` every so many.

        NotFiniteError where a step makes something that is not finite; the last checkpoint is from before.
        """
        self.log.cut_back(self.step)
        if self.step >= self.recipe.steps:
            keep_result(self.folder, self.result(), self.step, self.recipe.steps)
        while self.step < self.recipe.steps:
            started = time.perf_counter()
            rate = self.optimizer.param_groups[0]["lr"]
            with kept_on_failure(self.step, self.rng, self.save):
                losses = self._losses(self._draw(learn))
                total = torch.stack(list(losses.values())).sum()
                check_finite({f"the term {k}": v for k, v in losses.items()} | {"the sum": total}, self.step + 1)
                self.optimizer.zero_grad(set_to_none=True)
                total.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.schedule.step()
            self.step += 1
            self._update_average()
            check_finite(self._learned(), self.step)
            if self.recipe.halfway_share and self.step == self.recipe.steps // 2:
                self.halfway = {k: v.clone() for k, v in self.average.items()}
            figures = {k: float(v.detach()) for k, v in losses.items()} | {"total": float(total.detach())}
            figures |= {"learning rate": rate, "seconds": time.perf_counter() - started}
            if self.step % self.recipe.check_every == 0 or self.step == self.recipe.steps:
                figures |= self.check(check)
            self.log.write({"step": self.step}, figures)
            on_step(self.step, figures)
            if self.step % self.recipe.checkpoint_every == 0 or self.step == self.recipe.steps:
                self.save()

    def _draw(self, learn: Versions) -> Batch:
        """A batch of one size, the size drawn from the recipe's."""
        sizes = self.recipe.windows
        window = sizes[int(torch.randint(len(sizes), (), generator=self.rng))] if sizes else None
        return learn.draw(self.recipe.crops, self.recipe.versions, self.rng, window)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the objective for one batch."""
        recipe, target = self.recipe, quality_of(batch.distance)
        with self._autocast():
            seen = self.model.predict(batch.pictures)
            losses = {
                "score": recipe.score_weight * score_loss(seen.score, target),
                "map": recipe.map_weight * map_loss(seen, batch.places),
                "rank": recipe.rank_weight
                * rank_loss(seen.score.view(-1, recipe.versions), target.view(-1, recipe.versions)),
            }
            if recipe.ladders:
                losses["ladders"] = recipe.ladder_weight * self._ladders(batch)
            if recipe.attack and self.step % recipe.attack.every == 0:
                losses["gaming"] = self._gaming(batch, torch.maximum(target, seen.score.detach()))
        return losses

    def _ladders(self, batch: Batch) -> Tensor:
        """The loss on fresh ladders of clean crops."""
        clean = self._to_spoil(batch)
        rungs = random_ladders(clean, self.recipe.ladders, self.rng)
        scores = self.model.predict(rungs.flatten(0, 1)).score.view(rungs.shape[:2])
        return ladder_loss(scores, margin=self.recipe.ladder_margin)

    def _to_spoil(self, batch: Batch) -> Tensor:
        """Clean crops, as large as the batch's."""
        if self.ladder_crops is None:
            return batch.clean
        crops, side = self.ladder_crops, batch.clean.shape[-1]
        drawn = torch.randint(len(crops), (self.recipe.ladders,), generator=self.rng).tolist()
        cut = [cut_and_turned(crops.shape[-1], side, self.rng)(crops[i : i + 1], 1) for i in drawn]
        return torch.cat(cut).float() / 255

    def _gaming(self, batch: Batch, ceiling: Tensor) -> Tensor:
        """The loss on freshly attacked pictures of the batch, which must not score above `ceiling`.

        This is the better of what the teachers and the predictor say of the picture: where the predictor overrates it
        anyway the score term says so, and attacks would only teach it to rate everything low.
        """
        attack = self.recipe.attack
        assert attack is not None
        chosen = torch.randperm(len(ceiling), generator=self.rng)[: attack.pictures]
        eps = attack.eps * (0.25 + 1.25 * float(torch.rand((), generator=self.rng))) / 255
        start = self.rng if float(torch.rand((), generator=self.rng)) < attack.random_start else None
        shortest, longest = attack.reach
        reach = shortest + (longest - shortest) * float(torch.rand((), generator=self.rng))
        x = attacked(self.model, batch.pictures[chosen], eps=eps, steps=attack.steps, reach=reach, rng=start)
        late = attack.late_weight if 2 * self.step >= self.recipe.steps else None
        weight = attack.weight if late is None else late
        return weight * gaming_loss(self.model.predict(x).score, ceiling[chosen])

    def result(self) -> dict[str, Tensor]:
        """The weights that the run leaves: the running average, and at the end the recipe's share of that half way."""
        if not self.halfway or self.step < self.recipe.steps:
            return self.average
        return {k: v.lerp(self.halfway[k], self.recipe.halfway_share) for k, v in self.average.items()}

    def check(self, versions: Versions) -> dict[str, float]:
        """Agreement of the `result` with the teachers, on crops not learned from, if there are any."""
        if not len(versions):
            return {}
        kept = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.result())
        with self._autocast():
            found = agreement(score_versions(self.model, versions), versions)
        self.model.load_state_dict(kept)
        return {k: v for k, v in asdict(found).items() if isinstance(v, float)}

    def save(self) -> None:
        """Write the checkpoint that `resume` reads and the `result`, each whole or not at all."""
        state = {
            **self._learned(),
            "schedule": self.schedule.state_dict(),
            "generator": self.rng.get_state(),
            "step": self.step,
            "recipe": self.recipe.model_dump_json(),
            "halfway": self.halfway,
            "bf16": self._bf16,
        }
        write_checkpoint(self.folder, state, self.average, self.result())

    def _learned(self) -> dict[str, object]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if there is one. Raises the errors of `read_checkpoint`."""
        state = read_checkpoint(self.folder, self.recipe)
        if state is None:
            return False
        if state.get("bf16", self._bf16) != self._bf16:
            logger.warning("this run began elsewhere, in another precision: its result will not be the same to the bit")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        share = self.recipe.rate_at(state["step"])  # not as it was stored: the run may be longer by now
        for group, rate in zip(self.optimizer.param_groups, self.schedule.base_lrs, strict=True):
            group["lr"] = rate * share
        self.rng.set_state(state["generator"])
        self.average, self.halfway, self.step = state["average"], state["halfway"], state["step"]
        return True

    @property
    def _bf16(self) -> bool:
        return self.recipe.bf16 and bf16_pays(torch.device("cpu"))

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)

    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
