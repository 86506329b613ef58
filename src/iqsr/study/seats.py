"""The trials of all seats: which pictures, which methods, on which side, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import gcd
from random import Random

from iqsr.study.balance import Edge, deal, equitable_colours
from iqsr.study.design import ATTENTION, Seat, Trial
from iqsr.study.plan import Plan, check_plan

_LONGEST_GAP = 10
"""Trials between a trial and its repeat, where the seat is long enough."""


def make_seats(plan: Plan, methods: Sequence[str], pictures: Sequence[str]) -> tuple[Seat, ...]:
    """Who sees what. The same arguments give the same seats.

    Each picture comes equally often. At each rater and at each picture all pairs of methods come equally often, within
    one, and so do the two orders of each pair. Where raters see pictures several times, pairs of methods do so at each
    rater only. Seats of active pairing are empty: `assign` fills one when its rater comes.

    Raises:
        UsageError: There is no such design. The message has the nearest that exists.
    """
    check_plan(plan, len(methods), len(pictures))
    width = max(2, len(str(plan.raters)))
    names = [f"r{number:0{width}d}" for number in range(1, plan.raters + 1)]
    if plan.pairing == "asap":
        return tuple(Seat(name, ()) for name in names)
    rng = Random(plan.seed)
    chosen = _balanced(plan, methods, pictures, rng)
    degraded: Counter[str] = Counter()
    return tuple(
        fill_seat(name, trials, plan, methods, pictures, rng, degraded)
        for name, trials in zip(names, chosen, strict=True)
    )


def fill_seat(
    name: str,
    votes: Sequence[Trial],
    plan: Plan,
    methods: Sequence[str],
    pictures: Sequence[str],
    rng: Random,
    degraded: Counter[str],
) -> Seat:
    """A seat with attention checks and repeats among its votes, and with its ids.

    Args:
        name: Of the seat.
        votes: Trials that count, in their order. Their ids are replaced.
        plan: Says how many checks and repeats there are.
        methods: All methods.
        pictures: Those that a check can show.
        rng: The random source.
        degraded: How often each picture was in a check so far; updated.
    """
    placed = [(float(place), trial) for place, trial in enumerate(votes)]
    placed += _repeats(votes, plan.repeats, rng)
    for check in _checks(votes, plan, methods, pictures, rng, degraded):
        placed.append((rng.uniform(0, len(votes)), check))
    placed.sort(key=lambda item: item[0])
    trials = [replace(trial, id=f"{name}-{number:03d}") for number, (_, trial) in enumerate(placed, 1)]
    return Seat(name, tuple(trials))


def _balanced(plan: Plan, methods: Sequence[str], pictures: Sequence[str], rng: Random) -> list[list[Trial]]:
    """The votes of each rater in their order, without ids."""
    questions: list[tuple[str, ...]] = list(combinations(methods, 2))
    if plan.mode == "best-of-n":
        questions = [tuple(methods)]
    rng.shuffle(questions)
    edges, asked = _edges(plan, len(pictures), len(questions), rng)
    trials: list[list[Trial]] = [[] for _ in range(plan.raters)]
    for number, question in enumerate(questions):
        orders = _orders(question)
        own = [edge for edge, which in zip(edges, asked, strict=True) if which == number]
        for (rater, picture), order in zip(own, equitable_colours(own, len(orders), rng), strict=True):
            trials[rater].append(Trial("", pictures[picture], orders[order]))
    return [_ordered(own, rng) for own in trials]


def _edges(plan: Plan, pictures: int, questions: int, rng: Random) -> tuple[list[Edge], list[int]]:
    """Who sees which picture, and which question is asked about it."""
    if plan.trials <= pictures:
        hands = deal(plan.raters, plan.trials, pictures, rng)
        edges = [(rater, picture) for rater, hand in enumerate(hands) for picture in hand]
        return edges, equitable_colours(edges, questions, rng)
    # Everyone sees all pictures in each of several rounds. Questions follow one another in a circle, so that those of
    # a rater are equally frequent; `turn` shifts the circle where a round would repeat an earlier one.
    turns = questions // gcd(pictures, questions)
    shuffled = list(range(pictures))
    rng.shuffle(shuffled)
    edges, asked = [], []
    for turn in range(plan.trials // pictures):
        for rater in range(plan.raters):
            for place, picture in enumerate(shuffled):
                edges.append((rater, picture))
                asked.append((rater + turn * pictures + turn // turns + place) % questions)
    return edges, asked


def _orders(question: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Orders of display in which each method comes at each place once; neighbours differ between them."""
    count = len(question)
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    return [tuple(question[(step + shift) % count] for step in zigzag) for shift in range(count)]


def _ordered(trials: list[Trial], rng: Random) -> list[Trial]:
    """In random order; pictures that come several times come once in each round, and never twice in a row."""
    rng.shuffle(trials)
    earlier: Counter[str] = Counter()
    rounds: list[tuple[int, int, Trial]] = []
    for place, trial in enumerate(trials):
        rounds.append((earlier[trial.picture], place, trial))
        earlier[trial.picture] += 1
    ordered = [trial for *_, trial in sorted(rounds, key=lambda item: item[:2])]
    for here in range(1, len(ordered) - 1):
        if ordered[here].picture == ordered[here - 1].picture:
            ordered[here], ordered[here + 1] = ordered[here + 1], ordered[here]
    return ordered


def _repeats(votes: Sequence[Trial], count: int, rng: Random) -> list[tuple[float, Trial]]:
    """Earlier trials with the sides swapped, each with its place among the votes."""
    gap = min(_LONGEST_GAP, len(votes) // 2)
    places = rng.sample(range(len(votes) - gap), count) if count else []
    return [
        (
            rng.uniform(place + gap, len(votes)),
            replace(votes[place], shown=tuple(reversed(votes[place].shown)), kind="repeat"),
        )
        for place in places
    ]


def _checks(
    votes: Sequence[Trial],
    plan: Plan,
    methods: Sequence[str],
    pictures: Sequence[str],
    rng: Random,
    degraded: Counter[str],
) -> list[Trial]:
    """Trials with an obviously degraded picture, if possible of scenes that the rater does not see otherwise."""
    own = {trial.picture for trial in votes}
    order = list(pictures)
    rng.shuffle(order)
    order.sort(key=lambda picture: (picture in own, degraded[picture]))
    first = rng.randrange(len(methods))
    checks: list[Trial] = []
    for number in range(plan.attention_checks):
        picture = order[number % len(order)]
        degraded[picture] += 1
        if plan.mode == "best-of-n":
            row = list(methods)
            rng.shuffle(row)
            row[(first + number) % len(row)] = ATTENTION
        else:
            row = [rng.choice(methods), ATTENTION]
            row = row if (first + number) % 2 else row[::-1]
        checks.append(Trial("", picture, tuple(row), "attention"))
    return checks
