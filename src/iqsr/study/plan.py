"""What a study asks of how many people, and whether such a design exists."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, gcd

from iqsr.errors import UsageError
from iqsr.study.design import Mode, Pairing

LEAST_METHODS_FOR_ASAP = 5
"""With fewer, every pair of methods can be asked often."""


@dataclass(frozen=True)
class Plan:
    """The size and the kind of a study."""

    raters: int
    trials: int
    """Pairs of pictures for each rater; in best-of-n mode, rows of pictures. Checks and repeats come on top."""
    mode: Mode = "slider"
    pairing: Pairing = "balanced"
    attention_checks: int = 0
    """Trials for each rater in which one picture is obviously degraded."""
    repeats: int = 0
    """Trials for each rater that come again later, with the sides swapped."""
    seed: int = 0


def check_plan(plan: Plan, methods: int, pictures: int) -> None:
    """See whether a design of that plan exists.

    Args:
        plan: The plan.
        methods: How many methods are compared.
        pictures: How many scenes there are.

    Raises:
        UsageError: It does not. Where numbers do not fit, the message has the nearest that do.
    """
    _check_kind(plan, methods)
    if min(plan.raters, plan.trials, pictures) < 1 or min(plan.attention_checks, plan.repeats) < 0:
        raise UsageError("a study needs at least one rater, one pair for each and one picture")
    if plan.repeats > plan.trials // 2:
        raise UsageError(f"--repeats: at most half of the {plan.trials} pairs come again, not {plan.repeats}")
    questions = _questions(plan, methods)
    if plan.pairing == "asap":
        if plan.trials > pictures * questions:
            raise UsageError(_too_many(plan, pictures, questions, pictures * questions))
        return
    if not _fits_rater(plan.trials, pictures, questions):
        raise UsageError(_too_many(plan, pictures, questions, _nearest_trials(plan, pictures, questions)))
    if plan.raters * plan.trials % pictures:
        raise UsageError(
            f"{plan.raters} raters x {plan.trials} pairs are {plan.raters * plan.trials} votes, which {pictures} "
            f"pictures cannot share equally; nearest possible: {_nearest(plan, pictures, questions)}"
        )


def _check_kind(plan: Plan, methods: int) -> None:
    if methods < 2:
        raise UsageError(f"a study compares two methods or more, not {methods}")
    if plan.mode == "best-of-n" and methods < 3:
        raise UsageError("--mode best-of-n needs three methods or more; with two, choose slider, side or flicker")
    if plan.pairing == "asap" and plan.mode == "best-of-n":
        raise UsageError("--pairing asap chooses pairs, and --mode best-of-n shows all methods: leave one out")
    if plan.pairing == "asap" and methods < LEAST_METHODS_FOR_ASAP:
        raise UsageError(
            f"--pairing asap needs {LEAST_METHODS_FOR_ASAP} methods or more, not {methods}: leave it out, and every "
            "pair of methods comes equally often"
        )


def _questions(plan: Plan, methods: int) -> int:
    """How many different trials one picture gives."""
    return 1 if plan.mode == "best-of-n" else comb(methods, 2)


def _fits_rater(trials: int, pictures: int, questions: int) -> bool:
    """A rater sees each picture at most once, or all equally often; no question about a picture twice."""
    return trials <= pictures or (trials % pictures == 0 and trials <= pictures * questions)


def _too_many(plan: Plan, pictures: int, questions: int, nearest: int) -> str:
    once = "each once" if questions == 1 else f"each with {questions} pairs of methods, all equally often"
    return (
        f"--pairs {plan.trials} is impossible: a rater can see {pictures} pictures, {once}; nearest: --pairs {nearest}"
    )


def _nearest_trials(plan: Plan, pictures: int, questions: int) -> int:
    """The nearest number of trials for each rater that shares the pictures equally."""
    step = pictures // gcd(plan.raters, pictures)
    possible = [n for n in range(step, pictures * questions + 1, step) if _fits_rater(n, pictures, questions)]
    return min(possible, key=lambda n: abs(n - plan.trials))


def _nearest(plan: Plan, pictures: int, questions: int) -> str:
    """The options that make the numbers fit, each with the nearest value."""
    step = pictures // gcd(plan.trials, pictures)
    raters = max(step, round(plan.raters / step) * step)
    fewer = range(pictures - 1, 0, -1)
    votes = plan.raters * plan.trials
    subset = next((n for n in fewer if votes % n == 0 and _fits_rater(plan.trials, n, questions)), None)
    options = [f"--pairs {_nearest_trials(plan, pictures, questions)}", f"--raters {raters}"]
    return ", ".join(options) + (f" or --scenes {subset}" if subset else "")
