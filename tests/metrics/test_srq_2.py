"""What srq-2 promises beside what test_people_predictors.py holds: when sharpness counts, and how it is measured."""

import torch

from iqsr.metrics.efficientnet_lite import EfficientNetLite0
from iqsr.metrics.srq_2 import combined, sharpness_of
from iqsr.training.predictor import defects
from support.photos import photo


def test_sharpness_counts_only_without_defects() -> None:
    sharp, soft = torch.tensor([0.5]), torch.tensor([-1.0])
    sound, spoiled = torch.tensor([1.5]), torch.tensor([-3.0])
    assert combined(sound, sharp) > combined(sound, soft) + 5
    assert combined(spoiled, sharp) - combined(spoiled, soft) < 0.1
    soundness = torch.linspace(-4, 0.5, 50)
    assert (combined(soundness, sharp.expand(50)).diff() > 0).all()
    assert (combined(sound.expand(50), torch.linspace(-2, 2, 50)).diff() > 0).all()


@torch.inference_mode()
def test_blur_lowers_the_energy_and_lines_in_one_direction_raise_their_share() -> None:
    x = photo()
    sharp, blurred = sharpness_of(x)[0], sharpness_of(defects.blur(x, 0.5, torch.Generator()))[0]
    assert blurred[0] < sharp[0] - 1
    lines = (torch.arange(192) // 4 % 2).float().expand(1, 3, 192, 192)
    noise = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    assert sharpness_of(lines)[0, 1] > 0.95
    assert sharpness_of(noise)[0, 1] < 0.5


@torch.inference_mode()
def test_stages_are_what_the_features_are_chosen_from() -> None:
    trunk, x = EfficientNetLite0(), photo(side=64)
    stages = trunk.stages(x)
    assert len(stages) == 7
    assert all(torch.equal(f, stages[n]) for f, n in zip(trunk(x), (0, 1, 2, 4, 6), strict=True))
