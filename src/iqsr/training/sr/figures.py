"""The figures of a training's steps, between one line of its log and the next."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator

from iqsr.training.sr.processes import mean_of
from iqsr.training.sr.recipe import TrainRecipe


class Figures:
    """Sums over the steps of this process since the last report."""

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe
        self._sums: dict[str, float] = defaultdict(float)
        self._steps = 0

    def add(self, figures: Mapping[str, float], *, steps: int = 0) -> None:
        """Those of a step, or some of them. steps: 1 once for each step."""
        for name, value in figures.items():
            self._sums[name] += value
        self._steps += steps

    def report(self, done: int, accelerator: Accelerator) -> dict[str, float]:
        """Means over the steps since the last report and over all processes, and the rates of step `done`."""
        means = mean_of(accelerator, {name: value / self._steps for name, value in self._sums.items()})
        self._sums.clear()
        self._steps, optimiser = 0, self.recipe.optimiser
        share = optimiser.rate_at(done - 1)
        means["learning rate"] = optimiser.lr * share
        if self.recipe.objective.gan:
            means["discriminator learning rate"] = optimiser.discriminator_lr * share
        return means

    def state_dict(self) -> dict[str, Any]:
        """All that the next report depends on."""
        return {"sums": dict(self._sums), "summed": self._steps}

    def load_state_dict(self, state: Mapping[str, Any], done: int) -> None:
        """Go on as the ones whose state this is. done: steps of the run, for older states lack their own number."""
        self._sums.update(state["sums"])
        self._steps = state.get("summed", done % self.recipe.log_every)
