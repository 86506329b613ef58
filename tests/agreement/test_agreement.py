"""Metrics against people: figures computed by hand, what must not change them, and the tables that hold them."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest

from iqsr.agreement import Agreement, Rate
from iqsr.agreement.rates import compare_pairs, compare_sets
from iqsr.agreement.report import (
    accuracy_rows,
    agreement_document,
    agreement_markdown,
    complementarity_rows,
    json_text,
    misalignment_markdown,
    misalignment_rows,
    write_heatmap,
)
from support.agreement_samples import LABELS, NEGATIVE, QUALITY

Scores = NDArray[np.float64]

# Seven pairs. People prefer the first of 1 to 4, the second of 5 and 6; they are evenly split over 7.
SHARE = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.1, 0.5])
SCORES = {
    # right, wrong, tied, right, wrong, right
    "a": (np.array([2.0, 1, 5, 3, 4, 1, 9]), np.array([1.0, 2, 5, 1, 2, 7, 1])),
    # lower is better: right, right, wrong, wrong, right, wrong
    "b": (np.array([1.0, 1, 2, 2, 6, 5, 1]), np.array([2.0, 3, 1, 1, 5, 6, 1])),
    # tied, wrong, right, wrong, tied, right
    "c": (np.array([1.0, 0, 1, 0, 1, 0, 0]), np.array([1.0, 1, 0, 1, 1, 1, 1])),
}
HIGHER = {"a": True, "b": False, "c": True}


@pytest.fixture
def found() -> Agreement:
    return compare_pairs(SCORES, SHARE, HIGHER)


def test_accuracy_is_that_computed_by_hand(found: Agreement) -> None:
    assert (found.pairs, found.undecided) == (7, 1)
    assert found.accuracy == {"a": Rate(6, 3, 1), "b": Rate(6, 3, 0), "c": Rate(6, 2, 2)}
    assert found.accuracy["a"].value == pytest.approx((3 + 1 / 2) / 6)
    assert found.accuracy["b"].value == pytest.approx(3 / 6)
    assert found.accuracy["c"].value == pytest.approx((2 + 2 / 2) / 6)
    assert found.majority == pytest.approx((0.9 + 0.8 + 0.7 + 0.6 + 0.7 + 0.9) / 6)


def test_complementarity_is_that_computed_by_hand(found: Agreement) -> None:
    assert found.complementarity == {
        # a is wrong on 2 and 5 (its tie on 3 is not wrong): b is right on both; c is wrong and tied
        ("a", "b"): Rate(2, 2, 0),
        ("a", "c"): Rate(2, 0, 1),
        # b is wrong on 3, 4, 6: a is tied, right, right; c is right, wrong, right
        ("b", "a"): Rate(3, 2, 1),
        ("b", "c"): Rate(3, 2, 0),
        # c is wrong on 2 and 4: a is wrong, right; b is right, wrong
        ("c", "a"): Rate(2, 1, 0),
        ("c", "b"): Rate(2, 1, 0),
    }
    assert found.complementarity["b", "a"].value == pytest.approx(2.5 / 3)
    assert found.ranking[0] == "a"


def test_the_interval_is_that_computed_by_hand() -> None:
    # Wilson, 3 of 6, z = 1.95996, z^2 = 3.84146: the middle is (0.5 + z^2 / 12) / (1 + z^2 / 6) = 0.5;
    # half the width is z * sqrt(0.25 / 6 + z^2 / (4 * 36)) / (1 + z^2 / 6) = 1.95996 * 0.261426 / 1.640243 = 0.312384.
    assert Rate(6, 3).interval == pytest.approx((0.187616, 0.812384), abs=1e-6)
    # One tie among 6 leaves 3.5 right: from the lower bound of 3 to the upper bound of 4.
    assert Rate(6, 3, 1).interval == (Rate(6, 3).interval[0], Rate(6, 4).interval[1])
    # Two ties are one right pair.
    assert Rate(6, 2, 2).interval == Rate(6, 3).interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe, 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    assert Rate(n, hits).interval == pytest.approx((low, high), abs=5e-5)
    exact = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert Rate(n, hits).interval == (exact.low, exact.high)


def test_without_cases_there_is_no_share() -> None:
    assert math.isnan(Rate(0, 0).value)
    assert all(map(math.isnan, Rate(0, 0).interval))


def random_scores(seed: int, *, ties: bool) -> tuple[dict[str, tuple[Scores, Scores]], Scores, dict[str, bool]]:
    rng = np.random.default_rng(seed)
    scores = {name: (rng.normal(size=200), rng.normal(size=200)) for name in "abcd"}
    if ties:
        scores = {name: (np.round(x), np.round(y)) for name, (x, y) in scores.items()}
    return scores, rng.integers(0, 21, 200) / 20, {name: name in "ac" for name in "abcd"}


@pytest.mark.parametrize("ties", [False, True])
def test_swapping_the_pictures_of_every_pair_changes_nothing(ties: bool) -> None:
    scores, share, higher = random_scores(0, ties=ties)
    swapped = {name: (second, first) for name, (first, second) in scores.items()}
    there, back = compare_pairs(scores, share, higher), compare_pairs(swapped, 1 - share, higher)
    assert there.accuracy == back.accuracy
    assert there.complementarity == back.complementarity
    assert there.undecided == back.undecided > 0
    assert there.majority == pytest.approx(back.majority)


@pytest.mark.parametrize("ties", [False, True])
def test_a_metric_and_its_negation_are_right_on_all_pairs_together(ties: bool) -> None:
    scores, share, higher = random_scores(1, ties=ties)
    negated = {name: (-first, -second) for name, (first, second) in scores.items()}
    there, back = compare_pairs(scores, share, higher), compare_pairs(negated, share, higher)
    for name in scores:
        assert there.accuracy[name].value + back.accuracy[name].value == pytest.approx(1)
        assert there.accuracy[name].ties == back.accuracy[name].ties
        assert bool(there.accuracy[name].ties) == ties


def test_the_direction_of_a_metric_is_respected() -> None:
    scores, share, higher = random_scores(2, ties=True)
    turned = {name: (-x, -y) if name == "a" else (x, y) for name, (x, y) in scores.items()}
    assert compare_pairs(scores, share, higher) == compare_pairs(turned, share, {**higher, "a": not higher["a"]})


def test_only_the_order_of_scores_matters() -> None:
    scores, share, higher = random_scores(3, ties=True)
    bent = {name: (np.exp(3 * x) - 7, np.exp(3 * y) - 7) for name, (x, y) in scores.items()}
    assert compare_pairs(scores, share, higher) == compare_pairs(bent, share, higher)


def test_infinite_scores_are_compared_like_others() -> None:
    inf = np.array([math.inf, math.inf, 1.0])
    found = compare_pairs(
        {"psnr": (inf, np.array([math.inf, 9.0, math.inf]))}, np.array([1.0, 1.0, 1.0]), {"psnr": True}
    )
    assert found.accuracy["psnr"] == Rate(3, 1, 1)


def test_pairs_that_are_all_evenly_split_give_no_figure() -> None:
    found = compare_pairs({"a": (np.ones(2), np.zeros(2))}, np.array([0.5, 0.5]), {"a": True})
    assert found.accuracy["a"] == Rate(0, 0)
    assert agreement_markdown(found).splitlines()[-1].replace(" ", "") == "|a|0|–||0|"
    assert "nan" not in agreement_markdown(found)
    assert '"share": null' in json_text(agreement_document(found, {}))


# --- misalignment ---------------------------------------------------------------------------------------------------


def test_misalignment_is_that_computed_by_hand() -> None:
    found = compare_sets({"q": QUALITY, "flipped": -QUALITY}, LABELS, {"q": True, "flipped": False})
    assert found.with_positive == Rate(5, 3)  # sets 1, 2, 5
    assert found.with_negative == Rate(5, 3)  # sets 1, 2, 4
    q = found.metrics["q"]
    assert q.positive == Rate(3, 2, 1)  # set 1 yes, set 2 yes (10 above 9), set 5 tied: 2.5 / 3
    assert q.positive.value == pytest.approx(2.5 / 3)
    assert q.negative == Rate(3, 2)  # set 1 no, set 2 yes, set 4 yes: 2 / 3
    assert q.negative_highest == Rate(3, 1)  # set 2 only: 1 / 3
    assert q.negative_drawn.value == pytest.approx(1 / 5)  # 3 / 5 of the sets have a negative, times 1 / 3
    assert q.negative_drawn.value == pytest.approx(found.with_negative.value * q.negative_highest.value)
    assert found.metrics["flipped"] == q


def test_a_perfect_metric_is_never_misaligned_and_its_negation_always() -> None:
    quality = np.array([0.0, 1.0, -0.5, -1.0])[LABELS]
    found = compare_sets({"good": quality, "bad": -quality}, LABELS, {"good": True, "bad": True})
    good, bad = found.metrics["good"], found.metrics["bad"]
    assert [r.value for r in (good.positive, good.negative, good.negative_highest, good.negative_drawn)] == [0] * 4
    assert [r.value for r in (bad.positive, bad.negative, bad.negative_highest)] == [1] * 3
    assert bad.negative_drawn.value == pytest.approx(3 / 5)


def test_a_draw_by_argmax_takes_a_negative_as_often_as_is_said() -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.zeros((300, 1)), rng.integers(1, 4, (300, 4))], axis=1).astype(np.int8)
    quality = rng.normal(size=labels.shape)
    drawn = labels[np.arange(300), quality.argmax(1)] == NEGATIVE
    found = compare_sets({"q": quality}, labels, {"q": True})
    assert found.metrics["q"].negative_drawn.value == pytest.approx(drawn.mean())
    assert 0 < drawn.mean() < 1


# --- tables ---------------------------------------------------------------------------------------------------------


def test_the_tables_hold_the_figures(found: Agreement) -> None:
    text = agreement_markdown(found)
    assert "7 pairs, 6 with a majority of people, 1 evenly split" in text
    assert "76.7% of votes" in text
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == ["metric", "pairs", "accuracy (%)", "95 % interval", "ties"]
    # (3 + 1/2) / 6 = 58.33 %; Wilson of 3 of 6 begins at 18.76 %, of 4 of 6 ends at 90.32 %
    assert lines[2] == ["a", "6", "58.33", "[18.76, 90.32]", "1"]
    assert lines[5] == ["wrong", "pairs", "a", "b", "c"]
    assert lines[7] == ["a", "2", "", "100.00", "25.00"]
    assert lines[8] == ["b", "3", "83.33", "", "66.67"]
    assert "wrong" not in agreement_markdown(found, widest=2).replace("gets wrong", "")
    assert [row["metric"] for row in accuracy_rows(found)] == ["a", "b", "c"]
    assert len(complementarity_rows(found)) == 6
    assert complementarity_rows(found)[0]["share"] == 1.0


def test_the_table_of_misalignment_holds_the_figures() -> None:
    found = compare_sets({"q": QUALITY}, LABELS, {"q": True})
    text = misalignment_markdown(found)
    assert "5 sets: 3 (60.00 %) with a positive, 3 (60.00 %) with a negative" in text
    row = [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]]
    assert [cell.split()[0] for cell in row] == ["q", "83.33", "66.67", "33.33", "20.00"]
    figures = {str(row["figure"]): row["share"] for row in misalignment_rows(found)}
    assert figures == pytest.approx(
        {"positive": 5 / 6, "negative": 2 / 3, "negative_highest": 1 / 3, "negative_drawn": 0.2}
    )


@pytest.mark.parametrize("metrics", [2, 12])
def test_the_heat_map_has_a_cell_for_every_two_metrics(tmp_path: Path, metrics: int) -> None:
    rng = np.random.default_rng(0)
    scores = {f"metric-with-a-long-name-{i}": (rng.normal(size=50), rng.normal(size=50)) for i in range(metrics)}
    found = compare_pairs(scores, rng.random(50), dict.fromkeys(scores, True))
    write_heatmap(found, tmp_path / "one.png")
    write_heatmap(found, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    picture = np.asarray(Image.open(tmp_path / "one.png").convert("RGB"))
    assert min(picture.shape[:2]) > 60 * metrics
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == 255).all()  # no text runs into the edge
