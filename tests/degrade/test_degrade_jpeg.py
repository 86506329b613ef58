"""The JPEG operation against the codec in float64, and against the files that Pillow writes."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft

from iqsr.degrade.jpeg import jpeg, quantisation_factor
from iqsr.errors import UsageError
from support.degrade_samples import smooth_pictures


def reference_jpeg(x: np.ndarray, quality: float) -> np.ndarray:
    """The codec block by block in float64, with SciPy's DCT and Pillow's tables, unrounded; x: (H, W, 3) in 0..255."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=50)  # the standard tables themselves
    tables = [np.array(table, float).reshape(8, 8) for table in Image.open(file).quantization.values()]  # type: ignore[attr-defined]
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    tables = [t * factor for t in tables]
    height, width = x.shape[:2]
    x = np.pad(x, ((0, -height % 16), (0, -width % 16), (0, 0)))
    red, green, blue = np.moveaxis(x, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128]
    for i in range(3):
        plane = planes[i] if i == 0 else planes[i].reshape(len(x) // 2, 2, -1, 2).mean((1, 3))
        decoded = np.empty_like(plane)
        for top in range(0, plane.shape[0], 8):
            for left in range(0, plane.shape[1], 8):
                block = np.asarray(fft.dctn(plane[top : top + 8, left : left + 8] - 128, norm="ortho"))
                block = np.round(block / tables[min(i, 1)]) * tables[min(i, 1)]
                decoded[top : top + 8, left : left + 8] = np.asarray(fft.idctn(block, norm="ortho")) + 128
        planes[i] = decoded if i == 0 else decoded.repeat(2, 0).repeat(2, 1)
    luma, cb, cr = planes
    red, blue = luma + 1.402 * (cr - 128), luma + 1.772 * (cb - 128)
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return np.stack([red, green, blue], 2)[:height, :width].clip(0, 255)


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(x.astype(float) - y.astype(float)).mean())


@pytest.mark.parametrize("size", [(48, 64), (45, 51)])
@pytest.mark.parametrize("quality", [30.0, 62.5, 90.0, 95.0])
def test_jpeg_is_the_codec_with_unrounded_tables(quality: float, size: tuple[int, int]) -> None:
    x = smooth_pictures(1, *size)
    found = jpeg(x, torch.tensor([quality]))[0].permute(1, 2, 0).numpy() * 255
    expected = reference_jpeg(x[0].permute(1, 2, 0).double().numpy() * 255, quality)
    # A coefficient that lies halfway between two steps may fall either way in float32, and shift a block a little.
    assert np.quantile(np.abs(found - expected), 0.95) < 0.01
    assert psnr(found, expected) > 50


def planes(rgb: np.ndarray) -> list[np.ndarray]:
    """(H, W, 3) in 0..255 -> Y (H, W), Cb and Cr (H / 2, W / 2)."""
    luma = rgb @ (0.299, 0.587, 0.114)
    chroma = [(rgb[..., i] - luma) / scale + 128 for i, scale in ((2, 1.772), (0, 1.402))]
    return [luma, *(c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3)) for c in chroma)]


def file_planes(file: io.BytesIO, height: int, width: int) -> list[np.ndarray]:
    """The planes as libjpeg decodes them; at half size it does not enlarge chroma, so that it comes as it is stored."""
    decoded: list[np.ndarray] = []
    for size in ((width, height), (width // 2, height // 2)):
        picture = Image.open(file)
        picture.draft("YCbCr", size)
        assert (picture.mode, picture.size) == ("YCbCr", size)
        decoded.append(np.asarray(picture))
    return [decoded[0][..., 0], decoded[1][..., 1], decoded[1][..., 2]]


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_jpeg_loses_what_pillows_file_loses(quality: int) -> None:
    """Each plane is as far from the original as the file's, within 0.8 dB, and nearer to the file than the original is.

    They differ in what the module does not imitate: rounded tables, 8-bit rounding, libjpeg's integer arithmetic.
    """
    pixels = ((smooth_pictures(1, 128, 160)[0] * 0.5 + 0.25) * 255).round().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    x = torch.from_numpy(pixels / 255).float().permute(2, 0, 1)[None]
    ours = jpeg(x, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255
    for original, mine, theirs in zip(planes(pixels), planes(ours), file_planes(file, 128, 160), strict=True):
        assert psnr(mine, original) == pytest.approx(psnr(theirs, original), abs=0.8)
        assert psnr(mine, theirs) > psnr(theirs, original) + 1


def test_each_picture_has_its_own_quality_and_worse_is_further_away() -> None:
    x = smooth_pictures(1, 64, 64)[:, :1].expand(5, 3, 64, 64)  # gray: no loss by halved chroma
    error = (jpeg(x, torch.tensor([10.0, 30.0, 60.0, 90.0, 100.0])) - x).square().mean((1, 2, 3))
    assert (error.diff() < 0).all()
    assert error[-1] < 1e-4


def test_quality_scales_the_tables_as_published() -> None:
    torch.testing.assert_close(
        quantisation_factor(torch.tensor([25.0, 50.0, 75.0, 95.0])), torch.tensor([2.0, 1.0, 0.5, 0.1])
    )


def test_gray_pictures_stay_gray_through_jpeg() -> None:
    y = jpeg(smooth_pictures(1)[:, :1].expand(-1, 3, -1, -1), torch.tensor([60.0]))
    torch.testing.assert_close(y[:, 0], y[:, 2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("quality", [[0.0, 50.0], [50.0, 101.0], [50.0], [50.0, math.nan]])
def test_jpeg_refuses_qualities_that_are_none(quality: list[float]) -> None:
    with pytest.raises(UsageError, match="one quality in"):
        jpeg(smooth_pictures(2), torch.tensor(quality))
