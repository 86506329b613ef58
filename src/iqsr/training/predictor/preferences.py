"""A predictor from people's preferences between two pictures (Bradley & Terry, Biometrika 1952)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.errors import UsageError
from iqsr.metrics.dense import Predictor
from iqsr.metrics.srq import Srq, load_srq
from iqsr.scoring.cache import content_hash
from iqsr.training.log_file import LogFile
from iqsr.training.predictor.checkpoints import (
    check_finite,
    keep_result,
    kept_on_failure,
    read_checkpoint,
    write_checkpoint,
)
from iqsr.training.predictor.claim import check_begin, check_data, check_settings, left_out, note_run
from iqsr.training.predictor.objective import preference_loss
from iqsr.training.predictor.preference_pairs import cut_pair, held_out, identity_of, whole_pairs
from iqsr.training.predictor.recipe import PreferenceRecipe
from iqsr.training.predictor.train import new_predictor
from iqsr.training.run_folder import held

Progress = Callable[[str, int, int, dict[str, float]], None]


def train_on_pairs(
    recipe: PreferenceRecipe,
    pairs: Path,
    out: Path,
    on_progress: Progress,
    *,
    start: Path | None = None,
    scratch: bool = False,
    accept_data: bool = False,
) -> Path:
    """Fit srq to the pairs of a CSV file and return the path of the weights (fp16 safetensors) in `out`.

    Called again it goes on from the last checkpoint in `out`. start: weights to begin with, else the shipped srq;
    scratch: begin with ImageNet's features instead. accept_data: go on with the pairs as they are now.

    UsageError where the file is no table of pairs or leaves none to learn from, and where `out` holds another recipe's
    or another start's work; PictureError, before the training, for pictures that cannot be a pair; IqsrError where
    `out` holds other pairs' work, or another process works there; NotFiniteError, WriteError.
    """
    if start is not None and scratch:
        raise UsageError("start from weights or from scratch: one of the two")
    without = {} if accept_data else left_out(out)
    table, without = whole_pairs(
        read_pairs(pairs), recipe, without, lambda done, total: on_progress("pictures", done, total, {})
    )
    kept_apart = held_out(table, recipe.held_out)
    learn = [i for i, apart in enumerate(kept_apart) if not apart]
    check = [i for i, apart in enumerate(kept_apart) if apart]
    if not learn:
        raise UsageError(f"'{pairs}' leaves no pair to learn from: {len(check)} are held out; lower held_out")
    begin = "scratch" if scratch else "srq" if start is None else content_hash(start)
    with held(out, "iqsr train-quality"):
        settings, identity = check_settings(out, recipe), identity_of(table)
        check_begin(out, begin)
        data = check_data(out, identity, "pairs", accept=accept_data)
        state = read_checkpoint(out, recipe)
        note_run(out, recipe, without, settings, data, identity=identity, begin=begin)
        run = _Run(new_predictor("srq") if scratch else load_srq(start), recipe, out)
        if state is not None:
            run.resume(state)
        run.fit(table, learn, check, on_progress)
    return out / "weights.safetensors"


class _Run:
    """One training run in one folder."""

    def __init__(self, model: Predictor, recipe: PreferenceRecipe, folder: Path) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.model.requires_grad_(True)
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr)
        self.rng = torch.Generator().manual_seed(recipe.seed)
        self.step = 0
        self.log = LogFile(folder / "log.jsonl")

    def fit(self, table: Pairs, learn: list[int], check: list[int], on_progress: Progress) -> None:
        """Train to the recipe's last step; a checkpoint and a look at the pairs of `check` every so many."""
        recipe = self.recipe
        self.log.cut_back(self.step)
        if self.step >= recipe.steps:
            keep_result(self.folder, self.average, self.step, recipe.steps)
        while self.step < recipe.steps:
            with kept_on_failure(self.step, self.rng, self.save):
                loss = self._loss(table, learn)
                check_finite({"the loss": loss}, self.step + 1)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
            self.optimizer.step()
            self.step += 1
            decay = min(recipe.ema, self.step / (10 + self.step))
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
            check_finite(self._learned(), self.step)
            figures, last = {"loss": float(loss.detach()), "learning rate": recipe.lr}, self.step == recipe.steps
            if last or self.step % recipe.check_every == 0:
                with kept_on_failure(self.step, self.rng, self.save):
                    figures |= accuracy(self.average, table, check)
            self.log.write({"step": self.step}, figures)
            on_progress("preferences", self.step, recipe.steps, figures)
            if last or self.step % recipe.checkpoint_every == 0:
                self.save()

    def _loss(self, table: Pairs, learn: list[int]) -> Tensor:
        """Of one batch; pairs of different sizes are scored apart."""
        recipe = self.recipe
        chosen = [learn[int(i)] for i in torch.randint(len(learn), (recipe.pairs,), generator=self.rng)]
        pairs_of_crops = [cut_pair(table, i, recipe.crop, self.rng) for i in chosen]
        scores = torch.stack([self.model(both) for both in pairs_of_crops])
        shares = torch.tensor(table.share_first[chosen], dtype=torch.float32)
        return preference_loss(scores[:, 0], scores[:, 1], shares, softness=recipe.softness)

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        state = {
            **self._learned(),
            "generator": self.rng.get_state(),
            "step": self.step,
            "recipe": self.recipe.model_dump_json(),
        }
        write_checkpoint(self.folder, state, self.average)

    def _learned(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.set_state(state["generator"])
        self.average, self.step = state["average"], state["step"]


@torch.inference_mode()
def accuracy(average: dict[str, Tensor], table: Pairs, check: list[int]) -> dict[str, float]:
    """Share of the pairs of `check` that the averaged weights order as most people do; equal scores are half right.

    Nothing where people prefer neither picture of any of them.
    """
    decided = [i for i in check if table.share_first[i] != 0.5]
    if not decided:
        return {}
    judge = Srq()
    judge.load_state_dict(average)
    right = 0.0
    for i in decided:
        first, second = judge(cut_pair(table, i, None, torch.Generator())).tolist()
        right += 0.5 if first == second else float((first > second) == (table.share_first[i] > 0.5))
    return {"accuracy": right / len(decided)}
