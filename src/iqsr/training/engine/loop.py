"""The loop of every training, read from top to bottom: `Loop.run`. A subclass says what a step learns."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from iqsr.errors import IqsrError, PictureError, WriteError
from iqsr.finite import NotFiniteError, all_finite, first_not_finite
from iqsr.training.engine.checkpoints import Checkpoints, check_network
from iqsr.training.engine.log import Figures, Log
from iqsr.training.engine.precision import warn_of_another
from iqsr.training.engine.stop import Stop

if TYPE_CHECKING:
    from iqsr.metrics import Precision
    from iqsr.training.engine.average import Average

logger = logging.getLogger(__name__)
_Batch = TypeVar("_Batch")

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Is called with the stage, how much of it is done, of how much, and figures."""


def silent(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    """A `Progress` that does nothing."""


class GamedError(IqsrError):
    """A validation found that the quality is gamed and stopped the run; what it reached is kept."""


@dataclass(frozen=True)
class Pace:
    """How many steps a loop takes, and after how many it logs, validates and writes a checkpoint."""

    steps: int
    log_every: int
    validate_every: int
    checkpoint_every: int


class Loop(ABC, Generic[_Batch]):
    """One run in one folder: takes the steps that are left, and leaves log, curves, checkpoints and a result there.

    Args:
        out: The run's folder.
        pace: When the loop does what.
        stage: The name that progress is reported by.
        checkpoints: The run's checkpoints.
    """

    average: Average
    """The running average of the weights: the result."""
    optimizer: torch.optim.Optimizer
    precision: Precision = "fp32"
    advice: str
    """What to change where a step makes something that is not finite."""
    done: int
    """Steps taken, those before a resume included; also the number of the next step, for they count from 0."""
    log: Log | None
    """Open while `run` takes steps; of several processes only the first has one."""
    intact: bool
    """Whether the step in progress has changed none of the weights yet. Between two steps it is true."""

    def __init__(self, out: Path, pace: Pace, stage: str, checkpoints: Checkpoints | None = None) -> None:
        self.out, self.pace, self.stage = out, pace, stage
        self.checkpoints = checkpoints or Checkpoints(out / "checkpoints")
        self.figures, self.log = Figures(), None
        self.done, self.intact = 0, True
        self._stop = Stop()

    def run(self, on_progress: Progress = silent) -> Path:
        """Take the steps that are left and return the file of the result.

        Args:
            on_progress: Is called at each line of the log.

        Raises:
            KeyboardInterrupt: SIGTERM or Ctrl-C ended it after the step in progress, with a checkpoint.
            GamedError: A validation stopped it.
            NotFiniteError: A step made something that is not finite; the result is that of the last checkpoint.
            WriteError: The disk does not take what is written.
            IqsrError: A step failed; a checkpoint of the steps before it was written.
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
        pace = self.pace
        with self._stop.on_signals():
            self.log = self._open_log()
            self.before_steps(on_progress)
            with self._checkpoint_on_failure(), closing(self.remaining_batches()) as batches:
                while self.done < pace.steps:
                    batch = self.next_batch(batches)
                    began = time.perf_counter()
                    self.step(batch)
                    self.figures.add({"seconds": time.perf_counter() - began})
                    last = self.done == pace.steps
                    if self.done % pace.log_every == 0 or last:
                        on_progress(self.stage, self.done, pace.steps, self._report())
                    stopped = self.any_of(self._stop.requested)
                    gamed = self.validate() if self.done % pace.validate_every == 0 or last else None
                    if self.done % pace.checkpoint_every == 0 or last or stopped or gamed:
                        self.save()
                    if gamed:
                        self.keep()
                        raise GamedError(f"stopped at step {self.done}: {gamed}; {self.out} has what was reached")
                    if stopped and not last:
                        raise KeyboardInterrupt
        return self.keep()

    # What a subclass gives

    @abstractmethod
    def remaining_batches(self) -> Generator[_Batch]:
        """The batches from the next step on, in order."""

    @abstractmethod
    def step(self, batch: _Batch) -> dict[str, float]:
        """Learn from a batch: one step of everything that learns. Raises NotFiniteError.

        It adds what the log should have to `figures`, once with `steps=1`, with the same names in all processes; counts
        `done` on; and keeps `intact`.

        Returns:
            The weighted terms of the objective by name, for callers that take single steps.
        """

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What must be finite after every step: `weights`, `average`, `optimizer` and what else learns."""

    @abstractmethod
    def load_learned(self, state: Mapping[str, Any]) -> None:
        """Continue with the weights of a state."""

    @abstractmethod
    def rates(self) -> dict[str, float]:
        """The learning rates of the last step."""

    @abstractmethod
    def validate(self) -> str | None:
        """Measure the averaged weights and log the figures; the reason to stop, if there is one."""

    @abstractmethod
    def keep(self) -> Path:
        """Write the result and return its path."""

    # What a subclass may do otherwise

    def before_steps(self, on_progress: Progress) -> None:
        """Whatever has to be done once, before the first of the steps that are left."""

    def next_batch(self, batches: Iterator[_Batch]) -> _Batch:
        """The batch of the next step."""
        return next(batches)

    def undo(self, error: Exception) -> bool:
        """Take back what the step that failed has changed beside the weights; whether a checkpoint can be written."""
        return True

    def any_of(self, mine: bool) -> bool:
        """Whether a condition holds in any process of the run."""
        return mine

    @contextmanager
    def together(self) -> Generator[None]:
        """If one process of the run fails in the block, all of them fail."""
        yield

    def mean_of(self, figures: dict[str, float]) -> dict[str, float]:
        """The means over all processes of the run."""
        return figures

    def is_first(self) -> bool:
        """Whether this process writes the log and the result."""
        return True

    def close(self) -> None:
        """Release what the run holds."""

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {**self.learned(), "figures": self.figures.state_dict(), "precision": self.precision}

    def load_state_dict(self, state: Mapping[str, Any], done: int) -> None:
        """Continue from a state after `done` steps. IqsrError for one of another network."""
        check_network(self.out, state["weights"], self.learned()["weights"])
        warn_of_another(self.precision, state["precision"])
        self.done = done
        self.load_learned(state)
        self.average.load(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.figures.load_state_dict(state["figures"])

    def save(self) -> None:
        """Write everything that the next step depends on; in every process, or in none."""
        is_new = self.done not in self.checkpoints.steps()
        try:
            with self.together():
                self.checkpoints.save(self.done, self.state_dict())
        except IqsrError:
            if is_new:
                self.checkpoints.remove(self.done)
            raise
        self.checkpoints.keep_last(self.done)

    def last_checkpoint(self) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the last good checkpoint. Raises the errors of `Checkpoints.load`."""
        return self.checkpoints.load(lambda mine: not self.any_of(not mine))

    @contextmanager
    def _checkpoint_on_failure(self) -> Generator[None]:
        """Write a checkpoint of all whole steps where the one after them fails."""
        try:
            yield
        except (GamedError, WriteError, NotFiniteError):
            raise
        except Exception as error:
            if self.undo(error) and self.done and self.intact:
                try:
                    self.save()
                    logger.warning("a step failed; the %d before it are kept", self.done)
                except (IqsrError, OSError) as unsaved:
                    logger.warning("a step failed, and no checkpoint could be written: %s", unsaved)
            if isinstance(error, PictureError):
                raise PictureError(stopped_after(self.done, error)) from None
            raise

    def _fall_back(self) -> str:
        """Keep what the last good checkpoint has learned, and say so."""
        if not (found := self.last_checkpoint()):
            return "there is no checkpoint from before"
        self.done, state = found
        self.average.load(state["average"])
        try:
            return f"'{self.keep()}' holds the last good ones, of step {self.done}"
        except IqsrError:  # finite, and too large for its file
            return f"the last good checkpoint is of step {self.done}"

    def check_finite(self, state: object) -> None:
        """NotFiniteError, in every process, where something is not finite in any."""
        if self.any_of(not all_finite(state)):
            which = first_not_finite(state) or "something in another process"
            raise NotFiniteError(f"{which} is not finite at step {self.done + 1}: {self.advice}")

    # The log

    def _open_log(self) -> Log | None:
        with self.together():
            return Log(self.out, self.done) if self.is_first() else None

    def _report(self) -> dict[str, float]:
        """The means since the last report and the learning rates, also into the log."""
        figures = self.mean_of(self.figures.means()) | self.rates()
        with self.together():
            if self.log:
                self.log.write(self.done, "train", figures)
        return figures


def stopped_after(done: int, error: Exception) -> str:
    """The message for a picture, or a batch, that ends a run."""
    return f"{error}; stopped after {done} steps: put it right, and --resume goes on from there"
