"""What srq-defects is for: of two ground truths `amo` takes the clean one, whatever spoilt the other."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr.metrics import load_metric
from iqsr.sampling import Amo, choose
from iqsr.training.predictor import defects
from iqsr.training.sr.targets import patch_scores
from support.photos import photo


def halos(x: Tensor) -> Tensor:
    """Unsharp masking of 200 % at a radius of 2 px."""
    return x + 2 * (x - gaussian_blur(x, [13, 13], [2.0, 2.0]))


def grit(x: Tensor) -> Tensor:
    """Fine gray noise."""
    fine = torch.randn(1, 1, *x.shape[2:], generator=torch.Generator().manual_seed(0))
    return x + 0.05 * (fine - gaussian_blur(fine, [7, 7], [1.2, 1.2]))


def stripes(x: Tensor) -> Tensor:
    """Waves of a few pixels, as gamed predictors reward."""
    return defects.stripes(x, 0.6, torch.Generator().manual_seed(1))


def hairs(x: Tensor) -> Tensor:
    """Thin scratches of 9 px in one direction, faint: srq and srq-2 take them for detail."""
    fine = torch.randn(1, 1, *x.shape[2:], generator=torch.Generator().manual_seed(0))
    drawn = F.conv2d(F.pad(fine, (4, 4, 4, 4), mode="reflect"), torch.eye(9)[None, None] / 3)
    return x + 0.03 * (drawn - gaussian_blur(drawn, [13, 13], [2.0, 2.0]))


@pytest.mark.parametrize("spoil", [halos, grit, stripes, hairs])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
@torch.inference_mode()
def test_amo_takes_the_clean_ground_truth(name: str, spoil: Callable[[Tensor], Tensor]) -> None:
    clean = photo(name)
    gts = (torch.cat([spoil(clean), clean]).clamp(0, 1) * 255).round().byte()[None]
    scores = patch_scores(load_metric("srq-defects"), gts)
    assert choose(Amo(), scores, None, torch.Generator().manual_seed(0)).tolist() == [1], scores


@torch.inference_mode()
def test_blank_pictures_score_low() -> None:
    flat = torch.cat([torch.full((1, 3, 96, 96), level) for level in (0.0, 0.5, 1.0)])
    assert load_metric("srq-defects")(flat).max() < 1
