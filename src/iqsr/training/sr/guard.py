"""When the quality is being gamed: outputs that rise above clean originals, or gain that no other judge sees.

A picture that a predictor rates above its own clean original is a cheap alarm. Of a noisy photo, though, any clean
output scores higher, before a step is taken; there only what is added to the run's start counts. The other alarm is a
score that rises while metrics that nothing is optimised for, or the agreement with the input, fall.
"""

from dataclasses import dataclass

from iqsr.metrics import card
from iqsr.training.sr.recipe import GuardRecipe


@dataclass(frozen=True)
class ValidationResult:
    """What one validation found."""

    quality: list[float]
    """Of each photo's output, by the objective's Q; higher is better."""
    of_originals: list[float]
    """The same of the originals."""
    held_out: dict[str, float]
    """Means of metrics that are not part of the objective."""
    consistency: float
    """PSNR in dB of the reduced outputs against the inputs, their mean."""

    @property
    def mean(self) -> float:
        """The mean quality of the outputs."""
        return _mean(self.quality)


class Guard:
    """Judges looks as they come. The first is its baseline: that of the network before it has learned anything."""

    def __init__(self, recipe: GuardRecipe) -> None:
        self.recipe = recipe
        self.first: ValidationResult | None = None
        self.last: ValidationResult | None = None
        self.suspicions = 0

    def restart(self, baseline: ValidationResult) -> None:
        """Go on as if the run had been looked at like this from its start on."""
        self.first = self.last = baseline
        self.suspicions = 0

    def judge(self, look: ValidationResult) -> str | None:
        """None to go on, or the reason to stop, in one line."""
        first, last, self.last = self.first, self.last, look
        self.first = first or look
        if not first or not last:
            return None
        limits = [max(pair) for pair in zip(look.of_originals, first.quality, strict=True)]
        above = look.mean - _mean(limits)
        if above > self.recipe.margin:
            return (
                f"outputs score {above:.1f} points above their clean originals, or where they did so before the first "
                f"step, above that ({look.mean:.1f} against {_mean(limits):.1f}): the quality is being gamed"
            )
        falls = self._falls(first, look)
        self.suspicions = self.suspicions + 1 if falls and look.mean > last.mean else 0
        if self.suspicions >= self.recipe.patience:
            return (
                f"the quality rose {self.suspicions} times in a row while {' and '.join(falls)} fell behind the start"
            )
        return None

    def _falls(self, first: ValidationResult, look: ValidationResult) -> list[str]:
        """The names of what is worse than at the start by more than the tolerance."""
        worse: list[str] = []
        for name, value in look.held_out.items():
            change = (value - first.held_out[name]) / max(abs(first.held_out[name]), 1e-6)
            if (change if card(name).higher_is_better else -change) < -self.recipe.tolerance:
                worse.append(name)
        if look.consistency < first.consistency - self.recipe.consistency_db:
            worse.append("LR-consistency")
        return worse

    def state_dict(self) -> dict[str, object]:
        """All that the next judgement depends on."""
        return {"first": _plain(self.first), "last": _plain(self.last), "suspicions": self.suspicions}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on as the guard whose state this is."""
        self.first, self.last = _look(state["first"]), _look(state["last"])
        self.suspicions = int(str(state["suspicions"]))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _plain(look: ValidationResult | None) -> dict[str, object] | None:
    return None if look is None else dict(vars(look))


def _look(state: object) -> ValidationResult | None:
    return ValidationResult(**state) if isinstance(state, dict) else None  # pyright: ignore[reportUnknownArgumentType]
