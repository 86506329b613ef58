"""A predictor from people's preferences between two pictures (Bradley & Terry, Biometrika 1952)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.errors import UsageError
from iqsr.metrics.dense import Predictor
from iqsr.metrics.srq import load_srq
from iqsr.scoring.cache import content_hash
from iqsr.training.engine.folder import RunFolder, at_least, left_out
from iqsr.training.engine.loop import Progress, silent
from iqsr.training.predictor.loop import PredictorLoop
from iqsr.training.predictor.objective import preference_loss
from iqsr.training.predictor.preference_pairs import cut_pair, held_out, identity_of, whole_pairs
from iqsr.training.predictor.recipe import PreferenceRecipe
from iqsr.training.predictor.train import WORK, new_predictor

_STARTS = {"srq": "the shipped srq", "scratch": "--scratch"}


def train_on_pairs(
    recipe: PreferenceRecipe,
    pairs: Path,
    out: Path,
    *,
    start: Path | None = None,
    scratch: bool = False,
    resume: bool = False,
    accept_data: bool = False,
    on_progress: Progress = silent,
) -> Path:
    """Train srq on the pairs of a CSV file.

    Args:
        recipe: The settings.
        pairs: The table: `first`, `second`, `share_first`.
        out: The run's folder.
        start: The weights to start from, instead of the shipped srq.
        scratch: Start from ImageNet's features.
        resume: Continue from the last whole checkpoint. Settings that the result does not depend on may differ, and
            `steps` may grow.
        accept_data: With `resume`: continue with the pairs as they are now, and note what changed.
        on_progress: Called at each step, and as pictures are read.

    Returns:
        The file of the weights, fp16.

    Raises:
        UsageError: If the file is no table of pairs or leaves none to learn from, where there is no run to continue,
            and for another recipe or another start than the run's.
        PictureError: For pictures that cannot be read, or be a pair.
        IqsrError: If `out` holds a run already, or one on other pairs; if another process works there.
        NotFiniteError: If a step makes something that is not finite.
        WriteError: If the disk does not take what is written.
        KeyboardInterrupt: When it was asked to stop; a checkpoint is written first.
    """
    if start is not None and scratch:
        raise UsageError("start from weights or from scratch: one of the two")
    recipe = at_least(recipe, out) if resume else recipe
    folder = RunFolder(out, WORK, recipe, resume=resume)
    try:
        without = left_out(out) if resume and not accept_data else {}
        table, without = whole_pairs(
            read_pairs(pairs), recipe, without, lambda done, total: on_progress("pictures", done, total, {})
        )
        kept_apart = held_out(table, recipe.held_out)
        learn = [i for i, apart in enumerate(kept_apart) if not apart]
        check = [i for i, apart in enumerate(kept_apart) if apart]
        if not learn:
            raise UsageError(f"'{pairs}' leaves no pair to learn from: {len(check)} are held out; lower held_out")
        began = "scratch" if scratch else "srq" if start is None else content_hash(start)
        folder.check_fact("start", began, _other_start, UsageError)
        model = new_predictor("srq") if scratch else load_srq(start)
        folder.take()
        identity = identity_of(table)
        changed = folder.check_data(identity, "pairs", accept=accept_data)
        training = PreferenceTraining(model, recipe, out, table, learn, check)
        if resume:
            training.resume()
        folder.write(
            left_out=without,
            data=identity,
            facts={"start": began},
            step=training.done,
            changed={"data": changed.note()},
        )
        return training.run(on_progress)
    finally:
        folder.release()


class PreferenceTraining(PredictorLoop[Sequence[int]]):
    """Learns from pairs; a batch is the numbers of its pairs in the table.

    Args:
        model: The predictor.
        recipe: The settings.
        out: The run's folder.
        table: The pairs.
        learn: The numbers of those to learn from.
        check: The numbers of those to measure the accuracy on.
    """

    def __init__(
        self,
        model: Predictor,
        recipe: PreferenceRecipe,
        out: Path,
        table: Pairs,
        learn: Sequence[int],
        check: Sequence[int],
    ) -> None:
        model.requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr)
        super().__init__(model, optimizer, recipe, out, "preferences", warmup=0)
        self.recipe, self.table, self.learn_from, self.check_on = recipe, table, learn, check

    def draw(self) -> Sequence[int]:
        """Pairs, drawn with replacement."""
        drawn = torch.randint(len(self.learn_from), (self.recipe.pairs,), generator=self.rng)
        return [self.learn_from[int(i)] for i in drawn]

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """The loss of a batch; each pair is scored by itself, for pairs differ in size."""
        crops = [cut_pair(self.table, i, self.recipe.crop, self.rng) for i in batch]
        scores = torch.stack([self.model(both) for both in crops])
        shares = torch.tensor(self.table.share_first[list(batch)], dtype=torch.float32)
        return {"loss": preference_loss(scores[:, 0], scores[:, 1], shares, softness=self.recipe.softness)}

    def measure(self) -> dict[str, float]:
        """The accuracy on pairs that are not learned from."""
        return accuracy(self.model, self.table, self.check_on)


@torch.inference_mode()
def accuracy(score: Callable[[Tensor], Tensor], table: Pairs, check: Sequence[int]) -> dict[str, float]:
    """Share of the pairs numbered `check` that are ordered as most people do; equal scores are half right.

    Nothing where people prefer neither picture of any of them.
    """
    decided = [i for i in check if table.share_first[i] != 0.5]
    if not decided:
        return {}
    right = 0.0
    for i in decided:
        first, second = score(cut_pair(table, i, None, torch.Generator())).tolist()
        right += 0.5 if first == second else float((first > second) == (table.share_first[i] > 0.5))
    return {"accuracy": right / len(decided)}


def _other_start(began: str) -> str:
    started = _STARTS.get(began, "other weights (--from)")
    return f"with another start: it began with {started}; give this as it was, or name another folder"
