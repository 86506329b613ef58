"""Pictures as streams of rows: whatever happens to the bands, the picture stays the picture."""

import tempfile
from collections.abc import Generator, Iterator
from itertools import chain, pairwise, repeat
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.engines import rows as row_streams
from iqsr.engines.rows import NotFiniteBandError, Rows, of_tensor, rebanded


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def whole(rows: Rows, band: int = 4) -> Tensor:
    out = torch.cat(list(rows.bands(band)), 2)
    assert (out.shape[3], out.shape[2]) == (rows.width, rows.height)
    return out


def in_bands(x: Tensor, *heights: int) -> Rows:
    """Rows that come in bands of these heights, as a network gives them, whatever was asked for."""
    return Rows(x.shape[3], x.shape[2], lambda _: iter(x.split(list(heights), 2)))


@pytest.mark.parametrize("band", [1, 3, 11, 50])
def test_bands_add_up_to_the_tensor_and_can_be_read_again(band: int):
    x = picture(11, 5)
    rows = of_tensor(x)
    assert torch.equal(whole(rows, band), x)
    assert torch.equal(whole(rows, band), x)
    assert max(part.shape[2] for part in rows.bands(band)) == min(band, 11)


@pytest.mark.parametrize("height", [1, 2, 5, 7, 30])
@pytest.mark.parametrize("heights", [(23,), (1,) * 23, (2, 9, 1, 11), (20, 3)])
def test_rebanding_keeps_the_rows_and_gives_the_height(heights: tuple[int, ...], height: int):
    x = picture(23, 4)
    parts = list(rebanded(x.split(list(heights), 2), height))
    assert torch.equal(torch.cat(parts, 2), x)
    assert all(part.shape[2] == height for part in parts[:-1])
    assert 0 < parts[-1].shape[2] <= height


def test_rebanding_nothing_gives_nothing():
    assert list(rebanded([], 4)) == []


def test_rebanding_reads_no_further_than_it_must():
    read = 0

    def bands() -> Iterator[Tensor]:
        nonlocal read
        for _ in range(10):
            read += 1
            yield torch.zeros(1, 3, 2, 2)

    next(rebanded(bands(), 4))
    assert read == 2


@pytest.mark.parametrize(("height", "width"), [(10, 9), (8, 8), (9, 16), (5, 7)])
@pytest.mark.parametrize("band", [1, 3, 8])
def test_padding_mirrors_as_torch_does(height: int, width: int, band: int):
    x = picture(height, width)
    expected = F.pad(x, (0, -width % 8, 0, -height % 8), mode="reflect")
    assert torch.equal(whole(row_streams.padded(of_tensor(x), 8), band), expected)


@pytest.mark.parametrize("heights", [(10,), (4, 4, 1, 1), (1,) * 10])
def test_padding_does_not_depend_on_the_bands_that_come(heights: tuple[int, ...]):
    x = picture(10, 12)
    assert torch.equal(whole(row_streams.padded(in_bands(x, *heights), 16), 1), F.pad(x, (0, 4, 0, 6), mode="reflect"))


def test_padding_of_a_picture_that_is_too_small_mirrors_again():
    x = torch.arange(3.0).view(1, 1, 1, 3).expand(1, 3, 2, 3)
    padded = whole(row_streams.padded(of_tensor(x), 1, minimum=8))
    assert padded.shape == (1, 3, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def test_padding_of_a_single_pixel_repeats_it():
    pixel = torch.full((1, 3, 1, 1), 0.3)
    assert torch.equal(whole(row_streams.padded(of_tensor(pixel), 4)), pixel.expand(1, 3, 4, 4))


def test_padding_reaches_the_minimum_and_then_the_multiple():
    rows = row_streams.padded(of_tensor(picture(5, 40)), 8, minimum=20)
    assert (rows.width, rows.height) == (40, 24)


def test_no_padding_where_none_is_needed():
    rows = of_tensor(picture(16, 8))
    assert row_streams.padded(rows, 8, minimum=8) is rows


@pytest.mark.parametrize("heights", [(12,), (5, 5, 2), (1,) * 12])
def test_cropping_keeps_the_top_left_corner(heights: tuple[int, ...]):
    x = picture(12, 9)
    assert torch.equal(whole(row_streams.cropped(in_bands(x, *heights), 7, 10)), x[:, :, :10, :7])


def test_cropping_undoes_padding():
    x = picture(11, 13)
    assert torch.equal(whole(row_streams.cropped(row_streams.padded(of_tensor(x), 8), 13, 11)), x)


def test_clamping_cuts_to_what_files_hold():
    x = torch.tensor([-0.5, 0.25, 1.5]).view(1, 1, 1, 3).expand(1, 3, 2, 3)
    assert whole(row_streams.clamped(of_tensor(x)))[0, 0, 0].tolist() == [0, 0.25, 1]


def test_finite_rows_pass():
    x = picture(6, 6) * 1e30
    assert torch.equal(whole(row_streams.finite(of_tensor(x))), x)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_not_finite_is_found(bad: float):
    x = picture(9, 9)
    x[0, 1, 8, 3] = bad
    bands = row_streams.finite(of_tensor(x)).bands(4)
    next(bands)
    next(bands)
    with pytest.raises(NotFiniteBandError):
        next(bands)


def test_opposite_infinities_do_not_cancel():
    x = picture(2, 2)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = float("inf"), float("-inf")
    with pytest.raises(NotFiniteBandError):
        whole(row_streams.finite(of_tensor(x)))


@pytest.mark.parametrize("edges", [(0, 20), (0, 7, 20), (0, 1, 2, 19, 20)])
def test_strips_side_by_side_are_the_picture(edges: tuple[int, ...]):
    x = picture(70, 20)  # more rows than strips are read back at a time
    strips = [row_streams.columns(of_tensor(x), a, b) for a, b in pairwise(edges)]
    joined = row_streams.side_by_side(strips)
    for band in (1, 9, 100):
        assert (whole(joined, band) - x).abs().max() <= 0.5 / 65535 + 1e-7


def test_each_strip_is_done_before_the_next_begins():
    order: list[str] = []

    def strip(name: str) -> Rows:
        return Rows(2, 3, lambda _: (order.append(name) or band for band in repeat(torch.zeros(1, 3, 1, 2), 3)))

    whole(row_streams.side_by_side([strip("a"), strip("b")]), 1)
    assert order == ["a"] * 3 + ["b"] * 3


def test_strips_leave_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    good = of_tensor(picture(40, 4))
    bands = row_streams.side_by_side([good, good]).bands(1)
    next(bands)
    assert list(tmp_path.iterdir())
    assert isinstance(bands, Generator)
    bands.close()
    assert not list(tmp_path.iterdir())

    def broken(_: int) -> Iterator[Tensor]:
        return chain([torch.zeros(1, 3, 1, 4)], (1 / 0 for _ in "x"))  # type: ignore[return-value]

    with pytest.raises(ZeroDivisionError):
        whole(row_streams.side_by_side([good, Rows(4, 40, broken)]))
    assert not list(tmp_path.iterdir())
