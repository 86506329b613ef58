"""A run of training: its folder, its batches, its validation, what it leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from iqsr.errors import IqsrError
from iqsr.models.adapter import weights_sha256
from iqsr.models.merge import ADAPTER_FILE, WEIGHTS_FILE
from iqsr.training.engine.folder import RunFolder, at_least, left_out, origin, read_note
from iqsr.training.engine.identity import Difference
from iqsr.training.engine.loop import Progress, silent, stopped_after
from iqsr.training.engine.prefetch import prefetched
from iqsr.training.engine.processes import decode_together, gathered, join, together
from iqsr.training.sr.data import Batch, Batches
from iqsr.training.sr.learner import Learner
from iqsr.training.sr.networks import keep
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.sets import DamagedSetError, Sets
from iqsr.training.sr.share import share_of
from iqsr.training.sr.validation import Guard, Validation, ValidationResult, summary

_NAMED = 3
logger = logging.getLogger(__name__)


class Training(Learner):
    """One run in one folder: everything it needs, everything it leaves behind. Arguments and errors: as of `train`.

    No other process can work in the folder until `run` has ended, `close` is called or the object is gone.

    >>> training = Training(recipe, Path("sets"), Path("runs/ft"))
    >>> terms = training.step(training.draw())  # training.run() takes all that are left
    """

    folder: RunFolder | None = None
    """In the first process alone."""
    _batches: Batches | None = None

    def __init__(
        self,
        recipe: TrainRecipe,
        data: Path | Sequence[Path],
        out: Path,
        *,
        validation: Path | None = None,
        resume: bool = False,
        accept_data: bool = False,
        on_progress: Progress = silent,
    ) -> None:
        accelerator = join()
        recipe = at_least(recipe, out) if resume else recipe
        self.guard = Guard(recipe.guard)
        try:
            with together(accelerator):
                if accelerator.is_main_process:
                    self.folder = RunFolder(out, "iqsr train", recipe, resume=resume)
            without = left_out(out) if resume and not accept_data else {}
            rank, ranks = accelerator.process_index, accelerator.num_processes
            began = read_note(out)["processes"] if resume else ranks
            share = share_of(recipe.batch, began, rank, ranks)
            super().__init__(recipe, accelerator, Sets(data, recipe.data, without=without), out, share)
            with together(accelerator):
                self.validation = self._open_validation(validation) if validation else None
            # After all that fails at once for wrong arguments: reading the pictures takes time.
            self._check_pictures(on_progress)
            self._take_folder(resume=resume, accept_data=accept_data)
        except BaseException:
            self.close()
            raise

    def _open_validation(self, photos: Path) -> Validation:
        recipe, quality = self.recipe, self.objective.quality
        degradation, skip = recipe.data.degradations[0], recipe.data.damaged == "skip"
        rank, ranks = self.share.rank, self.share.ranks
        return Validation(
            photos,
            recipe.validation,
            degradation,
            quality,
            str(self.device),
            skip_damaged=skip,
            rank=rank,
            ranks=ranks,
        )

    def _check_pictures(self, on_progress: Progress) -> None:
        """Decode all pictures, if the recipe asks for it, and warn of sets that are left out."""
        sets, accelerator = self.sets, self.accelerator
        if sets.recipe.check:
            sets.check(
                lambda paths: decode_together(
                    paths, accelerator, lambda done, total: on_progress("pictures", done, total, {})
                )
            )
        if sets.left_out and self.is_first():
            first = "; ".join(list(sets.left_out.values())[:_NAMED])
            logger.warning("sets left out for their pictures (run.json names them): %d: %s", len(sets.left_out), first)

    def _take_folder(self, *, resume: bool, accept_data: bool) -> None:
        """Begin in the folder, or continue there. Last: wrong arguments leave no folder behind."""
        facts: dict[str, object] = {"processes": self.accelerator.num_processes}
        if self.folder and self.recipe.lora:
            facts["base"] = weights_sha256(self.module)
        other_data, other_validation, processes = Difference(), "", list[int]()
        with together(self.accelerator):
            if self.folder:
                self.folder.take()
                self._check_base(self.folder, facts.get("base"))
                processes = self._other_processes() if resume else []
                other_data = self.folder.check_data(self.sets.identity, "sets", accept=accept_data)
        if resume and (found := self.last_checkpoint()):
            other_validation = self._restore(found, other_data)
        with together(self.accelerator):
            if self.folder:
                self.folder.write(
                    left_out=self.sets.left_out,
                    data=self.sets.identity,
                    facts=facts,
                    step=self.done,
                    changed={"data": other_data.note(), "validation": other_validation, "processes": processes},
                )

    def _other_processes(self) -> list[int]:
        """How many processes there were last, and how many there are now; nothing where these are as many."""
        note, now = read_note(self.out), self.share.ranks
        noted = [change["processes"][1] for change in note["changes"] if "processes" in change]
        before = [note["processes"], *noted][-1]
        if before == now:
            return []
        logger.warning(
            "the run had %d processes, now there are %d: of the %d samples of each step each takes %d",
            *(before, now, self.share.whole, self.share.size),
        )
        return [before, now]

    def _check_base(self, folder: RunFolder, base: object) -> None:
        """IqsrError for adapters on other weights than the folder's run has."""
        start = self.recipe.model.start
        folder.check_fact(
            "base",
            base,
            lambda began: (
                f"of adapters on other weights: model.start = '{start}' is not what it was; "
                "give the network that the run began with, or name another folder"
            ),
        )

    def close(self) -> None:
        """Let other processes work in the run's folder."""
        if self.folder:
            self.folder.release()

    # Batches

    def draw(self) -> Batch:
        """The batch of the next step, made in this process. The first call makes the scores that `targets` needs."""
        return self.batches()[self.done]

    def batches(self, on_progress: Progress = silent) -> Batches:
        """The batches of this process, by number. The first call makes the scores that `targets` needs beforehand."""
        if self._batches is not None:
            return self._batches
        recipe, sets, folder = self.recipe, self.sets, self.out / "patch-scores"
        with self.together():
            scores = self.targets.scores_beforehand(
                folder, lambda done: on_progress("scores", done, len(sets), {}), self.share
            )
        self._batches = Batches(
            sets,
            recipe.data,
            batch=self.share.size,
            seed=recipe.seed,
            rank=self.share.rank,
            ranks=self.share.ranks,
            scores=scores,
            grid=recipe.sampling.grid,
        )
        return self._batches

    def before_steps(self, on_progress: Progress) -> None:
        """Make the scores; validate the model before it has learned anything."""
        self.batches(on_progress)
        if self.done == 0:
            self.validate()

    def remaining_batches(self) -> Generator[Batch]:
        """The batches of this process from the next step on, prefetched."""
        return prefetched(self.batches(), self.done, self.recipe.steps, self.recipe.data.workers)

    def next_batch(self, batches: Iterator[Batch]) -> Batch:
        """The next batch of this process. UnreadError, in all processes, where one has none."""
        batch, failure = None, None
        try:
            batch = next(batches)
        except IqsrError as error:
            failure = error
        failed = gathered(self.accelerator, [failure])
        if error := next((e for e in failed if e is not None), None):
            name = error.name if isinstance(error, DamagedSetError) else None
            raise UnreadError(stopped_after(self.done, error), name)
        assert batch is not None
        return batch

    def undo(self, error: Exception) -> bool:
        """Restore the pool. Of several processes all can write a checkpoint only where all of them failed together."""
        if self.exchanged and self.pool:
            self.pool.undo()
        if isinstance(error, UnreadError) and error.name and self.folder:
            self.folder.note_unreadable(error.name)
        return self.accelerator.num_processes == 1 or isinstance(error, UnreadError)

    # Validation

    def validate(self) -> str | None:
        """Measure the averaged model; the guard's reason to stop, if it has one. All processes get the same."""
        if self.validation is None:
            return None
        result, figures = self._measure(self.validation, self.out / "validation" / f"step-{self.done:08d}")
        reason = None
        with self.together():
            if self.log:
                self.log.write(self.done, "validation", figures)
            if self.is_first() and self.recipe.guarded:
                reason = self.guard.judge(result)
        return broadcast_object_list([reason])[0] if self.share.ranks > 1 else reason

    def _measure(self, validation: Validation, pictures: Path | None) -> tuple[ValidationResult, dict[str, float]]:
        """Measure the averaged model on the photos, each process on its share."""
        with self.together():
            self.module.eval()
            with self.average.applied(), self.autocast():
                mine = validation.measure(lambda x: self.module(x.to(self.device)).float().cpu(), pictures)
            self.module.train()
        return summary(gathered(self.accelerator, mine), self.recipe.trained_on)

    def _is_other_validation(self, state: Mapping[str, Any]) -> bool:
        """Whether the results of validations before cannot be compared with those from here on."""
        before, now = state["validation"], self.validation.fingerprint if self.validation else None
        if before and not now and self.is_first():
            logger.warning("no --validation, which there was before: the guard sees nothing from here on")
        elif before and before != now and self.is_first():
            logger.warning("validation is on other photos than before, or measured otherwise")
        return now is not None and before != now

    def _renew_baseline(self, validation: Validation) -> None:
        result, _ = self._measure(validation, None)
        self.guard.restart(result)
        if self.is_first():
            logger.warning(
                "the guard compares with the network before the first step, measured anew: quality %.1f", result.mean
            )

    # What is written

    def state_dict(self) -> dict[str, Any]:
        """All that the next step and validation depend on; in processes after the first what only they have."""
        if not self.is_first():
            return super().state_dict()
        fingerprint = self.validation.fingerprint if self.validation else None
        return super().state_dict() | {"guard": self.guard.state_dict(), "validation": fingerprint}

    def save(self) -> None:
        """Write everything that the next step depends on; in every process, or in none."""
        super().save()
        self.accelerator.wait_for_everyone()

    def _restore(self, found: tuple[int, dict[str, Any]], data: Difference) -> str:
        """Continue from a checkpoint. Returns how validation is not as it was, if so; data: what differs there."""
        done, state = found
        if not (other := self._is_other_validation(state)):
            self.guard.load_state_dict(state["guard"])
        if self.validation and self.recipe.guarded and self.guard.first is None:
            self._renew_baseline(self.validation)  # now: the network is still as it was before the first step
        self.load_state_dict(state, done, same_sets=not data)
        return "other photos, or measured otherwise" if other else ""

    def keep(self) -> Path:
        """Write the averaged weights; every process returns the file's path."""
        with self.together(), self.average.applied():
            if self.is_first():
                keep(self.sr_model, self.recipe, self.out, {"step": str(self.done)} | origin(self.recipe))
        self.accelerator.wait_for_everyone()
        return self.out / (WEIGHTS_FILE if self.recipe.lora is None else ADAPTER_FILE)


class UnreadError(IqsrError):
    """A batch that one of the processes could not make; all of them raise this."""

    def __init__(self, message: str, name: str | None) -> None:
        super().__init__(message)
        self.name = name
        """Of the set with the picture that cannot be read."""
