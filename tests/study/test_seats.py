"""Who sees what: counts are exact, sides are balanced, and what is impossible is refused with the nearest design."""

from collections import Counter
from itertools import combinations, pairwise
from math import comb
from random import Random

import pytest

from iqsr.errors import UsageError
from iqsr.study.balance import deal, equitable_colours
from iqsr.study.design import ATTENTION, Seat, Trial
from iqsr.study.plan import Plan, check_plan
from iqsr.study.seats import make_seats


def pictures(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def votes(seats: tuple[Seat, ...]) -> list[tuple[str, Trial]]:
    return [(seat.name, trial) for seat in seats for trial in seat.trials if trial.kind == "vote"]


def spread(counts: Counter, keys: list) -> int:
    """The largest difference between how often the keys were counted."""
    found = [counts[key] for key in keys]
    return max(found) - min(found)


@pytest.mark.parametrize("seed", range(6))
def test_the_papers_design_has_exact_counts(seed: int) -> None:
    """12 raters x 25 pairs over 100 pictures: each three times, each method on the left in half of the 300."""
    seats = make_seats(Plan(12, 25, seed=seed), ("a", "b"), pictures(100))
    found = votes(seats)
    assert [len(seat.trials) for seat in seats] == [25] * 12
    assert Counter(trial.picture for _, trial in found) == dict.fromkeys(pictures(100), 3)
    assert len({(rater, trial.picture) for rater, trial in found}) == 300
    assert Counter(trial.shown for _, trial in found) == {("a", "b"): 150, ("b", "a"): 150}
    for key in (0, 1):  # of a rater, of a picture
        left = Counter((rater, trial.picture)[key] for rater, trial in found if trial.shown[0] == "a")
        total = Counter((rater, trial.picture)[key] for rater, trial in found)
        assert all(abs(2 * left[one] - total[one]) <= 1 for one in total)


def test_the_same_seed_gives_the_same_seats_and_another_seed_others() -> None:
    plan = Plan(6, 10, attention_checks=2, repeats=2, seed=5)
    one = make_seats(plan, ("a", "b", "c"), pictures(20))
    assert one == make_seats(plan, ("a", "b", "c"), pictures(20))
    assert one != make_seats(Plan(6, 10, attention_checks=2, repeats=2, seed=6), ("a", "b", "c"), pictures(20))


@pytest.mark.parametrize("seed", range(25))
def test_colours_are_equally_frequent_at_raters_pictures_and_overall(seed: int) -> None:
    rng = Random(seed)
    raters, count, colours = rng.randint(1, 9), rng.randint(1, 14), rng.randint(1, 7)
    hands = deal(raters, rng.randint(1, count), count, rng)
    edges = [(rater, picture) for rater, hand in enumerate(hands) for picture in hand]
    assert len(set(edges)) == len(edges)
    assert spread(Counter(picture for _, picture in edges), list(range(count))) <= 1
    chosen = equitable_colours(edges, colours, rng)
    keys = list(range(colours))
    assert spread(Counter(chosen), keys) <= 1
    for side in (0, 1):
        for node in {edge[side] for edge in edges}:
            here = [colour for edge, colour in zip(edges, chosen, strict=True) if edge[side] == node]
            assert spread(Counter(here), keys) <= 1


@pytest.mark.parametrize(("methods", "raters", "trials", "count"), [(3, 8, 15, 40), (4, 10, 12, 30), (5, 6, 20, 24)])
def test_pairs_of_methods_and_their_sides_are_balanced(methods: int, raters: int, trials: int, count: int) -> None:
    names = [f"m{number}" for number in range(methods)]
    seats = make_seats(Plan(raters, trials, seed=1), names, pictures(count))
    pairs = [frozenset(pair) for pair in combinations(names, 2)]
    found = votes(seats)
    assert spread(Counter(frozenset(trial.shown) for _, trial in found), pairs) <= 1
    for key in (0, 1):
        for one in {(rater, trial.picture)[key] for rater, trial in found}:
            here = [trial for rater, trial in found if (rater, trial.picture)[key] == one]
            assert spread(Counter(frozenset(trial.shown) for trial in here), pairs) <= 1
            for pair in pairs:
                orders = [tuple(sorted(pair)), tuple(sorted(pair, reverse=True))]
                assert spread(Counter(trial.shown for trial in here), orders) <= 1


@pytest.mark.parametrize(("methods", "count", "rounds"), [(3, 6, 3), (4, 4, 2), (4, 6, 5), (5, 7, 4), (5, 10, 10)])
def test_more_pairs_than_pictures_never_ask_the_same_twice(methods: int, count: int, rounds: int) -> None:
    names = [f"m{number}" for number in range(methods)]
    seats = make_seats(Plan(5, rounds * count, seed=2), names, pictures(count))
    for seat in seats:
        asked = Counter((trial.picture, frozenset(trial.shown)) for trial in seat.trials)
        assert set(asked.values()) == {1}
        assert set(Counter(trial.picture for trial in seat.trials).values()) == {rounds}
        by_pair = Counter(frozenset(trial.shown) for trial in seat.trials)
        assert spread(by_pair, [frozenset(pair) for pair in combinations(names, 2)]) <= 1
        assert all(one.picture != other.picture for one, other in pairwise(seat.trials))
    assert rounds <= comb(methods, 2)


@pytest.mark.parametrize("methods", [3, 4, 5, 6])
def test_best_of_n_shows_each_method_at_each_place_equally_often(methods: int) -> None:
    names = [f"m{number}" for number in range(methods)]
    found = votes(make_seats(Plan(8, 10, mode="best-of-n", seed=3), names, pictures(20)))
    assert all(set(trial.shown) == set(names) for _, trial in found)
    for key in (0, 1):
        for one in {(rater, trial.picture)[key] for rater, trial in found}:
            here = [trial for rater, trial in found if (rater, trial.picture)[key] == one]
            for place in range(methods):
                assert spread(Counter(trial.shown[place] for trial in here), names) <= 1


@pytest.mark.parametrize("mode", ["slider", "best-of-n"])
@pytest.mark.parametrize("seed", range(4))
def test_checks_and_repeats_come_on_top(mode: str, seed: int) -> None:
    names = ("a", "b", "c")
    plan = Plan(9, 20, mode=mode, attention_checks=3, repeats=4, seed=seed)  # pyright: ignore[reportArgumentType]
    seats = make_seats(plan, names, pictures(60))
    assert set(Counter(trial.picture for _, trial in votes(seats)).values()) == {3}
    for seat in seats:
        assert Counter(trial.kind for trial in seat.trials) == {"vote": 20, "attention": 3, "repeat": 4}
        assert [trial.id for trial in seat.trials] == [f"{seat.name}-{number:03d}" for number in range(1, 28)]
        assert seat.trials[0].kind == "vote"
        own = [trial for trial in seat.trials if trial.kind == "vote"]
        for trial in seat.trials:
            if trial.kind == "attention":
                assert trial.shown.count(ATTENTION) == 1
                assert trial.picture not in {vote.picture for vote in own}
            if trial.kind == "repeat":
                (first,) = [vote for vote in own if vote.picture == trial.picture]
                assert trial.shown == first.shown[::-1]
                assert seat.trials.index(trial) - seat.trials.index(first) >= 10
        if mode == "slider":
            left = sum(trial.shown[0] == ATTENTION for trial in seat.trials)
            assert left in (1, 2)


@pytest.mark.parametrize(
    ("plan", "methods", "count", "said"),
    [
        (
            Plan(12, 26),
            2,
            100,
            "are 312 votes, .* share equally; nearest possible: --pairs 25, --raters 50 or --scenes 78$",
        ),
        (Plan(7, 10), 2, 33, "are 70 votes, .* nearest possible: --pairs 33, --raters 33 or --scenes 14$"),
        (Plan(3, 101), 2, 100, "a rater can see 100 pictures, each once; nearest: --pairs 100$"),
        (Plan(3, 130), 3, 40, "each with 3 pairs of methods, all equally often; nearest: --pairs 120$"),
        (Plan(3, 50), 3, 40, "all equally often; nearest: --pairs 40$"),
        (Plan(0, 10), 2, 10, "at least one rater"),
        (Plan(3, 10), 1, 10, "two methods or more, not 1"),
        (Plan(3, 10, mode="best-of-n"), 2, 10, "best-of-n needs three methods"),
        (Plan(3, 10, pairing="asap"), 4, 10, "asap needs 5 methods or more, not 4"),
        (Plan(3, 10, pairing="asap", mode="best-of-n"), 5, 10, "leave one out"),
        (Plan(3, 101, pairing="asap"), 5, 10, "nearest: --pairs 100$"),
        (Plan(3, 10, repeats=6), 2, 10, "at most half of the 10 pairs"),
    ],
)
def test_what_is_impossible_is_refused_with_the_nearest(plan: Plan, methods: int, count: int, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        check_plan(plan, methods, count)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("raters", "trials", "count"), [(12, 26, 100), (7, 10, 33), (9, 14, 40), (11, 13, 37)])
def test_the_nearest_designs_are_possible(raters: int, trials: int, count: int) -> None:
    with pytest.raises(UsageError) as refused:
        check_plan(Plan(raters, trials), 2, count)
    words = str(refused.value).replace(",", "").split()
    nearest = {word: int(words[place + 1]) for place, word in enumerate(words) if word.startswith("--")}
    check_plan(Plan(raters, nearest["--pairs"]), 2, count)
    check_plan(Plan(nearest["--raters"], trials), 2, count)
    check_plan(Plan(raters, trials), 2, nearest["--scenes"])


def test_seats_of_active_pairing_are_empty() -> None:
    assert make_seats(Plan(2, 4, pairing="asap"), tuple("abcde"), pictures(3)) == (Seat("r01", ()), Seat("r02", ()))
