"""Details, bounded pictures, charts."""

import numpy as np
import pytest
import torch
from PIL import Image

from iqsr.errors import UsageError
from iqsr.report.charts import line_chart, strip_chart
from iqsr.report.crops import Box, around, largest_disagreement, largest_disagreements, read_box
from iqsr.report.encode import bounded, pixels, png_uri, within
from iqsr.report.html import data_block


def decoded(uri: str) -> np.ndarray:
    from base64 import b64decode
    from io import BytesIO

    return np.asarray(Image.open(BytesIO(b64decode(uri.partition(",")[2]))).convert("RGB"))


def noise(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def test_png_gives_back_every_pixel():
    assert np.array_equal(decoded(png_uri(noise())), noise())


def test_pixels_are_rounded_and_clamped():
    image = torch.tensor([-1.0, 0.501, 2.0]).view(3, 1, 1)
    assert pixels(image).tolist() == [[[0, 128, 255]]]


def test_many_pictures_stay_within_a_number_of_bytes_and_all_are_there():
    pictures = [noise() for _ in range(8)]
    free, tight = within(pictures, 10_000_000), within(pictures, 20_000)
    assert len(free) == len(tight) == 8
    assert sum(map(len, tight)) <= 20_000 < sum(map(len, free))
    assert decoded(free[0]).shape == (64, 64, 3)


def test_bounded_reduces_what_is_larger_and_nothing_else():
    picture = np.zeros((60, 200, 3), np.uint8)
    assert bounded(picture, 100).shape == (30, 100, 3)
    assert bounded(picture, 200) is picture


def test_the_largest_disagreement_is_found():
    a = np.full((80, 120, 3), 100, np.uint8)
    b = a.copy()
    b[40:56, 64:80] = 180
    assert largest_disagreement([a, b], 16) == Box(64, 40, 16, 16)
    c = a.copy()
    c[0:16, 0:16] = 110
    assert largest_disagreements([a, b, c], 16, 2) == [Box(64, 40, 16, 16), Box(0, 0, 16, 16)]


def test_disagreements_do_not_overlap_and_end_where_none_fits():
    found = largest_disagreements([np.zeros((32, 32, 3), np.uint8), noise(32)], 16, 9)
    assert 1 <= len(found) <= 4
    for i, one in enumerate(found):
        for two in found[i + 1 :]:
            apart = abs(one.left - two.left) >= 16 or abs(one.top - two.top) >= 16
            assert apart


def test_a_version_alone_is_shown_in_the_middle_and_a_small_picture_whole():
    assert largest_disagreement([np.zeros((50, 90, 3), np.uint8)], 30) == Box(30, 10, 30, 30)
    assert largest_disagreement([np.zeros((20, 90, 3), np.uint8)], 30) == Box(35, 0, 20, 20)


def test_a_box_is_the_same_part_of_a_smaller_version():
    full, small = np.zeros((80, 120, 3), np.uint8), np.arange(20 * 30 * 3).reshape(20, 30, 3).astype(np.uint8)
    part = Box(40, 20, 16, 8).of(small, full.shape[:2])
    assert np.array_equal(part, small[5:7, 10:14])
    assert Box(1, 1, 1, 1).of(small, full.shape[:2]).shape == (1, 1, 3)


def test_a_part_around_a_box_lies_inside_the_picture():
    assert around(Box(0, 90, 10, 10), 50, (100, 60)) == Box(0, 50, 50, 50)
    assert around(Box(0, 0, 10, 10), 500, (100, 60)) == Box(0, 0, 60, 100)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "-1,0,5,5", "0,0,0,5", "1.5,0,5,5"])
def test_a_wrong_crop_is_told(text):
    with pytest.raises(UsageError, match="a crop"):
        read_box(text)
    assert read_box(" 1, 2,3,4") == Box(1, 2, 3, 4)


def test_a_strip_has_the_quartiles_of_its_scores():
    chart = strip_chart("psnr ↑", {"a": [0.0, 25.0, 50.0, 75.0, 100.0], "b": [100.0]}, {"a": 0, "b": 9}, 2)
    low, high = chart.ticks[0], chart.ticks[-1]
    assert (low.text, high.text) == ("0", "100")
    a, b = chart.strips
    width = high.at - low.at
    for place, share in ((a.quartile, 0.25), (a.median, 0.5), (a.upper_quartile, 0.75), (a.best, 0.95)):
        assert (place - low.at) / width == pytest.approx(share, abs=0.002)
    assert a.dots.count("M") == 5
    assert b.median == high.at
    assert b.style == 1, "colours repeat"
    assert chart.description == "psnr ↑: a: median 50.00; b: median 100.00"


def test_a_curve_goes_from_its_first_to_its_last_point():
    chart = line_chart("psnr", {"a": [(0, 20.0), (10, 30.0)], "b": [(5, 25.0)]}, {"a": 0, "b": 1})
    assert chart.description == "psnr over steps: a from 20 to 30; b from 25 to 25"
    rising = [tuple(map(float, point.split())) for point in chart.lines[0].path[1:].split("L")]
    assert rising[0][0] < rising[1][0]
    assert rising[0][1] > rising[1][1], "SVG counts downwards"


def test_no_text_ends_the_data_of_a_page():
    block = data_block({"name": "</script><!--\u2028"})
    assert "<" not in block
    assert "\u2028" not in block
    with pytest.raises(ValueError, match="JSON"):
        data_block(float("nan"))
