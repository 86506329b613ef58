"""What each term of a predictor's training asks for, and how a predictor is measured."""

from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from iqsr.metrics.dense import Prediction, Predictor, quality_of
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.gaming import tuned_outputs
from iqsr.training.predictor.measures import agreement, monotone, rise_under_attack
from iqsr.training.predictor.objective import attacked, gaming_loss, preference_loss, rank_loss
from iqsr.training.predictor.recipe import GamingRecipe
from support.quality_samples import picture


def test_ranking_the_wrong_way_round_costs_more() -> None:
    target = torch.tensor([[90.0, 50.0, 10.0]])
    right, wrong = rank_loss(target, target), rank_loss(target.flip(1), target)
    assert right < 0.01 < wrong
    assert rank_loss(target, torch.full((1, 3), 50.0)) == 0  # no pair to learn from


def test_preference_loss_is_least_at_the_peoples_share() -> None:
    gaps = torch.linspace(-30, 30, 121)
    losses = torch.stack([preference_loss(g[None], torch.zeros(1), torch.tensor([0.8])) for g in gaps])
    best = float(gaps[losses.argmin()])
    assert torch.sigmoid(torch.tensor(best / 10)) == pytest.approx(0.8, abs=0.02)


class Mean(Predictor):
    """Likes bright pictures: distance = 1 - value, everywhere alike."""

    def predict(self, x: Tensor) -> Prediction:
        distance = 1 - x.mean(1, keepdim=True)
        return Prediction(distance, torch.full_like(distance, 1 / distance[0].numel()))


def test_an_attack_stays_within_eps_and_finds_the_known_optimum() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.8
    adversarial = attacked(Mean(), x, eps=0.02, steps=10)
    assert torch.allclose(adversarial, x + 0.02, atol=1e-6)
    rise = rise_under_attack(Mean(), x, eps=0.02, steps=10)
    expected = quality_of(1 - x.mean((1, 2, 3)) - 0.02) - quality_of(1 - x.mean((1, 2, 3)))
    assert torch.allclose(rise, expected, atol=1e-3)


def test_only_scores_above_the_ceiling_are_punished() -> None:
    assert float(gaming_loss(torch.tensor([30.0]), torch.tensor([40.0]))) == 0
    # Smooth L1 of 20 points, a fifth of the scale: 0.2 less half of where it is round (0.05).
    assert float(gaming_loss(torch.tensor([60.0]), torch.tensor([40.0]))) == pytest.approx(0.2 - 0.025)


def test_agreement_by_hand() -> None:
    """Two crops of three versions. Trunks agree on all pairs of the first; on (a, b) of the second they do not."""
    versions = Versions(())
    versions.alex = [torch.tensor([0.0, 0.2, 0.4]), torch.tensor([0.1, 0.2, 0.6])]
    versions.vgg = [torch.tensor([0.0, 0.3, 0.5]), torch.tensor([0.3, 0.1, 0.6])]
    scores = [torch.tensor([90.0, 60.0, 70.0]), torch.tensor([80.0, 75.0, 20.0])]
    found = agreement(scores, versions)
    # Means .0 .25 .45 | .2 .15 .6: right are (0,1) (0,2) of the first, (0,2) (1,2) of the second; of 6, agreed 5.
    assert (found.pairs, found.n_pairs, found.agreed, found.n_agreed) == (
        pytest.approx(4 / 6),
        6,
        pytest.approx(4 / 5),
        5,
    )
    expected: Any = spearmanr([90, 60, 70, 80, 75, 20], [0, -0.5, -0.9, -0.4, -0.3, -1.2])
    assert found.srcc == pytest.approx(expected.statistic)


def test_clear_pairs_are_those_whose_distances_differ_by_a_twentieth() -> None:
    versions = Versions(())
    versions.alex = versions.vgg = [torch.tensor([0.0, 0.04, 0.1, 0.2])]
    found = agreement([torch.tensor([50.0, 60.0, 40.0, 45.0])], versions)
    # Clear are all but (0,1) .04: (0,2) (0,3) (1,2) (1,3) (2,3); wrong is (2,3).
    assert (found.clear, found.n_clear) == (pytest.approx(4 / 5), 5)


def test_a_ladder_is_climbed_by_what_measures_the_defect() -> None:
    clean = [picture(i) for i in range(3)]
    truth = {id(x): x for x in clean}

    def knows(x: Tensor) -> Tensor:
        reference = min(truth.values(), key=lambda t: float((x[:1] - t).abs().sum()))
        return -(x - reference).square().mean((1, 2, 3))

    assert monotone(knows, clean, "noise") == (1, 1)
    assert monotone(lambda x: torch.zeros(len(x)), clean, "noise") == (0, 0)

    def likes_the_mildest(x: Tensor) -> Tensor:
        scores = knows(x)
        scores[0] = scores[1] - 1
        return scores

    assert monotone(likes_the_mildest, clean, "noise") == (0, 1)


def test_a_tuned_generator_pleases_the_predictor_it_is_tuned_for() -> None:
    rng = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    lrs, originals = torch.rand(4, 3, 16, 16, generator=rng), torch.rand(4, 3, 64, 64, generator=rng)
    recipe = GamingRecipe(moments=(1, 40), batch=4, lr=1e-2, l1_weight=0.0)
    early, late = tuned_outputs(module, lrs, originals, Mean(), recipe, rng)
    assert Mean().predict(late).score.mean() > Mean().predict(early).score.mean() + 5
