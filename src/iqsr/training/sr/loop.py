"""The training of a model: one loop, read from top to bottom, on one process or (`accelerate launch`) several."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from iqsr.errors import IqsrError, WriteError
from iqsr.finite import NotFiniteError
from iqsr.io.locks import LOCK_FILE, FolderLock
from iqsr.models.adapter import weights_sha256
from iqsr.models.merge import ADAPTER_FILE, WEIGHTS_FILE
from iqsr.training.identity import Difference
from iqsr.training.resume import Change
from iqsr.training.run_folder import hold
from iqsr.training.sr.agreed import UnreadError, check_pictures, next_of
from iqsr.training.sr.checkpoint import Checkpoints
from iqsr.training.sr.claim import (
    at_least,
    begin,
    check_base,
    check_data,
    check_free,
    check_processes,
    go_on,
    left_out,
    note_unreadable,
)
from iqsr.training.sr.data import Batch, Batches, Sets
from iqsr.training.sr.guard import Guard, ValidationResult
from iqsr.training.sr.learner import Learner
from iqsr.training.sr.log import Log, origin
from iqsr.training.sr.networks import keep
from iqsr.training.sr.prefetch import prefetched
from iqsr.training.sr.processes import any_of, join, together
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.stop import Stop
from iqsr.training.sr.validate import Validation

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Told the stage, how much of it is done, of how much, and figures."""


def silent(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    """A `Progress` that tells nobody."""


class GamedError(IqsrError):
    """The guard stopped the run; what it reached before is kept."""


class Training(Learner):
    """One run in one folder: everything it needs, everything it leaves behind. Arguments and errors: as of `train`.

    The folder is this object's alone until `run` has ended, `close` is called or nobody holds the object any more.

    >>> training = Training(recipe, Path("sets"), Path("runs/ft"))
    >>> terms = training.step(training.draw())  # training.run() takes all that are left
    """

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
        self.out, accelerator = out, join()
        recipe = at_least(recipe, out) if resume else recipe
        settings: list[Change] = []
        self._lock: FolderLock | None = None
        try:
            with together(accelerator):
                if accelerator.is_main_process:
                    self._lock = hold(out, "iqsr train") if (out / LOCK_FILE).exists() else None
                    settings = check_free(out, recipe, resume=resume)
            without = left_out(out) if resume and not accept_data else {}
            sets = Sets(data, recipe.data, without=without)
            super().__init__(recipe, accelerator, sets, out)
            with together(accelerator):
                self.validation = self._validation(validation) if validation and accelerator.is_main_process else None
            # Late: a wrong command is told before the pictures are read.
            check_pictures(sets, accelerator, lambda done, all_: on_progress("pictures", done, all_, {}))
            self.guard = Guard(recipe.guard)
            self.checkpoints = Checkpoints(out / "checkpoints", accelerator.process_index, accelerator.num_processes)
            self._batches: Batches | None = None
            self._stop = Stop()
            self._take_folder(settings, resume=resume, accept_data=accept_data)
            with together(accelerator):
                self.log = Log(out, self.done) if accelerator.is_main_process else None
        except BaseException:
            self.close()
            raise

    def _validation(self, photos: Path) -> Validation:
        recipe, quality = self.recipe, self.objective.quality
        degradation, skip = recipe.data.degradations[0], recipe.data.damaged == "skip"
        return Validation(photos, recipe.validation, degradation, quality, str(self.device), skip_damaged=skip)

    def _take_folder(self, settings: Sequence[Change], *, resume: bool, accept_data: bool) -> None:
        """Begin in the folder, or go on there. Late: a wrong command leaves no folder behind."""
        main, processes, other_data = self.accelerator.is_main_process, self.accelerator.num_processes, Difference()
        base = weights_sha256(self.module) if main and self.recipe.lora else None
        with together(self.accelerator):
            if main:
                self._lock = self._lock or hold(self.out, "iqsr train")
                if resume:
                    check_processes(self.out, processes)
                    check_base(self.out, base, self.recipe.model.start)
                    other_data = check_data(self.out, self.sets, accept=accept_data)
                else:
                    begin(self.out, self.recipe, self.sets, processes, base)
        if resume:
            looks = self._restore(found, other_data) if (found := self._last_good()) else False
            with together(self.accelerator):
                if main:
                    go_on(self.out, self.recipe, self.sets, self.done, settings, other_data, looks)

    def close(self) -> None:
        """Let others work in the run's folder."""
        if self._lock:
            self._lock.release()

    def run(self, on_progress: Progress = silent) -> Path:
        """Train to the recipe's last step and return what is kept: an adapter, or a network.

        SIGTERM and Ctrl-C end it after the step at hand, with a checkpoint, as KeyboardInterrupt. GamedError where
        the guard stops it. A step that fails leaves a checkpoint of the steps before it; NotFiniteError where it made
        what is not finite, WriteError where the disk fails.
        """
        try:
            return self._run(on_progress)
        except WriteError as error:
            raise WriteError(f"{error}, then go on with --resume") from None
        except NotFiniteError as error:
            raise NotFiniteError(f"{error}; {self._fall_back()}") from None
        finally:
            self.close()

    def _run(self, on_progress: Progress) -> Path:
        recipe = self.recipe
        with self._stop.heard(), ExitStack() as stack:
            batches = self.batches(on_progress)
            if self.done == 0:
                self._validate()
            stack.enter_context(self._kept_on_failure())
            made = stack.enter_context(closing(prefetched(batches, self.done, recipe.steps, recipe.data.workers)))
            while self.done < recipe.steps:
                batch = next_of(made, self.accelerator, self.done)
                began = time.perf_counter()
                self.step(batch)
                self.figures.add({"seconds": time.perf_counter() - began})
                if self.done % recipe.log_every == 0 or self.done == recipe.steps:
                    on_progress("training", self.done, recipe.steps, self._report())
                last, stopped = self.done == recipe.steps, any_of(self.accelerator, self._stop.asked)
                reason = self._validate() if self.done % recipe.validation.every == 0 or last else None
                if self.done % recipe.checkpoint_every == 0 or last or stopped or reason:
                    self.save()
                if reason:
                    self.keep()
                    raise GamedError(f"stopped at step {self.done}: {reason}; {self.out} has what was reached")
                if stopped and not last:
                    raise KeyboardInterrupt
        return self.keep()

    @contextmanager
    def _kept_on_failure(self) -> Generator[None]:
        """A checkpoint of all whole steps, where something fails in the one after them.

        Of several processes nobody knows where the others are, but where all of them failed together.
        """
        try:
            yield
        except (GamedError, WriteError, NotFiniteError):
            raise
        except Exception as error:
            if self.exchanged and self.pool:
                self.pool.undo()
            if isinstance(error, UnreadError) and error.name and self.accelerator.is_main_process:
                note_unreadable(self.out, error.name)
            all_failed = self.accelerator.num_processes == 1 or isinstance(error, UnreadError)
            if self.done and self.whole and all_failed:
                try:
                    self.save()
                    logger.warning("a step failed; the %d before it are kept", self.done)
                except (IqsrError, OSError) as unsaved:
                    logger.warning("a step failed, and no checkpoint could be written: %s", unsaved)
            raise

    def draw(self) -> Batch:
        """The batch of the next step, made in this process. The first call makes what `batches` makes beforehand."""
        return self.batches()[self.done]

    def batches(self, on_progress: Progress = silent) -> Batches:
        """The batches of this process, by number. The first call makes the scores that `Targets.known` does."""
        if self._batches is not None:
            return self._batches
        recipe, sets = self.recipe, self.sets
        folder = self.out / "patch-scores"
        with together(self.accelerator):
            scores = self.targets.known(folder, lambda done: on_progress("scores", done, len(sets), {}))
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
        with together(self.accelerator):
            if self.validation is not None:
                look, figures = self._look(self.validation, self.out / "validation" / f"step-{self.done:08d}")
                if self.log:
                    self.log.write(self.done, "validation", figures)
                reason = self.guard.judge(look) if self.recipe.guarded else None
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            reason = broadcast_object_list([reason])[0]
        return reason

    def _look(self, validation: Validation, pictures: Path | None) -> tuple[ValidationResult, dict[str, float]]:
        """The averaged network's."""
        self.module.eval()
        with self.average.applied(), self.autocast():
            found = validation.look(
                lambda x: self.module(x.to(self.device)).float().cpu(), self.recipe.trained_on, pictures
            )
        self.module.train()
        return found

    def _report(self) -> dict[str, float]:
        """The figures since the last report, also into the log."""
        figures = self.figures.report(self.done, self.accelerator)
        with together(self.accelerator):
            if self.log:
                self.log.write(self.done, "train", figures)
        return figures

    def save(self) -> None:
        """Write everything that the next step depends on; in every process, or in none."""
        looks = {
            "guard": self.guard.state_dict(),
            "validation": self.validation.fingerprint if self.validation else None,
        }
        is_new = self.done not in self.checkpoints.steps()
        try:
            with together(self.accelerator):
                self.checkpoints.save(self.done, self.state_dict() | looks)
        except IqsrError:
            if is_new:
                self.checkpoints.remove(self.done)
            raise
        self.checkpoints.keep_last()
        self.accelerator.wait_for_everyone()

    def _restore(self, found: tuple[int, dict[str, Any]], data: Difference) -> bool:
        """Go on from a checkpoint; whether the guard's baseline had to be made anew. data: what is not as it was."""
        done, state = found
        if not (anew := self._looks_elsewhere(state)):
            self.guard.load_state_dict(state["guard"])
        if self.validation and self.recipe.guarded and self.guard.first is None:
            self._renew_baseline(self.validation)  # now: the network is still as it was before the first step
        self.load_state_dict(state, done, same_sets=not data)
        return anew

    def _looks_elsewhere(self, state: Mapping[str, Any]) -> bool:
        """Whether what was found at the validations before cannot be compared with what will be."""
        before, now = state.get("validation"), self.validation.fingerprint if self.validation else None
        if before and not now and self.accelerator.is_main_process:
            logger.warning("no --validation, which there was before: the guard sees nothing from here on")
        elif before and before != now:
            logger.warning("validation is on other photos than before, or measured otherwise")
        return now is not None and before != now

    def _renew_baseline(self, validation: Validation) -> None:
        look, _ = self._look(validation, None)
        self.guard.restart(look)
        logger.warning(
            "the guard compares with the network before the first step, looked at anew: quality %.1f", look.mean
        )

    def keep(self) -> Path:
        """Write the averaged weights; every process returns the file's path."""
        with together(self.accelerator), self.average.applied():
            if self.accelerator.is_main_process:
                keep(self.sr_model, self.recipe, self.out, {"step": str(self.done)} | origin(self.recipe))
        self.accelerator.wait_for_everyone()
        return self.out / (WEIGHTS_FILE if self.recipe.lora is None else ADAPTER_FILE)

    def _last_good(self) -> tuple[int, dict[str, Any]] | None:
        return self.checkpoints.load(lambda mine: not any_of(self.accelerator, not mine))

    def _fall_back(self) -> str:
        """Keep what the last good checkpoint has learned, and say so."""
        if not (found := self._last_good()):
            return "there is no checkpoint from before"
        self.done, state = found
        self.average.values = {n: v.to(self.device) for n, v in state["average"].items()}
        try:
            return f"'{self.keep()}' holds the last good ones, of step {self.done}"
        except IqsrError:  # finite, and too large for its file
            return f"the last good checkpoint is of step {self.done}"
