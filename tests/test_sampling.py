"""Samplers: exact probabilities, draws that follow them, and what they refuse."""

import math

import pytest
import torch
from scipy.stats import chisquare

from iqsr.datasets import Label
from iqsr.errors import UnknownNameError, UsageError
from iqsr.sampling import choose, sampler

SCORES = torch.tensor([[50.0, 60.0, 70.0], [30.0, 30.0, 10.0]])
LABELS = torch.tensor([[0, 3, 1], [0, 1, 1]])


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_origins_only_is_certain() -> None:
    assert sampler("origins-only").probabilities(None, None, (2, 3)).tolist() == [[1, 0, 0], [1, 0, 0]]


def test_enhanced_is_uniform_over_all_but_the_original() -> None:
    assert sampler("enhanced").probabilities(None, None, (1, 2)).tolist() == [[0, 1]]
    assert sampler("enhanced").probabilities(SCORES, None).tolist() == [[0, 0.5, 0.5]] * 2


def test_upos_is_uniform_over_positives_and_never_the_original() -> None:
    assert sampler("upos").probabilities(None, LABELS).tolist() == [[0, 0, 1], [0, 0.5, 0.5]]


def test_sma_is_the_softmax_of_scores_over_tau() -> None:
    e = math.e
    wanted = [
        [1 / (1 + e + e**2), e / (1 + e + e**2), e**2 / (1 + e + e**2)],
        [1 / (2 + e**-2)] * 2 + [e**-2 / (2 + e**-2)],
    ]
    assert torch.allclose(sampler("sma", 10).probabilities(SCORES, None), torch.tensor(wanted).double())


def test_smp_is_the_softmax_over_positives() -> None:
    e2 = math.e**2
    wanted = [[0, 0, 1], [0, e2 / (e2 + 1), 1 / (e2 + 1)]]
    assert torch.allclose(sampler("smp", 10).probabilities(SCORES, LABELS), torch.tensor(wanted).double())


def test_amo_takes_the_best_and_the_first_of_equals() -> None:
    assert choose(sampler("amo"), SCORES, None, gen()).tolist() == [2, 0]


def test_amo_sees_order_alone() -> None:
    scores = torch.randn(100, 5, generator=gen())
    assert torch.equal(
        choose(sampler("amo"), scores, None, gen()), choose(sampler("amo"), (scores / 7).exp(), None, gen())
    )


def test_low_tau_is_amo_and_high_tau_is_uniform() -> None:
    scores = torch.randn(20, 5, generator=gen())
    cold, hot = sampler("sma", 1e-4).probabilities(scores, None), sampler("sma", 1e6).probabilities(scores, None)
    assert torch.allclose(cold, sampler("amo").probabilities(scores, None))
    assert torch.allclose(hot, torch.full_like(hot, 0.2), atol=1e-5)


@pytest.mark.parametrize("name", ["upos", "sma", "smp"])
def test_draws_follow_the_probabilities(name: str) -> None:
    chosen, n = sampler(name, 10), 20_000
    scores, labels = SCORES[1:].expand(n, -1), LABELS[1:].expand(n, -1)
    counts = torch.bincount(choose(chosen, scores, labels, gen(1)), minlength=3)
    wanted = chosen.probabilities(SCORES[1:], LABELS[1:])[0] * n
    possible = wanted > 0
    assert counts[~possible].sum() == 0
    assert chisquare(counts[possible].numpy(), wanted[possible].numpy()).pvalue > 1e-3


def test_one_number_is_drawn_a_row_whatever_the_sampler() -> None:
    for name in ("origins-only", "enhanced", "upos", "sma", "smp", "amo"):
        rng = gen(5)
        choose(sampler(name), SCORES, LABELS, rng)
        other = gen(5)
        torch.rand(2, 1, dtype=torch.float64, generator=other)
        assert torch.equal(rng.get_state(), other.get_state())


@pytest.mark.parametrize("name", ["upos", "smp"])
def test_a_set_without_positives_is_learned_from_by_its_original(name: str) -> None:
    """HGGT's Pos+Neg, whose sets may have negatives alone."""
    labels = torch.tensor([[0, int(Label.SIMILAR), int(Label.NEGATIVE)], [0, 3, 1]])
    assert sampler(name).probabilities(SCORES, labels).tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "scores", "labels", "told"),
    [
        ("sma", None, None, "needs scores"),
        ("amo", None, LABELS, "needs scores"),
        ("upos", SCORES, None, "needs people's labels"),
        ("amo", SCORES * torch.nan, None, "2 of 2 samples"),
        ("amo", SCORES[0], None, r"got \(3,\)"),
        ("smp", SCORES[:, :2], LABELS, r"scores are \(2, 2\), labels \(2, 3\)"),
        ("origins-only", None, None, "shape"),
        ("enhanced", None, None, "shape"),
    ],
)
def test_what_is_missing_is_named(
    name: str, scores: torch.Tensor | None, labels: torch.Tensor | None, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as error:
        sampler(name).probabilities(scores, labels)
    assert "\n" not in str(error.value)


def test_unknown_names_and_temperatures() -> None:
    with pytest.raises(UnknownNameError, match="amo"):
        sampler("am0")
    with pytest.raises(UsageError, match="tau"):
        sampler("sma", 0)
