"""Which size a target gives, which targets are refused, and how many passes of a network a ratio takes."""

from typing import Any

import pytest

from iqsr.errors import UsageError
from iqsr.upscaling.target_size import TargetSize, passes_for

# Sizes


@pytest.mark.parametrize(("target", "picture", "size"), [
    (TargetSize(), (100, 50), (400, 200)),
    (TargetSize(), (30, 20), (120, 80)),
    (TargetSize(scale=1), (100, 50), (100, 50)),
    (TargetSize(scale=1), (1, 9000), (1, 9000)),
    (TargetSize(scale=1.5), (100, 50), (150, 75)),
    (TargetSize(scale=2.5), (31, 21), (78, 52)),
    (TargetSize(scale=16), (100, 50), (1600, 800)),
    (TargetSize(width=250), (100, 50), (250, 125)),
    (TargetSize(width=100), (30, 20), (100, 67)),
    (TargetSize(height=100), (100, 50), (200, 100)),
    (TargetSize(height=100), (30, 20), (150, 100)),
    (TargetSize(width=100, height=800), (100, 50), (100, 800)),
    (TargetSize(width=45, height=99), (30, 20), (45, 99)),
    (TargetSize(width=160), (10, 10), (160, 160)),
    (TargetSize(width=10), (100, 50), (10, 5)),
    (TargetSize(width=1), (100, 50), (1, 1)),
    (TargetSize(width=1), (9000, 1), (1, 1)),
])  # fmt: skip
def test_a_target_and_a_picture_give_a_size(target: TargetSize, picture: tuple[int, int], size: tuple[int, int]):
    assert target.size(picture, 4) == size


# What is refused


@pytest.mark.parametrize(("target", "message"), [
    ({"scale": 0.5}, "--scale goes from 1 to 16, got 0.5"),
    ({"scale": 17}, "got 17"),
    ({"scale": -2}, "got -2"),
    ({"scale": float("nan")}, "got nan"),
    ({"scale": float("inf")}, "got inf"),
    ({"scale": 2, "width": 10}, "either --scale or --width/--height"),
    ({"scale": 2, "height": 10}, "either --scale or --width/--height"),
    ({"width": 0}, "at least 1 pixel"),
    ({"height": -5}, "at least 1 pixel"),
])  # fmt: skip
def test_impossible_target_is_refused(target: dict[str, Any], message: str):
    with pytest.raises(UsageError) as error:
        TargetSize(**target)
    assert message in str(error.value)


@pytest.mark.parametrize(("target", "picture", "message"), [
    (TargetSize(width=161), (10, 10), "161 x 161 is 16.1 times the picture's 10 x 10; the most is 16"),
    (TargetSize(width=1601), (100, 50), "1601 x 800 is 16.01 times the picture's 100 x 50; the most is 16"),
    (TargetSize(height=801), (100, 50), "1602 x 801 is 16.02 times the picture's 100 x 50; the most is 16"),
    (TargetSize(width=100, height=900), (100, 50), "100 x 900 is 18 times the picture's 100 x 50; the most is 16"),
])  # fmt: skip
def test_target_of_more_than_16_times_is_refused(target: TargetSize, picture: tuple[int, int], message: str):
    with pytest.raises(UsageError) as error:
        target.size(picture, 4)
    assert str(error.value) == message


# Passes


@pytest.mark.parametrize(("ratio", "native", "passes"), [
    (0.2, 4, 1), (1, 4, 1), (4, 4, 1), (4.001, 4, 2), (4.01, 4, 2), (6.3, 4, 2), (16, 4, 2),
    (9, 3, 2), (16, 3, 3), (8, 2, 3), (16, 2, 4), (8, 1, 1), (16, 1, 1),
])  # fmt: skip
def test_as_many_passes_as_the_ratio_needs(ratio: float, native: int, passes: int):
    assert passes_for(ratio, native) == passes
    assert native**passes >= ratio or native == 1
